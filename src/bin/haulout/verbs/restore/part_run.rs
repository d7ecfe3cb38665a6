//! Restores a part of a backup as statements, and prints the report.

use std::fs;
use std::fs::File;
use std::io::BufWriter;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::error::Result;
use haulout::ops::part;
use haulout::ops::part::PartOptions;
use haulout::ops::part::PartPlan;
use haulout::ops::part::PartReport;
use haulout::repo::Repository;
use haulout::repo::snapshots::StoredSnapshot;
use serde::Serialize;

use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::open::run::Run;
use crate::open::traits::Traits;
use crate::output::json::Effort;
use crate::output::progress::Activity;
use crate::output::stdout::not_written;
use crate::output::stdout::standard_output;
use crate::output::text::clean;
use crate::output::units;
use crate::verbs::job::Job;
use crate::verbs::restore::part_plan::Doing;
use crate::verbs::restore::part_plan::PartJob;
use crate::verbs::restore::part_plan::PartTarget;

/// Names of files and tables that a plan lists.
const LISTED_MAX: usize = 200;

/// The end of the name of a file that is being written.
const UNFINISHED: &str = ".haulout-incomplete";

impl Job for PartJob {
    fn traits(&self) -> Traits {
        Traits { limit: self.limit.clone(), ..Traits::default() }
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        run.restore_part(self)
    }
}

impl Run<'_> {
    fn restore_part(&self, job: &PartJob) -> Outcome<Exit> {
        let repository = self.repository()?;
        let stored = self.find(&repository, &job.snapshot)?;
        let options = PartOptions { workers: self.settings.at_once.workers, ..job.options.clone() };
        if job.doing == Doing::Planned {
            let plan = part::plan_part(&repository, &stored, &options, &self.world);
            return self.print_plan(&stored, &plan.map_err(fitting)?);
        }
        let began = self.now();
        let progress = self.progress(Activity::Restoring);
        let report = self.write_part(job, &repository, &stored, &options).map_err(fitting)?;
        drop(progress);
        let time = self.now().saturating_sub(began);
        self.print_part(job, &stored, &report, time)?;
        Ok(Exit::with(report.warnings.len()))
    }

    fn write_part(
        &self,
        job: &PartJob,
        repository: &Repository,
        stored: &StoredSnapshot,
        options: &PartOptions,
    ) -> Result<PartReport> {
        let restore = |target| part::restore_part(repository, stored, target, options, &self.world);
        match &job.target {
            PartTarget::Stdout => {
                let mut out = standard_output()?;
                let report = restore(part::Target::Stream(&mut out))?;
                out.flush().map_err(not_written)?;
                Ok(report)
            }
            PartTarget::File(path) => {
                let mut file = NewFile::create(path)?;
                let report = restore(part::Target::Stream(&mut file.out))?;
                file.finish()?;
                Ok(report)
            }
            PartTarget::Server(server) => restore(part::Target::Server(server)),
        }
    }

    fn print_plan(&self, stored: &StoredSnapshot, plan: &PartPlan) -> Outcome<Exit> {
        let id = stored.id().short();
        let bytes = plan.files.iter().map(|file| file.bytes).sum::<u64>();
        let value = PlanSummary {
            snapshot: stored.id().to_string(),
            tables: &plan.tables,
            files: plan.files.iter().map(|file| (file.path.as_str(), file.bytes)).collect(),
            bytes,
            notes: &plan.notes,
        };
        self.report.result(&value, || {
            let files = units::counted(u64::try_from(plan.files.len()).unwrap_or(0), "file");
            let mut lines = vec![format!("{id}: {files} would be read, {}", units::size(bytes))];
            let file = |size: String, path: &str| format!("{size:>10}  {path}");
            for planned in plan.files.iter().take(LISTED_MAX) {
                lines.push(file(units::size(planned.bytes), &clean(&planned.path)));
            }
            if let Some(others) = plan.files.len().checked_sub(LISTED_MAX).filter(|n| *n > 0) {
                lines.push(file(String::new(), &format!("{others} others")));
            }
            let tables = plan.tables.iter().take(LISTED_MAX);
            lines.extend(tables.map(|table| format!("would restore {}", clean(table))));
            lines.extend(plan.notes.iter().map(|note| clean(note).to_string()));
            lines.join("\n") + "\n"
        })?;
        Ok(Exit::Done)
    }

    fn print_part(
        &self,
        job: &PartJob,
        stored: &StoredSnapshot,
        report: &PartReport,
        time: Duration,
    ) -> Result<()> {
        let console = &self.report.console;
        report.notes.iter().for_each(|note| console.note(note));
        report.warnings.iter().for_each(|warning| console.warning(warning));
        let about = &stored.snapshot.about;
        let target = match &job.target {
            PartTarget::Stdout => "standard output".to_owned(),
            PartTarget::File(path) => path.display().to_string(),
            PartTarget::Server(server) => format!("the server {}", server.address),
        };
        let tables = units::counted(u64::try_from(report.tables.len()).unwrap_or(0), "table");
        let text = || {
            format!(
                "restored {tables} of {} ({}, {}) to {}: {} of SQL, {}, {} read\n",
                report.id.short(),
                clean(&about.source),
                self.report.canvas.time(about.time),
                clean(&target),
                units::size(report.bytes),
                units::span(time),
                units::size(report.counts.fetched_bytes),
            )
        };
        if matches!(job.target, PartTarget::Stdout) {
            console.note(text().trim_end());
            return Ok(());
        }
        let value = PartSummary {
            snapshot: report.id.to_string(),
            source: &about.source,
            target: target.clone(),
            tables: &report.tables,
            bytes: report.bytes,
            fetched_bytes: report.counts.fetched_bytes,
            notes: &report.notes,
            warnings: &report.warnings,
            effort: Effort::of(time),
        };
        self.report.result(&value, text)
    }
}

