//! The judgement: every check, made once the stream has ended.
//!
//! Each check is a function that adds one line to the checklist and any number of reasons; the
//! verdict is the weight of the heaviest reason. So no check can overrule another, and a check that
//! could not be made can't be mistaken for one that passed.
//!
//! What it does not do: know how severe is severe enough for the caller. It never says "retry".

use crate::base::producer::ProducerExit;
use crate::format::snapshot::{Positions, Verdict};
use crate::innodb::Lsn;
use crate::innodb::frm::{Frm, Missing};
use crate::innodb::redo::RedoHeader;
use crate::parse::fault::Fault;
use crate::parse::path::{OwnedPath, StreamPath};
use crate::verdict::finding::{Acceptance, Code, Finding};
use crate::verdict::heads;
use crate::verdict::known::{Incremental, Known};
use crate::verdict::lengths::{Data, DataFault, Short};
use crate::verdict::metadata::{Describing, first_lack};
use crate::verdict::observer::{Described, Observer, Redo};
use crate::verdict::presence::Table;
use crate::verdict::reason::{Check, Outcome, Reason, Weight};
use crate::verdict::shared::SharedTables;

/// Tables that are named as missing something; more are only counted.
const TABLES_NAMED_MAX: usize = 1_000;

/// Logs of Aria that are named as missing.
const LOGS_NAMED_MAX: usize = 10;

/// Undo tablespaces that a server may have.
const UNDO_TABLESPACES_MAX: u64 = 127;

/// What the files of tablespaces end in.
const TABLESPACE: &str = ".ibd";

/// What is known of the producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Producer {
    /// Way in which it ended.
    pub exit: ProducerExit,
    /// Whether its messages end in `completed OK!`; `None` if nobody read them.
    pub completed_ok_seen: Option<bool>,
}

/// What the parser found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamFaults {
    /// The faults that were kept.
    pub kept: Vec<Fault>,
    /// Number of all faults, kept or not.
    pub count: u64,
}

/// What looking at the pages showed, in words where pages are named (`app/t.ibd, page 7: ...`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PageFindings {
    /// Number of pages looked at.
    pub pages: u64,
    /// Pages of which nothing vouches for the contents.
    pub unverifiable: u64,
    /// Number of corrupt pages.
    pub corrupt_count: u64,
    /// Corrupt pages in words, as many as are named.
    pub corrupt: Vec<String>,
    /// The page changed last, and its LSN.
    pub newest: Option<(u64, String)>,
}

/// Everything that is known in addition to what the observer saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The way in which the producer ended.
    pub producer: Producer,
    /// Faults that the parser found.
    pub faults: StreamFaults,
    /// Findings of the page checks.
    pub pages: PageFindings,
    /// What the user has accepted.
    pub accepted: Vec<Acceptance>,
}

/// The check that reports a stream whose content can't be looked at.
pub const CONTENT_CHECK: &str = "content";

/// The verdict, and all that led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conclusion {
    /// How far the backup can be trusted.
    pub verdict: Verdict,
    /// Why not further, the heaviest first.
    pub reasons: Vec<Reason>,
    /// Checks that were made, with their outcomes.
    pub checklist: Vec<Check>,
    /// Findings that leave the verdict as it is.
    pub findings: Vec<Finding>,
    /// What the backup states about itself.
    pub positions: Positions,
}

impl Observer {
    /// Ends the stream and judges it.
    pub fn conclude(self, evidence: Evidence) -> Conclusion {
        let mut judge = Judge::new(&self, &evidence.accepted);
        judge.check_producer(evidence.producer);
        judge.check_stream(evidence.faults);
        judge.check_describing();
        judge.check_binlog_position();
        judge.check_order();
        judge.check_redo();
        judge.check_system_files();
        judge.check_heads();
        judge.check_contradictions();
        judge.check_aria_logs();
        judge.check_empty_files();
        judge.check_lengths();
        judge.check_tables();
        judge.check_renames();
        judge.check_left_over();
        judge.check_pages(&evidence.pages);
        judge.check_newest_page(evidence.pages.newest);
        judge.check_corrupt_at_source();
        judge.check_content();
        judge.check_notes();
        let Judge { mut reasons, checklist, findings, .. } = judge;
        // Stable, so that reasons of one weight stay in the order of the checklist.
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.weight()));
        let verdict = match reasons.first().map_or(Weight::Note, Reason::weight) {
            Weight::Note => Verdict::Complete,
            Weight::Unattested => Verdict::Unattested,
            Weight::CorruptPages => Verdict::CorruptPages,
            Weight::Partial => Verdict::Partial,
        };
        let positions = self.statements.positions;
        Conclusion { verdict, reasons, checklist, findings, positions }
    }
}

