//! The reader of a run: takes the stream apart, fills segments, and hands them on in order.
//!
//! There is one reader. It copies nothing but what it read ahead of a header, and looks at no byte
//! of a large payload that nothing here asks for: all that costs more is a worker's. Segments of
//! one member begin at multiples of its blocks, so a block is never split between two workers.
//!
//! Invariants:
//! - Every byte of the stream goes into exactly one member or into the script.
//! - As much is in progress as the pool allows: the reader waits before it hands on more.

mod container;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;

use crate::aria::ARIA_HEAD_BYTES;
use crate::aria::AriaTable;
use crate::base::crew::Planner;
use crate::base::error::Result;
use crate::base::ids::Entry;
use crate::base::limits::BLOCK_BYTES_MIN;
use crate::base::limits::SEGMENT_BYTES;
use crate::base::monitor::Counter;
use crate::base::monitor::Monitor;
use crate::base::num::u32_of;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::base::num::usize_of_u32;
use crate::cut::Cutter;
use crate::format::record::Blocks;
use crate::format::record::MemberKey;
use crate::hash::BlockHasher;
use crate::innodb::PageNumber;
use crate::innodb::PageSize;
use crate::innodb::PageZero;
use crate::innodb::SpaceId;
use crate::innodb::TablespaceFormat;
use crate::innodb::Unrecognised;
use crate::map::view::MapView;
use crate::parse::item::Item;
use crate::parse::item::MemberNo;
use crate::parse::mbstream::Parsed;
use crate::parse::mbstream::Parser;
use crate::parse::mbstream::Step;
use crate::parse::mbstream::StreamEnd;
use crate::parse::path::PathSeed;
use crate::parse::script::ScriptEnd;
use crate::parse::script::ScriptWriter;
use crate::pipeline::choice;
use crate::pipeline::increments;
use crate::pipeline::increments::IncrementFiles;
use crate::pipeline::increments::IncrementWalk;
use crate::pipeline::input::Input;
use crate::pipeline::level::LevelControl;
use crate::pipeline::matcher::Matcher;
use crate::pipeline::open_segments::OpenSegment;
use crate::pipeline::open_segments::OpenSegments;
use crate::pipeline::pages;
use crate::pipeline::payloads::CrcCheck;
use crate::pipeline::payloads::Payloads;
use crate::pipeline::previous;
use crate::pipeline::previous::Previous;
use crate::pipeline::previous::Versions;
use crate::pipeline::segment::Buffer;
use crate::pipeline::segment::Compressibility;
use crate::pipeline::segment::Cuts;
use crate::pipeline::segment::Done;
use crate::pipeline::segment::Layouts;
use crate::pipeline::segment::Member;
use crate::pipeline::segment::PageCheck;
use crate::pipeline::segment::Pool;
use crate::pipeline::segment::Segment;
use crate::verdict::DeltaFiles;
use crate::verdict::Interest;
use crate::verdict::Observer;

/// Script bytes that are collected before they are handed on.
const SCRIPT_PIECE_BYTES: usize = 256 << 10;
/// Bytes that a dissector is given at once: they stay in the second-level cache.
const READ_BYTES: usize = 256 << 10;
/// Heads of Aria index files that are remembered until their data file comes.
const ARIA_HEADS_MAX: usize = 4096;
/// Bytes of unfinished segments in a temporary file beyond which a stream is not taken apart any
/// further: no producer opens that many files at once.
const SWAPPED_BYTES_MAX: u64 = 1 << 30;
/// The name of the only member of a plain stream.
pub const PLAIN_MEMBER: &[u8] = b"stream";

/// An event that the reader and the workers hand to the collector.
#[derive(Debug)]
pub enum Event {
    /// A segment went through a worker.
    Done(Box<Done>),
    /// A member has no more bytes.
    Close {
        /// The member that was closed.
        member: Arc<Member>,
        /// The end of the member, which has its end record or not.
        ended: Ended,
    },
    /// The next bytes of the script.
    Script(Vec<u8>),
}

/// The way in which a member ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// It ended by its end record, or with a plain stream.
    Properly,
    /// The stream ended before the member did.
    Not,
}

