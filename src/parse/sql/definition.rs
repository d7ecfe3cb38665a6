//! What a loader has to know of statements before it loads them: the engine and the primary key of
//! a table, which a cluster asks for, and the character set of a dump.
//!
//! Definitions are read as `SHOW CREATE TABLE` writes them, which is what the dump programs copy: a
//! line for each column and key, and a last line with the options. A line break in a comment of it
//! is written as `\n`, so no text looks like such a line.

/// The beginning of the line of a primary key.
const PRIMARY_KEY: &[u8] = b"PRIMARY KEY ";

/// The option that names the engine.
const ENGINE: &[u8] = b"ENGINE=";

/// What a definition says of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDefinition {
    /// Whether it has a primary key.
    pub has_primary_key: bool,
    /// Its engine, if one is named.
    pub engine: Option<String>,
}

impl TableDefinition {
    /// Finds the first definition of a table in statements. Returns nothing if there is none, or if
    /// it is not whole.
    pub fn find(statements: &[u8]) -> Option<Self> {
        let mut lines = statements.split(|byte| *byte == b'\n');
        lines.find(|line| begins_table(line))?;
        let mut has_primary_key = false;
        for line in lines {
            if line.starts_with(b")") {
                return Some(Self { has_primary_key, engine: engine_of(line) });
            }
            has_primary_key |= line.trim_ascii_start().starts_with(PRIMARY_KEY);
        }
        None
    }

    /// Tells whether changes of the table's rows reach the other nodes of a cluster.
    pub fn is_replicated(&self) -> bool {
        self.engine.as_ref().is_none_or(|engine| engine.eq_ignore_ascii_case("InnoDB"))
    }
}

fn begins_table(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    // A view's placeholder of older programs is a table in a comment that is executed.
    line.starts_with(b"CREATE TABLE ")
}

fn engine_of(line: &[u8]) -> Option<String> {
    let at = memchr::memmem::find(line, ENGINE)? + ENGINE.len();
    let end = line[at..].iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_');
    let name = &line[at..end.map_or(line.len(), |end| at + end)];
    Some(String::from_utf8_lossy(name).into_owned())
}

/// Returns the character set that the preamble of a dump names for all that follows.
pub fn charset_of(preamble: &[u8]) -> Option<String> {
    const NAMES: &[u8] = b"SET NAMES ";
    let at = memchr::memmem::find(preamble, NAMES)? + NAMES.len();
    let name = preamble[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric());
    let name: Vec<u8> = name.copied().collect();
    String::from_utf8(name).ok().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<(bool, Option<String>)> {
        let found = TableDefinition::find(text.as_bytes())?;
        Some((found.has_primary_key, found.engine))
    }

    #[test]
    fn a_definition_is_read_as_servers_write_it() {
        let with_key = "DROP TABLE IF EXISTS `t`;\nCREATE TABLE `t` (\n  `id` int NOT NULL COMMENT \
                        'PRIMARY KEY \\n) ENGINE=x',\n  PRIMARY KEY (`id`)\n) ENGINE=InnoDB \
                        DEFAULT CHARSET=latin1;\nINSERT INTO `t` VALUES (1);";
        assert_eq!(found(with_key), Some((true, Some("InnoDB".to_owned()))));
        let without = "CREATE TABLE `t` (\n  `id` int,\n  UNIQUE KEY `a` (`id`)\n) ENGINE=MyISAM;";
        assert_eq!(found(without), Some((false, Some("MyISAM".to_owned()))));
        assert_eq!(found("CREATE TABLE `t` (\n  `id` int\n);"), Some((false, None)));
        for text in ["", "CREATE TABLE `t` (\n  `id` int,\n", "CREATE VIEW `v` AS SELECT 1;\n)"] {
            assert_eq!(found(text), None, "{text}");
        }
        let aria = TableDefinition { has_primary_key: true, engine: Some("Aria".to_owned()) };
        assert!(!aria.is_replicated());
        let preamble = b"-- x\n/*!40101 SET NAMES gbk */;\n";
        assert_eq!(charset_of(preamble).as_deref(), Some("gbk"));
        assert_eq!(charset_of(b"SET NAMES ''"), None);
    }
}
