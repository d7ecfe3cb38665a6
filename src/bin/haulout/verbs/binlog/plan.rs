//! What `binlog` does on a repository, checked against the configuration.

use haulout::ops::memory::Work;

use crate::config::tree::Table;
use crate::environment::Surroundings;
use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::open::run::Run;
use crate::open::traits::Effect;
use crate::open::traits::Traits;
use crate::verbs::binlog::args::BinlogAction;
use crate::verbs::binlog::args::BinlogArguments;
use crate::verbs::binlog::args::FollowArguments;
use crate::verbs::binlog::args::ListArguments;
use crate::verbs::job::Job;

/// What is done on the repository.
#[derive(Debug)]
pub(crate) enum BinlogPlan {
    /// The stretches of history are listed.
    List(ListArguments),
    /// The binary logs of a source are stored; its section of the configuration.
    Follow(FollowArguments, Table),
}

impl BinlogPlan {
    /// Looks up the source that is meant.
    pub(crate) fn new(typed: BinlogArguments, around: &Surroundings<'_>) -> Outcome<Self> {
        match typed.action {
            BinlogAction::List(typed) => Ok(Self::List(typed)),
            BinlogAction::Follow(typed) => {
                let Some(source) = (around.source)(&typed.source) else {
                    return Err(Failure::usage(
                        format!("the configuration has no source {}", typed.source),
                        "haulout config show lists its sources",
                    ));
                };
                Ok(Self::Follow(typed, source))
            }
            BinlogAction::Archive(_) => Err(Failure::usage(
                "there is no configuration file, so there are no jobs",
                "write one, or name it with --config; haulout help config shows one",
            )),
        }
    }
}

impl Job for BinlogPlan {
    fn traits(&self) -> Traits {
        match self {
            Self::List(_) => Traits::default(),
            Self::Follow(..) => {
                Traits { effect: Effect::Adds, work: Work::Writes, ..Traits::default() }
            }
        }
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        match self {
            Self::List(typed) => run.list_binlogs(typed),
            Self::Follow(typed, source) => run.follow(typed, source),
        }
    }
}
