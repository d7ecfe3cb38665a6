//! Blocks into normal form and back (FORMAT.md 5.4), and the prefix of a delta in either form.

use std::borrow::Cow;

use crate::base::error::Malformed;
use crate::format::form::BlockForm;
use crate::innodb::PageSize;
use crate::innodb::columns;
use crate::innodb::normal;
use crate::innodb::normal::Form;
use crate::innodb::trailer;

const NOT_NORMAL: Malformed =
    Malformed { what: "a block in normal form", why: "its records can't be walked over" };
const NOT_A_PAGE: Malformed =
    Malformed { what: "a delta without a trailer", why: "it is shorter than a page" };

/// The layout of the records of a page in normal form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    /// Records stay where they are.
    Rows,
    /// Their bytes stand in columns.
    Columns,
}

/// Appends a block to `out`, in normal form if all of its pages allow it and at least one has one;
/// returns the form. A block that can't be laid out in columns is laid out in rows.
pub fn append(out: &mut Vec<u8>, block: &[u8], page: PageSize, layout: Layout) -> BlockForm {
    let normal = || BlockForm::normal(page.bytes()).unwrap_or_default();
    let before = out.len();
    if layout == Layout::Columns {
        match columns::gather(block, page, out) {
            Form::Normal => return normal().in_columns(),
            Form::Plain => return BlockForm::PLAIN,
            Form::Refused => out.truncate(before),
        }
    }
    out.resize(before + block.len(), 0);
    match normal::normalize(block, page, &mut out[before..]) {
        Form::Normal => normal(),
        Form::Plain | Form::Refused => BlockForm::PLAIN,
    }
}

/// Gives a block of this form its own bytes again; after an error they are of no use. If the form
/// leaves out the trailer, any bytes stand in its place.
pub fn restore(block: &mut [u8], form: BlockForm) -> Result<(), Malformed> {
    if let Some(page) = page_size(form) {
        let restored = if form.is_in_columns() {
            columns::spread(block, page)
        } else {
            normal::restore(block, page)
        };
        restored.map_err(|normal::NotNormal| NOT_NORMAL)?;
    }
    if form.is_without_trailer() {
        coded_bytes(block.len(), form)?;
        trailer::restore(block);
    }
    Ok(())
}

/// Returns the bytes of a block that a delta of this form is made of.
pub fn without_trailer(block: &[u8], form: BlockForm) -> &[u8] {
    if form.is_without_trailer() { &block[..block.len() - trailer::BYTES] } else { block }
}

/// Returns the number of bytes that a delta of this form decodes to, for a block of this length.
pub fn coded_bytes(length: usize, form: BlockForm) -> Result<usize, Malformed> {
    if !form.is_without_trailer() {
        return Ok(length);
    }
    if length < trailer::PAGE_BYTES_MIN {
        return Err(NOT_A_PAGE);
    }
    Ok(length - trailer::BYTES)
}

/// Returns the bytes that a delta of this form is compressed against: those of the second base, if
/// there is one, and then those of the first.
pub fn prefix<'b>(
    form: BlockForm,
    base: &'b [u8],
    second: Option<&'b [u8]>,
) -> Result<Cow<'b, [u8]>, Malformed> {
    if form.page_bytes().is_none() && second.is_none() {
        return Ok(Cow::Borrowed(base));
    }
    let mut joined = Vec::with_capacity(second.map_or(0, <[u8]>::len) + base.len());
    for base in second.into_iter().chain([base]) {
        append_base(&mut joined, base, form)?;
    }
    Ok(Cow::Owned(joined))
}

fn append_base(out: &mut Vec<u8>, base: &[u8], form: BlockForm) -> Result<(), Malformed> {
    let Some(page) = page_size(form) else {
        out.extend_from_slice(base);
        return Ok(());
    };
    let before = out.len();
    out.resize(before + base.len(), 0);
    match normal::normalize(base, page, &mut out[before..]) {
        Form::Normal | Form::Plain => Ok(()),
        Form::Refused => Err(NOT_NORMAL),
    }
}

fn page_size(form: BlockForm) -> Option<PageSize> {
    PageSize::from_bytes(u32::try_from(form.page_bytes()?).ok()?)
}
