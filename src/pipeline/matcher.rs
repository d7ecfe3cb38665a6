//! Finds blocks of a content-defined member among the former ones, with a window that moves along.
//!
//! A former map of any length is never held whole: a few pages around the last hit are, which is
//! where the next blocks of a stream that was written in the same order stand.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::ids::BlockHash;
use crate::base::ids::Entry;
use crate::map::view::MapView;

/// Leaf pages that are looked at beyond the last hit.
const PAGES_AHEAD: u64 = 8;
/// Leaf pages that are kept before the last hit.
const PAGES_BEHIND: u64 = 2;

/// The window of one member.
#[derive(Debug)]
pub struct Matcher {
    view: Arc<MapView>,
    entries: HashMap<BlockHash, (Entry, u64)>,
    pages: VecDeque<(u64, Vec<BlockHash>)>,
    next: u64,
    ended: bool,
}

impl Matcher {
    /// A window at the start of a former map.
    pub fn new(view: Arc<MapView>) -> Matcher {
        let mut matcher = Matcher {
            view,
            entries: HashMap::new(),
            pages: VecDeque::new(),
            next: 0,
            ended: false,
        };
        matcher.move_to(0);
        matcher
    }

    /// The former block with this hash, if it is in the window.
    pub fn find(&mut self, hash: BlockHash) -> Option<Entry> {
        let (entry, page) = *self.entries.get(&hash)?;
        self.move_to(page);
        Some(entry)
    }

    fn move_to(&mut self, page: u64) {
        while !self.ended && self.next <= page + PAGES_AHEAD {
            self.load();
        }
        while self.pages.front().is_some_and(|(first, _)| first + PAGES_BEHIND < page) {
            let (first, hashes) = self.pages.pop_front().expect("it was just seen");
            for hash in hashes {
                if self.entries.get(&hash).is_some_and(|(_, page)| *page == first) {
                    self.entries.remove(&hash);
                }
            }
        }
    }

    fn load(&mut self) {
        // A page that can't be read ends the window: its blocks are stored again.
        let Ok(Some(page)) = self.view.page(0, self.next) else {
            self.ended = true;
            return;
        };
        let hashes = page.entries.iter().map(|entry| entry.hash).collect();
        for entry in &page.entries {
            self.entries.insert(entry.hash, (*entry, self.next));
        }
        self.pages.push_back((self.next, hashes));
        self.next += 1;
    }
}