/// A file that has its name only when it is whole.
struct NewFile {
    path: PathBuf,
    unfinished: PathBuf,
    out: BufWriter<File>,
}

impl NewFile {
    fn create(path: &Path) -> Result<Self> {
        if path.symlink_metadata().is_ok() {
            let what = format!("{} is there already", path.display());
            return Err(Error::new(ErrorKind::Occupied, what));
        }
        let mut name = path.as_os_str().to_owned();
        name.push(UNFINISHED);
        let unfinished = PathBuf::from(name);
        let file = File::create(&unfinished).map_err(|e| unwritable(&unfinished, e))?;
        Ok(Self { path: path.to_owned(), unfinished, out: BufWriter::with_capacity(1 << 20, file) })
    }

    fn finish(mut self) -> Result<()> {
        let written = self.out.flush().and_then(|()| self.out.get_ref().sync_all());
        written.map_err(|e| unwritable(&self.unfinished, e))?;
        fs::rename(&self.unfinished, &self.path).map_err(|e| unwritable(&self.path, e))
    }
}

fn unwritable(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Target, format!("cannot write {}", path.display())).because(error)
}

/// Adds a hint about what helps.
fn fitting(error: Error) -> Failure {
    let kind = error.kind();
    let words = error.to_string();
    let failure = Failure::from(error);
    let says = |of: ErrorKind, part: &str| kind == of && words.contains(part);
    let hint = if says(ErrorKind::Occupied, "would replace") {
        "add --replace to replace them, or load into another schema with --into"
    } else if says(ErrorKind::Load, "does not replicate") {
        "give such tables a primary key and InnoDB at the source, or add --accept-unreplicated"
    } else if says(ErrorKind::Load, "is needed") {
        "install mariadb-client, or load what --stdout writes from a host that has it"
    } else if says(ErrorKind::Prepare, "missing here") {
        "install them, of the release series of the backup, or use a host that has them"
    } else if says(ErrorKind::Usage, "has no ") {
        "haulout ls SNAPSHOT lists what it has"
    } else if says(ErrorKind::Usage, "--into") {
        "name the parts with --table or --schema, of one schema"
    } else {
        return failure;
    };
    failure.with_hint(hint)
}

/// The report in JSON.
#[derive(Debug, Serialize)]
struct PartSummary<'r> {
    snapshot: String,
    source: &'r str,
    target: String,
    tables: &'r [String],
    bytes: u64,
    fetched_bytes: u64,
    notes: &'r [String],
    warnings: &'r [String],
    #[serde(flatten)]
    effort: Effort,
}

/// The JSON of a plan.
#[derive(Debug, Serialize)]
struct PlanSummary<'r> {
    snapshot: String,
    tables: &'r [String],
    files: Vec<(&'r str, u64)>,
    bytes: u64,
    notes: &'r [String],
}
