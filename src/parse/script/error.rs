//! The faults of a script, of either grammar.

use crate::parse::frame::BadFrame;
use crate::parse::path::HostilePath;

/// A defect of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// Written by a version of this program that is newer, or not a script.
    #[error("script version {0} is unknown")]
    UnknownVersion(u8),
    /// An op byte that has no meaning.
    #[error("script op 0x{0:02x} is unknown")]
    UnknownOp(u8),
    /// A number is too large, or not encoded in its shortest form.
    #[error("a number in the script is out of range")]
    BadNumber,
    /// A path is hostile or refers to more of the previous path than there is.
    #[error("a path in the script is refused: {0}")]
    BadPath(HostilePath),
    /// A path shares more with the previous one than that has.
    #[error("a path in the script refers to nothing")]
    BadPathPrefix,
    /// The op names a member that is not open.
    #[error("the script names a member that is not open")]
    NoSuchMember,
    /// More members are open than any script has.
    #[error("the script opens more than 65536 members at once")]
    TooManyOpen,
    /// A payload lies beyond any file, or its map is too long.
    #[error("a payload in the script is refused: {0}")]
    BadPayload(BadFrame),
    /// A cut is not followed by the payload it cuts.
    #[error("the script cuts what is no payload, or not shorter")]
    BadCut,
    /// Something follows the end, or a cut.
    #[error("the script goes on after its end")]
    AfterEnd,
    /// The script stops before its end.
    #[error("the script ends too early")]
    Truncated,
    /// The ops make a stream of another length than the script says.
    #[error("the script makes a stream of {found} bytes, it should make {stated}")]
    WrongTotal {
        /// Bytes that `finish` states.
        stated: u64,
        /// Bytes that the ops make.
        found: u64,
    },
}
