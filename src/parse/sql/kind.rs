//! The kinds of text that a stream of dumps is made of.

/// The kinds of dumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DumpKind {
    /// SQL statements that the parser follows.
    Statements,
    /// `--xml`: one member, of which only first and last lines are looked at.
    Xml,
    /// `pg_dump`: one member as well, since its statements are read in another way.
    Postgres,
    /// `mydumper --stream`: one member, of which the last line is looked at.
    Mydumper,
}
