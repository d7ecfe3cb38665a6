//! Restores the entries of a tar: files, directories, links, pipes, with owner, permissions, times
//! and extended attributes, below the target and nowhere else.
//!
//! The planner walks through the archive's headers, which stand in the script, and makes everything
//! in the order of the archive; workers write the contents. A file gets its attributes when its
//! last byte is written, a directory when all else is done: its time would not stay, and its
//! permissions may forbid to fill it.
//!
//! - What can't be made as the archive says is left out and reported; the rest is restored.
//! - Of entries of one name the last wins, as with tar.
//! - Owners are set by root only, by name where this host knows it. Without root special bits
//!   (set-user-id and others) and extended attributes outside `user.` are left out as well, access
//!   control lists excepted.
//! - Devices are made only for root, and only if asked for.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::base::error::Result;
use crate::base::globs::Globs;
use crate::base::monitor::Counter;
use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::format::record::MemberKey;
use crate::ops::batches;
use crate::ops::batches::Batch;
use crate::ops::restore::accounts::Owners;
use crate::ops::restore::accounts::Ownership;
use crate::ops::restore::before;
use crate::ops::restore::chosen::Chosen;
use crate::ops::restore::confined;
use crate::ops::restore::confined::Attributes;
use crate::ops::restore::confined::Power;
use crate::ops::restore::confined::Root;
use crate::ops::restore::confined::unwritable;
use crate::ops::restore::mark::INCOMPLETE;
use crate::ops::restore::mark::Mark;
use crate::ops::restore::options::Devices;
use crate::ops::restore::options::Losses;
use crate::ops::restore::options::Purpose;
use crate::ops::restore::options::RestoreOptions;
use crate::ops::restore::options::Unfinished;
use crate::ops::restore::out_file::Link;
use crate::ops::restore::out_file::Lost;
use crate::ops::restore::out_file::OutFile;
use crate::ops::restore::out_file::named;
use crate::ops::restore::report::Method;
use crate::ops::restore::report::RestoreReport;
use crate::ops::restore::target::TargetDirectory;
use crate::ops::selection;
use crate::ops::selection::archive;
use crate::parse::tar::walk::Entry;
use crate::parse::tar::walk::Kind;
use crate::repo::Repository;
use crate::repo::contents::Block;
use crate::repo::contents::Contents;
use crate::repo::snapshots::StoredSnapshot;

/// Entries that are named as left out; more are only counted.
const LEFT_OUT_NAMED_MAX: usize = 20;

/// Restores the entries of a tar into an empty directory.
pub(super) fn restore(
    repository: &Repository,
    stored: &StoredSnapshot,
    target: &Path,
    options: &RestoreOptions,
    monitor: &Arc<Monitor>,
) -> Result<RestoreReport> {
    let chosen = Chosen::new(repository, stored, options, monitor)?;
    if options.purpose == Purpose::Prepare {
        before::require_preparable(stored, &chosen)?;
    }
    if options.unfinished == Unfinished::Refuse {
        before::require_room(target, std::iter::once(&chosen))?;
    }
    monitor.count(Counter::ExpectedBytes, stored.snapshot.about.stream_bytes);
    // A glob may choose entries that are no files, as directories and links.
    let sources = match chosen.files.include() {
        Some(include) => wanted_sources(chosen.contents(), include)?
            .ok_or_else(|| selection::nothing_matches(stored, &options.include))?,
        None => HashSet::new(),
    };
    let mark = Mark::new(repository, stored, &options.include);
    let begun = TargetDirectory::begin(target, &mark, options)?;
    write(&chosen, sources, begun, options, monitor)
}

