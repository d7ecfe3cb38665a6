//! Accounts that a dump of accounts stops at: a server that resolves no names does not know those
//! of hosts by name, and lists them all the same.

use crate::doctor::finding::Finding;

/// Judges the accounts that the server lists and does not know; nothing if it does not list any.
pub(crate) fn judge(unknown: Option<&[String]>) -> Finding {
    const CHECK: &str = "accounts";
    match unknown {
        None => Finding::not_checked(CHECK, "the account may not list the accounts"),
        Some([]) => Finding::good(CHECK, "the server knows all that it lists"),
        Some(unknown) => Finding::failed(
            CHECK,
            format!("the dump stops at {}", unknown.join(", ")),
            "delete it from mysql.global_priv and run FLUSH PRIVILEGES: with skip_name_resolve it \
             lets no client in",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    #[test]
    fn an_account_that_the_server_does_not_know_ends_the_dump() {
        assert_eq!(judge(None).state, State::NotChecked);
        assert_eq!(judge(Some(&[])).state, State::Good);
        let found = judge(Some(&["root@vm (error 1133: no row)".to_owned()]));
        assert_eq!(found.state, State::Failed);
        assert!(found.found.contains("root@vm"), "{found:?}");
    }
}
