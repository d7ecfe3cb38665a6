//! The ends of records that are read before any key is at hand: magic number and checksum.
//!
//! Key slots and run records end with 16 bytes of an unkeyed BLAKE3 of all before it. It tells
//! damage from a wrong key to someone who has no key yet, and lets anyone check the object.
//!
//! It protects from accidents only; against forgery there are tags.

use crate::base::wire::Reader;
use crate::seal::error::SealError;

/// Width of the checksum in bytes.
pub(super) const CHECKSUM_BYTES: usize = 16;

/// Appends the checksum of all bytes before it to a record.
pub(super) fn append(record: &mut Vec<u8>) {
    let sum = blake3::hash(record);
    record.extend_from_slice(&sum.as_bytes()[..CHECKSUM_BYTES]);
}

/// Checks magic number, version and checksum, and returns what stands between.
///
/// The version comes first: another version may have no such checksum.
pub(super) fn open<'a>(
    what: &'static str,
    magic: [u8; 8],
    version: u16,
    bytes: &'a [u8],
) -> Result<Reader<'a>, SealError> {
    let mut head = Reader::new(what, bytes);
    check_head(what, magic, version, &mut head)?;
    let Some((record, stored)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
        return Err(head.malformed("ends early").into());
    };
    let sum = blake3::hash(record);
    if sum.as_bytes()[..CHECKSUM_BYTES] != *stored {
        return Err(SealError::Damaged { what });
    }
    let mut body = Reader::new(what, record);
    body.take(magic.len() + size_of_val(&version))?;
    Ok(body)
}

/// Reads and checks a magic number and a version.
pub(super) fn check_head(
    what: &'static str,
    magic: [u8; 8],
    version: u16,
    head: &mut Reader<'_>,
) -> Result<(), SealError> {
    if head.array()? != magic {
        return Err(head.malformed("has a wrong magic number").into());
    }
    let found = head.u16()?;
    if found != version {
        return Err(SealError::UnknownVersion { what, found, known: version });
    }
    Ok(())
}