/// The checks made so far.
#[derive(Debug)]
struct Judge<'a> {
    seen: &'a Observer,
    accepted: &'a [Acceptance],
    incremental: Incremental,
    reasons: Vec<Reason>,
    checklist: Vec<Check>,
    findings: Vec<Finding>,
}

impl<'a> Judge<'a> {
    fn new(seen: &'a Observer, accepted: &'a [Acceptance]) -> Self {
        let is_incremental =
            seen.statements.positions.backup_type.as_deref() == Some("incremental");
        let incremental = if is_incremental { Incremental::Yes } else { Incremental::No };
        let (reasons, checklist, findings) = (Vec::new(), Vec::new(), Vec::new());
        Self { seen, accepted, incremental, reasons, checklist, findings }
    }

    fn note(&mut self, name: &'static str, outcome: Outcome, detail: impl Into<String>) {
        self.checklist.push(Check { name, outcome, detail: detail.into() });
    }

    /// Adds a check that passed if there is no reason, and failed otherwise.
    fn settle(&mut self, name: &'static str, reasons: Vec<Reason>, detail: impl Into<String>) {
        let heavy = reasons.iter().any(|reason| reason.weight() > Weight::Note);
        let outcome = if heavy { Outcome::Failed } else { Outcome::Passed };
        self.note(name, outcome, detail);
        self.reasons.extend(reasons);
    }

    /// Checks that all that was noted of the tables' files could be looked at.
    fn check_notes(&mut self) {
        if self.seen.presence.is_unreadable() {
            self.settle("notes", vec![Reason::NotesLost], "those of some tables' files are lost");
        }
    }

    /// Tells what is lost if files come compressed or encrypted.
    fn check_content(&mut self) {
        if let Some(words) = self.seen.wrapped.words() {
            self.note(CONTENT_CHECK, Outcome::Unknown, words);
        }
    }

    fn check_producer(&mut self, producer: Producer) {
        const NAME: &str = "producer";
        let exit = match producer.exit {
            ProducerExit::Exited(0) => None,
            ProducerExit::Exited(code) => Some(Reason::ProducerFailed(code)),
            ProducerExit::Killed(signal) => Some(Reason::ProducerKilled(signal)),
            ProducerExit::Hung => Some(Reason::ProducerHung),
            ProducerExit::Unseen => Some(Reason::ProducerUnseen),
        };
        let said = match producer.completed_ok_seen {
            Some(true) => None,
            Some(false) => Some(Reason::NotCompletedOk),
            None => Some(Reason::MessagesUnseen),
        };
        // One that is not seen to exit is not heard either: saying so once is enough.
        let said = said
            .filter(|said| *said != Reason::MessagesUnseen || exit != Some(Reason::ProducerUnseen));
        let reasons: Vec<_> = exit.into_iter().chain(said).collect();
        if reasons.iter().all(|reason| reason.weight() == Weight::Unattested) && !reasons.is_empty()
        {
            self.note(NAME, Outcome::Unknown, "how it ended was not seen");
            self.reasons.extend(reasons);
            return;
        }
        let detail = if reasons.is_empty() { "exit status 0, completed OK!" } else { "it failed" };
        self.settle(NAME, reasons, detail);
    }

