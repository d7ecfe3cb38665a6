//! Remembers which lost entries were stored again tonight, and records for later readers where
//! (FORMAT.md 9).

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::base::entropy::Entropy;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::EntryNumber;
use crate::base::ids::Locator;
use crate::base::ids::PackIndex;
use crate::base::ids::PackName;
use crate::base::num::u32_of;
use crate::format::layout::ContentHash;
use crate::format::layout::Object;
use crate::format::lists::Relocation;
use crate::pipeline::appender::RunContext;
use crate::pipeline::uploader::put_confirmed;
use crate::seal::keys::Keyring;
use crate::seal::object::ObjectKind;
use crate::store::name::ObjectName;

/// Relocations copies of one run, by the pack that was lost.
#[derive(Debug, Default)]
pub struct Relocations {
    copies: BTreeMap<PackIndex, Vec<(EntryNumber, Locator)>>,
}

impl Relocations {
    /// Notes that the lost entry can be had at `copy` as well.
    pub fn add(&mut self, lost: Locator, copy: Locator) {
        self.copies.entry(lost.pack).or_default().push((lost.entry, copy));
    }

    /// Publishes a record for every pack, in two copies, and forgets them.
    pub fn publish(&mut self, run: &RunContext) -> Result<()> {
        for (lost, copies) in std::mem::take(&mut self.copies) {
            let (name, moves) = {
                let table = run.packs.table();
                let name_of = |at| table.get(at).map(|record| record.name);
                let Some(name) = name_of(lost) else { continue };
                (name, relocation_of(copies, name_of))
            };
            let text = moves.encode();
            let kind = ObjectKind::Relocation;
            let record = seal_record(&run.keyring, kind, &name.0, &text, &*run.entropy)?;
            let (twin, bytes) = record.named(|hash| Object::RelocationTwin { pack: name, hash });
            let (object, _) = record.named(|hash| Object::Relocation { pack: name, hash });
            for object in [twin, object] {
                put_confirmed(&*run.store, &run.monitor, &object, &bytes)?;
            }
        }
        Ok(())
    }
}

fn relocation_of(
    mut copies: Vec<(EntryNumber, Locator)>,
    name_of: impl Fn(PackIndex) -> Option<PackName>,
) -> Relocation {
    copies.sort_unstable();
    copies.dedup_by_key(|(old, _)| *old);
    let mut moves = Relocation::default();
    for (old, copy) in copies {
        let Some(name) = name_of(copy.pack) else { continue };
        let known = moves.packs.iter().rposition(|pack| *pack == name);
        let pack = known.unwrap_or_else(|| {
            moves.packs.push(name);
            moves.packs.len() - 1
        });
        moves.moves.push((old, u32_of(pack), copy.entry));
    }
    moves
}

/// A sealed record about a pack or a snapshot.
#[derive(Debug)]
pub struct SealedRecord(Bytes);

impl SealedRecord {
    /// Returns the name of the object with this hash, and its bytes.
    pub fn named(&self, object: impl FnOnce(ContentHash) -> Object) -> (ObjectName, Bytes) {
        (object(*blake3::hash(&self.0).as_bytes()).name(), Bytes::clone(&self.0))
    }
}

/// Seals a record about a pack or a snapshot, whose name is `subject`.
pub fn seal_record(
    keyring: &Keyring,
    kind: ObjectKind,
    subject: &[u8; 32],
    text: &[u8],
    entropy: &dyn Entropy,
) -> Result<SealedRecord> {
    let sealed = keyring
        .seal_object(kind, subject, text, entropy)
        .map_err(|e| Error::new(ErrorKind::WrongKey, "cannot seal a record").because(e))?;
    Ok(SealedRecord(Bytes::from(sealed)))
}
