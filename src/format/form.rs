//! The form in which a block's bytes stand in a frame: as they are, or in normal form (FORMAT.md
//! 5.2 and 5.4).

use crate::base::error::Malformed;

/// The smallest page that has a normal form, log2 of bytes.
const PAGE_LOG2_MIN: u8 = 12;
/// The largest page that has a normal form, log2 of bytes.
const PAGE_LOG2_MAX: u8 = 16;

/// The bit of a form that says that the bytes of records stand in columns.
const IN_COLUMNS: u8 = 1 << 6;

/// The bit of a form that says that the trailer of a page is left out.
const WITHOUT_TRAILER: u8 = 1 << 7;
/// The bits that say which normal form it is, as the size of its pages, log2 of bytes.
const PAGE_LOG2: u8 = 0x1F;

/// The form of a block in a frame of whole blocks, or of both sides of a delta.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct BlockForm(u8);

impl BlockForm {
    /// The bytes of the block as they are.
    pub const PLAIN: Self = Self(0);

    /// Returns the normal form with pages of this many bytes; `None` if such pages have none.
    pub fn normal(page_bytes: usize) -> Option<Self> {
        (PAGE_LOG2_MIN..=PAGE_LOG2_MAX).find(|log2| page_bytes == 1 << log2).map(Self)
    }

    /// Returns the normal form with the bytes of records in columns; a plain block stays plain.
    #[must_use]
    pub fn in_columns(self) -> Self {
        if self == Self::PLAIN { self } else { Self(self.0 | IN_COLUMNS) }
    }

    /// Tells whether the bytes of records stand in columns: never in a delta.
    pub fn is_in_columns(self) -> bool {
        self.0 & IN_COLUMNS != 0
    }

    /// Returns the form without the trailer of the page.
    #[must_use]
    pub fn without_trailer(self) -> Self {
        Self(self.0 | WITHOUT_TRAILER)
    }

    /// Tells whether the trailer of the page is left out: never of a whole block.
    pub fn is_without_trailer(self) -> bool {
        self.0 & WITHOUT_TRAILER != 0
    }

    /// Returns the number of bytes of a page in normal form; `None` for a block that has its own
    /// bytes, but for a trailer that is left out.
    pub fn page_bytes(self) -> Option<usize> {
        (self.0 & PAGE_LOG2 != 0).then(|| 1 << (self.0 & PAGE_LOG2))
    }

    /// Returns the number by which a directory states the form.
    pub(super) fn code(self) -> u8 {
        self.0
    }

    pub(super) fn from_code(code: u8, what: &'static str) -> Result<Self, Malformed> {
        let form = Self(code);
        let log2 = code & !(IN_COLUMNS | WITHOUT_TRAILER);
        let is_normal = (PAGE_LOG2_MIN..=PAGE_LOG2_MAX).contains(&log2);
        let is_plain = log2 == 0 && !form.is_in_columns();
        if is_normal || is_plain {
            return Ok(form);
        }
        Err(Malformed { what, why: "the form of a block is unknown to this program" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_4_to_64_kib_have_a_normal_form() {
        for log2 in 0..20 {
            let form = BlockForm::normal(1 << log2);
            assert_eq!(form.is_some(), (12..=16).contains(&log2), "{log2}");
            if let Some(form) = form {
                assert_eq!(form.page_bytes(), Some(1 << log2));
                assert_eq!(BlockForm::from_code(form.code(), "test"), Ok(form));
                let columns = form.in_columns();
                assert!(columns.is_in_columns() && !form.is_in_columns());
                assert_eq!(columns.page_bytes(), form.page_bytes());
                assert_eq!(BlockForm::from_code(columns.code(), "test"), Ok(columns));
                let without = form.without_trailer();
                assert!(without.is_without_trailer() && !form.is_without_trailer());
                assert_eq!(without.page_bytes(), form.page_bytes());
            }
        }
        assert_eq!(BlockForm::PLAIN.page_bytes(), None);
        assert_eq!(BlockForm::PLAIN.in_columns(), BlockForm::PLAIN);
        assert_eq!(BlockForm::PLAIN.without_trailer().page_bytes(), None);
        assert_eq!(BlockForm::normal(16385), None);
        assert!(
            (0..=u8::MAX).filter(|code| BlockForm::from_code(*code, "test").is_ok()).count() == 22
        );
    }
}
