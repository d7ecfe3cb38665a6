//! The numbers of the grammar of an mbstream's script, and how a path is written.

use crate::base::num::u64_of;
use crate::base::wire::put_varint;

/// The first byte of the script of an mbstream.
pub(super) const SCRIPT_VERSION: u8 = 1;

/// The most bytes of one literal op.
pub(super) const LITERAL_BYTES_MAX: usize = 65_536;

/// Appends a path: what it shares with the previous one as a number, the rest as bytes.
pub(super) fn put_path(out: &mut Vec<u8>, last_path: &mut Vec<u8>, path: &[u8]) {
    let pairs = path.iter().zip(last_path.iter());
    let shared = pairs.take_while(|(new, old)| new == old).count();
    let rest = &path[shared..];
    put_varint(out, u64_of(shared));
    put_varint(out, u64_of(rest.len()));
    out.extend_from_slice(rest);
    last_path.truncate(shared);
    last_path.extend_from_slice(rest);
}