    fn check_stream(&mut self, faults: StreamFaults) {
        let kept = u64::try_from(faults.kept.len()).unwrap_or(u64::MAX);
        let others = faults.count.saturating_sub(kept);
        let mut reasons: Vec<_> = faults.kept.into_iter().map(Reason::Fault).collect();
        if others > 0 {
            reasons.push(Reason::MoreFaults(others));
        }
        let detail = match faults.count {
            0 => "clean end, every file ended, every crc right".to_owned(),
            count => format!("{count} faults"),
        };
        self.settle("stream", reasons, detail);
    }

    /// Checks the files that a producer writes at the very end.
    fn check_describing(&mut self) {
        let seen = self.seen;
        let positions = &seen.statements.positions;
        let mut reasons = Vec::new();
        let mut wrapped = Vec::new();
        for kind in [Describing::Checkpoints, Describing::BackupCnf, Describing::Info] {
            match seen.describing.get(&kind) {
                None => reasons.push(Reason::MissingFile(kind.name().into())),
                Some(Described::Wrapped) => wrapped.push(kind.name()),
                Some(Described::TooLong) => {
                    let lacks = "end within 64 KiB";
                    reasons.push(Reason::UnreadableFile { name: kind.name(), lacks });
                }
                Some(Described::Read) => {
                    let name = kind.name();
                    let lacks = first_lack(kind, positions);
                    reasons.extend(lacks.map(|lacks| Reason::UnreadableFile { name, lacks }));
                }
            }
        }
        match positions.backup_type.as_deref() {
            None | Some("full-backuped" | "incremental") => {}
            Some(other) => reasons.push(Reason::WrongType(other.into())),
        }
        if seen.statements.is_selection == Some(true) {
            reasons.push(Reason::Selection);
        }
        let detail = match wrapped.as_slice() {
            [] => "checkpoints, settings and info".to_owned(),
            wrapped => format!("there, but compressed or encrypted: {}", wrapped.join(", ")),
        };
        self.settle("describing files", reasons, detail);
    }

    /// Checks that the position that a replica starts from is where it is looked for.
    fn check_binlog_position(&mut self) {
        const NAME: &str = "binlog position";
        let seen = self.seen;
        let name = Describing::BinlogInfo.name();
        let reason = match seen.describing.get(&Describing::BinlogInfo) {
            None if seen.statements.info_has_binlog => Some(Reason::MissingFile(name.into())),
            None => {
                self.note(NAME, Outcome::Skipped, "none is stated: no binary log at the source");
                return;
            }
            Some(Described::Wrapped) => {
                self.note(NAME, Outcome::Unknown, "there, but compressed or encrypted");
                return;
            }
            Some(Described::Read) if seen.statements.binlog_info_is_read => None,
            Some(Described::Read | Described::TooLong) => {
                Some(Reason::UnreadableFile { name, lacks: "file and position" })
            }
        };
        let file = seen.statements.positions.binlog_file.as_deref().unwrap_or("not readable");
        self.settle(NAME, reason.into_iter().collect(), file);
    }

    fn check_order(&mut self) {
        let after = self.seen.after_info.as_ref();
        let reason = after.map(|path| Reason::AfterTheEnd(path.to_string()));
        let reasons: Vec<_> = reason.into_iter().collect();
        let detail = either(&reasons, "the info file is the last", "the info file is not the last");
        self.settle("order", reasons, detail);
    }

    fn check_redo(&mut self) {
        const NAME: &str = "redo log";
        let Some(redo) = &self.seen.redo else {
            let reasons = vec![Reason::MissingFile("ib_logfile0".into())];
            self.settle(NAME, reasons, "not there, or not to its end");
            return;
        };
        if redo.is_opaque {
            self.note(NAME, Outcome::Unknown, "it is compressed, encrypted or of another tool");
            return;
        }
        match RedoHeader::parse(&redo.head) {
            Err(error) => {
                let reasons = vec![Reason::RedoHead(error.to_string())];
                self.settle(NAME, reasons, "its head is damaged");
            }
            Ok(header) => self.check_redo_length(NAME, redo, &header),
        }
    }

