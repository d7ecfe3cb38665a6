//! What was typed: the grammar of the command line and its help texts.
//!
//! Nothing is decided here: defaults that depend on the machine, and what options mean together,
//! are the business of [`plan`](crate::open::settings).

use clap::Parser;
use clap::Subcommand;

use crate::grammar::common::Common;
use crate::verbs::backup::args::BackupArguments;
use crate::verbs::cat::args::CatArguments;
use crate::verbs::completions::args::CompletionsArguments;
use crate::verbs::diff::args::DiffArguments;
use crate::verbs::errors::args::ErrorsArguments;
use crate::verbs::help::args::HelpArguments;
use crate::verbs::init::args::InitArguments;
use crate::verbs::key::args::KeyArguments;
use crate::verbs::ls::args::LsArguments;
use crate::verbs::man::args::ManArguments;
use crate::verbs::repair::args::RepairArguments;
use crate::verbs::replicate::args::ReplicateArguments;
use crate::verbs::restore::args::RestoreArguments;
use crate::verbs::show::args::ShowArguments;
use crate::verbs::snapshots::args::SnapshotsArguments;
use crate::verbs::stats::args::StatsArguments;
use crate::verbs::tag::args::TagArguments;
use crate::verbs::verify::args::VerifyArguments;

const ABOUT: &str = "Streaming physical backups of MariaDB that store only the bytes that changed";

const LONG_ABOUT: &str = "\
Streaming physical backups of MariaDB that store only the bytes that changed.

haulout reads the stream of mariabackup (or of any other program), checks every page, compares it \
with its previous version and stores the difference, encrypted. Every snapshot has a verdict with \
its reasons: complete, unattested, corrupt-pages or partial.";

const EXAMPLES: &str = "\
Example:
  export HAULOUT_REPO=/backup/db HAULOUT_PASSWORD_FILE=/etc/haulout.password
  haulout init
  haulout backup -- mariabackup --backup --stream=mbstream
  haulout snapshots
  haulout restore latest --to /var/lib/mysql-restored --prepare

Exit status: 0 done; 1 failed; 2 wrong usage; 3 done, with findings (a partial snapshot, \
corrupt pages at the source, damage, a warning).";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "haulout",
    bin_name = "haulout",
    version = env!("HAULOUT_VERSION"),
    about = ABOUT,
    long_about = LONG_ABOUT,
    after_long_help = EXAMPLES,
    max_term_width = 100,
    infer_long_args = false,
    disable_help_subcommand = true
)]
pub(crate) struct Arguments {
    /// What every command knows.
    #[command(flatten)]
    pub(crate) common: Common,
    /// What is to be done.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Any command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Verb(Verb),
    #[command(flatten)]
    About(About),
}

/// What is done with a repository. The help texts stand with the arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Init(InitArguments),
    Backup(BackupArguments),
    Snapshots(SnapshotsArguments),
    Show(ShowArguments),
    Ls(LsArguments),
    Cat(CatArguments),
    Diff(DiffArguments),
    Stats(StatsArguments),
    Tag(TagArguments),
    Restore(RestoreArguments),
    Verify(VerifyArguments),
    Repair(RepairArguments),
    Key(KeyArguments),
    Replicate(Box<ReplicateArguments>),
}

/// What the program says about itself.
#[derive(Debug, Subcommand)]
pub(crate) enum About {
    Completions(CompletionsArguments),
    Errors(ErrorsArguments),
    Help(HelpArguments),
    Man(ManArguments),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use haulout::encode::Level;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_grammar_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn global_options_stand_before_or_after_the_command() {
        for line in ["haulout -r /x --json snapshots", "haulout snapshots -r /x --json"] {
            let typed = parse(line).unwrap();
            assert_eq!(typed.common.repo.as_deref(), Some("/x"), "{line}");
            assert!(typed.common.json, "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_together_is_refused() {
        for line in [
            "haulout",
            "haulout snapshots -q -v",
            "haulout snapshots -q --log-level brief",
            "haulout snapshots --password-file a --password-command b",
            "haulout init --no-encryption --password-file a",
            "haulout restore latest",
            "haulout restore latest --to /x --stdout",
            "haulout backup --format dump",
            "haulout restore latest --stdout --prepare",
            "haulout backup --compression 20",
            "haulout backup --compression -8",
            "haulout backup --source a@b",
            "haulout backup --tag ",
            "haulout backup mariabackup",
            "haulout verify --depth deep",
            "haulout snapshots --threads 0",
            "haulout snapshots --memory 5X",
            "haulout key",
            "haulout key add --key-file a --new-password-file b",
            "haulout key remove",
            "haulout replicate",
            "haulout replicate --to /x --from /y",
            "haulout replicate --to /x --last 0",
            "haulout replicate --to /x --snapshot a --last 1",
            "haulout key export a --no-password --new-password-command b",
            "haulout diff latest",
            "haulout cat latest",
            "haulout tag latest --add ",
            "haulout completions tcl",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn everything_after_two_dashes_belongs_to_the_producer() {
        let typed =
            parse("haulout backup --compression -7 --tag a --tag b -- cat -v --json").unwrap();
        assert!(!typed.common.json);
        let Command::Verb(Verb::Backup(backup)) = typed.command else { panic!("a backup") };
        assert_eq!(backup.command, ["cat", "-v", "--json"]);
        assert_eq!(backup.tags, ["a", "b"]);
        assert_eq!(Some(backup.compression.0), Level::new(-7));
    }

    #[test]
    fn every_command_has_an_example() {
        let grammar = Arguments::command();
        let nested = grammar.get_subcommands().flat_map(clap::Command::get_subcommands);
        for command in grammar.get_subcommands().chain(nested) {
            let name = command.get_name();
            let example =
                command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            let is_about = ["completions", "errors", "help", "man"].contains(&name);
            let begins = if is_about { "  haulout " } else { "  haulout -r /backup/db " };
            assert!(example.contains(begins), "{name}");
            assert!(example.contains(&format!(" {name}")), "{name}");
        }
    }
}
