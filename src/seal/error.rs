//! The errors that can occur when sealed bytes are read.
//!
//! An operator must be able to tell a wrong passphrase from a damaged object, and a damaged object
//! from one that belongs elsewhere: each has its own variant. The messages speak for this layer
//! only; the caller that read the object adds its name.
//!
//! It never carries key material, plaintext or a passphrase.

use crate::base::error::Malformed;
use crate::seal::cost::KdfCost;
use crate::seal::ids::KeySlotId;
use crate::seal::ids::RepositoryId;
use crate::seal::purpose::Purpose;

/// A reason why sealed bytes were not opened, or plaintext was not sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The bytes do not have the form they should have.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The bytes are not what was written: an unkeyed checksum tells, so no key is at fault.
    #[error("{what} is damaged: its checksum does not match")]
    Damaged {
        /// The kind of thing.
        what: &'static str,
    },
    /// A newer program wrote this.
    #[error("{what} has version {found}, this program reads up to {known}")]
    UnknownVersion {
        /// The kind of thing.
        what: &'static str,
        /// The version it claims.
        found: u16,
        /// The newest version known here.
        known: u16,
    },
    /// A code that this program has no meaning for.
    #[error("unknown {what} {code}")]
    UnknownCode {
        /// The kind of thing that the code should name.
        what: &'static str,
        /// The unknown code as it was read.
        code: u8,
    },
    /// The object claims to be of another kind.
    #[error("this is a {found} object, not a {expected} object")]
    KindMismatch {
        /// The kind that was asked for.
        expected: &'static str,
        /// The kind that the object claims to be.
        found: &'static str,
    },
    /// Sealed by another suite than the repository uses.
    #[error("{what} uses suite {found}, but the repository uses {expected}")]
    SuiteMismatch {
        /// The kind of thing.
        what: &'static str,
        /// The name of the suite of the repository.
        expected: &'static str,
        /// The name of the suite that it claims.
        found: &'static str,
    },
    /// The object was written for another repository.
    #[error("{what} belongs to repository {found}, not to {expected}")]
    ForeignRepository {
        /// The kind of thing.
        what: &'static str,
        /// The repository that is open.
        expected: RepositoryId,
        /// The repository that it names.
        found: RepositoryId,
    },
    /// The key commitment differs: sealed under another key, or another salt.
    #[error("{what} was sealed under another key")]
    WrongKey {
        /// The kind of thing.
        what: &'static str,
    },
    /// The key is right, the tag is not.
    #[error("{what} is not authentic: altered, or not in its place")]
    NotAuthentic {
        /// The kind of thing.
        what: &'static str,
    },
    /// The key slot that opened this repository does not have that key.
    #[error("this key slot does not have the {0}")]
    KeyNotInSlot(Purpose),
    /// No copy of the secret is sealed in a way that can be opened here.
    #[error("run record has no copy of the {0} secret for this key slot")]
    NoCopy(&'static str),
    /// More than a sealed object may hold.
    #[error("{what} of {bytes} bytes is over the limit of {bytes_max}")]
    TooLarge {
        /// The kind of thing.
        what: &'static str,
        /// The size of the object in bytes.
        bytes: usize,
        /// The largest accepted size in bytes.
        bytes_max: usize,
    },
    /// The passphrase is not the one.
    #[error("password does not open key {0}")]
    WrongPassphrase(KeySlotId),
    /// A line of a recovery kit was not typed as it is on the paper.
    #[error("line {line} of the recovery kit {why}")]
    KitLine {
        /// The number of the line, counted from 1.
        line: u8,
        /// The fault of the line, in words.
        why: &'static str,
    },
    /// The key file is not the one.
    #[error("key file does not open key {0}")]
    WrongKeyFile(KeySlotId),
    /// Asked with a passphrase where a key file is needed, or the other way round.
    #[error("key {slot} is opened by a {needs}")]
    OtherCredential {
        /// The id of the key slot.
        slot: KeySlotId,
        /// The kind of credential that the key slot needs.
        needs: &'static str,
    },
    /// Key stretching outside what this program accepts: too weak, or made to exhaust memory.
    #[error("key stretching with {0} is outside the accepted limits")]
    CostRefused(KdfCost),
    /// Key stretching needs more memory or threads than there are.
    #[error("not enough memory or threads for key stretching with {0}")]
    NotEnoughMemory(KdfCost),
}
