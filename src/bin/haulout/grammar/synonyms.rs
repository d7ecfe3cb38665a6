//! Words that other backup programs use for what is called something else here.
//!
//! clap suggests what is spelled alike; what means the same is suggested by this table.

use clap::error::ContextKind;
use clap::error::ContextValue;
use clap::error::ErrorKind;

const COMMANDS: [(&str, &str); 20] = [
    ("list", "snapshots"),
    ("log", "snapshots"),
    ("info", "show"),
    ("fsck", "verify"),
    ("scrub", "verify"),
    ("heal", "repair"),
    ("fix", "repair"),
    ("create", "backup"),
    ("save", "backup"),
    ("extract", "restore"),
    ("dump", "cat"),
    ("find", "ls"),
    ("compare", "diff"),
    ("size", "stats"),
    ("label", "tag"),
    ("expire", "forget"),
    ("delete", "forget"),
    ("gc", "prune"),
    ("pin", "hold"),
    ("unpin", "release"),
];

const OPTIONS: [(&str, &str); 10] = [
    ("--repository", "--repo"),
    ("--output", "--to"),
    ("--target", "--to"),
    ("--target-dir", "--to"),
    ("--destination", "--to"),
    ("--name", "--source"),
    ("--only", "--include"),
    ("--path", "--include"),
    ("--level", "--compression"),
    ("--jobs", "--threads"),
];

/// Suggests what is meant; what means the same goes before what is spelled alike.
pub(crate) fn suggest(refusal: &mut clap::Error) {
    let kind = refusal.kind();
    if kind == ErrorKind::UnknownArgument && suggest_dashes(refusal) {
        return;
    }
    let is_command = kind == ErrorKind::InvalidSubcommand;
    let (typed, suggestion, known) = if is_command {
        (ContextKind::InvalidSubcommand, ContextKind::SuggestedSubcommand, &COMMANDS[..])
    } else if kind == ErrorKind::UnknownArgument {
        (ContextKind::InvalidArg, ContextKind::SuggestedArg, &OPTIONS[..])
    } else {
        return;
    };
    let Some(ContextValue::String(typed)) = refusal.get(typed) else { return };
    let Some((_, meant)) = known.iter().find(|(word, _)| word == typed) else { return };
    let meant = (*meant).to_owned();
    let value =
        if is_command { ContextValue::Strings(vec![meant]) } else { ContextValue::String(meant) };
    refusal.insert(suggestion, value);
}

/// Suggests `--` before the command of a producer that was typed without it.
fn suggest_dashes(refusal: &mut clap::Error) -> bool {
    let Some(ContextValue::String(typed)) = refusal.get(ContextKind::InvalidArg) else {
        return false;
    };
    let usage = refusal.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    // What begins with a dash is an option with a typing error.
    if typed.starts_with('-') || !usage.contains("haulout backup") {
        return false;
    }
    let tip = format!("the producer stands after two dashes: haulout backup -- {typed} ...");
    refusal.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    true
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::Parser;

    use super::*;
    use crate::verbs::Arguments;

    fn told(line: &str) -> String {
        let mut refusal = Arguments::try_parse_from(line.split(' ')).unwrap_err();
        suggest(&mut refusal);
        refusal.to_string()
    }

    #[test]
    fn words_of_other_programs_lead_to_ours() {
        for (line, tip) in [
            ("haulout list", "'snapshots'"),
            ("haulout scrub", "'verify'"),
            ("haulout restore latest --target /x", "'--to'"),
            ("haulout backup --name x", "'--source'"),
            // What is spelled alike is clap's own business.
            ("haulout snapshot", "'snapshots'"),
            ("haulout restore latest --too /x", "'--to'"),
        ] {
            let told = told(line);
            assert!(told.contains("tip: a similar") && told.contains(tip), "{line}: {told}");
        }
        assert!(!told("haulout xyzzy").contains("tip"));
    }

    #[test]
    fn a_producer_without_its_dashes_is_told_where_they_belong() {
        for line in ["haulout backup mariabackup --backup", "haulout backup --tag x mariabackup"] {
            assert!(told(line).contains("haulout backup -- mariabackup ..."), "{}", told(line));
        }
        assert!(!told("haulout snapshots x").contains(" -- "));
        assert!(!told("haulout backup --xyzzy").contains("two dashes"));
    }

    #[test]
    fn what_is_suggested_exists_and_what_exists_is_not_a_synonym() {
        let grammar = Arguments::command();
        let is_command = |name: &str| grammar.get_subcommands().any(|verb| verb.get_name() == name);
        for (word, meant) in COMMANDS {
            assert!(is_command(meant) && !is_command(word), "{word}: {meant}");
        }
        let is_option = |name: &str| {
            let verbs = grammar.get_subcommands().chain([&grammar]);
            let options = verbs.flat_map(clap::Command::get_arguments);
            options.filter_map(clap::Arg::get_long).any(|long| name == format!("--{long}"))
        };
        for (word, meant) in OPTIONS {
            assert!(is_option(meant) && !is_option(word), "{word}: {meant}");
        }
    }
}
