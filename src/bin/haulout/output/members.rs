//! The members of a snapshot in lists: their columns, and their shape in JSON.

use haulout::error::Result;
use haulout::ops::show::MemberLine;
use haulout::repo::StreamFormat;
use serde::Serialize;

use crate::output::json::Pages;
use crate::output::text;
use crate::output::text::Canvas;
use crate::output::text::Cell;
use crate::output::text::Column;
use crate::output::text::Narrow;
use crate::output::text::Side;
use crate::output::text::Tone;
use crate::output::units;

/// Passes one member after the other to the function it is given.
pub(crate) type Members<'m> =
    dyn FnMut(&mut dyn FnMut(MemberLine) -> Result<()>) -> Result<()> + 'm;

/// The JSON report of one member of `show`.
#[derive(Debug, Serialize)]
pub(crate) struct Member<'r> {
    path: &'r str,
    incarnation: u32,
    bytes: u64,
    format: &'r str,
    pages: Pages,
    closed: bool,
}

impl<'r> From<&'r MemberLine> for Member<'r> {
    fn from(line: &'r MemberLine) -> Self {
        let MemberLine { path, incarnation, bytes, format, pages, closed } = line;
        let (incarnation, bytes, closed) = (*incarnation, *bytes, *closed);
        Member { path, incarnation, bytes, format, pages: pages.into(), closed }
    }
}

/// The columns of a list of members.
pub(crate) const MEMBERS: [Column; 5] = [
    Column { title: "SIZE", side: Side::Right, narrow: Narrow::Keep },
    Column { title: "PAGES", side: Side::Right, narrow: Narrow::Keep },
    Column { title: "CORRUPT", side: Side::Right, narrow: Narrow::Keep },
    Column { title: "FORMAT", side: Side::Left, narrow: Narrow::Cut(16) },
    Column { title: "FILE", side: Side::Left, narrow: Narrow::Keep },
];

/// Returns the cells of a member, in the order of [`MEMBERS`].
pub(crate) fn row(member: &MemberLine) -> Vec<Cell> {
    let counts = &member.pages;
    let pages = counts.verified + counts.unverifiable + counts.corrupt + counts.zero;
    let number = |number: u64| if number == 0 { String::new() } else { units::count(number) };
    let mut path = member.path.clone();
    if member.incarnation > 0 {
        path.extend([" (incarnation ", &member.incarnation.to_string(), ")"]);
    }
    if !member.closed {
        path += " (cut short)";
    }
    vec![
        units::size(member.bytes).into(),
        number(pages).into(),
        Cell::toned(number(counts.corrupt), Tone::Bad),
        member.format.as_str().into(),
        path.into(),
    ]
}

/// Formats a line of a list of all members, whose widths can't be known beforehand.
pub(crate) fn every_member(
    member: Option<&MemberLine>,
    format: StreamFormat,
    canvas: Canvas,
) -> String {
    const WIDTHS: [usize; 4] = [8, 11, 7, 26];
    // Leaves half of a terminal of 80 columns to the path.
    const WIDTHS_NARROW: [usize; 4] = [8, 8, 7, 13];
    const NARROW: usize = 100;
    let narrow = canvas.columns.is_some_and(|columns| columns < NARROW);
    let widths = if narrow { WIDTHS_NARROW } else { WIDTHS };
    let cells = member.map_or_else(
        || MEMBERS.map(|column| Cell::toned(column.title, Tone::Heading)).to_vec(),
        row,
    );
    if format == StreamFormat::Mbstream {
        return text::row(&MEMBERS, &widths, &cells, canvas);
    }
    // Nothing else has pages.
    let ([size, .., path], [bytes, .., name]) = (&MEMBERS, cells.as_slice()) else {
        return String::new();
    };
    text::row(&[*size, *path], &widths[..1], &[bytes.clone(), name.clone()], canvas)
}

#[cfg(test)]
mod tests {
    use super::*;

    use haulout::repo::PageCounts;

    fn member(path: &str, bytes: u64) -> MemberLine {
        MemberLine {
            path: path.to_owned(),
            incarnation: 0,
            bytes,
            format: String::new(),
            pages: PageCounts::default(),
            closed: true,
        }
    }

    #[test]
    fn a_member_that_is_odd_is_marked() {
        let odd = MemberLine { incarnation: 2, closed: false, ..member("a", 1) };
        let line = every_member(Some(&odd), StreamFormat::Mbstream, Canvas::FILE);
        assert!(line.ends_with("a (incarnation 2) (cut short)\n"), "{line}");
    }
}