/// Writes the entries into a directory that has been begun; `sources` are the files that are wanted
/// only by links.
fn write(
    chosen: &Chosen,
    sources: HashSet<Vec<u8>>,
    mut begun: TargetDirectory,
    options: &RestoreOptions,
    monitor: &Monitor,
) -> Result<RestoreReport> {
    let contents = chosen.contents();
    let target = begun.path().to_owned();
    let target = target.as_path();
    let power = Power::of_this_process();
    let attributes_lost = AtomicU64::new(0);
    let lost = Lost::new(options.losses, options.purpose);
    let mut planner = Planner {
        contents,
        lost: &lost,
        links: Vec::new(),
        keeps_links: options.losses == Losses::LeaveOut,
        target,
        include: chosen.files.include(),
        devices: options.devices,
        owners: &options.owners,
        owner: options.owner,
        power,
        root: &mut begun.root,
        sources,
        kept_sources: HashMap::new(),
        directories: BTreeMap::new(),
        attributes_lost: &attributes_lost,
        tally: Tally::default(),
    };
    let work = |batch: ContentBatch| {
        let count = batch.write(contents, &lost, monitor)?;
        attributes_lost.fetch_add(count, Ordering::Relaxed);
        Ok(())
    };
    let plan = |sender: &mut batches::Sender<'_, ContentBatch>| planner.plan(sender);
    batches::in_order(options.workers, monitor, plan, work, |()| Ok(()))?;
    let links = std::mem::take(&mut planner.links);
    let path_of_file = |name: &[u8]| target.join(OsStr::from_bytes(name));
    let left_out = planner.lost.remove(planner.root, &links, &path_of_file)?;
    planner.finish_directories()?;
    let (tally, of_target) = (planner.tally, planner.directories.remove(&Vec::new()));
    begun.finish()?;
    if let Some(attributes) = of_target {
        // The archive says what the target itself is to be; removing the mark has changed its time.
        let finished = begun.root.finish_directory(&[], &attributes);
        let lost = finished.map_err(|e| unwritable(target, e))?;
        attributes_lost.fetch_add(lost, Ordering::Relaxed);
    }
    let mut report = RestoreReport::empty(chosen.id, Method::Archive);
    (report.files, report.bytes, report.counts) = (tally.files, tally.bytes, monitor.counts());
    report.files = report.files.saturating_sub(u64_of(left_out.len()));
    report.lost = left_out;
    report.warnings = tally.warnings(power, attributes_lost.into_inner());
    Ok(report)
}

/// Returns the names of files that are not wanted themselves, but by a link that is; `None` if
/// nothing is wanted at all.
fn wanted_sources(contents: &Contents, include: &Globs) -> Result<Option<HashSet<Vec<u8>>>> {
    let mut sources = HashSet::new();
    let mut matched = false;
    archive::entries(contents, &mut |entry, _| {
        let Some(path) = normal(&entry.path) else { return Ok(()) };
        if !include.matches(&path) {
            return Ok(());
        }
        matched = true;
        let source = normal(&entry.link).filter(|_| entry.kind == Kind::HardLink);
        sources.extend(source.filter(|source| !include.matches(source)));
        Ok(())
    })?;
    Ok(matched.then_some(sources))
}

/// Returns a name as it is below the target.
fn normal(name: &[u8]) -> Option<Vec<u8>> {
    confined::components(name).ok().map(|parts| parts.join(&b'/'))
}

/// Counts for the report, and the entries that were left out.
#[derive(Debug, Default)]
struct Tally {
    files: u64,
    bytes: u64,
    left_out: Vec<String>,
    left_out_others: u64,
    owners_lost: u64,
    cut: u64,
}

impl Tally {
    fn leave_out(&mut self, entry: &Entry, why: impl std::fmt::Display) {
        if self.left_out.len() < LEFT_OUT_NAMED_MAX {
            let path = entry.path.get(..200).unwrap_or(&entry.path).escape_ascii();
            self.left_out.push(format!("'{path}' was left out: it {why}"));
        } else {
            self.left_out_others += 1;
        }
    }

    fn warnings(self, power: Power, attributes_lost: u64) -> Vec<String> {
        let mut warnings = self.left_out;
        let mut count = |count: u64, words: &str| {
            if count > 0 {
                warnings.push(format!("{count} {words}"));
            }
        };
        count(self.left_out_others, "more entries were left out");
        count(self.cut, "files are cut short: the stream ended before them");
        count(self.owners_lost, "owners were not set: only root can do that");
        count(
            attributes_lost,
            match power {
                Power::Root => "extended attributes could not be set here",
                Power::User => "extended attributes were not set: only root can, or none here can",
            },
        );
        warnings
    }
}

/// A file that a link leads to which is restored without it.
struct Source {
    entry: Entry,
    member: Option<MemberKey>,
    /// The name under which it was made.
    made: Option<Vec<u8>>,
}