/// The reader's way to the pool: segments go to the workers, events to the collector. Each weighs
/// one, whatever is in it.
#[derive(Debug)]
pub struct SegmentSender<'r> {
    planner: Planner<'r, Segment, Event>,
    control: &'r LevelControl,
}

impl<'r> SegmentSender<'r> {
    /// Creates an outlet into the pool of this plan; `control` counts what waits there.
    pub fn new(planner: Planner<'r, Segment, Event>, control: &'r LevelControl) -> Self {
        SegmentSender { planner, control }
    }

    /// Returns the control of the compression, which is also shown what is read.
    pub fn control(&self) -> &'r LevelControl {
        self.control
    }

    fn segment(&self, segment: Segment) -> Result<()> {
        self.control.handed_over(segment.data.filled().len());
        self.planner.work(1, segment)
    }

    fn event(&self, event: Event) -> Result<()> {
        self.planner.ready(1, event)
    }

    /// Fails once the pool has stopped.
    pub fn stopped(&self) -> impl Fn() -> Result<()> + use<'r> {
        let planner = self.planner;
        move || planner.check()
    }
}

/// The parts of its run that the reader needs.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'r> {
    /// Previous snapshots of the source.
    pub previous: &'r Previous,
    /// Finds the content-defined cuts of members.
    pub cutter: &'r Cutter,
    /// Names blocks, for the sample that chooses between previous maps.
    pub hasher: &'r BlockHasher,
    /// Counters, and the user's wish to stop.
    pub monitor: &'r Monitor,
    /// Random; keeps hostile paths from colliding.
    pub seed: [u8; 16],
    /// Bytes of members that have begun and not ended which may be in memory.
    pub open_bytes: usize,
}

/// Reads a stream, and hands segments and events on; see the module's documentation.
pub struct Reader<'r> {
    around: Surroundings<'r>,
    out: SegmentSender<'r>,
    open_segments: OpenSegments,
    page_size: PageSize,
    aria: HashMap<Vec<u8>, AriaTable>,
    paths: Paths,
    increments: IncrementFiles,
}

/// The meaning of a member's path: it shows what is in it, or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Paths {
    /// It is a file of a server, made by its backup tool.
    NameServerFiles,
    /// It is anybody's: a tar may hold a torn copy of a data file.
    SayNothing,
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("open", &self.open_segments.len()).finish_non_exhaustive()
    }
}

/// The action for an item once its header is out of the buffer.
enum Action {
    Payload(PayloadAction),
    End { number: u64, opens: Option<MemberKey> },
    Open { number: u64, key: MemberKey },
    Nothing,
}

/// A payload that is about to be moved.
struct PayloadAction {
    number: u64,
    opens: Option<MemberKey>,
    at: u64,
    length: u64,
    check: CrcCheck,
    /// The observer wants the member's bytes before this position.
    shown_until: u64,
}

impl Action {
    fn of(item: &Item<'_>, interest: Interest) -> Self {
        let Some(target) = item.target() else { return Self::Nothing };
        let number = target.member.get();
        let opens = target.opens.then(|| MemberKey {
            path: target.path.as_bytes().to_vec(),
            incarnation: target.incarnation.get(),
        });
        match item {
            Item::Payload(payload) => Self::Payload(PayloadAction {
                number,
                opens,
                at: payload.at,
                length: payload.extent.len,
                check: CrcCheck::of(payload),
                shown_until: interest.until,
            }),
            Item::End { .. } => Self::End { number, opens },
            Item::Seek { .. } | Item::Rename { .. } | Item::Remove { .. } => {
                opens.map_or(Self::Nothing, |key| Self::Open { number, key })
            }
        }
    }
}

impl<'r> Reader<'r> {
    /// Creates a reader that hands on to `out`.
    pub fn new(around: Surroundings<'r>, out: SegmentSender<'r>, buffers: usize) -> Self {
        Reader {
            around,
            out,
            open_segments: OpenSegments::new(Pool::new(buffers), around.open_bytes),
            page_size: PageSize::KIB_16,
            aria: HashMap::new(),
            paths: Paths::NameServerFiles,
            increments: IncrementFiles::default(),
        }
    }

