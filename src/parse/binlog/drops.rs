//! Finds the statement that drops a table.
//!
//! A server logs a drop as text: `DROP TABLE` with names that may have a schema, or `DROP
//! DATABASE` of the schema. Comments are passed over; what stands in `/*! ... */` is read, as the
//! server does.

use std::iter::Peekable;
use std::str::CharIndices;

use crate::parse::binlog::transactions::Statement;

/// A part of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A word without quotes: a keyword or a name.
    Word(String),
    /// A name in quotes.
    Quoted(String),
    /// Any other character of it.
    Sign(char),
}

impl Token {
    fn is_word(&self, words: &[&str]) -> bool {
        match self {
            Self::Word(own) => words.iter().any(|word| own.eq_ignore_ascii_case(word)),
            Self::Quoted(_) | Self::Sign(_) => false,
        }
    }

    fn into_name(self) -> Option<String> {
        match self {
            Self::Word(name) | Self::Quoted(name) => Some(name),
            Self::Sign(_) => None,
        }
    }
}

/// Tells whether a statement drops a table, by itself or with its schema.
pub fn drops(statement: &Statement, schema: &str, table: &str) -> bool {
    let mut tokens =
        Tokens { text: &statement.text, chars: statement.text.char_indices().peekable() };
    if !tokens.next().is_some_and(|token| token.is_word(&["drop"])) {
        return false;
    }
    let Some(what) = tokens.next() else { return false };
    let is_schema = what.is_word(&["database", "schema"]);
    if !is_schema && !what.is_word(&["table", "tables"]) {
        return false;
    }
    let mut tokens = tokens.peekable();
    if tokens.peek().is_some_and(|token| token.is_word(&["if"])) {
        let _if_exists = (tokens.next(), tokens.next());
    }
    loop {
        let Some(first) = tokens.next().and_then(Token::into_name) else { return false };
        if is_schema {
            return first == schema;
        }
        let (of_schema, name) = if tokens.peek() == Some(&Token::Sign('.')) {
            tokens.next();
            let Some(name) = tokens.next().and_then(Token::into_name) else { return false };
            (first, name)
        } else {
            (statement.schema.clone(), first)
        };
        if of_schema == schema && name == table {
            return true;
        }
        if tokens.next() != Some(Token::Sign(',')) {
            return false;
        }
    }
}

/// The tokens of a text.
struct Tokens<'t> {
    text: &'t str,
    chars: Peekable<CharIndices<'t>>,
}

impl Tokens<'_> {
    /// Passes over blanks and comments.
    fn pass_over(&mut self) {
        while let Some((at, c)) = self.chars.peek().copied() {
            let rest = &self.text[at..];
            if c.is_whitespace() {
                self.chars.next();
            } else if rest.starts_with("/*!") || rest.starts_with("/*M!") {
                self.skip_to(at + rest.find('!').map_or(rest.len(), |bang| bang + 1));
                while self.chars.next_if(|(_, c)| c.is_ascii_digit()).is_some() {}
            } else if rest.starts_with("*/") {
                self.skip_to(at + 2);
            } else if rest.starts_with("/*") {
                self.skip_to(at + rest.find("*/").map_or(rest.len(), |end| end + 2));
            } else if rest.starts_with("-- ") || c == '#' {
                self.skip_to(at + rest.find('\n').unwrap_or(rest.len()));
            } else {
                return;
            }
        }
    }

    fn skip_to(&mut self, to: usize) {
        while self.chars.next_if(|(at, _)| *at < to).is_some() {}
    }

    /// Reads to the closing quote; a doubled one stands for itself.
    fn quoted(&mut self, quote: char) -> String {
        let mut name = String::new();
        while let Some((_, c)) = self.chars.next() {
            if c != quote {
                name.push(c);
            } else if self.chars.next_if(|(_, next)| *next == quote).is_some() {
                name.push(quote);
            } else {
                break;
            }
        }
        name
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.pass_over();
        let (_, c) = self.chars.next()?;
        if c == '`' || c == '"' {
            return Some(Token::Quoted(self.quoted(c)));
        }
        let is_of_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        if !is_of_word(c) {
            return Some(Token::Sign(c));
        }
        let mut word = String::from(c);
        while let Some((_, c)) = self.chars.next_if(|(_, c)| is_of_word(*c)) {
            word.push(c);
        }
        Some(Token::Word(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drops_orders(text: &str) -> bool {
        let statement = Statement { schema: "shop".to_owned(), text: text.to_owned() };
        drops(&statement, "shop", "orders")
    }

    #[test]
    fn every_way_to_drop_a_table_is_known() {
        for text in [
            "DROP TABLE `orders` /* generated by server */",
            "drop table orders",
            "DROP TABLE IF EXISTS `shop`.`orders`",
            "DROP TABLE a, b.c, shop.orders, d",
            "/* x */ DROP /*!40005 TABLE */ IF EXISTS orders",
            "DROP TABLES `a``b`, `orders`",
            "DROP DATABASE shop",
            "DROP SCHEMA IF EXISTS `shop`",
            "# why\nDROP -- now\n TABLE orders",
        ] {
            assert!(drops_orders(text), "{text}");
        }
    }

    #[test]
    fn other_statements_drop_nothing_of_it() {
        for text in [
            "",
            "DROP",
            "DROP TABLE",
            "DROP TABLE shop.",
            "DROP TABLE `other`.`orders`",
            "DROP TABLE `orders2`",
            "DROP TABLE `Orders`",
            "DROP TEMPORARY TABLE orders",
            "DROP VIEW orders",
            "DROP DATABASE other",
            "INSERT INTO t VALUES ('DROP TABLE orders')",
            "DROP TABLE `a orders",
            "CREATE TABLE orders (a INT)",
            "DROP TABLE orders2 /* , orders */",
        ] {
            assert!(!drops_orders(text), "{text}");
        }
    }
}