    /// Returns the head of the redo log, if it can be read.
    fn redo_header(&self) -> Option<RedoHeader> {
        let redo = self.seen.redo.as_ref().filter(|redo| !redo.is_opaque)?;
        RedoHeader::parse(&redo.head).ok()
    }

    fn check_redo_length(&mut self, name: &'static str, redo: &Redo, header: &RedoHeader) {
        let positions = &self.seen.statements.positions;
        let (Some(to_lsn), Some(last_lsn)) = (positions.to_lsn, positions.last_lsn) else {
            self.note(name, Outcome::Unknown, "the checkpoints file does not say where it ends");
            return;
        };
        let first = header.first_lsn().get();
        let Some(expected) = header.file_bytes(Lsn::new(last_lsn)) else {
            if last_lsn < first {
                let reasons = vec![Reason::RedoStart { to_lsn, found: first }];
                self.settle(name, reasons, "it begins after its end");
            } else {
                self.note(name, Outcome::Unknown, "of a format before 10.8");
            }
            return;
        };
        let mut reasons: Vec<_> = heads::redo_fault(header, &redo.head).into_iter().collect();
        if redo.length != expected {
            reasons.push(Reason::RedoLength { expected, found: redo.length });
        }
        // A checkpoint during the backup moves to_lsn on; the log still begins where copying did.
        if first > to_lsn {
            reasons.push(Reason::RedoStart { to_lsn, found: first });
        }
        self.settle(name, reasons, format!("LSN {first} to {last_lsn}, {} bytes", redo.length));
    }

    fn check_system_files(&mut self) {
        const NAME: &str = "system tablespace";
        let statements = &self.seen.statements;
        let count = statements.undo_tablespaces.unwrap_or(0).min(UNDO_TABLESPACES_MAX);
        let system = statements.system_files.clone().unwrap_or_else(|| vec!["ibdata1".into()]);
        let undo = (1..=count).map(|number| format!("undo{number:03}"));
        let names: Vec<_> = system.into_iter().chain(undo).collect();
        let missing = names.iter().filter(|name| !self.has_system_file(name));
        let reasons: Vec<_> = missing.map(|name| Reason::MissingFile(name.clone())).collect();
        let is_read = self.seen.describing.get(&Describing::BackupCnf) == Some(&Described::Read);
        if reasons.is_empty() && !is_read {
            self.note(NAME, Outcome::Unknown, "ibdata1 is there, the settings can't be read");
            return;
        }
        self.settle(NAME, reasons, names.join(", "));
    }

    /// Tells whether a file of the system tablespace or an undo tablespace is there. Percona's
    /// servers call the latter `undo_001`.
    fn has_system_file(&self, name: &str) -> bool {
        let percona = name.replacen("undo", "undo_", 1);
        let there = |name: &str| self.seen.presence.has_top(name.as_bytes());
        [name, &percona].into_iter().any(|name| {
            let by_delta = self.incremental == Incremental::Yes
                && there(&format!("{name}.delta"))
                && there(&format!("{name}.meta"));
            there(name) || by_delta
        })
    }

    /// Checks that files begin as their names promise.
    fn check_heads(&mut self) {
        let odd = &self.seen.odd;
        let named = odd.paths.iter().map(|(path, found)| {
            let (path, found) = (path.to_string(), *found);
            Reason::NotWhatItIs { path, found }
        });
        let mut reasons: Vec<_> = named.collect();
        reasons.extend((odd.others > 0).then_some(Reason::MoreFiles(odd.others)));
        let found = format!("{} files are not what their names say", reasons.len());
        let detail = either(&reasons, "every file begins as its name says", &found);
        self.settle("beginnings", reasons, detail);
    }

    /// Checks that all is of one backup of one server.
    fn check_contradictions(&mut self) {
        let mut reasons = heads::contradictions(self.seen);
        reasons.extend(heads::absent(self.seen));
        let found = format!("{} things do not fit together", reasons.len());
        let detail = either(&reasons, "what is said twice is the same", &found);
        self.settle("agreement", reasons, detail);
    }