    /// Reads a stream that is one member; calls `watch` for all of its bytes.
    pub fn read_plain(mut self, input: &mut Input<'_>, watch: &mut dyn FnMut(&[u8])) -> Result<()> {
        let key = MemberKey { path: PLAIN_MEMBER.to_vec(), incarnation: 0 };
        self.open(0, key, SEGMENT_BYTES)?;
        loop {
            self.make_room(0, SEGMENT_BYTES)?;
            let segment = self.open_segments.get_mut(0)?;
            let room = segment.buffer.room();
            let count = input.read(room)?;
            watch(&room[..count]);
            segment.buffer.advance(count);
            if count == 0 {
                break;
            }
        }
        self.close(0, Ended::Properly)
    }

    /// Takes an mbstream apart, before which `skipped` bytes belong to no file.
    pub fn read_mbstream(
        mut self,
        input: &mut Input<'_>,
        skipped: usize,
        observer: &mut Observer,
    ) -> Result<(Parsed, DeltaFiles)> {
        let mut parser = Parser::new(PathSeed::new(self.around.seed));
        let mut script = ScriptWriter::new();
        script.push_literal(&input.fill(skipped)?[..skipped]);
        input.consume(skipped);
        parser.skip(u64_of(skipped));
        let mut need = 14;
        let (end, script_end) = loop {
            let buffered = input.fill(need)?;
            if buffered.is_empty() {
                break (StreamEnd::Boundary, ScriptEnd::Whole);
            }
            match parser.step(buffered) {
                Step::NeedMore { at_least }
                    if buffered.len() < at_least && buffered.len() < need =>
                {
                    let bytes = u64_of(buffered.len());
                    script.push_literal(buffered);
                    break (StreamEnd::InsideHeader { bytes }, ScriptEnd::Whole);
                }
                Step::NeedMore { at_least } => need = at_least,
                Step::Malformed(_) => {
                    self.keep_rest(input, &mut script)?;
                    break (StreamEnd::AfterMalformed, ScriptEnd::Whole);
                }
                Step::Item { header_len, item } => {
                    script.push(&item);
                    let interest = observer.item(&item);
                    let action = Action::of(&item, interest);
                    input.consume(header_len);
                    need = 14;
                    if let Some(arrived) = self.perform(action, input, &mut parser, observer)? {
                        let end = StreamEnd::InsidePayload { arrived };
                        break (end, ScriptEnd::InsidePayload { arrived });
                    }
                }
            }
            self.hand_on_script(&mut script, SCRIPT_PIECE_BYTES)?;
            if self.open_segments.swapped_bytes() > SWAPPED_BYTES_MAX {
                self.keep_rest(input, &mut script)?;
                break (StreamEnd::AfterMalformed, ScriptEnd::Whole);
            }
        };
        for number in self.open_segments.numbers() {
            self.close(number, Ended::Not)?;
        }
        let rest = script.finish(script_end);
        self.out.event(Event::Script(rest))?;
        Ok((parser.finish(end), self.increments.finish()))
    }

    /// Does what an item asks; returns `Some` if the stream ended inside its payload.
    fn perform(
        &mut self,
        action: Action,
        input: &mut Input<'_>,
        parser: &mut Parser,
        observer: &mut Observer,
    ) -> Result<Option<u64>> {
        match action {
            Action::Nothing => {}
            Action::Open { number, key } => self.open(number, key, 0)?,
            Action::End { number, opens } => {
                if let Some(key) = opens {
                    self.open(number, key, 0)?;
                }
                self.close(number, Ended::Properly)?;
            }
            Action::Payload(mut payload) => {
                if let Some(key) = payload.opens.take() {
                    let hint = payload.length.min(u64_of(SEGMENT_BYTES));
                    self.open(payload.number, key, usize_of(hint))?;
                }
                let arrived = self.take(&mut payload, input, observer)?;
                if arrived < payload.length {
                    return Ok(Some(arrived));
                }
                match payload.check {
                    CrcCheck::Here(crc) => parser.payload_done(crc.finalize()),
                    CrcCheck::ByWorkers(_) => {
                        let segment = self.open_segments.get_mut(payload.number)?;
                        segment.payloads.end(parser.payload_moved());
                    }
                }
            }
        }
        Ok(None)
    }

