//! The judgement on an mbstream: every check, made once the stream has ended.
//!
//! Each check is a function that adds one line to the checklist and any number of reasons. So no
//! check can overrule another, and a check that could not be made can't be mistaken for one that
//! passed.
//!
//! It does not know how severe is severe enough for the caller, and never says "retry".

use crate::base::num::u64_of;
use crate::base::producer::ProducerExit;
use crate::format::snapshot::Positions;
use crate::format::snapshot::SnapshotKind;
use crate::format::snapshot::StreamFormat;
use crate::format::snapshot::Verdict;
use crate::innodb::Lsn;
use crate::innodb::frm::Frm;
use crate::innodb::frm::Missing;
use crate::innodb::redo::RedoHeader;
use crate::parse::path::OwnedPath;
use crate::parse::path::StreamPath;
use crate::verdict::arrived::Table;
use crate::verdict::check::Check;
use crate::verdict::check::CheckName;
use crate::verdict::check::Outcome;
use crate::verdict::conclusion::Conclusion;
use crate::verdict::contradictions;
use crate::verdict::evidence::DeltaFiles;
use crate::verdict::evidence::MbstreamFacts;
use crate::verdict::evidence::PageFindings;
use crate::verdict::evidence::Producer;
use crate::verdict::evidence::StreamFaults;
use crate::verdict::finding::Acceptance;
use crate::verdict::finding::Code;
use crate::verdict::finding::Finding;
use crate::verdict::heads;
use crate::verdict::lengths::Data;
use crate::verdict::lengths::DataFault;
use crate::verdict::lengths::Short;
use crate::verdict::metadata::Describing;
use crate::verdict::metadata::first_lack;
use crate::verdict::observer::Described;
use crate::verdict::observer::Observer;
use crate::verdict::observer::Redo;
use crate::verdict::reason::Reason;
use crate::verdict::reason::mbstream::MbstreamReason;
use crate::verdict::reason::producer::ProducerReason;
use crate::verdict::shared::SharedTables;
use crate::verdict::table_state::Incremental;
use crate::verdict::table_state::TableState;

/// Tables that are named as missing something; more are only counted.
const TABLES_NAMED_MAX: usize = 1_000;

/// Logs of Aria that are named as missing.
const LOGS_NAMED_MAX: usize = 10;

/// Undo tablespaces that a server may have.
const UNDO_TABLESPACES_MAX: u64 = 127;

/// The suffix of the files of tablespaces.
const TABLESPACE: &str = ".ibd";

/// Judges an mbstream that has ended.
pub(super) fn judge(
    facts: MbstreamFacts,
    producer: &Producer,
    pages: &PageFindings,
    accepted: &[Acceptance],
) -> Conclusion {
    let MbstreamFacts { observer, faults, deltas } = facts;
    let mut judge = Judge::new(&observer, accepted);
    judge.check_producer(producer);
    judge.check_stream(faults);
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
    judge.check_pages(pages);
    judge.check_newest_page(pages.newest.clone());
    judge.check_corrupt_at_source();
    judge.check_content();
    judge.check_temporary_files();
    // Stable, so that reasons of one verdict stay in the order of the checklist.
    judge.reasons.sort_by_key(|reason| std::cmp::Reverse(reason.verdict()));
    let kind = kind_of(&observer.statements.positions, &deltas);
    judge.check_deltas(deltas);
    let Judge { reasons, checks, findings, .. } = judge;
    let positions = observer.statements.positions;
    Conclusion {
        kind,
        reasons,
        checks,
        findings,
        positions,
        ..Conclusion::new(StreamFormat::Mbstream)
    }
}

/// Returns what the stream is; changed pages show it even if the stream was cut before it says so.
fn kind_of(positions: &Positions, deltas: &DeltaFiles) -> SnapshotKind {
    let stated = positions.backup_type.as_deref();
    if stated == Some("incremental") || (stated.is_none() && deltas.files > 0) {
        SnapshotKind::Incremental
    } else {
        SnapshotKind::Full
    }
}

/// The checks made so far.
#[derive(Debug)]
struct Judge<'a> {
    seen: &'a Observer,
    accepted: &'a [Acceptance],
    incremental: Incremental,
    reasons: Vec<Reason>,
    checks: Vec<Check>,
    findings: Vec<Finding>,
}

