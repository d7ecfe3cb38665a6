//! A view of a physical backup as statements, from the `.frm` file that the server keeps of it.
//!
//! A server shows a view only if all that it reads is there, and the files of other tables are not.
//! The text in the file names every table with its schema; the schema of the view itself is left
//! out, as the dump programs do.
//!
//! | key | holds |
//! |---|---|
//! | `query` | the text, with `\n`, `\\` and `\'` for what would end the line |
//! | `algorithm`, `suid`, `with_check_option` | numbers of the clauses before and behind it |
//! | `definer_user`, `definer_host` | the account whose rights count |

use crate::parse::sql::quoted;

/// The first line of the file of a view.
const FIRST: &[u8] = b"TYPE=VIEW\n";

/// A view of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) name: String,
    query: String,
    head: String,
    tail: &'static str,
}

impl View {
    /// Reads the file of a view; nothing if it is the file of a table.
    pub(super) fn read(schema: &str, name: &str, file: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(file.strip_prefix(FIRST)?);
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.map(unescaped).unwrap_or_default()
        };
        let algorithm = match value("algorithm").as_str() {
            "1" => "TEMPTABLE",
            "2" => "MERGE",
            _ => "UNDEFINED",
        };
        let security = if value("suid") == "0" { "INVOKER" } else { "DEFINER" };
        let tail = match value("with_check_option").as_str() {
            "1" => " WITH LOCAL CHECK OPTION",
            "2" => " WITH CASCADED CHECK OPTION",
            _ => "",
        };
        let (user, host) = (value("definer_user"), value("definer_host"));
        let definer = if user.is_empty() {
            String::new()
        } else {
            format!(" DEFINER={}@{}", quoted(&user), quoted(&host))
        };
        let head = format!("CREATE ALGORITHM={algorithm}{definer} SQL SECURITY {security} VIEW");
        let query = without_schema(&value("query"), schema);
        Some(Self { name: name.to_owned(), query, head, tail })
    }

    /// Returns the statements that make it.
    pub(super) fn statements(&self) -> String {
        let name = quoted(&self.name);
        let Self { head, query, tail, .. } = self;
        format!("DROP VIEW IF EXISTS {name};\n{head} {name} AS {query}{tail};\n")
    }

    fn reads(&self, other: &str) -> bool {
        self.query.contains(&quoted(other))
    }
}

/// Puts views in an order in which each comes after those that it reads.
pub(super) fn in_order(views: Vec<View>) -> Vec<View> {
    let mut left = views;
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let is_ready = |view: &View| {
            left.iter().all(|other| other.name == view.name || !view.reads(&other.name))
        };
        let ready: Vec<bool> = left.iter().map(is_ready).collect();
        let is_stuck = !ready.contains(&true);
        let (mut now, mut later) = (Vec::new(), Vec::new());
        for (view, ready) in left.into_iter().zip(ready) {
            if ready || is_stuck { now.push(view) } else { later.push(view) }
        }
        ordered.extend(now);
        left = later;
    }
    ordered
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n') => out.push('\n'),
                Some('0') => out.push('\0'),
                Some('z') => out.push('\u{1a}'),
                Some(other) => out.push(other),
                None => {}
            },
            letter => out.push(letter),
        }
    }
    out
}

/// Leaves a schema out where it stands before the name of a table, outside of texts.
fn without_schema(query: &str, schema: &str) -> String {
    let prefix = format!("{}.", quoted(schema));
    let mut out = String::with_capacity(query.len());
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        if let Some(behind) = rest.strip_prefix(prefix.as_str())
            && behind.starts_with('`')
        {
            rest = behind;
            continue;
        }
        let length = match first {
            '\'' | '`' => quoted_length(rest, first),
            _ => first.len_utf8(),
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out
}

/// Returns the bytes of a text or name with its quotes.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        if letter == '\\' && quote == '\'' {
            letters.next();
        } else if letter == quote {
            return at + quote.len_utf8();
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(name: &str, query: &str) -> View {
        let file = format!(
            "TYPE=VIEW\nquery={query}\nalgorithm=2\ndefiner_user=a`b\ndefiner_host=%\nsuid=2\n\
             with_check_option=2\n"
        );
        View::read("shop", name, file.as_bytes()).unwrap()
    }

    #[test]
    fn a_view_is_made_of_its_file() {
        let made =
            view("v", "select `shop`.`t`.`id` AS `x`,\\'it\\'\\'s `shop`.`t`\\' from `shop`.`t`");
        assert_eq!(
            made.statements(),
            "DROP VIEW IF EXISTS `v`;\nCREATE ALGORITHM=MERGE DEFINER=`a``b`@`%` SQL SECURITY \
             DEFINER VIEW `v` AS select `t`.`id` AS `x`,'it''s `shop`.`t`' from `t` WITH \
             CASCADED CHECK OPTION;\n"
        );
        assert_eq!(View::read("shop", "t", b"\xfe\x01\x0a\x0c"), None);
    }

    #[test]
    fn a_view_comes_after_those_that_it_reads() {
        let views = vec![
            view("a", "select 1 from `shop`.`b`"),
            view("b", "select 1 from `shop`.`c`"),
            view("c", "select 1"),
        ];
        let names: Vec<String> = in_order(views).into_iter().map(|view| view.name).collect();
        assert_eq!(names, ["c", "b", "a"]);
    }
}
