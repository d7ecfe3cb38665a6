//! Text for terminals: colours where they are wanted, tables that line up, harmless names.
//!
//! Names of files, sources and tags come from streams and other people: control characters in them
//! are shown, not obeyed.

use std::borrow::Cow;
use std::ffi::OsString;
use std::os::fd::AsFd;

use rustix::termios::isatty;
use rustix::termios::tcgetwinsize;

use crate::output::timefmt;
use crate::output::timefmt::Zone;

/// The meaning of a text, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// An ordinary text, without colour.
    Plain,
    /// The heading of a list or column.
    Heading,
    /// A text that says all is well.
    Good,
    /// A text that is worth a look.
    Doubtful,
    /// A text that says something is wrong.
    Bad,
}

/// The properties of an output stream: width, colours, and time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Canvas {
    /// The width in columns; `None` if it is not a terminal.
    pub(crate) columns: Option<usize>,
    coloured: bool,
    /// The time zone in which moments are shown.
    zone: Zone,
}

impl Canvas {
    /// The canvas of a file or a pipe: as wide as need be, without colours.
    #[cfg(test)]
    pub(crate) const FILE: Self = Self { columns: None, coloured: false, zone: Zone::Utc };

    /// The canvas of a manual page: 80 columns, without colours.
    pub(crate) const PAGE: Self = Self { columns: Some(80), coloured: false, zone: Zone::Utc };

    /// Returns the canvas of a stream; `NO_COLOR` is respected.
    pub(crate) fn of(stream: impl AsFd, variable: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let dumb = variable("TERM").is_some_and(|term| term == "dumb");
        if dumb || !isatty(&stream) {
            return Self { columns: None, coloured: false, zone: Zone::Utc };
        }
        let columns = columns_of(&stream).unwrap_or(80);
        let wanted = variable("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { columns: Some(columns), coloured: wanted, zone: Zone::Utc }
    }

    /// Returns the same canvas with another width.
    pub(crate) fn with_columns(self, columns: usize) -> Self {
        Self { columns: Some(columns), ..self }
    }

    /// Returns the same canvas with times in this zone.
    pub(crate) fn in_zone(self, zone: Zone) -> Self {
        Self { zone, ..self }
    }

    /// Formats a moment for people.
    pub(crate) fn time(&self, unix_seconds: u64) -> String {
        timefmt::for_people(unix_seconds, self.zone)
    }

    /// Returns the text in the colour of its meaning.
    pub(crate) fn paint<'t>(&self, tone: Tone, text: &'t str) -> Cow<'t, str> {
        let code = match tone {
            Tone::Plain => return Cow::Borrowed(text),
            Tone::Heading => "1",
            Tone::Good => "32",
            Tone::Doubtful => "33",
            Tone::Bad => "1;31",
        };
        if self.coloured {
            Cow::Owned(format!("\x1b[{code}m{text}\x1b[0m"))
        } else {
            Cow::Borrowed(text)
        }
    }
}

