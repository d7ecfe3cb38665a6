//! An archive: looks into the spool, stores what is closed, and keeps segments of what is open.

use std::fs;
use std::path::Path;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::gtid::GtidState;
use crate::base::hex;
use crate::base::ids::SnapshotId;
use crate::base::ids::SourceId;
use crate::base::world::World;
use crate::format::binlog::BinlogIndex;
use crate::format::binlog::SegmentHead;
use crate::format::snapshot::StreamFormat;
use crate::format::snapshot::Verdict;
use crate::ops::backup::BackupOptions;
use crate::ops::backup::backup;
use crate::ops::binlog::coverage::StoredFile;
use crate::ops::binlog::coverage::read;
use crate::ops::binlog::open_file::OpenFile;
use crate::ops::binlog::open_file::Part;
use crate::ops::binlog::spooled;
use crate::ops::binlog::spooled::BinlogSource;
use crate::ops::binlog::spooled::Spooled;
use crate::repo::Repository;
use crate::repo::segments::SegmentName;
use crate::repo::segments::SegmentSealer;

/// The archive of the binary logs of one source.
#[derive(Debug)]
pub struct Archive<'a> {
    repository: &'a Repository,
    options: BackupOptions,
    world: &'a World,
    source: SourceId,
    sealer: SegmentSealer,
    /// The segments of the source, as far as they are known.
    segments: Vec<SegmentName>,
    newest: Option<BinlogIndex>,
    open: Option<OpenFile>,
}

/// What a look into the spool has done.
#[derive(Debug, Default)]
pub struct Looked {
    /// The files that were stored.
    pub stored: Vec<StoredFile>,
    /// Segments that have other bytes than the closed file: they are kept.
    pub differing: Vec<SegmentHead>,
}

/// How far the newest file is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The name of the file.
    pub file: String,
    /// The server that writes it.
    pub server_id: u32,
    /// The state before it.
    pub before: GtidState,
    /// The bytes of its whole events.
    pub bytes: u64,
    /// The bytes that are stored.
    pub stored_bytes: u64,
    /// The state behind the whole events.
    pub after: GtidState,
    /// The time of the last of them.
    pub last_time: Option<u64>,
}

impl<'a> Archive<'a> {
    /// Opens the archive of a source, which `options` names as the source of a backup.
    pub fn open(
        repository: &'a Repository,
        options: BackupOptions,
        world: &'a World,
    ) -> Result<Self> {
        repository.require_newest_key()?;
        let source = repository.source_id(&options.source)?;
        let options = BackupOptions { format: Some(StreamFormat::Binlog), ..options };
        let mut archive = Self {
            repository,
            options,
            world,
            source,
            sealer: repository.segment_sealer()?,
            segments: repository.segment_names(Some(source))?,
            newest: None,
            open: None,
        };
        let newest = archive.stored()?.next();
        archive.newest = newest;
        Ok(archive)
    }