    /// Moves payload into a member's segments; bytes that arrived.
    fn take(
        &mut self,
        payload: &mut PayloadAction,
        input: &mut Input<'_>,
        observer: &mut Observer,
    ) -> Result<u64> {
        let mut arrived = 0;
        while arrived < payload.length {
            let wanted = usize_of((payload.length - arrived).min(u64_of(SEGMENT_BYTES)));
            self.make_room(payload.number, wanted)?;
            let segment = self.open_segments.get_mut(payload.number)?;
            let at_buffer = segment.buffer.filled().len();
            let room = segment.buffer.room();
            let most = room.len().min(wanted);
            let count = input.read(&mut room[..most])?;
            if count == 0 {
                break;
            }
            let bytes = &room[..count];
            let at = payload.at + arrived;
            if at < payload.shown_until {
                observer.bytes(MemberNo::new(payload.number), at, bytes);
            }
            payload.check.see(&mut segment.payloads, at_buffer, bytes);
            segment.buffer.advance(count);
            arrived += u64_of(count);
        }
        Ok(arrived)
    }

    /// Keeps everything that is left of the stream in the script.
    fn keep_rest(&mut self, input: &mut Input<'_>, script: &mut ScriptWriter) -> Result<()> {
        loop {
            let rest = input.fill(1)?;
            if rest.is_empty() {
                return Ok(());
            }
            let count = rest.len();
            script.push_literal(rest);
            input.consume(count);
            self.hand_on_script(script, SCRIPT_PIECE_BYTES)?;
        }
    }

    fn hand_on_script(&mut self, script: &mut ScriptWriter, at_least: usize) -> Result<()> {
        if script.pending() < at_least {
            return Ok(());
        }
        let bytes = script.take();
        self.out.event(Event::Script(bytes))
    }

    fn open(&mut self, number: u64, key: MemberKey, hint: usize) -> Result<()> {
        self.around.monitor.count(Counter::Members, 1);
        let buffer = self.open_segments.pool().get(hint);
        self.open_segments.insert(OpenSegment {
            key,
            number,
            member: None,
            buffer,
            payloads: Payloads::default(),
            at: 0,
            delta: None,
        })
    }

    /// Makes room after the member's bytes, if there is none.
    fn make_room(&mut self, number: u64, wanted: usize) -> Result<()> {
        let segment = self.open_segments.get_mut(number)?;
        if !segment.buffer.room().is_empty() {
            return Ok(());
        }
        let filled = segment.buffer.filled();
        if filled.len() < SEGMENT_BYTES {
            let larger = (filled.len() * 2 + wanted).min(SEGMENT_BYTES);
            let mut larger = self.open_segments.pool().get(larger);
            let filled = self.open_segments.get_mut(number)?.buffer.filled();
            larger.room()[..filled.len()].copy_from_slice(filled);
            larger.advance(filled.len());
            return self.open_segments.replace_buffer(number, larger);
        }
        let next = self.open_segments.pool().get(SEGMENT_BYTES);
        self.emit(number, next, Last::No)
    }

    /// Hands on what a member's buffer holds, and continues in `next`.
    fn emit(&mut self, number: u64, next: Buffer, last: Last) -> Result<()> {
        let mut segment = self.open_segments.remove(number)?;
        let member = segment.member.take().unwrap_or_else(|| self.identify(&mut segment));
        segment.member = Some(Arc::clone(&member));
        let mut data = std::mem::replace(&mut segment.buffer, next);
        let cuts = match member.blocks {
            Blocks::Fixed(bytes) => Cuts::Every(usize_of_u32(bytes)),
            Blocks::ContentDefined => self.cut(&mut data, &mut segment.buffer, last),
        };
        let at = segment.at;
        segment.at += u64_of(data.filled().len());
        let later = segment.payloads.split_off(data.filled().len());
        let payloads = std::mem::replace(&mut segment.payloads, later);
        if !data.filled().is_empty() {
            let follow = |walk: &mut Box<IncrementWalk>| walk.follow(data.filled());
            let numbers = segment.delta.as_mut().map(follow).unwrap_or_default();
            let (previous, previous_own) = previous_entries(&member, at, &data, &numbers);
            self.out.segment(Segment {
                member,
                at,
                data,
                cuts,
                payloads,
                numbers,
                previous,
                previous_own,
            })?;
        }
        self.open_segments.insert(segment)
    }

