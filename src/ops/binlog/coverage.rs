//! Which stretches of a server's history are stored.

use serde::Serialize;

use crate::base::error::Error;
use crate::base::error::Result;
use crate::base::gtid::GtidState;
use crate::base::ids::SnapshotId;
use crate::format::binlog::BinlogIndex;
use crate::format::binlog::SegmentHead;
use crate::ops::binlog::source_of;
use crate::repo::Repository;
use crate::repo::segments::SegmentName;
use crate::repo::snapshots::SnapshotName;

/// A file that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// The snapshot that holds it.
    pub snapshot: SnapshotId,
    /// What the snapshot says of it.
    pub index: BinlogIndex,
}

/// Why a stretch begins where it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Begins {
    /// Nothing earlier is stored.
    First,
    /// Files between it and the stretch before are not stored.
    Gap,
    /// The server's binary logs were reset: `RESET MASTER`, or a new data directory.
    Reset,
    /// Another server goes on.
    Replaced,
    /// It goes on behind segments of a file that was never stored as it was closed: no gap.
    Open,
}

/// Files each of which goes on where the one before ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Why it begins where it does.
    pub begins: Begins,
    /// Its files, the oldest first; none if only segments are stored.
    pub files: Vec<StoredFile>,
    /// What is stored of a file that was not closed.
    pub open: Option<OpenEnd>,
}

/// What is stored of a file that was not closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenEnd {
    /// The head of the last of its segments that follow one another.
    pub head: SegmentHead,
    /// The names of its segments.
    pub segments: Vec<SegmentName>,
}

impl Stretch {
    /// Returns the state before it.
    pub fn before(&self) -> Option<&GtidState> {
        let first = self.files.first().map(|file| &file.index.before);
        first.or(self.open.as_ref().map(|open| &open.head.before))
    }

    /// Returns the state behind it.
    pub fn after(&self) -> Option<&GtidState> {
        let open = self.open.as_ref().map(|open| &open.head.after);
        open.or(self.files.last().map(|file| &file.index.after))
    }

    /// Returns the time of its first event.
    pub fn first_time(&self) -> Option<u64> {
        self.files.iter().find_map(|file| file.index.first_time)
    }

    /// Returns the time of its last event.
    pub fn last_time(&self) -> Option<u64> {
        let open = self.open.as_ref().and_then(|open| open.head.last_time);
        open.or(self.files.iter().rev().find_map(|file| file.index.last_time))
    }

    /// Returns the server that wrote the end of it.
    pub fn server_id(&self) -> Option<u32> {
        let open = self.open.as_ref().map(|open| open.head.server_id);
        open.or(self.files.last().map(|file| file.index.server_id))
    }

    /// Returns the bytes of its files, as far as they are stored.
    pub fn bytes(&self) -> u64 {
        let open = self.open.as_ref().map_or(0, |open| open.head.end);
        self.files.iter().map(|file| file.index.bytes).sum::<u64>() + open
    }
}

/// All that is stored of the binary logs of a source.
#[derive(Debug, Default)]
pub struct Coverage {
    /// The stretches, the oldest first.
    pub stretches: Vec<Stretch>,
    /// Segments of files that are stored, which have other bytes than these.
    pub differing: Vec<SegmentHead>,
    /// Snapshots and segments that can't be read.
    pub damaged: Vec<Error>,
}

impl Coverage {
    /// Returns how many of the stretches begin behind a gap.
    pub fn gaps(&self) -> usize {
        self.stretches.iter().filter(|stretch| stretch.begins == Begins::Gap).count()
    }

    fn begins(&self, server_id: u32, before: &GtidState) -> Option<Begins> {
        let Some(last) = self.stretches.last() else { return Some(Begins::First) };
        let follows = last.after().is_some_and(|after| before.continues(after));
        let is_same = last.server_id() == Some(server_id);
        match (follows && is_same, is_same) {
            (true, _) => last.open.is_some().then_some(Begins::Open),
            (false, false) => Some(Begins::Replaced),
            (false, true) if before.is_empty() => Some(Begins::Reset),
            (false, true) => Some(Begins::Gap),
        }
    }

