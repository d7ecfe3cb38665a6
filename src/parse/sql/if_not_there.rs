//! Lets the statements that make accounts pass where the server has them: every server has
//! `root@localhost` and `mariadb.sys`, so that a dump of accounts would stop at its first line.

use crate::parse::sql::rename::Scan;
use crate::parse::sql::rename::Spanned;
use crate::parse::sql::statement::Token;

/// Tokens of the beginning of a statement that are looked at.
const TOKENS_MAX: usize = 3;

/// Returns a statement that makes an account or a role with `IF NOT EXISTS`; nothing if it is
/// another one, or has that or a replacement already.
pub(super) fn with_if_not_exists(statement: &[u8]) -> Option<Vec<u8>> {
    let head: Vec<Spanned> = Scan::new(statement, 0).take(TOKENS_MAX).collect();
    let [(Token::Word(create, _), _), (Token::Word(kind, _), place), (next, _)] = &head[..] else {
        return None;
    };
    let makes = create == b"CREATE" && matches!(&kind[..], b"USER" | b"ROLE");
    if !makes || matches!(next, Token::Word(word, _) if word == b"IF") {
        return None;
    }
    let (before, behind) = statement.split_at(place.end);
    Some([before, b" IF NOT EXISTS", behind].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_and_roles_are_made_if_they_are_not_there() {
        for (statement, expected) in [
            ("CREATE USER `a`@`b`;", Some("CREATE USER IF NOT EXISTS `a`@`b`;")),
            (
                "/*M!100005 CREATE ROLE 'r' WITH ADMIN x */;",
                Some("/*M!100005 CREATE ROLE IF NOT EXISTS 'r' WITH ADMIN x */;"),
            ),
            ("CREATE ROLE IF NOT EXISTS r;", None),
            ("CREATE OR REPLACE USER `a`@`b`;", None),
            ("CREATE TABLE `user` (a int);", None),
            ("GRANT x TO y;", None),
            ("CREATE USER", None),
        ] {
            let found = with_if_not_exists(statement.as_bytes());
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{statement}");
        }
    }
}