impl<'a> Judge<'a> {
    fn new(seen: &'a Observer, accepted: &'a [Acceptance]) -> Self {
        let is_incremental =
            seen.statements.positions.backup_type.as_deref() == Some("incremental");
        let incremental = if is_incremental { Incremental::Yes } else { Incremental::No };
        let (reasons, checks, findings) = (Vec::new(), Vec::new(), Vec::new());
        Self { seen, accepted, incremental, reasons, checks, findings }
    }

    fn record(&mut self, name: CheckName, outcome: Outcome, detail: impl Into<String>) {
        self.checks.push(Check::new(name, outcome, detail));
    }

    /// Records a check that passed if there is no reason, and failed otherwise.
    fn judge(&mut self, name: CheckName, found: Vec<MbstreamReason>, detail: impl Into<String>) {
        let faults = found.iter().filter(|reason| reason.verdict() > Verdict::Complete).count();
        self.record(name, Outcome::of_faults(faults), detail);
        self.reasons.extend(found.into_iter().map(Reason::Mbstream));
    }

    /// Checks that all that was noted of the tables' files could be looked at.
    fn check_temporary_files(&mut self) {
        if self.seen.arrived.is_unreadable() {
            let (lost, detail) =
                (MbstreamReason::NotesLost, "those of some tables' files are lost");
            self.judge(CheckName::TemporaryFiles, vec![lost], detail);
        }
    }

    /// Tells what is lost if files come compressed or encrypted.
    fn check_content(&mut self) {
        if let Some(words) = self.seen.wrapped.words() {
            self.record(CheckName::HiddenContent, Outcome::Unknown, words);
        }
    }

    fn check_producer(&mut self, producer: &Producer) {
        let exit = ProducerReason::new(producer.exit, StreamFormat::Mbstream);
        let said = match producer.completed_ok_seen {
            Some(true) => None,
            Some(false) => Some(MbstreamReason::NotCompletedOk),
            // One that is not seen to exit is not heard either: saying so once is enough.
            None if producer.exit == ProducerExit::Unseen => None,
            None => Some(MbstreamReason::MessagesUnseen),
        };
        let exit = exit.map(Reason::Producer);
        let reasons: Vec<Reason> = exit.into_iter().chain(said.map(Reason::Mbstream)).collect();
        let (outcome, detail) = match reasons.iter().map(Reason::verdict).max() {
            None => (Outcome::Passed, "exit status 0, completed OK!"),
            Some(Verdict::Unattested) => (Outcome::Unknown, "how it ended was not seen"),
            Some(_) => (Outcome::Failed, "it failed"),
        };
        self.record(CheckName::Producer, outcome, detail);
        self.reasons.extend(reasons);
    }

    fn check_stream(&mut self, faults: StreamFaults) {
        let kept = u64_of(faults.kept.len());
        let others = faults.count.saturating_sub(kept);
        let mut reasons: Vec<_> = faults.kept.into_iter().map(MbstreamReason::Fault).collect();
        if others > 0 {
            reasons.push(MbstreamReason::MoreFaults(others));
        }
        let detail = match faults.count {
            0 => "clean end, every file ended, every crc right".to_owned(),
            count => format!("{count} faults"),
        };
        self.judge(CheckName::Stream, reasons, detail);
    }

    /// Checks the files that a producer writes at the very end.
    fn check_describing(&mut self) {
        let seen = self.seen;
        let positions = &seen.statements.positions;
        let mut reasons = Vec::new();
        let mut wrapped = Vec::new();
        for kind in [Describing::Checkpoints, Describing::BackupCnf, Describing::Info] {
            match seen.describing.get(&kind) {
                None => reasons.push(MbstreamReason::MissingFile(kind.name().into())),
                Some(Described::Wrapped) => wrapped.push(kind.name()),
                Some(Described::TooLong) => {
                    let lacks = "end within 64 KiB";
                    reasons.push(MbstreamReason::UnreadableFile { name: kind.name(), lacks });
                }
                Some(Described::Read) => {
                    let name = kind.name();
                    let lacks = first_lack(kind, positions);
                    reasons
                        .extend(lacks.map(|lacks| MbstreamReason::UnreadableFile { name, lacks }));
                }
            }
        }
        match positions.backup_type.as_deref() {
            None | Some("full-backuped" | "incremental") => {}
            Some(other) => reasons.push(MbstreamReason::WrongType(other.into())),
        }
        if seen.statements.is_selection == Some(true) {
            reasons.push(MbstreamReason::Selection);
        }
        let detail = match wrapped.as_slice() {
            [] => "checkpoints, settings and info".to_owned(),
            wrapped => format!("there, but compressed or encrypted: {}", wrapped.join(", ")),
        };
        self.judge(CheckName::DescribingFiles, reasons, detail);
    }

