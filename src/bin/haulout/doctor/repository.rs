//! The repository of a job and its replicas, asked with the commands that the job itself runs.

use std::process::Stdio;

use serde_json::Value;

use crate::config::Config;
use crate::doctor::finding::Finding;
use crate::doctor::job::judge_role;
use crate::jobs::founding;
use crate::jobs::plan::Step;

/// How long a request to a store is repeated: a person waits for the answer.
const RETRY: &str = "5s";

/// What a command said of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// The JSON that it printed.
    Report(Value),
    /// Why it failed, and what to do about it.
    Refused { message: String, hint: String },
}

impl Said {
    /// Runs a command on a repository.
    pub(crate) fn by(config: &Config, place: &str, arguments: &[&str]) -> Self {
        let refused = |message: String| Self::Refused { message, hint: String::new() };
        let mut command = match founding::of(config, place) {
            Ok(command) => command,
            Err(failure) => return refused(failure.line()),
        };
        command.args(["--json", "--quiet", "--retry-for", RETRY]).args(arguments);
        match command.stdin(Stdio::null()).stderr(Stdio::null()).output() {
            Ok(output) => Self::read(&output.stdout),
            Err(error) => refused(format!("this program can't be started once more: {error}")),
        }
    }

    /// Tells whether the command did what it was asked for.
    pub(crate) fn is_report(&self) -> bool {
        matches!(self, Self::Report(_))
    }

