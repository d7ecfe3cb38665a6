//! The plan of a restore of a part: what was typed, and what it means on this machine.

use std::path::PathBuf;

use haulout::ops::part::Broken;
use haulout::ops::part::Existing;
use haulout::ops::part::PartOptions;
use haulout::ops::part::Programs;
use haulout::ops::part::Server;
use haulout::ops::part::Unreplicated;
use haulout::store::limiter::Timetable;

use crate::environment::Stream;
use crate::environment::Surroundings;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::grammar::common::Common;
use crate::verbs::restore::args::RestoreArguments;
use crate::verbs::restore::plan::named;

/// The place that a part goes to.
#[derive(Debug)]
pub(crate) enum PartTarget {
    /// Standard output of this program.
    Stdout,
    /// A file that is not there yet.
    File(PathBuf),
    /// A server, by the client.
    Server(Box<Server>),
}

/// Whether something is done, or only what would be done is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    /// It is done at once.
    Now,
    /// It is printed and not done.
    Planned,
}

/// The settings of one restore of a part.
#[derive(Debug)]
pub(crate) struct PartJob {
    /// The snapshot as the user named it.
    pub(crate) snapshot: String,
    /// The place that it goes to.
    pub(crate) target: PartTarget,
    /// The options of the library; the number of threads is set later.
    pub(crate) options: PartOptions,
    /// The limit for bytes from the repository.
    pub(crate) limit: Option<Timetable>,
    /// Whether it is done or printed.
    pub(crate) doing: Doing,
}

impl PartJob {
    /// Builds the job from the parsed arguments on this host.
    pub(crate) fn new(
        typed: RestoreArguments,
        common: &Common,
        around: &Surroundings<'_>,
    ) -> Outcome<Self> {
        let part = &typed.part;
        let doing = if typed.plan { Doing::Planned } else { Doing::Now };
        let target = match (&typed.to, part.load) {
            (Some(file), _) => PartTarget::File(file.clone()),
            (None, true) => PartTarget::Server(Box::new(part.server(around)?)),
            (None, false) => {
                let is_data = doing == Doing::Now;
                if is_data && common.json {
                    return Err(Failure::usage(
                        "with --stdout the SQL is on standard output, where --json would be",
                        "write them to a file with --to, or leave --json out",
                    ));
                }
                if is_data && around.stdout == Stream::Terminal {
                    return Err(Failure::usage(
                        "standard output is a terminal",
                        "send the statements to a file or a program, or load them with --load",
                    ));
                }
                around.require_stdout()?;
                PartTarget::Stdout
            }
        };
        let existing = if part.replace { Existing::Replace } else { Existing::Refuse };
        let accepts = part.accept_unreplicated;
        let unreplicated = if accepts { Unreplicated::Accept } else { Unreplicated::Refuse };
        let staging = typed.staging.clone().unwrap_or_else(std::env::temp_dir);
        let options = PartOptions {
            wanted: part.wanted(),
            into: typed.into.clone(),
            existing,
            unreplicated,
            broken: if typed.keep_going { Broken::LeaveOut } else { Broken::Refuse },
            workers: 1,
            staging,
            programs: Programs {
                prepare: typed.prepare_program.clone(),
                path: std::env::var_os("PATH").unwrap_or_default(),
            },
        };
        let limit = typed.limit.clone().map(|limit| limit.0);
        Ok(Self { snapshot: named(typed.snapshot)?, target, options, limit, doing })
    }
}