    /// Cuts a segment by content; what is after the last cut begins the next one.
    fn cut(&self, data: &mut Buffer, next: &mut Buffer, last: Last) -> Cuts {
        let bytes = data.filled();
        let mut ends = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            match (self.around.cutter.next_cut(&bytes[at..]), last) {
                (Some(length), _) => at += length,
                (None, Last::Yes) => at = bytes.len(),
                (None, Last::No) => break,
            }
            ends.push(at);
        }
        let rest = &bytes[at..];
        next.room()[..rest.len()].copy_from_slice(rest);
        next.advance(rest.len());
        data.truncate(at);
        Cuts::At(ends)
    }

    fn close(&mut self, number: u64, ended: Ended) -> Result<()> {
        let next = self.open_segments.pool().get(0);
        self.emit(number, next, Last::Yes)?;
        let segment = self.open_segments.remove(number)?;
        if let Some(broken) = segment.delta.and_then(|walk| walk.finish())
            && ended == Ended::Properly
        {
            self.increments.break_file(&segment.key.path, "", broken);
        }
        let member = segment.member.expect("it was identified when its last segment left");
        self.out.event(Event::Close { member, ended })
    }

    /// Decides how a member is cut and checked, and finds its previous versions.
    fn identify(&mut self, segment: &mut OpenSegment) -> Arc<Member> {
        let head = segment.buffer.filled();
        let known = self.paths == Paths::NameServerFiles;
        let pages = if known { self.page_check(&segment.key.path, head) } else { PageCheck::None };
        let (format, blocks) = match &pages {
            PageCheck::Tablespace { format, .. } => {
                let block = format.page_size().bytes().max(BLOCK_BYTES_MIN);
                (Some(*format), Blocks::Fixed(u32_of(block)))
            }
            // Neighbours here are none in the tablespace: each has a base of its own.
            PageCheck::Delta { format, .. } => {
                (None, Blocks::Fixed(u32_of(format.page_size().bytes())))
            }
            PageCheck::AriaData(_) => (None, Blocks::Fixed(u32_of(BLOCK_BYTES_MIN))),
            PageCheck::None if known && has_positions(&segment.key.path) => {
                (None, Blocks::Fixed(u32_of(BLOCK_BYTES_MIN)))
            }
            PageCheck::None => (None, Blocks::ContentDefined),
        };
        let found = match &pages {
            PageCheck::Delta { format, .. } => {
                let stem = segment.key.path.strip_suffix(b".delta").unwrap_or_default();
                self.around.previous.tablespace(stem, *format)
            }
            PageCheck::None | PageCheck::Tablespace { .. } | PageCheck::AriaData(_) => {
                self.around.previous.member(&segment.key, format, blocks)
            }
        };
        let Versions { views: mut previous, follows_parent, with_older } = found;
        let older = || {
            if with_older {
                return Vec::new();
            }
            self.around.previous.older_member(&segment.key, blocks)
        };
        let chosen = match blocks {
            // Its first blocks are not those of the tablespace.
            Blocks::Fixed(_) if matches!(pages, PageCheck::Delta { .. }) => 0,
            Blocks::Fixed(bytes) => {
                choice::choose(&mut previous, older, head, usize_of_u32(bytes), self.around.hasher)
            }
            Blocks::ContentDefined => {
                choice::look_behind_short(&mut previous, older, head);
                0
            }
        };
        let matcher = match (blocks, longest(&previous)) {
            (Blocks::ContentDefined, Some(view)) => Some(Box::new(Mutex::new(Matcher::new(view)))),
            _ => None,
        };
        if let PageCheck::Delta { format, .. } = &pages {
            segment.delta = Some(Box::new(IncrementWalk::new(format.page_size())));
        }
        Arc::new(Member {
            number: segment.number,
            key: segment.key.clone(),
            blocks,
            pages,
            previous,
            follows_parent,
            chosen,
            matcher,
            compressibility: Compressibility::default(),
            layouts: Layouts::default(),
            former_leaves: OnceLock::new(),
        })
    }

    fn page_check(&mut self, path: &[u8], head: &[u8]) -> PageCheck {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        if let Some(stem) = path.strip_suffix(b".MAI") {
            if let Ok(table) = AriaTable::parse(&head[..head.len().min(ARIA_HEAD_BYTES)])
                && self.aria.len() < ARIA_HEADS_MAX
            {
                self.aria.insert(stem.to_vec(), table);
            }
            return PageCheck::None;
        }
        if let Some(stem) = path.strip_suffix(b".MAD") {
            return pages::check_of_aria(self.aria.remove(stem));
        }
        if let Some(stem) = path.strip_suffix(b".meta") {
            self.increments.meta(stem, head);
            return PageCheck::None;
        }
        if let Some(stem) = path.strip_suffix(b".delta") {
            return self.delta_check(stem);
        }
        // Compressed backups have these names with further endings.
        let is_plain = !name.contains(&b'.');
        let system = name.starts_with(b"ibdata") && is_plain;
        let is_tablespace = [".ibd", ".new"].iter().any(|end| name.ends_with(end.as_bytes()))
            || name.starts_with(b"undo") && is_plain
            || system;
        if !is_tablespace {
            return PageCheck::None;
        }
        let presumed = TablespaceFormat::presumed(self.page_size, None);
        let (format, first) = match TablespaceFormat::from_page_zero(head) {
            PageZero::Formatted(format) => {
                self.page_size = format.page_size();
                (format, 0)
            }
            PageZero::Unrecognised(Unrecognised::Number(number)) if system => {
                let space = Some(SpaceId::SYSTEM);
                (TablespaceFormat::presumed(self.page_size, space), number.get())
            }
            PageZero::Unformatted | PageZero::Unrecognised(_) => (presumed, 0),
            PageZero::TooShort => return PageCheck::None,
        };
        PageCheck::Tablespace { format, first }
    }

    /// Returns how changed pages are checked: by the format of the same tablespace in an earlier
    /// snapshot; its `.meta` file gives no more than the size of a page.
    fn delta_check(&mut self, stem: &[u8]) -> PageCheck {
        let Some(meta) = self.increments.begin(stem) else { return PageCheck::None };
        let stated = meta.format();
        match self.around.previous.format_of(stem, stated) {
            Some((format, first)) => PageCheck::Delta { format, first },
            None => PageCheck::Delta { format: stated, first: 0 },
        }
    }
}

