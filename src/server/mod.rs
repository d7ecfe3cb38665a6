//! MariaDB servers as a client sees them: option files, connections, what a node of a Galera
//! cluster says about itself, which node of a cluster is backed up, and what HAProxy has before
//! them.
//!
//! ```text
//! option file, URL --> Login --+
//!                   Address ---+--> Server --> rows --> Node --> choice
//! ```
//!
//! Nothing here changes a server but for statements that a caller hands over. Passwords stand in
//! memory only: never in arguments, never in messages.

pub mod choice;
pub mod galera;
pub mod grants;
pub mod haproxy;
pub mod inventory;
pub mod login;
pub mod needs;
pub mod option_file;
pub mod private;
pub mod saved_state;
pub mod session;
pub mod settings;
pub mod sizes;
pub mod startup_log;
pub mod url;