/// Returns the current width of a terminal.
pub(crate) fn columns_of(stream: impl AsFd) -> Option<usize> {
    let size = tcgetwinsize(stream).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Returns the text with its control characters shown, so that nothing moves the cursor.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// Breaks a text at blanks that begins in column `indent` of a terminal; its further lines begin
/// there too. A file gets one line: programs look for words in it.
pub(crate) fn wrapped(text: &str, indent: usize, canvas: Canvas) -> String {
    let Some(columns) = canvas.columns.filter(|columns| *columns > 2 * indent) else {
        return text.to_owned();
    };
    let mut out = String::with_capacity(text.len());
    let mut column = indent;
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > indent && column + 1 + length > columns {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if !out.is_empty() {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

/// The side on which the cells of a column are aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Aligned to the left, for words.
    Left,
    /// Aligned to the right, for numbers.
    Right,
}

/// The way a column shrinks when the terminal is too narrow; applied in this order until the table
/// fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Narrow {
    /// Its times lose their seconds, and keep their zone.
    Seconds,
    /// The column is left out.
    Hide,
    /// Its cells end at this width without a sign.
    Clip(usize),
    /// Its longest cells are cut to this width, or a bit more, and say so.
    Cut(usize),
    /// The column keeps its width.
    Keep,
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// The heading above the column.
    pub(crate) title: &'static str,
    /// The side on which the cells are aligned.
    pub(crate) side: Side,
    /// The way the column may shrink.
    pub(crate) narrow: Narrow,
}

/// A cell and its meaning.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// Creates a cell with a meaning.
    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: clean(&text.into()).into_owned(), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

const GAP: usize = 2;
/// The range of the seconds in `2026-11-20 03:00:12Z`.
const SECONDS: std::ops::Range<usize> = 16..19;

/// Lines up `rows` below their headings.
pub(crate) fn table(columns: &[Column], rows: &[Vec<Cell>], canvas: Canvas) -> String {
    let widths = widths(columns, rows, canvas.columns);
    let title = |column: &Column| Cell::toned(column.title, Tone::Heading);
    let headings: Vec<Cell> = columns.iter().map(title).collect();
    let mut out = String::new();
    for row in std::iter::once(&headings).chain(rows) {
        out += &line(columns, &widths, row, canvas);
    }
    out
}

/// Returns a row of a table whose widths are fixed beforehand; the last column needs none.
pub(crate) fn row(columns: &[Column], widths: &[usize], row: &[Cell], canvas: Canvas) -> String {
    let fixed = widths.iter().copied().map(Some);
    let widths: Vec<Option<usize>> = fixed.chain([Some(usize::MAX)]).collect();
    line(columns, &widths, row, canvas)
}

fn line(columns: &[Column], widths: &[Option<usize>], row: &[Cell], canvas: Canvas) -> String {
    let mut line = String::new();
    // Blanks are only written when something follows: no line ends in them.
    let mut blank = 0;
    for ((cell, column), width) in row.iter().zip(columns).zip(widths) {
        let Some(width) = *width else { continue };
        let text = cut(&cell.text, width, column.narrow);
        let room = width - text.chars().count();
        let (before, after) = match column.side {
            Side::Left => (0, room),
            Side::Right => (room, 0),
        };
        if text.is_empty() {
            blank = width.saturating_add(blank + GAP);
            continue;
        }
        line.extend(std::iter::repeat_n(' ', blank + before));
        line.push_str(&canvas.paint(cell.tone, &text));
        blank = after.saturating_add(GAP);
    }
    line.push('\n');
    line
}

/// Computes the width of each column; `None` if the column is left out.
fn widths(columns: &[Column], rows: &[Vec<Cell>], most: Option<usize>) -> Vec<Option<usize>> {
    let mut widths: Vec<Option<usize>> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let cells = rows.iter().filter_map(|row| row.get(at));
            let longest = cells.map(|cell| cell.text.chars().count()).max().unwrap_or(0);
            // A column without any text is left out; the last column is what the row is about.
            if longest == 0 && !rows.is_empty() && at + 1 < columns.len() {
                return None;
            }
            Some(longest.max(column.title.len()))
        })
        .collect();
    let Some(most) = most else { return widths };
    let mut order: Vec<usize> = (0..columns.len()).rev().collect();
    order.sort_by_key(|at| match columns[*at].narrow {
        Narrow::Seconds => 0,
        Narrow::Hide => 1,
        Narrow::Clip(_) => 2,
        Narrow::Cut(_) => 3,
        Narrow::Keep => 4,
    });
    for at in order {
        let needed: usize = widths.iter().flatten().map(|width| width + GAP).sum();
        let excess = needed.saturating_sub(GAP + most);
        if excess == 0 {
            break;
        }
        widths[at] = match columns[at].narrow {
            Narrow::Seconds => widths[at].map(|width| width.saturating_sub(SECONDS.len())),
            Narrow::Hide => None,
            Narrow::Clip(width) => Some(width),
            Narrow::Cut(least) => {
                widths[at].map(|width| width.saturating_sub(excess).max(least.min(width)))
            }
            Narrow::Keep => widths[at],
        };
    }
    widths
}