    fn add(&mut self, file: StoredFile) {
        let begins = self.begins(file.index.server_id, &file.index.before);
        match (begins, self.stretches.last_mut()) {
            (None, Some(last)) => last.files.push(file),
            (begins, _) => {
                let begins = begins.unwrap_or(Begins::First);
                self.stretches.push(Stretch { begins, files: vec![file], open: None });
            }
        }
    }

    /// Adds the segments of one file, in the order of their places.
    fn add_open(&mut self, segments: Vec<(SegmentName, SegmentHead)>) {
        let mut end = 0;
        let mut names = Vec::new();
        let mut reached = None;
        for (name, head) in segments {
            if head.start != end {
                break;
            }
            end = head.end;
            names.push(name);
            reached = Some(head);
        }
        let Some(head) = reached else { return };
        let begins = self.begins(head.server_id, &head.before);
        let open = Some(OpenEnd { head, segments: names });
        match (begins, self.stretches.last_mut()) {
            (None, Some(last)) => last.open = open,
            (begins, _) => {
                let begins = begins.unwrap_or(Begins::First);
                self.stretches.push(Stretch { begins, files: Vec::new(), open });
            }
        }
    }
}

/// The files and the open ends of a source, while they are put in order.
struct Found {
    files: Vec<StoredFile>,
    opens: Vec<Vec<(SegmentName, SegmentHead)>>,
}

impl Found {
    /// Puts segments where they go on from a file, if there is one that nothing else goes on from;
    /// the others stand at the end.
    fn in_order(mut self, coverage: &mut Coverage) {
        for file in self.files {
            if coverage.begins(file.index.server_id, &file.index.before).is_some() {
                let fits = |segments: &Vec<(SegmentName, SegmentHead)>| {
                    let head = &segments[0].1;
                    coverage.begins(head.server_id, &head.before).is_none()
                };
                if let Some(at) = self.opens.iter().position(fits) {
                    coverage.add_open(self.opens.remove(at));
                }
            }
            coverage.add(file);
        }
        self.opens.into_iter().for_each(|segments| coverage.add_open(segments));
    }
}

/// Finds what is stored of the binary logs that belong to the backups of a source.
pub fn coverage(repository: &Repository, source: &str) -> Result<Coverage> {
    let mut found = Coverage::default();
    let source = repository.source_id(&source_of(source))?;
    let (mut known, mut files) = (Vec::new(), Vec::new());
    for name in repository.snapshot_names(Some(source))? {
        match read(repository, &name) {
            Ok(Some(file)) => {
                let SegmentKey(key) = SegmentKey::of(repository, &file.index)?;
                known.push(key);
                files.push(file);
            }
            Ok(None) => {}
            Err(error) => found.damaged.push(error),
        }
    }
    let mut open: Vec<Vec<(SegmentName, SegmentHead)>> = Vec::new();
    for name in repository.segment_names(Some(source))? {
        let head = match repository.segment_head(&name) {
            Ok(head) => head,
            Err(error) => {
                found.damaged.push(error);
                continue;
            }
        };
        if known.contains(&name.file) {
            found.differing.push(head);
            continue;
        }
        match open.last_mut() {
            Some(same) if same[0].0.file == name.file => same.push((name, head)),
            _ => open.push(vec![(name, head)]),
        }
    }
    open.sort_by_key(|segments| segments.last().map(|(_, head)| head.time));
    Found { files, opens: open }.in_order(&mut found);
    Ok(found)
}

/// The id of a file in the names of its segments.
struct SegmentKey([u8; 16]);

impl SegmentKey {
    fn of(repository: &Repository, index: &BinlogIndex) -> Result<Self> {
        repository.segment_file(&index.first_event, &index.file).map(Self)
    }
}

/// Reads a snapshot of a binary log; nothing if it is none.
pub(super) fn read(repository: &Repository, name: &SnapshotName) -> Result<Option<StoredFile>> {
    let stored = repository.read_snapshot(name)?;
    let index = stored.snapshot.about.binlog;
    Ok(index.map(|index| StoredFile { snapshot: name.id, index }))
}
