//! What `SHOW GRANTS` says, for rights that no harmless statement tries.

use std::collections::BTreeSet;

/// The rights of a dump of all objects. A tool that lacks one leaves objects out, and ends with
/// status 0 in most cases.
pub const OF_DUMP: [&str; 4] = ["SELECT", "SHOW VIEW", "EVENT", "TRIGGER"];

/// The rights of an account, by what they are granted on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants(Vec<(String, BTreeSet<String>)>);

impl Grants {
    /// Reads the lines of `SHOW GRANTS`; those that grant roles or proxies are left aside.
    pub fn read(lines: &[String]) -> Self {
        Self(lines.iter().filter_map(|line| grant(line)).collect())
    }

    /// Tells whether the account has a right on everything, or on all of a schema.
    pub fn has(&self, right: &str, schema: Option<&str>) -> bool {
        self.0.iter().any(|(scope, rights)| {
            let covers = scope == "*.*" || schema.is_some_and(|schema| is_of(scope, schema));
            covers && (rights.contains(right) || rights.contains("ALL PRIVILEGES"))
        })
    }
}

/// Returns what rights on a schema, or on everything, are granted on.
pub fn on(schema: Option<&str>) -> String {
    schema.map_or("*.*".to_owned(), |name| format!("`{}`.*", name.replace('`', "``")))
}

fn grant(line: &str) -> Option<(String, BTreeSet<String>)> {
    let (rights, rest) = line.strip_prefix("GRANT ")?.split_once(" ON ")?;
    let (scope, _) = rest.split_once(" TO ")?;
    Some((scope.to_owned(), rights.split(", ").map(str::to_owned).collect()))
}

/// Tells whether a grant on a pattern of schemas covers all of a schema.
fn is_of(scope: &str, schema: &str) -> bool {
    let pattern = scope.strip_prefix('`').and_then(|rest| rest.strip_suffix("`.*"));
    pattern.is_some_and(|pattern| is_like(pattern.replace("``", "`").as_bytes(), schema.as_bytes()))
}

/// Compares as `LIKE` does, which stands in grants on schemas.
fn is_like(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'%', rest @ ..], _) => (0..=text.len()).any(|at| is_like(rest, &text[at..])),
        ([b'_', rest @ ..], [_, after @ ..]) => is_like(rest, after),
        ([b'\\', byte, rest @ ..], [first, after @ ..]) if byte == first => is_like(rest, after),
        ([byte, rest @ ..], [first, after @ ..]) if byte == first => is_like(rest, after),
        _ => false,
    }
}

/// Returns an account as it stands in a statement: `'backup'@'localhost'`.
pub fn quoted(account: &str) -> String {
    let (user, host) = account.rsplit_once('@').unwrap_or((account, "%"));
    let quote = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    format!("{}@{}", quote(user), quote(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_on_everything_or_on_a_schema() {
        let lines = [
            "GRANT `reader` TO `backup`@`localhost`",
            "GRANT SELECT, PROCESS, SHOW VIEW ON *.* TO `backup`@`localhost` \
             IDENTIFIED BY PASSWORD '*1' WITH GRANT OPTION",
            "GRANT ALL PRIVILEGES ON `shop\\_a`.* TO `backup`@`localhost`",
            "GRANT EVENT ON `sh%`.* TO `backup`@`localhost`",
            "GRANT SELECT (`a`), TRIGGER ON `x`.`t` TO `backup`@`localhost`",
        ];
        let grants = Grants::read(&lines.map(str::to_owned));
        for (right, schema, expected) in [
            ("SELECT", None, true),
            ("PROCESS", Some("x"), true),
            ("EVENT", None, false),
            ("EVENT", Some("shop"), true),
            ("EVENT", Some("hop"), false),
            ("TRIGGER", Some("shop_a"), true),
            ("TRIGGER", Some("shopxa"), false),
            ("TRIGGER", Some("x"), false),
        ] {
            assert_eq!(grants.has(right, schema), expected, "{right} {schema:?}");
        }
        let all = Grants::read(&["GRANT ALL PRIVILEGES ON *.* TO `root`@`%`".to_owned()]);
        assert!(all.has("RELOAD", None));
    }

    #[test]
    fn an_account_stands_in_a_statement_with_its_quotes() {
        assert_eq!(quoted("backup@localhost"), "'backup'@'localhost'");
        assert_eq!(quoted("o'b@c@%"), "'o''b@c'@'%'");
    }
}
