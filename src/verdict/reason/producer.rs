//! The end of a producer as a reason: the one table of what is said of it.
//!
//! The advice depends on what the producer is, and so, for the sake of what earlier versions have
//! stored, does the sentence before it.

use std::fmt;

use crate::base::producer::ProducerExit;
use crate::format::snapshot::StreamFormat;
use crate::format::snapshot::Verdict;

/// The producer of a stream was not seen to end well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerReason {
    exit: ProducerExit,
    format: StreamFormat,
}

impl ProducerReason {
    /// Returns the reason, unless the producer ended with success.
    pub fn new(exit: ProducerExit, format: StreamFormat) -> Option<Self> {
        (exit != ProducerExit::Exited(0)).then_some(Self { exit, format })
    }

    /// Returns the best verdict that the reason allows.
    pub fn verdict(self) -> Verdict {
        if self.exit.is_failure() { Verdict::Partial } else { Verdict::Unattested }
    }

    /// Writes the reason for a program that writes physical backups.
    fn of_mariabackup(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exit = self.exit;
        match exit {
            ProducerExit::Unseen => f.write_str(
                "the producer's exit status is not known: let haulout start mariabackup to see \
                 how it ends",
            ),
            ProducerExit::Exited(_) | ProducerExit::Killed(_) => write!(
                f,
                "the producer {exit}: its last messages say why, run it again once that is fixed"
            ),
            ProducerExit::Hung => write!(
                f,
                "the producer {exit}: its last messages say what it waits for, see what else runs \
                 on the server, then run it again; --grace gives it longer"
            ),
        }
    }

    /// Writes the reason for a program that writes SQL.
    fn of_a_dump_program(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exit = self.exit;
        match exit {
            ProducerExit::Unseen => f.write_str(
                "the producer's exit status is not known: let haulout run it, as in haulout backup \
                 -- mariadb-dump --all-databases",
            ),
            ProducerExit::Exited(_) => write!(
                f,
                "the producer {exit}: its last messages say why; a dump with --force goes on after \
                 errors and lacks what they name"
            ),
            ProducerExit::Killed(_) => write!(f, "the producer {exit}: run the dump again"),
            ProducerExit::Hung => f.write_str(
                "the producer closed its stream and did not end: its last messages say why, run \
                 the dump again",
            ),
        }
    }

    /// Writes the reason for any other program.
    fn of_any_program(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.exit {
            ProducerExit::Unseen => f.write_str(
                "the producer's exit status could not be seen: let haulout run it (-- COMMAND)",
            ),
            ProducerExit::Exited(code) => {
                write!(f, "the producer failed with exit status {code}")
            }
            exit @ ProducerExit::Killed(_) => write!(f, "the producer {exit}"),
            ProducerExit::Hung => {
                f.write_str("the producer kept running after its stream ended, and was killed")
            }
        }
    }
}

impl fmt::Display for ProducerReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.format {
            StreamFormat::Mbstream => self.of_mariabackup(f),
            StreamFormat::Sql => self.of_a_dump_program(f),
            StreamFormat::Tar | StreamFormat::Raw | StreamFormat::Binlog => self.of_any_program(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(format: StreamFormat, exit: ProducerExit) -> String {
        ProducerReason::new(exit, format).map_or(String::new(), |reason| reason.to_string())
    }

    /// These sentences are stored in snapshots, and must not change.
    #[test]
    fn every_ending_of_every_kind_of_producer_has_its_sentence() {
        use StreamFormat::{Mbstream, Raw, Sql, Tar};
        let of = [Mbstream, Sql, Tar, Raw];
        assert_eq!(of.map(|format| said(format, ProducerExit::Exited(0))), [""; 4]);
        let plain = "the producer failed with exit status 3";
        assert_eq!(
            of.map(|format| said(format, ProducerExit::Exited(3))),
            [
                "the producer ended with status 3: its last messages say why, run it again once \
                 that is fixed",
                "the producer ended with status 3: its last messages say why; a dump with --force \
                 goes on after errors and lacks what they name",
                plain,
                plain,
            ]
        );
        let plain = "the producer was killed by signal 9";
        assert_eq!(
            of.map(|format| said(format, ProducerExit::Killed(9))),
            [
                "the producer was killed by signal 9: its last messages say why, run it again once \
                 that is fixed",
                "the producer was killed by signal 9: run the dump again",
                plain,
                plain,
            ]
        );
        let plain = "the producer kept running after its stream ended, and was killed";
        assert_eq!(
            of.map(|format| said(format, ProducerExit::Hung)),
            [
                "the producer kept running after its stream ended, and was killed: its last \
                 messages say what it waits for, see what else runs on the server, then run it \
                 again; --grace gives it longer",
                "the producer closed its stream and did not end: its last messages say why, run \
                 the dump again",
                plain,
                plain,
            ]
        );
        let plain = "the producer's exit status could not be seen: let haulout run it (-- COMMAND)";
        assert_eq!(
            of.map(|format| said(format, ProducerExit::Unseen)),
            [
                "the producer's exit status is not known: let haulout start mariabackup to see how \
                 it ends",
                "the producer's exit status is not known: let haulout run it, as in haulout backup \
                 -- mariadb-dump --all-databases",
                plain,
                plain,
            ]
        );
    }
}