    /// Checks the files that are never empty; but a directory that is no schema, such as the
    /// `lost+found` of a file system, comes with an empty `db.opt`. A schema without tables looks
    /// the same if its `db.opt` lost its bytes, except for the one that every server has.
    fn check_empty_files(&mut self) {
        let empty = &self.seen.empty;
        let is_of_a_schema = |path: &&OwnedPath| {
            let (name, directory) = (path.as_path().file_name(), path.as_path().parent());
            name != b"db.opt"
                || directory == b"performance_schema"
                || self.seen.presence.has_tables_in(directory)
        };
        let (named, of_none): (Vec<_>, Vec<_>) = empty.paths.keys().partition(is_of_a_schema);
        self.findings.extend(of_none.into_iter().map(|path| {
            let directory = path.as_path().parent().escape_ascii().to_string();
            Finding::new(Code::EmptyDirectory, directory, "no file of a table is in it")
        }));
        let mut reasons: Vec<_> =
            named.into_iter().map(|path| Reason::EmptyFile(path.to_string())).collect();
        reasons.extend((empty.others > 0).then_some(Reason::MoreFiles(empty.others)));
        let found = format!("{} should have bytes", reasons.len());
        let detail = either(&reasons, "none that should have bytes", &found);
        self.settle("empty files", reasons, detail);
    }

    /// Checks that Aria can recover its tables.
    fn check_aria_logs(&mut self) {
        const NAME: &str = "aria logs";
        const CONTROL: &str = "aria_log_control";
        let seen = self.seen;
        let logs = &seen.aria_logs;
        if !seen.has_aria {
            self.note(NAME, Outcome::Skipped, "no table of Aria");
            return;
        }
        let first = logs.first().copied().unwrap_or(1);
        let last = logs.last().copied().unwrap_or(first);
        let numbers = (first..=last).filter(|number| !logs.contains(number)).take(LOGS_NAMED_MAX);
        let mut names: Vec<_> = numbers.map(|number| format!("aria_log.{number:08}")).collect();
        if !seen.presence.has_top(CONTROL.as_bytes()) {
            names.push(CONTROL.into());
        }
        let reasons = names.into_iter().map(Reason::MissingFile).collect();
        self.settle(NAME, reasons, format!("{CONTROL}, logs: {}", logs.len()));
    }

    /// Checks the files that something in the backup states the length of.
    fn check_lengths(&mut self) {
        let Observer { short, .. } = self.seen;
        let is_short = |(path, short): &(&OwnedPath, &Short)| self.is_short(path, short);
        let named = short.paths.iter().filter(is_short);
        let mut reasons: Vec<_> = named
            .map(|(path, short)| {
                let Short { length, stated, .. } = *short;
                Reason::ShortFile { path: path.to_string(), length, stated }
            })
            .collect();
        reasons.extend((short.others > 0).then_some(Reason::MoreFiles(short.others)));
        let found = format!("{} files are shorter than is stated", reasons.len());
        let detail = either(&reasons, "no file is shorter than is stated", &found);
        self.settle("lengths", reasons, detail);
    }

    fn is_short(&self, path: &OwnedPath, short: &Short) -> bool {
        let Observer { system, statements, .. } = self.seen;
        let files = statements.system_files.as_ref().map_or(1, Vec::len);
        if files > 1 && path.as_bytes().starts_with(b"ibdata") {
            // The first one states what all of them have together.
            let found = system.paths.values().fold(0, |sum: u64, bytes| sum.saturating_add(*bytes));
            return found < short.stated;
        }
        let Some(lsn) = short.stated_at_lsn else { return true };
        let began = self.redo_header().map(|header| header.first_lsn().get());
        // A newer page may state what the file grew by while it was opened.
        began.is_some_and(|began| lsn <= began) || short.ends_with_a_read
    }