    /// Checks that the position that a replica starts from is where it is looked for.
    fn check_binlog_position(&mut self) {
        const NAME: CheckName = CheckName::BinlogPosition;
        let seen = self.seen;
        let name = Describing::BinlogInfo.name();
        let reason = match seen.describing.get(&Describing::BinlogInfo) {
            None if seen.statements.info_has_binlog => {
                Some(MbstreamReason::MissingFile(name.into()))
            }
            None => {
                self.record(NAME, Outcome::Skipped, "none is stated: no binary log at the source");
                return;
            }
            Some(Described::Wrapped) => {
                self.record(NAME, Outcome::Unknown, "there, but compressed or encrypted");
                return;
            }
            Some(Described::Read) if seen.statements.binlog_info_is_read => None,
            Some(Described::Read | Described::TooLong) => {
                Some(MbstreamReason::UnreadableFile { name, lacks: "file and position" })
            }
        };
        let file = seen.statements.positions.binlog_file.as_deref().unwrap_or("not readable");
        self.judge(NAME, reason.into_iter().collect(), file);
    }

    fn check_order(&mut self) {
        let after = self.seen.after_info.as_ref();
        let reason = after.map(|path| MbstreamReason::AfterTheEnd(path.to_string()));
        let reasons: Vec<_> = reason.into_iter().collect();
        let detail = either(&reasons, "the info file is the last", "the info file is not the last");
        self.judge(CheckName::Order, reasons, detail);
    }

    fn check_redo(&mut self) {
        const NAME: CheckName = CheckName::RedoLog;
        let Some(redo) = &self.seen.redo else {
            let reasons = vec![MbstreamReason::MissingFile("ib_logfile0".into())];
            self.judge(NAME, reasons, "not there, or not to its end");
            return;
        };
        if redo.is_opaque {
            self.record(NAME, Outcome::Unknown, "it is compressed, encrypted or of another tool");
            return;
        }
        match RedoHeader::parse(&redo.head) {
            Err(error) => {
                let reasons = vec![MbstreamReason::RedoHead(error.to_string())];
                self.judge(NAME, reasons, "its head is damaged");
            }
            Ok(header) => self.check_redo_length(NAME, redo, &header),
        }
    }

    /// Returns the head of the redo log, if it can be read.
    fn redo_header(&self) -> Option<RedoHeader> {
        let redo = self.seen.redo.as_ref().filter(|redo| !redo.is_opaque)?;
        RedoHeader::parse(&redo.head).ok()
    }

    fn check_redo_length(&mut self, name: CheckName, redo: &Redo, header: &RedoHeader) {
        let positions = &self.seen.statements.positions;
        let (Some(to_lsn), Some(last_lsn)) = (positions.to_lsn, positions.last_lsn) else {
            self.record(name, Outcome::Unknown, "the checkpoints file does not say where it ends");
            return;
        };
        let first = header.first_lsn().get();
        let Some(expected) = header.file_bytes(Lsn::new(last_lsn)) else {
            if last_lsn < first {
                let reasons = vec![MbstreamReason::RedoStart { to_lsn, found: first }];
                self.judge(name, reasons, "it begins after its end");
            } else {
                self.record(name, Outcome::Unknown, "of a format before 10.8");
            }
            return;
        };
        let mut reasons: Vec<_> = heads::redo_fault(header, &redo.head).into_iter().collect();
        if redo.length != expected {
            reasons.push(MbstreamReason::RedoLength { expected, found: redo.length });
        }
        // A checkpoint during the backup moves to_lsn on; the log still begins where copying did.
        if first > to_lsn {
            reasons.push(MbstreamReason::RedoStart { to_lsn, found: first });
        }
        self.judge(name, reasons, format!("LSN {first} to {last_lsn}, {} bytes", redo.length));
    }