/// Shortens a text that is too long.
fn cut(text: &str, width: usize, narrow: Narrow) -> Cow<'_, str> {
    if text.chars().count() <= width {
        return Cow::Borrowed(text);
    }
    if narrow == Narrow::Seconds
        && let (Some(before), Some(zone)) = (text.get(..SECONDS.start), text.get(SECONDS.end..))
    {
        return Cow::Owned(format!("{before}{zone}"));
    }
    if matches!(narrow, Narrow::Clip(_)) {
        return Cow::Owned(text.chars().take(width).collect());
    }
    let kept: String = text.chars().take(width.saturating_sub(2)).collect();
    Cow::Owned(kept + "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column { title: "NAME", side: Side::Left, narrow: Narrow::Cut(5) },
        Column { title: "KIND", side: Side::Left, narrow: Narrow::Hide },
        Column { title: "SIZE", side: Side::Right, narrow: Narrow::Keep },
        Column { title: "TAGS", side: Side::Left, narrow: Narrow::Cut(4) },
    ];

    fn rows() -> Vec<Vec<Cell>> {
        let row = |cells: [&str; 4]| cells.map(Cell::from).to_vec();
        vec![row(["a", "x", "7 B", ""]), row(["longer name", "y", "10.0 MiB", "one two"])]
    }

    #[test]
    fn words_are_broken_at_blanks_on_a_terminal_only() {
        let narrow = Canvas { columns: Some(20), coloured: false, zone: Zone::Utc };
        let text = "the dump has no completion line";
        assert_eq!(wrapped(text, 4, narrow), "the dump has no\n    completion line");
        assert_eq!(wrapped(text, 4, Canvas::FILE), text);
        // A path is never broken, and where there is no room nothing is.
        assert_eq!(wrapped("a-path-that-is-longer-than-a-line x", 4, narrow).lines().count(), 2);
        assert_eq!(wrapped(text, 12, narrow), text);
    }

    #[test]
    fn columns_line_up_and_lines_do_not_end_in_blanks() {
        let expected = "\
NAME         KIND      SIZE  TAGS
a            x          7 B
longer name  y     10.0 MiB  one two
";
        assert_eq!(table(&COLUMNS, &rows(), Canvas::FILE), expected);
    }

    #[test]
    fn a_narrow_terminal_first_takes_what_matters_least() {
        let narrow = |columns| {
            let canvas = Canvas { columns: Some(columns), coloured: false, zone: Zone::Utc };
            table(&COLUMNS, &rows(), canvas)
        };
        assert_eq!(narrow(36), table(&COLUMNS, &rows(), Canvas::FILE));
        assert_eq!(
            narrow(31),
            "\
NAME             SIZE  TAGS
a                 7 B
longer name  10.0 MiB  one two
"
        );
        assert_eq!(
            narrow(24),
            "\
NAME          SIZE  TAGS
a              7 B
longer..  10.0 MiB  on..
"
        );
    }

    #[test]
    fn times_lose_their_seconds_and_keep_their_zone() {
        let column = Column { title: "T", side: Side::Left, narrow: Narrow::Seconds };
        let canvas = Canvas { columns: Some(20), coloured: false, zone: Zone::Utc };
        let row = |text: &str| vec![Cell::from(text), "x".into()];
        let last = Column { title: "", side: Side::Left, narrow: Narrow::Keep };
        for (time, short) in [
            ("2026-11-20 03:00:12Z", "2026-11-20 03:00Z"),
            ("2026-11-20 04:00:12+01:00", "2026-11-20 04:00+01:00"),
        ] {
            let told = table(&[column, last], &[row(time)], canvas);
            assert!(told.contains(short), "{told}");
        }
    }

    #[test]
    fn a_clipped_cell_does_not_say_so() {
        let column = Column { title: "T", side: Side::Left, narrow: Narrow::Clip(3) };
        let canvas = Canvas { columns: Some(4), coloured: false, zone: Zone::Utc };
        assert_eq!(table(&[column], &[vec!["12345".into()]], canvas), "T\n123\n");
    }

    #[test]
    fn control_characters_are_shown_not_obeyed() {
        assert_eq!(clean("app/t.ibd"), "app/t.ibd");
        assert_eq!(clean("a\x1b[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(clean("k\u{e4}se"), "k\u{e4}se");
    }

    #[test]
    fn colours_are_only_painted_where_they_are_wanted() {
        let coloured = Canvas { columns: Some(80), coloured: true, zone: Zone::Utc };
        assert_eq!(coloured.paint(Tone::Good, "x"), "\x1b[32mx\x1b[0m");
        assert_eq!(coloured.paint(Tone::Plain, "x"), "x");
        assert_eq!(Canvas::FILE.paint(Tone::Bad, "x"), "x");
    }
}
