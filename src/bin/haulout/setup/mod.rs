//! A first configuration: asked for, tested answer by answer, written, and tried with a first
//! backup and a restore of it.
//!
//! ```text
//! look --proposals--> interview --Answers--> compose --texts--> carry_out --> night --> judge
//!                        |  ^
//!                 question  | trial: the server's login, the repository
//! ```
//!
//! Up to the last question nothing is changed. No password is copied: the configuration refers to
//! the file that has it. What is tested and run is run as the user that will run the job.

pub(crate) mod actor;
pub(crate) mod answers;
pub(crate) mod arguments;
pub(crate) mod carry_out;
pub(crate) mod compose;
pub(crate) mod interview;
pub(crate) mod judge;
pub(crate) mod look;
pub(crate) mod night;
pub(crate) mod person;
pub(crate) mod trial;
