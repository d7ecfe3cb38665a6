//! Internal members: the script, the lists and the log of a snapshot, stored like any member. The
//! log is among the data blocks, the others are among the meta blocks.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::error::Result;
use crate::base::ids::BlockHash;
use crate::base::ids::Class;
use crate::base::ids::Entry;
use crate::base::num::u64_of;
use crate::cut::Cutter;
use crate::format::record::Blocks;
use crate::format::record::MemberKey;
use crate::format::record::MemberRecord;
use crate::format::record::PageCounts;
use crate::map::view::MapView;
use crate::map::writer::MapWriter;
use crate::pipeline::appender::Appender;

/// Previous entries of an internal member that are remembered: enough for the script of some
/// 100,000 files.
const PREVIOUS_ENTRIES_MAX: usize = 1 << 14;

/// An internal member that is being written.
#[derive(Debug, Clone)]
pub struct InternalWriter {
    name: &'static str,
    class: Class,
    map: MapWriter,
    pending: Vec<u8>,
    previous: HashMap<BlockHash, Entry>,
    length: u64,
}

impl InternalWriter {
    /// Creates an empty internal member; blocks that its previous version has are not stored again.
    pub fn new(name: &'static str, previous: Option<Arc<MapView>>) -> Self {
        let mut known = HashMap::new();
        if let Some(view) = &previous {
            let mut number = 0;
            // What can't be read is stored again.
            while let Ok(Some(page)) = view.page(0, number) {
                known.extend(page.entries.iter().map(|entry| (entry.hash, *entry)));
                number += 1;
                if known.len() > PREVIOUS_ENTRIES_MAX {
                    break;
                }
            }
        }
        let map = MapWriter::new(Blocks::ContentDefined, previous);
        let (class, pending) = (Class::Meta, Vec::new());
        Self { name, class, map, pending, previous: known, length: 0 }
    }

    /// Makes an empty internal member whose blocks are data: who may only write can't read them.
    pub fn of_data(name: &'static str) -> Self {
        Self { class: Class::Data, ..Self::new(name, None) }
    }

    /// Appends bytes to the member, and stores the blocks that are full.
    pub fn push(&mut self, bytes: &[u8], cutter: &Cutter, appender: &mut Appender) -> Result<()> {
        self.pending.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(length) = cutter.next_cut(&self.pending[at..]) {
            let block = self.pending[at..at + length].to_vec();
            self.put(&block, appender)?;
            at += length;
        }
        self.pending.drain(..at);
        Ok(())
    }

    fn put(&mut self, block: &[u8], appender: &mut Appender) -> Result<()> {
        let hash = appender.run().packs.hasher().hash(block);
        let known = self.previous.get(&hash).copied();
        let known = known.filter(|entry| appender.run().presence.is_usable(entry.storage));
        let entry = match known {
            Some(entry) => entry,
            None => appender.add_whole(self.class, block)?,
        };
        self.length += u64_of(block.len());
        self.map.push(Entry { length: u64_of(block.len()), ..entry }, appender)
    }

    /// Ends the member and returns its record.
    pub fn finish(mut self, appender: &mut Appender) -> Result<MemberRecord> {
        let rest = std::mem::take(&mut self.pending);
        if !rest.is_empty() {
            self.put(&rest, appender)?;
        }
        Ok(MemberRecord {
            key: MemberKey { path: self.name.into(), incarnation: 0 },
            closed: true,
            blocks: Blocks::ContentDefined,
            length: self.length,
            page_format: 0,
            first_page: 0,
            max_lsn: 0,
            pages: PageCounts::default(),
            map: self.map.finish(appender)?,
        })
    }
}
