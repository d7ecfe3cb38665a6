//! The form in which a block's bytes stand in a frame: as they are, or in normal form (FORMAT.md
//! 5.2 and 5.4).

use crate::base::error::Malformed;

/// The smallest page that has a normal form, log2 of bytes.
const PAGE_LOG2_MIN: u8 = 12;
/// The largest page that has a normal form, log2 of bytes.
const PAGE_LOG2_MAX: u8 = 16;

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

    /// Returns the number of bytes of a page in normal form; `None` for a block that is plain.
    pub fn page_bytes(self) -> Option<usize> {
        (self != Self::PLAIN).then(|| 1 << self.0)
    }

    /// Returns the number by which a directory states the form.
    pub(super) fn code(self) -> u8 {
        self.0
    }

    pub(super) fn from_code(code: u8, what: &'static str) -> Result<Self, Malformed> {
        if code == 0 || (PAGE_LOG2_MIN..=PAGE_LOG2_MAX).contains(&code) {
            return Ok(Self(code));
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
            }
        }
        assert_eq!(BlockForm::PLAIN.page_bytes(), None);
        assert_eq!(BlockForm::normal(16385), None);
        assert!(
            (0..=u8::MAX).filter(|code| BlockForm::from_code(*code, "test").is_ok()).count() == 6
        );
    }
}