    /// Reads what a command printed.
    fn read(printed: &[u8]) -> Self {
        let Ok(value) = serde_json::from_slice::<Value>(printed) else {
            let message = "the command printed nothing".to_owned();
            return Self::Refused { message, hint: "run it by hand".to_owned() };
        };
        let error = &value["error"];
        if error.is_null() {
            return Self::Report(value);
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let causes = error["causes"].as_array().into_iter().flatten().map(text);
        let message: Vec<String> = [text(&error["message"])].into_iter().chain(causes).collect();
        Self::Refused { message: message.join(": "), hint: text(&error["hint"]) }
    }
}

/// Judges what `key list` said of the repository: whether it opens, and with what key. `kit` is
/// where the configuration says that a recovery kit is.
pub(crate) fn judge_keys(said: &Said, steps: &[Step], kit: Option<&str>) -> Vec<Finding> {
    let slots = match said {
        Said::Refused { message, .. } if message.contains("is not encrypted") => {
            let hint = "make an encrypted one: everyone who reads the store reads the data";
            return vec![Finding::warning("key", "the repository is not encrypted", hint)];
        }
        Said::Refused { message, hint } => {
            return vec![Finding::failed("reachable", message, hint)];
        }
        Said::Report(value) => value.as_array().map(Vec::as_slice).unwrap_or_default(),
    };
    let mut findings = vec![Finding::good("reachable", "it is there, and the key opens it")];
    findings.extend(judge_key(said, steps));
    let opens = |slot: &&Value| slot["role"] == "full" && slot["retired"] != true;
    let count = slots.iter().filter(opens).count();
    findings.push(judge_kit(count, kit));
    findings
}

/// Judges whether the key that `key list` used is enough for the steps there; nothing if it opens
/// nothing.
pub(crate) fn judge_key(said: &Said, steps: &[Step]) -> Option<Finding> {
    let Said::Report(value) = said else { return None };
    let in_use = value.as_array()?.iter().find(|slot| slot["in_use"] == true)?;
    in_use["role"].as_str().map(|role| judge_role(role, steps))
}

/// Judges whether a recovery kit is known. It is a text outside of the repository, so only the
/// configuration can say that there is one.
fn judge_kit(full_keys: usize, kit: Option<&str>) -> Finding {
    const CHECK: &str = "recovery kit";
    const HINT: &str = "haulout key export writes one: lock it away, off this host, and say where \
                        with recovery_kit in the section of the repository";
    match (full_keys, kit) {
        (_, Some(place)) => Finding::good(CHECK, format!("{place}, as the configuration says")),
        (0 | 1, None) => Finding::warning(
            CHECK,
            "one key opens everything, and the configuration names no recovery kit",
            HINT,
        ),
        (count, None) => Finding::not_checked(
            CHECK,
            format!("{count} keys open everything; the configuration names no recovery kit"),
        )
        .with_hint(HINT),
    }
}

/// Judges what `try-store` said of an object store; `deleting` are the steps of the job that delete
/// there.
pub(crate) fn judge_writing(said: &Said, deleting: &[&str]) -> Finding {
    const CHECK: &str = "writing";
    let value = match said {
        Said::Refused { message, hint } => return Finding::failed(CHECK, message, hint),
        Said::Report(value) => value,
    };
    if value["deletes"] == true {
        return Finding::good(CHECK, "an object was put, and deleted again");
    }
    let reason = value["reason"].as_str().unwrap_or_default();
    if deleting.is_empty() {
        return Finding::good(
            CHECK,
            "objects can be put, and not deleted, which no step of the job needs",
        );
    }
    Finding::failed(
        CHECK,
        format!("objects can be put, and not deleted, for {}: {reason}", deleting.join(", ")),
        "give the job credentials that may delete, or name its other steps in steps and let a job \
         on another host do these",
    )
}

/// Judges what the plan of a replication said of a replica.
pub(crate) fn judge_replica(said: &Said) -> Finding {
    const CHECK: &str = "reachable";
    match said {
        Said::Refused { message, hint } => Finding::failed(CHECK, message, hint),
        Said::Report(value) => {
            let keys =
                if value["reencrypted"] == true { "keys of its own" } else { "the same keys" };
            let count = value["snapshots"].as_u64().unwrap_or_default();
            let lacks = match count {
                0 => "lacks nothing".to_owned(),
                1 => "lacks 1 snapshot".to_owned(),
                count => format!("lacks {count} snapshots"),
            };
            Finding::good(CHECK, format!("it has {keys}, and {lacks}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    fn states(printed: &str) -> Vec<(&'static str, State)> {
        let findings = judge_keys(&Said::read(printed.as_bytes()), &[], None);
        findings.iter().map(|finding| (finding.check, finding.state)).collect()
    }

    #[test]
    fn a_repository_is_opened_as_the_job_opens_it() {
        let slots = r#"[{"role":"full","in_use":true,"retired":false}]"#;
        assert_eq!(
            states(slots),
            [("reachable", State::Good), ("key", State::Good), ("recovery kit", State::Warning)]
        );
        assert_eq!(judge_kit(2, None).state, State::NotChecked);
        let kept = judge_kit(1, Some("in the safe"));
        assert_eq!(kept.found, "in the safe, as the configuration says");
        let refused = r#"{"error":{"message":"no repository","causes":["a"],"hint":"do"}}"#;
        assert_eq!(states(refused), [("reachable", State::Failed)]);
        let clear = r#"{"error":{"message":"/r is not encrypted: it has no keys"}}"#;
        assert_eq!(states(clear), [("key", State::Warning)]);
        assert_eq!(states(""), [("reachable", State::Failed)]);
    }

    #[test]
    fn a_store_must_take_puts_and_deletions_where_a_step_deletes() {
        let judged = |printed: &str, deleting: &[&str]| {
            judge_writing(&Said::read(printed.as_bytes()), deleting).state
        };
        let both = r#"{"deletes":true}"#;
        let puts = r#"{"deletes":false,"reason":"permission denied"}"#;
        let refused = r#"{"error":{"message":"cannot write","causes":["denied"],"hint":"h"}}"#;
        for (printed, deleting, state) in [
            (both, &[][..], State::Good),
            (both, &["prune"][..], State::Good),
            (puts, &[][..], State::Good),
            (puts, &["retention", "prune"][..], State::Failed),
            (refused, &[][..], State::Failed),
        ] {
            assert_eq!(judged(printed, deleting), state, "{printed} {deleting:?}");
        }
    }

    #[test]
    fn a_replica_says_what_it_lacks() {
        let judged = |printed: &str| judge_replica(&Said::read(printed.as_bytes()));
        let same = judged(r#"{"snapshots":2}"#);
        assert_eq!(same.found, "it has the same keys, and lacks 2 snapshots");
        let own = judged(r#"{"snapshots":0,"reencrypted":true}"#);
        assert_eq!(own.found, "it has keys of its own, and lacks nothing");
        let refused = judged(r#"{"error":{"message":"gone","causes":["away"],"hint":"h"}}"#);
        assert_eq!((refused.state, refused.found.as_str()), (State::Failed, "gone: away"));
    }
}
