//! Tells from the first bytes what container a stream is.
//!
//! A stream says what it is by how it begins; nothing else is trusted, no file name and no flag.
//! What isn't recognised is plain: one member, every byte of it payload, which is never wrong.
//!
//! What it does not do: find a container inside another (a compressed stream is plain), or guess
//! at a damaged beginning: a mbstream whose first magic is damaged is plain, and can't be complete.

use crate::parse::frame::MAGIC;

/// A kind of stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Container {
    /// `mbstream` of MariaDB, or `xbstream` of Percona.
    Mbstream,
    /// Anything else: one member.
    Plain,
}

/// What the first bytes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detection {
    /// This is it.
    Is(Container),
    /// Show at least so many bytes; a stream that ends before is plain.
    NeedMore {
        /// Bytes from the start of the stream.
        at_least: usize,
    },
}

/// Tells the container of a stream that begins with `head`.
pub fn detect(head: &[u8]) -> Detection {
    if head.starts_with(&MAGIC) {
        return Detection::Is(Container::Mbstream);
    }
    if MAGIC.starts_with(head) {
        return Detection::NeedMore { at_least: MAGIC.len() };
    }
    Detection::Is(Container::Plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_magic_is_recognised_as_soon_as_it_is_whole_and_refused_as_soon_as_it_differs() {
        assert_eq!(detect(b""), Detection::NeedMore { at_least: 8 });
        assert_eq!(detect(b"XBSTCK0"), Detection::NeedMore { at_least: 8 });
        assert_eq!(detect(b"XBSTCK01"), Detection::Is(Container::Mbstream));
        assert_eq!(detect(b"XBSTCK01\0P"), Detection::Is(Container::Mbstream));
        assert_eq!(detect(b"XBSTCK02"), Detection::Is(Container::Plain));
        assert_eq!(detect(b"/*M!"), Detection::Is(Container::Plain));
    }
}