    fn check_tables(&mut self) {
        let mut found = TablesFound::default();
        self.seen.presence.each_table(&mut |table| {
            if table.is_defined() {
                found.tables += 1;
                found.unread += u64::from(table.known.definition.is_none());
                self.check_table(table, &mut found);
            }
        });
        let TablesFound { tables, unread, others, mut reasons, mut discarded } = found;
        discarded.sort_by(|a, b| a.object.cmp(&b.object));
        self.findings.extend(discarded);
        // The tables come in the order of their hashes, which differs each night.
        reasons.sort_by_key(ToString::to_string);
        let lacking = others.saturating_add(u64::try_from(reasons.len()).unwrap_or(u64::MAX));
        let detail = match lacking {
            0 => format!("{tables} definitions, each has its files"),
            lacking => format!("{tables} definitions, {lacking} lack something"),
        };
        let detail = match unread {
            0 => detail,
            unread => format!("{detail}, {unread} can't be read"),
        };
        self.settle("tables", reasons, detail);
    }

    fn check_table(&self, table: &Table<'_>, found: &mut TablesFound) {
        let Some(definition) = table.known.definition else { return };
        let missing = definition.missing(|suffix| table.has(suffix, self.incremental));
        if let Some((suffix, is_certain)) = self.missing_suffix(missing, &table.known) {
            let table = table.name();
            if is_certain && suffix == TABLESPACE {
                match self.discarded(&table) {
                    Some(finding) => found.discarded.push(finding),
                    None => found.add(Reason::MissingTablespace(table)),
                }
            } else if is_certain {
                found.add(Reason::MissingTableFile { table, suffix });
            } else {
                found.add(Reason::PerhapsMissing { table, suffix });
            }
        }
        if let Some(fault) = table.known.data_fault() {
            found.add(data_reason(&table.name(), fault));
        }
        let Frm::Partitioned(engine) = definition else { return };
        // Without any partition the table may lie in the system tablespace, which was said above.
        if !table.has("#P#", self.incremental) {
            return;
        }
        for (partition_name, partition) in table.listed_partitions() {
            let has = |suffix| partition.is_some_and(|it| it.has(suffix, self.incremental));
            let missing = match Frm::Table(engine).missing(has) {
                // The others are there, and one alone is never elsewhere.
                Missing::Perhaps(suffix) | Missing::Certain(suffix) => Some(suffix),
                Missing::Nothing => None,
            };
            let partition_name = || partition_name.escape_ascii().to_string();
            if let Some(suffix) = missing {
                let (table, partition) = (table.name(), partition_name());
                found.add(Reason::MissingPartition { table, partition, suffix });
            }
            if let Some(fault) = partition.and_then(Known::data_fault) {
                found.add(data_reason(&format!("{}#P#{}", table.name(), partition_name()), fault));
            }
        }
    }

    /// Returns the finding that a table has no tablespace, if the user has accepted that.
    fn discarded(&self, table: &str) -> Option<Finding> {
        let text = "it is defined but has no .ibd file, and its rows are not in this backup";
        let finding = Finding::new(Code::DiscardedTablespace, table, text);
        self.accepted.iter().any(|accepted| accepted.covers(&finding)).then_some(finding)
    }

    /// Returns what is missing of a table, and whether it can't be elsewhere.
    fn missing_suffix(&self, missing: Missing, known: &Known) -> Option<(&'static str, bool)> {
        match missing {
            Missing::Certain(suffix) => Some((suffix, true)),
            Missing::Perhaps(suffix) => Some((suffix, self.seen.shared == SharedTables::Excluded)),
            Missing::Nothing if known.lacks_meta() => Some((".meta", true)),
            Missing::Nothing => None,
        }
    }

    /// Checks that renames and removals took all files of a table along.
    fn check_left_over(&mut self) {
        let seen = self.seen;
        let mut reasons = Vec::new();
        for table in &seen.changed {
            let path = StreamPath::new(table).expect("it is the beginning of a path");
            if let Some(suffix) = seen.presence.left_over(path) {
                reasons.push(Reason::LeftOver(format!("{path}{suffix}")));
            }
        }
        let detail = match seen.changed.len() {
            0 => "no file was renamed or removed meanwhile".to_owned(),
            tables => format!("files of {tables} tables were renamed or removed meanwhile"),
        };
        self.settle("changed tables", reasons, detail);
    }

