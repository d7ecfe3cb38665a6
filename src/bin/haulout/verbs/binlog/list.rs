//! `binlog list`: the stretches of history that are stored, and the gaps between them.

use std::collections::BTreeSet;

use haulout::ops::binlog;
use haulout::ops::binlog::BINLOG_SUFFIX;
use haulout::ops::binlog::Begins;
use haulout::ops::binlog::Coverage;
use haulout::ops::binlog::Stretch;
use haulout::repo::Repository;
use serde::Serialize;

use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::open::run::Run;
use crate::output::text::Canvas;
use crate::output::units;
use crate::verbs::binlog::args::ListArguments;

/// The JSON report: a source.
#[derive(Debug, Serialize)]
struct Listed {
    source: String,
    gaps: usize,
    stretches: Vec<ListedStretch>,
    differing: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ListedStretch {
    begins: Begins,
    server_id: Option<u32>,
    from: End,
    to: End,
    bytes: u64,
    files: Vec<ListedFile>,
    open: Option<ListedOpen>,
}

/// One end of a stretch.
#[derive(Debug, Serialize)]
struct End {
    file: Option<String>,
    gtids: Option<String>,
    time: Option<u64>,
}

#[derive(Debug, Serialize)]
struct ListedFile {
    file: String,
    snapshot: String,
    bytes: u64,
    before: String,
    after: String,
    first_time: Option<u64>,
    last_time: Option<u64>,
}

#[derive(Debug, Serialize)]
struct ListedOpen {
    file: String,
    bytes: u64,
    after: String,
    stored: u64,
}

impl Run<'_> {
    /// Lists the stretches that are stored.
    pub(super) fn list_binlogs(&self, typed: &ListArguments) -> Outcome<Exit> {
        let repository = self.repository()?;
        let sources = match &typed.source {
            Some(source) => vec![source.trim_end_matches(BINLOG_SUFFIX).to_owned()],
            None => sources_of(&repository)?,
        };
        let (mut listed, mut findings) = (Vec::new(), 0);
        for source in sources {
            let found = binlog::coverage(&repository, &source)?;
            if found.stretches.is_empty() && found.damaged.is_empty() {
                return Err(Failure::usage(
                    format!("no binary log of {source} is stored"),
                    "haulout binlog archive JOB stores them",
                ));
            }
            for error in &found.damaged {
                self.report.console.warning(error.with_causes());
            }
            findings += found.gaps() + found.damaged.len() + found.differing.len();
            listed.push(Listed::new(source, &found));
        }
        let words = || {
            let each = listed.iter().map(|source| source.in_words(typed, self.report.canvas));
            let all: String = each.collect();
            if all.is_empty() { "there are no binary logs\n".to_owned() } else { all }
        };
        self.report.result(&listed, words)?;
        Ok(Exit::with(findings))
    }
}

/// Returns the sources of which binary logs are stored.
fn sources_of(repository: &Repository) -> Outcome<Vec<String>> {
    let mut names = BTreeSet::new();
    for described in repository.descriptions()?.snapshots {
        let about = described.about;
        if about.binlog.is_some()
            && let Some(name) = about.source.strip_suffix(BINLOG_SUFFIX)
        {
            names.insert(name.to_owned());
        }
    }
    Ok(names.into_iter().collect())
}

impl Listed {
    fn new(source: String, found: &Coverage) -> Self {
        let differing = found.differing.iter();
        Self {
            source,
            gaps: found.gaps(),
            stretches: found.stretches.iter().map(ListedStretch::new).collect(),
            differing: differing.map(|head| format!("{} at {}", head.file, head.start)).collect(),
        }
    }

    fn in_words(&self, typed: &ListArguments, canvas: Canvas) -> String {
        let mut out = format!("{}\n", self.source);
        for stretch in &self.stretches {
            out += &stretch.in_words(canvas);
            let files = if typed.files { &stretch.files[..] } else { &[] };
            out.extend(files.iter().map(ListedFile::in_words));
        }
        let differs = |segment| format!("  differs from the closed file: a segment of {segment}\n");
        out.extend(self.differing.iter().map(differs));
        out
    }
}

impl ListedFile {
    fn in_words(&self) -> String {
        let id = self.snapshot.get(..8).unwrap_or(&self.snapshot);
        let bytes = units::size(self.bytes);
        format!("    {} {id} {bytes}, up to {}\n", self.file, self.after)
    }
}

impl ListedStretch {
    fn new(stretch: &Stretch) -> Self {
        let files = stretch.files.iter().map(|file| ListedFile {
            file: file.index.file.clone(),
            snapshot: file.snapshot.to_string(),
            bytes: file.index.bytes,
            before: file.index.before.to_string(),
            after: file.index.after.to_string(),
            first_time: file.index.first_time,
            last_time: file.index.last_time,
        });
        let files: Vec<ListedFile> = files.collect();
        let open = stretch.open.as_ref().map(|open| ListedOpen {
            file: open.head.file.clone(),
            bytes: open.head.end,
            after: open.head.after.to_string(),
            stored: open.head.time,
        });
        let open_file = open.as_ref().map(|open| open.file.clone());
        let first = files.first().map(|file| file.file.clone());
        let last = files.last().map(|file| file.file.clone());
        Self {
            begins: stretch.begins,
            server_id: stretch.server_id(),
            from: End {
                file: first.or_else(|| open_file.clone()),
                gtids: stretch.before().map(ToString::to_string),
                time: stretch.first_time(),
            },
            to: End {
                file: open_file.or(last),
                gtids: stretch.after().map(ToString::to_string),
                time: stretch.last_time(),
            },
            bytes: stretch.bytes(),
            files,
            open,
        }
    }

    fn in_words(&self, canvas: Canvas) -> String {
        let gtids = |end: &End| match end.gtids.as_deref() {
            None | Some("") => "the beginning".to_owned(),
            Some(gtids) => gtids.to_owned(),
        };
        let time = |end: &End| end.time.map_or("?".to_owned(), |time| canvas.time(time));
        let why = match self.begins {
            Begins::First => String::new(),
            Begins::Gap => format!("  GAP before {}\n", gtids(&self.from)),
            Begins::Reset => "  the server began its binary logs anew\n".to_owned(),
            Begins::Replaced => "  another server goes on\n".to_owned(),
            Begins::Open => "  behind segments of a file that was not stored closed\n".to_owned(),
        };
        let file = |end: &End| end.file.clone().unwrap_or_default();
        let open = match &self.open {
            Some(open) => format!(", {} of it open", units::size(open.bytes)),
            None => String::new(),
        };
        format!(
            "{why}  {} to {}\n  from {} to {}\n  {} to {}, {}{open}\n",
            time(&self.from),
            time(&self.to),
            gtids(&self.from),
            gtids(&self.to),
            file(&self.from),
            file(&self.to),
            units::size(self.bytes),
        )
    }
}