    /// Returns what is stored, the newest first; what can't be read is passed over.
    pub fn stored(&self) -> Result<impl Iterator<Item = BinlogIndex> + use<'a>> {
        let repository = self.repository;
        let names = repository.snapshot_names(Some(self.source))?;
        let read = move |name| read(repository, &name).ok().flatten().map(|file| file.index);
        Ok(names.into_iter().rev().filter_map(read))
    }

    /// Forgets the open file: the spool begins again.
    pub fn restart(&mut self) {
        self.open = None;
    }

    /// Stores the files of the spool that are closed, and removes them there: all but the last.
    pub fn look(&mut self, spool: &Path) -> Result<Looked> {
        let mut looked = Looked::default();
        let mut files = spooled::files(spool)?;
        let last = files.pop();
        for file in files {
            self.advance(file)?;
            self.close(&mut looked)?;
        }
        if let Some(last) = last {
            self.advance(last)?;
        }
        Ok(looked)
    }

    /// Stores the last file as it is, up to its last whole event: its server has it no more.
    pub fn close_last(&mut self, spool: &Path) -> Result<Looked> {
        let mut looked = self.look(spool)?;
        let Some(open) = &self.open else { return Ok(looked) };
        let (path, whole) = (open.spooled.path.clone(), open.walk.whole_bytes());
        if open.walk.facts().is_none_or(|facts| facts.before.is_none()) {
            return Ok(looked);
        }
        let cut = fs::OpenOptions::new().write(true).open(&path);
        cut.and_then(|file| file.set_len(whole)).map_err(|error| spooled::unread(&path, error))?;
        let spooled = open.spooled.clone();
        let parts = self.open.take().and_then(|open| open.parts);
        self.advance(spooled)?;
        if let Some(open) = &mut self.open {
            open.parts = parts;
        }
        self.close(&mut looked)?;
        Ok(looked)
    }

    /// Stores what has come of the open file since, with a put and a look for each 32 MiB of it;
    /// without a request if nothing has.
    pub fn put_segments(&mut self) -> Result<()> {
        self.find_parts()?;
        let Some(open) = &mut self.open else { return Ok(()) };
        let Some(facts) = open.walk.facts().cloned() else { return Ok(()) };
        let Some(before) = &facts.before else { return Ok(()) };
        let file = self.repository.segment_file(&facts.first_event, &open.spooled.name)?;
        while let Some((start, end)) = open.next_bounds() {
            let bytes = open.bytes(start, end)?;
            let digest = hex::encode(blake3::hash(&bytes).as_bytes());
            let head = SegmentHead {
                source: self.options.source.clone(),
                file: open.spooled.name.clone(),
                server_id: facts.server_id,
                first_event: facts.first_event.clone(),
                start,
                end,
                digest: digest.clone(),
                before: before.clone(),
                after: facts.after.clone(),
                last_time: facts.last_time,
                time: self.world.clock.unix_seconds(),
            };
            let name = SegmentName { source: self.source, file, start };
            self.repository.put_segment(&self.sealer, &name, &head, &bytes)?;
            if !self.segments.contains(&name) {
                self.segments.push(name);
            }
            open.enter(Part { name, end, digest: Some(digest) });
        }
        Ok(())
    }

    /// Returns how far the newest file is stored.
    pub fn position(&self) -> Option<Position> {
        let open = self.open.as_ref()?;
        let facts = open.walk.facts()?;
        Some(Position {
            file: open.spooled.name.clone(),
            server_id: facts.server_id,
            before: facts.before.clone()?,
            bytes: open.walk.whole_bytes(),
            stored_bytes: open.stored_bytes(),
            after: facts.after.clone(),
            last_time: facts.last_time,
        })
    }

    /// Goes on in a file; it is the open one from here on.
    fn advance(&mut self, spooled: Spooled) -> Result<()> {
        let is_same = self.open.as_ref().is_some_and(|open| open.spooled == spooled);
        if !is_same {
            self.open = None;
        }
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(OpenFile::open(spooled)?),
        };
        open.advance(&self.world.monitor)
    }

    /// Finds the segments that an earlier archive has put of the open file.
    fn find_parts(&mut self) -> Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let (None, Some(facts)) = (&open.parts, open.walk.facts()) else { return Ok(()) };
        let file = self.repository.segment_file(&facts.first_event, &open.spooled.name)?;
        let mut names = self.segments.clone();
        names.retain(|name| name.file == file);
        names.sort_unstable();
        let mut parts = Vec::new();
        for (number, name) in names.iter().enumerate() {
            let end = match names.get(number + 1) {
                Some(next) => next.start,
                None => match self.repository.segment_head(name) {
                    Ok(head) => head.end,
                    // It is put again.
                    Err(error) if is_unusable(&error) => break,
                    Err(error) => return Err(error),
                },
            };
            parts.push(Part { name: *name, end, digest: None });
        }
        open.parts = Some(parts);
        Ok(())
    }

    /// Stores the open file, which is closed, and removes its segments and the file.
    fn close(&mut self, looked: &mut Looked) -> Result<()> {
        let Some(open) = &self.open else { return Ok(()) };
        let index = open.finish()?;
        if self.newest.as_ref() != Some(&index) {
            let snapshot = self.store(open, &index)?;
            looked.stored.push(StoredFile { snapshot, index: index.clone() });
            self.newest = Some(index.clone());
        }
        looked.differing.extend(self.remove_segments(&index)?);
        let Some(open) = self.open.take() else { return Ok(()) };
        let path = open.spooled.path;
        fs::remove_file(&path).map_err(|error| {
            Error::new(ErrorKind::Source, format!("cannot remove {}", path.display()))
                .because(error)
        })
    }

    fn store(&self, open: &OpenFile, index: &BinlogIndex) -> Result<SnapshotId> {
        let source = Box::new(BinlogSource::open(&open.spooled.path, index.clone())?);
        let options = BackupOptions { binlog: Some(index.clone()), ..self.options.clone() };
        let report = backup(self.repository, source, &options, self.world)?;
        if report.about.verdict == Verdict::Complete {
            return Ok(report.id);
        }
        let what = format!("the snapshot of {} is {}", index.file, report.about.verdict);
        Err(Error::new(ErrorKind::Source, what).because(report.about.reasons.join("; ")))
    }

    /// Deletes the segments of a file that is stored; returns those that have other bytes.
    fn remove_segments(&mut self, index: &BinlogIndex) -> Result<Vec<SegmentHead>> {
        let file = self.repository.segment_file(&index.first_event, &index.file)?;
        let Some(open) = &self.open else { return Ok(Vec::new()) };
        let parts = open.parts.clone().unwrap_or_default();
        let (mut agreeing, mut differing) = (Vec::new(), Vec::new());
        for name in self.segments.iter().filter(|name| name.file == file) {
            let known = parts.iter().find(|part| part.name == *name);
            if let Some(Part { end, digest: Some(digest), .. }) = known
                && open.digest(name.start, *end)?.as_ref() == Some(digest)
            {
                agreeing.push(*name);
                continue;
            }
            match self.repository.segment_head(name) {
                Ok(head) if open.digest(head.start, head.end)?.as_ref() == Some(&head.digest) => {
                    agreeing.push(*name);
                }
                Ok(head) => differing.push(head),
                // What it held can't be read; the file is stored.
                Err(error) if is_unusable(&error) => agreeing.push(*name),
                Err(error) => return Err(error),
            }
        }
        self.repository.delete_segments(&agreeing)?;
        self.segments.retain(|name| name.file != file);
        Ok(differing)
    }
}

/// Tells whether a segment can't be read by any user, however often it is tried.
fn is_unusable(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Damaged | ErrorKind::ForeignKey)
}