    fn check_renames(&mut self) {
        let seen = self.seen;
        let lost = seen.lost.paths.iter();
        let lost = lost.filter(|(to, _)| seen.presence.has(to.as_path()) == Some(false));
        let named = lost.map(|(to, from)| {
            let (from, to) = (from.to_string(), to.to_string());
            Reason::LostRename { from, to }
        });
        let mut reasons: Vec<_> = named.collect();
        reasons.extend((seen.lost.others > 0).then_some(Reason::MoreFiles(seen.lost.others)));
        let found = format!("{} files never came", reasons.len());
        let detail = either(&reasons, "every file that was renamed is there", &found);
        self.settle("renames", reasons, detail);
    }

    fn check_pages(&mut self, pages: &PageFindings) {
        const NAME: &str = "pages";
        let named = u64::try_from(pages.corrupt.len()).unwrap_or(u64::MAX);
        let others = pages.corrupt_count.saturating_sub(named);
        let mut reasons: Vec<_> =
            pages.corrupt.iter().map(|page| Reason::CorruptPage(page.clone())).collect();
        reasons.extend((others > 0).then_some(Reason::MoreCorruptPages(others)));
        if pages.pages == 0 && reasons.is_empty() {
            self.note(NAME, Outcome::Unknown, "no page was looked at");
            return;
        }
        let PageFindings { pages, unverifiable, corrupt_count, .. } = pages;
        let detail = format!("{pages} pages, {corrupt_count} corrupt, {unverifiable} unverifiable");
        self.settle(NAME, reasons, detail);
    }

    fn check_newest_page(&mut self, newest: Option<(u64, String)>) {
        const NAME: &str = "page lsn";
        let (Some((lsn, page)), Some(last_lsn)) = (newest, self.seen.statements.positions.last_lsn)
        else {
            self.note(NAME, Outcome::Unknown, "no page or no last_lsn to compare");
            return;
        };
        let detail = format!("newest {lsn}, log ends at {last_lsn}");
        let future = (lsn > last_lsn).then_some(Reason::FutureLsn { page, lsn, last_lsn });
        self.settle(NAME, future.into_iter().collect(), detail);
    }

    fn check_corrupt_at_source(&mut self) {
        const NAME: &str = "corrupt at source";
        let Some(described) = self.seen.describing.get(&Describing::CorruptedPages) else {
            self.settle(NAME, Vec::new(), "the producer lists none");
            return;
        };
        let lines = &self.seen.statements.corrupted_pages;
        let mut reasons: Vec<_> = lines.iter().cloned().map(Reason::CorruptAtSource).collect();
        if reasons.is_empty() {
            reasons.push(Reason::CorruptAtSource(format!("something ({described:?})")));
        }
        self.settle(NAME, reasons, "the producer passed corrupt pages on");
    }
}

/// Returns what to say of a check that found nothing, or something.
fn either(reasons: &[Reason], nothing: &str, something: &str) -> String {
    if reasons.is_empty() { nothing.into() } else { something.into() }
}

/// Numbers and reasons from looking at all tables.
#[derive(Debug, Default)]
struct TablesFound {
    tables: u64,
    unread: u64,
    reasons: Vec<Reason>,
    /// Notes that are only counted.
    others: u64,
    /// Tables without a tablespace, which was accepted.
    discarded: Vec<Finding>,
}

impl TablesFound {
    fn add(&mut self, reason: Reason) {
        if self.reasons.len() < TABLES_NAMED_MAX || reason.weight() > Weight::Note {
            self.reasons.push(reason);
        } else {
            self.others += 1;
        }
    }
}

/// Says what is wrong with the data file of a table or partition.
fn data_reason(table: &str, (suffix, data, fault): (&'static str, Data, DataFault)) -> Reason {
    let path = format!("{table}{suffix}");
    match fault {
        DataFault::Bytes { stated } => Reason::ShortFile { path, length: data.length, stated },
        DataFault::Rows { stated } => Reason::FewRows { path, rows: data.line_ends, stated },
        DataFault::CutLine => Reason::CutRow(path),
    }
}