    fn check_system_files(&mut self) {
        const NAME: CheckName = CheckName::SystemTablespace;
        let statements = &self.seen.statements;
        let count = statements.undo_tablespaces.unwrap_or(0).min(UNDO_TABLESPACES_MAX);
        let system = statements.system_files.clone().unwrap_or_else(|| vec!["ibdata1".into()]);
        let undo = (1..=count).map(|number| format!("undo{number:03}"));
        let names: Vec<_> = system.into_iter().chain(undo).collect();
        let missing = names.iter().filter(|name| !self.has_system_file(name));
        let reasons: Vec<_> =
            missing.map(|name| MbstreamReason::MissingFile(name.clone())).collect();
        let is_read = self.seen.describing.get(&Describing::BackupCnf) == Some(&Described::Read);
        if reasons.is_empty() && !is_read {
            self.record(NAME, Outcome::Unknown, "ibdata1 is there, the settings can't be read");
            return;
        }
        self.judge(NAME, reasons, names.join(", "));
    }

    /// Tells whether a file of the system tablespace or an undo tablespace is there. Percona's
    /// servers call the latter `undo_001`.
    fn has_system_file(&self, name: &str) -> bool {
        let percona = name.replacen("undo", "undo_", 1);
        let there = |name: &str| self.seen.arrived.has_top(name.as_bytes());
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
            MbstreamReason::NotWhatItIs { path, found }
        });
        let mut reasons: Vec<_> = named.collect();
        reasons.extend((odd.others > 0).then_some(MbstreamReason::MoreFiles(odd.others)));
        let found = format!("{} files are not what their names say", reasons.len());
        let detail = either(&reasons, "every file begins as its name says", &found);
        self.judge(CheckName::Beginnings, reasons, detail);
    }

    /// Checks that all is of one backup of one server.
    fn check_contradictions(&mut self) {
        let mut reasons = contradictions::contradictions(self.seen);
        reasons.extend(contradictions::absent(self.seen));
        let found = format!("{} things do not fit together", reasons.len());
        let detail = either(&reasons, "what is said twice is the same", &found);
        self.judge(CheckName::Agreement, reasons, detail);
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
                || self.seen.arrived.has_tables_in(directory)
        };
        let (named, of_none): (Vec<_>, Vec<_>) = empty.paths.keys().partition(is_of_a_schema);
        self.findings.extend(of_none.into_iter().map(|path| {
            let directory = path.as_path().parent().escape_ascii().to_string();
            Finding::new(Code::EmptyDirectory, directory, "no file of a table is in it")
        }));
        let mut reasons: Vec<_> =
            named.into_iter().map(|path| MbstreamReason::EmptyFile(path.to_string())).collect();
        reasons.extend((empty.others > 0).then_some(MbstreamReason::MoreFiles(empty.others)));
        let found = format!("{} should have bytes", reasons.len());
        let detail = either(&reasons, "none that should have bytes", &found);
        self.judge(CheckName::EmptyFiles, reasons, detail);
    }

    /// Checks that Aria can recover its tables.
    fn check_aria_logs(&mut self) {
        const NAME: CheckName = CheckName::AriaLogs;
        const CONTROL: &str = "aria_log_control";
        let seen = self.seen;
        let logs = &seen.aria_logs;
        if !seen.has_aria {
            self.record(NAME, Outcome::Skipped, "no table of Aria");
            return;
        }
        let first = logs.first().copied().unwrap_or(1);
        let last = logs.last().copied().unwrap_or(first);
        let numbers = (first..=last).filter(|number| !logs.contains(number)).take(LOGS_NAMED_MAX);
        let mut names: Vec<_> = numbers.map(|number| format!("aria_log.{number:08}")).collect();
        if !seen.arrived.has_top(CONTROL.as_bytes()) {
            names.push(CONTROL.into());
        }
        let reasons = names.into_iter().map(MbstreamReason::MissingFile).collect();
        self.judge(NAME, reasons, format!("{CONTROL}, logs: {}", logs.len()));
    }

    /// Checks the files that something in the backup states the length of.
    fn check_lengths(&mut self) {
        let Observer { short, .. } = self.seen;
        let is_short = |(path, short): &(&OwnedPath, &Short)| self.is_short(path, short);
        let named = short.paths.iter().filter(is_short);
        let mut reasons: Vec<_> = named
            .map(|(path, short)| {
                let Short { length, stated, .. } = *short;
                MbstreamReason::ShortFile { path: path.to_string(), length, stated }
            })
            .collect();
        reasons.extend((short.others > 0).then_some(MbstreamReason::MoreFiles(short.others)));
        let found = format!("{} files are shorter than is stated", reasons.len());
        let detail = either(&reasons, "no file is shorter than is stated", &found);
        self.judge(CheckName::Lengths, reasons, detail);
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
        self.seen.arrived.each_table(&mut |table| {
            if table.is_defined() {
                found.tables += 1;
                found.unread += u64::from(table.state.definition.is_none());
                self.check_table(table, &mut found);
            }
        });
        let TablesFound { tables, unread, others, mut reasons, mut discarded } = found;
        discarded.sort_by(|a, b| a.object.cmp(&b.object));
        self.findings.extend(discarded);
        // The tables come in the order of their hashes, which differs each night.
        reasons.sort_by_key(ToString::to_string);
        let lacking = others.saturating_add(u64_of(reasons.len()));
        let detail = match lacking {
            0 => format!("{tables} definitions, each has its files"),
            lacking => format!("{tables} definitions, {lacking} lack something"),
        };
        let detail = match unread {
            0 => detail,
            unread => format!("{detail}, {unread} can't be read"),
        };
        self.judge(CheckName::Tables, reasons, detail);
    }

    fn check_table(&self, table: &Table<'_>, found: &mut TablesFound) {
        let Some(definition) = table.state.definition else { return };
        let missing = definition.missing(|suffix| table.has(suffix, self.incremental));
        if let Some((suffix, is_certain)) = self.missing_suffix(missing, &table.state) {
            let table = table.name();
            if is_certain && suffix == TABLESPACE {
                match self.discarded(&table) {
                    Some(finding) => found.discarded.push(finding),
                    None => found.add(MbstreamReason::MissingTablespace(table)),
                }
            } else if is_certain {
                found.add(MbstreamReason::MissingTableFile { table, suffix });
            } else {
                found.add(MbstreamReason::PerhapsMissing { table, suffix });
            }
        }
        if let Some((suffix, data, fault)) = table.state.data_fault() {
            found.add(data_reason(&table.name(), suffix, data, fault));
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
                found.add(MbstreamReason::MissingPartition { table, partition, suffix });
            }
            if let Some((suffix, data, fault)) = partition.and_then(TableState::data_fault) {
                let name = format!("{}#P#{}", table.name(), partition_name());
                found.add(data_reason(&name, suffix, data, fault));
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
    fn missing_suffix(&self, missing: Missing, state: &TableState) -> Option<(&'static str, bool)> {
        match missing {
            Missing::Certain(suffix) => Some((suffix, true)),
            Missing::Perhaps(suffix) => Some((suffix, self.seen.shared == SharedTables::Excluded)),
            Missing::Nothing if state.lacks_meta() => Some((".meta", true)),
            Missing::Nothing => None,
        }
    }

    /// Checks that renames and removals took all files of a table along.
    fn check_left_over(&mut self) {
        let seen = self.seen;
        let mut reasons = Vec::new();
        for table in &seen.changed {
            let path = StreamPath::new(table).expect("it is the beginning of a path");
            if let Some(suffix) = seen.arrived.left_over(path) {
                reasons.push(MbstreamReason::LeftOver(format!("{path}{suffix}")));
            }
        }
        let detail = match seen.changed.len() {
            0 => "no file was renamed or removed during the backup".to_owned(),
            tables => format!("files of {tables} tables were renamed or removed during the backup"),
        };
        self.judge(CheckName::ChangedTables, reasons, detail);
    }

    fn check_renames(&mut self) {
        let seen = self.seen;
        let lost = seen.lost.paths.iter();
        let lost = lost.filter(|(to, _)| seen.arrived.has(to.as_path()) == Some(false));
        let named = lost.map(|(to, from)| {
            let (from, to) = (from.to_string(), to.to_string());
            MbstreamReason::LostRename { from, to }
        });
        let mut reasons: Vec<_> = named.collect();
        reasons
            .extend((seen.lost.others > 0).then_some(MbstreamReason::MoreFiles(seen.lost.others)));
        let found = format!("{} files never came", reasons.len());
        let detail = either(&reasons, "every file that was renamed is there", &found);
        self.judge(CheckName::Renames, reasons, detail);
    }

    fn check_pages(&mut self, pages: &PageFindings) {
        const NAME: CheckName = CheckName::Pages;
        let named = u64_of(pages.corrupt.len());
        let others = pages.corrupt_count.saturating_sub(named);
        let mut reasons: Vec<_> =
            pages.corrupt.iter().map(|page| MbstreamReason::CorruptPage(page.clone())).collect();
        reasons.extend((others > 0).then_some(MbstreamReason::MoreCorruptPages(others)));
        if pages.pages == 0 && reasons.is_empty() {
            self.record(NAME, Outcome::Unknown, "no page was looked at");
            return;
        }
        let PageFindings { pages, unverifiable, corrupt_count, .. } = pages;
        let detail = format!("{pages} pages, {corrupt_count} corrupt, {unverifiable} unverifiable");
        self.judge(NAME, reasons, detail);
    }

    fn check_newest_page(&mut self, newest: Option<(u64, String)>) {
        const NAME: CheckName = CheckName::PageLsn;
        let (Some((lsn, page)), Some(last_lsn)) = (newest, self.seen.statements.positions.last_lsn)
        else {
            self.record(NAME, Outcome::Unknown, "no page or no last_lsn to compare");
            return;
        };
        let detail = format!("newest {lsn}, log ends at {last_lsn}");
        let future = (lsn > last_lsn).then_some(MbstreamReason::FutureLsn { page, lsn, last_lsn });
        self.judge(NAME, future.into_iter().collect(), detail);
    }

    fn check_corrupt_at_source(&mut self) {
        const NAME: CheckName = CheckName::CorruptAtSource;
        let Some(described) = self.seen.describing.get(&Describing::CorruptedPages) else {
            self.judge(NAME, Vec::new(), "the producer lists none");
            return;
        };
        let lines = &self.seen.statements.corrupted_pages;
        let mut reasons: Vec<_> =
            lines.iter().cloned().map(MbstreamReason::CorruptAtSource).collect();
        if reasons.is_empty() {
            reasons.push(MbstreamReason::CorruptAtSource(format!("something ({described:?})")));
        }
        self.judge(NAME, reasons, "the producer passed corrupt pages on");
    }
    /// Checks that files of changed pages can be applied.
    fn check_deltas(&mut self, deltas: DeltaFiles) {
        let DeltaFiles { files, broken, broken_others } = deltas;
        let count = u64_of(broken.len()) + broken_others;
        if files == 0 && count == 0 {
            return;
        }
        let others = (broken_others > 0).then_some(MbstreamReason::MoreBrokenDeltas(broken_others));
        let reasons = broken.into_iter().map(MbstreamReason::BrokenDelta).chain(others).collect();
        let detail = format!("{files} files, {count} broken");
        self.judge(CheckName::ChangedPages, reasons, detail);
    }
}

/// Returns what to say of a check that found nothing, or something.
fn either(reasons: &[MbstreamReason], nothing: &str, something: &str) -> String {
    if reasons.is_empty() { nothing.into() } else { something.into() }
}

/// Numbers and reasons from looking at all tables.
#[derive(Debug, Default)]
struct TablesFound {
    tables: u64,
    unread: u64,
    reasons: Vec<MbstreamReason>,
    /// Records that are only counted.
    others: u64,
    /// Tables without a tablespace, which was accepted.
    discarded: Vec<Finding>,
}

impl TablesFound {
    fn add(&mut self, reason: MbstreamReason) {
        if self.reasons.len() < TABLES_NAMED_MAX || reason.verdict() > Verdict::Complete {
            self.reasons.push(reason);
        } else {
            self.others += 1;
        }
    }
}

/// Says what is wrong with the data file of a table or partition.
fn data_reason(table: &str, suffix: &'static str, data: Data, fault: DataFault) -> MbstreamReason {
    let path = format!("{table}{suffix}");
    match fault {
        DataFault::Bytes { stated } => {
            MbstreamReason::ShortFile { path, length: data.length, stated }
        }
        DataFault::Rows { stated } => {
            MbstreamReason::FewRows { path, rows: data.line_ends, stated }
        }
        DataFault::CutLine => MbstreamReason::CutRow(path),
    }
}