/// The position of a segment: the last of its member, or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Last {
    Yes,
    No,
}

/// Tells whether the contents of a file keep their places from night to night.
fn has_positions(path: &[u8]) -> bool {
    [".MAD", ".MAI", ".MYD", ".MYI", ".delta", ".ibd"]
        .iter()
        .any(|end| path.ends_with(end.as_bytes()))
}

fn longest(previous: &[Arc<MapView>]) -> Option<Arc<MapView>> {
    let longest = previous.iter().rev().max_by_key(|view| view.record().length)?;
    Some(Arc::clone(longest))
}

/// Returns what the previous map says about the blocks of a segment; where the newest ends (a
/// partial one does), older ones go on. The second number counts the entries that are the newest's
/// own.
fn previous_entries(
    member: &Member,
    at: u64,
    data: &Buffer,
    numbers: &[Option<PageNumber>],
) -> (Vec<Entry>, usize) {
    let Blocks::Fixed(bytes) = member.blocks else { return (Vec::new(), 0) };
    let count = data.filled().len().div_ceil(usize_of_u32(bytes));
    let first = at / u64::from(bytes);
    let Some(chosen) = member.chosen_previous() else { return (Vec::new(), 0) };
    if let PageCheck::Delta { format, .. } = member.pages {
        let whole = chosen.record().blocks;
        let block = |number: &Option<PageNumber>| {
            let block = increments::block_of((*number)?, format.page_size(), whole)?;
            previous::entries(chosen, block, 1).pop()
        };
        let nothing = || Entry::zero(0);
        let entries = numbers.iter().map(|number| block(number).unwrap_or_else(nothing));
        return (entries.collect(), 0);
    }
    let mut entries = previous::entries(chosen, first, count);
    let own = entries.len();
    for view in &member.previous {
        if entries.len() == count {
            break;
        }
        let from = first + u64_of(entries.len());
        entries.extend(previous::entries(view, from, count - entries.len()));
    }
    (entries, own)
}