struct Planner<'p> {
    contents: &'p Contents,
    lost: &'p Lost,
    /// Hard links that were made, if a file that they lead to may have to go.
    links: Vec<Link>,
    keeps_links: bool,
    target: &'p Path,
    include: Option<&'p Globs>,
    devices: Devices,
    owners: &'p Owners,
    owner: Option<Ownership>,
    power: Power,
    root: &'p mut Root,
    sources: HashSet<Vec<u8>>,
    kept_sources: HashMap<Vec<u8>, Source>,
    directories: BTreeMap<Vec<u8>, Attributes>,
    attributes_lost: &'p AtomicU64,
    tally: Tally,
}

impl Planner<'_> {
    fn plan(&mut self, sender: &mut batches::Sender<'_, ContentBatch>) -> Result<()> {
        let contents = self.contents;
        archive::entries(contents, &mut |entry, member| self.entry(entry, member, sender))
    }

    fn entry(
        &mut self,
        entry: &Entry,
        member: Option<MemberKey>,
        sender: &mut batches::Sender<'_, ContentBatch>,
    ) -> Result<()> {
        if entry.kind == Kind::Label {
            return Ok(());
        }
        let components = match confined::components(&entry.path) {
            Ok(components) => components,
            Err(why) => {
                self.tally.leave_out(entry, why);
                return Ok(());
            }
        };
        let path = components.join(&b'/');
        if let Some(include) = self.include
            && !include.matches(&path)
        {
            if self.sources.contains(&path) && entry.kind == Kind::File {
                let source = Source { entry: entry.clone(), member, made: None };
                self.kept_sources.insert(path, source);
            }
            return Ok(());
        }
        if path == INCOMPLETE.as_bytes() {
            self.tally.leave_out(entry, "has the name of this program's own mark");
            return Ok(());
        }
        let made = self.make(&components, entry, member, sender)?;
        match made {
            Made::Yes => {
                self.tally.files += 1;
                self.record_owner(entry);
            }
            Made::No(why) => self.tally.leave_out(entry, why),
        }
        Ok(())
    }

    fn make(
        &mut self,
        components: &[&[u8]],
        entry: &Entry,
        member: Option<MemberKey>,
        sender: &mut batches::Sender<'_, ContentBatch>,
    ) -> Result<Made> {
        let attributes = self.attributes_of(entry);
        let made = match entry.kind {
            Kind::Directory => {
                let made = self.root.make_directory(components);
                if made.is_ok() {
                    self.directories.insert(components.join(&b'/'), attributes);
                }
                made
            }
            Kind::File => return self.file(components, entry, member, sender),
            Kind::HardLink => return self.link(components, entry, sender),
            Kind::SymbolicLink if entry.link.contains(&0) || entry.link.is_empty() => {
                return Ok(Made::No("leads to a name that can't be one".to_owned()));
            }
            Kind::SymbolicLink => {
                let made = self.root.make_symbolic_link(components, &entry.link, &attributes);
                made.map(|lost| self.lose_attributes(lost))
            }
            Kind::Pipe => self.root.make_node(components, FileType::Fifo, (0, 0), &attributes),
            Kind::CharacterDevice | Kind::BlockDevice if !self.may_make_devices() => {
                let words = "is a device, which only root can make, with --devices";
                return Ok(Made::No(words.to_owned()));
            }
            Kind::CharacterDevice => {
                let kind = FileType::CharacterDevice;
                self.root.make_node(components, kind, entry.device, &attributes)
            }
            Kind::BlockDevice => {
                let kind = FileType::BlockDevice;
                self.root.make_node(components, kind, entry.device, &attributes)
            }
            // A label is no file, and was passed over before.
            Kind::Label => return Ok(Made::No(String::new())),
            Kind::Other(kind) => {
                let kind = [kind];
                let kind = kind.escape_ascii();
                let words = format!("is of type '{kind}', which only its writer understands");
                return Ok(Made::No(words));
            }
        };
        self.settle(made)
    }

    fn attributes_of(&self, entry: &Entry) -> Attributes {
        let Entry { mode, changed, .. } = *entry;
        let asked = self.owner;
        let owner = self.owners.user(&entry.owner_name, entry.owner);
        let owner = asked.map(|asked| asked.user).or(owner);
        let group = self.owners.group(&entry.group_name, entry.group);
        let group = asked.and_then(|asked| asked.group).or(group);
        let mut extended = entry.attributes.clone();
        for (name, text) in &entry.access_lists {
            match self.owners.access_list(text) {
                Some(list) => extended.push((name.as_bytes().to_vec(), list)),
                None => self.lose_attributes(1),
            }
        }
        Attributes { mode, owner, group, changed, extended }
    }

    fn lose_attributes(&self, count: u64) {
        self.attributes_lost.fetch_add(count, Ordering::Relaxed);
    }

    fn may_make_devices(&self) -> bool {
        self.power == Power::Root && self.devices == Devices::Make
    }

    /// Leaves out what the archive itself makes impossible; any other failure ends the restore.
    fn settle(&self, made: io::Result<()>) -> Result<Made> {
        let Err(error) = made else { return Ok(Made::Yes) };
        let errno = error.raw_os_error().map(Errno::from_raw_os_error);
        let why = match errno {
            None => error.to_string(),
            Some(Errno::NOTDIR | Errno::LOOP) => {
                "would be made through a link or a file".to_owned()
            }
            Some(Errno::NOTEMPTY | Errno::EXIST | Errno::ISDIR) => {
                "stands where a directory with files is".to_owned()
            }
            Some(Errno::NOENT) => "leads to a file that is not there".to_owned(),
            Some(Errno::NAMETOOLONG | Errno::INVAL | Errno::ILSEQ) => {
                "has a name that this file system refuses".to_owned()
            }
            Some(Errno::FBIG) => "is larger than a file may be".to_owned(),
            Some(Errno::MLINK) => "is one link too many".to_owned(),
            Some(_) => return Err(unwritable(self.target, error)),
        };
        Ok(Made::No(why))
    }

    fn record_owner(&mut self, entry: &Entry) {
        let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
        let differs = |id: Option<u32>, own: u32| id.is_some_and(|id| id != own);
        let owner = self.owners.user(&entry.owner_name, entry.owner);
        let its_group = self.owners.group(&entry.group_name, entry.group);
        let lost = differs(owner, user.as_raw()) || differs(its_group, group.as_raw());
        self.tally.owners_lost += u64::from(self.power == Power::User && lost);
    }

    fn link(
        &mut self,
        components: &[&[u8]],
        entry: &Entry,
        sender: &mut batches::Sender<'_, ContentBatch>,
    ) -> Result<Made> {
        let from = match confined::components(&entry.link) {
            Ok(from) => from,
            Err(why) => return Ok(Made::No(format!("links to a name that {why}"))),
        };
        if let Some(mut source) = self.kept_sources.remove(&from.join(&b'/')) {
            let made = if let Some(name) = &source.made {
                let from: Vec<&[u8]> = name.split(|byte| *byte == b'/').collect();
                let made = self.root.make_link(&from, components);
                self.linked(made, &from, components)?
            } else {
                source.made = Some(components.join(&b'/'));
                self.file(components, &source.entry, source.member.take(), sender)?
            };
            self.kept_sources.insert(from.join(&b'/'), source);
            return Ok(made);
        }
        let made = self.root.make_link(&from, components);
        self.linked(made, &from, components)
    }

    fn linked(
        &mut self,
        made: io::Result<()>,
        from: &[&[u8]],
        components: &[&[u8]],
    ) -> Result<Made> {
        if made.is_ok() && self.keeps_links {
            self.links.push(Link { name: components.join(&b'/'), to: from.join(&b'/') });
        }
        self.settle(made)
    }

    fn file(
        &mut self,
        components: &[&[u8]],
        entry: &Entry,
        member: Option<MemberKey>,
        sender: &mut batches::Sender<'_, ContentBatch>,
    ) -> Result<Made> {
        let key = member.expect("a file has contents, if only none");
        let name = components.join(&b'/');
        let record = match self.contents.member(&key) {
            Ok(record) => record,
            Err(error) => {
                self.lost.record_unmade(&name, error)?;
                return Ok(Made::Yes);
            }
        };
        let length = record.length;
        let Some((size, extents)) = archive::layout(entry, length) else {
            return Ok(Made::No("has a map of holes that does not fit".to_owned()));
        };
        let made = self.root.make_file(components).and_then(|file| {
            file.set_len(size)?;
            Ok(file)
        });
        let file = match made {
            Ok(file) => file,
            Err(error) => return self.settle(Err(error)),
        };
        self.tally.bytes += size;
        self.tally.cut += u64::from(length < entry.size);
        let path = self.target.join(OsStr::from_bytes(&name));
        let out = Arc::new(ContentFile {
            out: OutFile {
                file,
                path,
                extents,
                name,
                is_again: false,
                is_lost: AtomicBool::new(false),
            },
            left: AtomicU64::new(length),
            attributes: self.attributes_of(entry),
            power: self.power,
        });
        if length == 0 {
            self.attributes_lost.fetch_add(out.finish()?, Ordering::Relaxed);
            return Ok(Made::Yes);
        }
        let mut blocks = self.contents.entries(record);
        let empty = || ContentBatch { file: Arc::clone(&out), blocks: Vec::new(), bytes: 0 };
        let mut batch = empty();
        loop {
            let block = match blocks.next() {
                Ok(Some(block)) => block,
                Ok(None) => break,
                Err(error) => {
                    self.lost.record(&out.out, named(&out.out.path, error))?;
                    return Ok(Made::Yes);
                }
            };
            batch.bytes += block.entry.length;
            batch.blocks.push(block);
            if batch.bytes >= batches::BATCH_BYTES {
                sender.send(std::mem::replace(&mut batch, empty()))?;
            }
        }
        if !batch.blocks.is_empty() {
            sender.send(batch)?;
        }
        Ok(Made::Yes)
    }

    /// Gives the directories their attributes, those within others first.
    fn finish_directories(&mut self) -> Result<()> {
        let mut directories: Vec<_> =
            self.directories.iter().filter(|(path, _)| !path.is_empty()).collect();
        let depth = |path: &[u8]| path.split(|byte| *byte == b'/').count();
        directories.sort_by_key(|(path, _)| std::cmp::Reverse(depth(path)));
        for (path, attributes) in directories {
            let components: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
            let finished = self.root.finish_directory(&components, attributes);
            let lost = finished.map_err(|e| unwritable(self.target, e))?;
            self.attributes_lost.fetch_add(lost, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// The outcome of making an entry; if it was not made, the reason in words.
#[derive(Debug)]
enum Made {
    Yes,
    No(String),
}

/// A file whose contents are being written.
#[derive(Debug)]
struct ContentFile {
    out: OutFile,
    /// Bytes of contents that have not been written.
    left: AtomicU64,
    attributes: Attributes,
    power: Power,
}

impl ContentFile {
    fn finish(&self) -> Result<u64> {
        confined::finish(&self.out.file, &self.attributes, self.power)
            .map_err(|e| unwritable(&self.out.path, e))
    }
}

/// Blocks of one file.
struct ContentBatch {
    file: Arc<ContentFile>,
    blocks: Vec<Block>,
    /// Bytes that they stand for, zeros included.
    bytes: u64,
}

impl Batch for ContentBatch {
    fn weight(&self) -> u64 {
        self.bytes
    }
}

impl ContentBatch {
    /// Writes the blocks; the worker that writes the last of a file gives it its attributes.
    /// Returns the number of attributes that could not be set.
    fn write(self, contents: &Contents, lost: &Lost, monitor: &Monitor) -> Result<u64> {
        if self.file.out.is_lost.load(Ordering::Acquire) {
            return Ok(0);
        }
        let stored: Vec<(u64, _)> =
            self.blocks.iter().filter_map(|block| Some((block.at, block.wanted()?))).collect();
        let wanted: Vec<_> = stored.iter().map(|(_, wanted)| *wanted).collect();
        let out = &self.file.out;
        let mut write = |numbers: Range<usize>, run: Result<&[u8]>| match run {
            Ok(run) => out.write_run(&stored[numbers], run),
            Err(error) => lost.record(out, named(&out.path, error)),
        };
        if let Err(error) = contents.packs().read_runs(&wanted, &mut write) {
            lost.record(out, error)?;
        }
        monitor.count(Counter::StreamBytes, self.bytes);
        if self.file.left.fetch_sub(self.bytes, Ordering::AcqRel) == self.bytes {
            return self.file.finish();
        }
        Ok(0)
    }
}
