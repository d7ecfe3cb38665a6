//! The first night, by daylight: repositories, recovery kit, a look at everything, a backup, and a
//! restore of it that is judged.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::store::location::Location;
use haulout::world::Monitor;
use rustix::fs::statvfs;
use serde::Serialize;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::jobs::lock::unwritten;
use crate::output::report::Report;
use crate::output::units;
use crate::secrets::recovery_kit;
use crate::setup::actor::Actor;
use crate::setup::actor::Reads;
use crate::setup::actor::make_parents;
use crate::setup::actor::not_started;
use crate::setup::answers::Answers;
use crate::setup::answers::Kit;
use crate::setup::compose::REPOSITORY;
use crate::setup::judge::Judgement;
use crate::setup::judge::judge;

/// The directory of what jobs remember, if no other is named.
const STATE_DIR: &str = "/var/lib/haulout";

/// How much more space a restore takes than its stream has bytes, in percent.
const SPACE_PERCENT: u64 = 110;

/// The first backup of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Backup {
    /// The id of the snapshot.
    pub(crate) snapshot: String,
    /// The verdict of that snapshot.
    pub(crate) verdict: String,
    /// Bytes of its stream.
    pub(crate) stream_bytes: u64,
    /// Bytes that were stored.
    pub(crate) stored_bytes: u64,
    /// Whether the run had findings.
    pub(crate) has_findings: bool,
}

/// The first night of a job.
pub(crate) struct Night<'n> {
    /// The answers to all questions.
    pub(crate) answers: &'n Answers,
    /// The user that runs the job.
    pub(crate) actor: &'n Actor,
    /// The configuration that was written.
    pub(crate) config: &'n Path,
    /// The place where messages go.
    pub(crate) report: &'n Report,
    /// The wish to stop.
    pub(crate) monitor: &'n Monitor,
}

impl Night<'_> {
    /// Makes the directories that the job writes to, as its user's.
    pub(crate) fn directories(&self) -> Outcome<()> {
        let mut directories = vec![self.answers.state_dir.clone().unwrap_or(STATE_DIR.into())];
        for place in [Some(&self.answers.place), self.answers.replica.as_ref()] {
            if let Some(Ok(Location::Directory(path))) = place.map(|one| Location::parse(&one.url))
            {
                directories.push(path);
            }
        }
        for path in directories {
            self.actor.make_directory(&path).map_err(|error| unwritten(&path, error))?;
        }
        Ok(())
    }

    /// Makes the repositories that are missing.
    pub(crate) fn found(&self) -> Outcome<()> {
        self.say("making the repositories");
        let mut command = self.actor.command(self.config, Reads::Own)?;
        // Without a terminal it asks for no recovery kit, which is made next.
        command.args(["--quiet", "init", "--job", &self.answers.job]).stdin(Stdio::null());
        let output = command.output().map_err(not_started)?;
        self.monitor.check()?;
        if output.status.success() {
            return Ok(());
        }
        self.report.console.forward(&output.stderr);
        Err(failed(ErrorKind::Store, "the repositories could not be made", "its messages say why"))
    }

    /// Writes a recovery kit, with a password of its own if a person wants one.
    pub(crate) fn kit(&self, kit: &Kit) -> Outcome<()> {
        let (Kit::Open(path) | Kit::Sealed(path)) = kit;
        let directory = self.directory_of_user(&std::env::temp_dir())?;
        let written = directory.path().join("kit");
        let mut command = self.actor.command(self.config, Reads::Own)?;
        command.args(["--quiet", "-r", REPOSITORY, "key", "export"]).arg(&written);
        if matches!(kit, Kit::Open(_)) {
            command.arg("--no-password");
        }
        let replica = self.answers.replica.as_ref().map(|replica| &replica.url);
        command.args(replica.map(|url| format!("--replica={url}")));
        let status = command.stdout(Stdio::null()).status().map_err(not_started)?;
        self.monitor.check()?;
        if !status.success() {
            return Err(failed(
                ErrorKind::Target,
                "the recovery kit could not be made",
                "its messages say why",
            ));
        }
        // It was written as the user of the job, who may not write where it belongs.
        let text = fs::read_to_string(&written).map(Zeroizing::new);
        let text = text.map_err(|error| unwritten(&written, error))?;
        recovery_kit::write_secret(path, &text)?;
        self.say(&format!("wrote the recovery kit {}: print it, and lock it away", path.display()));
        Ok(())
    }

    /// Looks at everything that the job depends on; fails if the job would fail.
    pub(crate) fn examine(&self) -> Outcome<()> {
        let answered = self.actor.ask(self.config, &["doctor", &self.answers.job])?;
        self.monitor.check()?;
        let rows = answered.json["checks"].as_array().cloned().unwrap_or_default();
        let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let mut fails = rows.is_empty();
        for row in &rows {
            if text(row, "subject") == "source files" {
                // What its capability lets the job read is seen in the first run.
                continue;
            }
            fails |= row["state"] == "failed";
            let (state, subject) = (text(row, "state"), text(row, "subject"));
            let words = format!("{subject}, {}: {}", text(row, "check"), text(row, "found"));
            match (state.as_str(), row["hint"].as_str()) {
                ("warning" | "failed", Some(hint)) => {
                    self.report.console.warning(format!("{words}; {hint}"));
                }
                ("warning" | "failed", None) => self.report.console.warning(words),
                _ => {}
            }
        }
        if fails {
            let error = answered.error();
            error.into_iter().for_each(|error| self.report.console.warning(error));
            return Err(failed(
                ErrorKind::Server,
                "the job would fail as it is",
                "mend what is named above, then run haulout setup again",
            ));
        }
        Ok(())
    }

    /// Runs the job, and returns its backup of the server.
    pub(crate) fn backup(&self) -> Outcome<Backup> {
        self.say("taking the first backup");
        let reads = if self.answers.files.paths.is_empty() { Reads::Own } else { Reads::All };
        let mut command = self.actor.command(self.config, reads)?;
        command.args(["--json", "--log-level", "brief", "run", &self.answers.job]);
        command.stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = command.output().map_err(not_started)?;
        self.monitor.check()?;
        let run: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let steps = run["steps"].as_array().cloned().unwrap_or_default();
        let of_server =
            |step: &&Value| step["step"] == "backup" && step["subject"] == *self.answers.source;
        let step = steps.iter().find(of_server).cloned().unwrap_or_default();
        let text = |key: &str| step[key].as_str().map(str::to_owned);
        let number = |key: &str| step[key].as_u64().unwrap_or_default();
        let stored =
            text("snapshot").zip(output.status.code().filter(|code| [0, 3].contains(code)));
        let Some((snapshot, code)) = stored else {
            let job = &self.answers.job;
            let again = format!("haulout run {job} takes it again when the cause is mended");
            return Err(failed(ErrorKind::Source, "the first backup failed", again));
        };
        Ok(Backup {
            snapshot,
            verdict: text("verdict").unwrap_or_default(),
            stream_bytes: number("stream_bytes"),
            stored_bytes: number("stored_bytes"),
            has_findings: code == 3,
        })
    }

    /// Restores a backup into scratch space, prepares it, and judges the outcome.
    pub(crate) fn restore(&self, backup: &Backup, scratch: &Path) -> Outcome<Judgement> {
        let needed = backup.stream_bytes.saturating_mul(SPACE_PERCENT) / 100;
        let free = statvfs(scratch).map(|found| found.f_bavail.saturating_mul(found.f_frsize));
        let free = free.map_err(|error| unwritten(scratch, error.into()))?;
        if free < needed {
            let (free, needed) = (units::size(free), units::size(needed));
            let shown = scratch.display();
            return Err(failed(
                ErrorKind::Target,
                format!("the restore needs {needed}, and {shown} has {free}"),
                "the backup is stored; give another directory with --scratch, or none",
            ));
        }
        self.say("restoring it as a test");
        let directory = self.directory_of_user(scratch)?;
        let target = directory.path().join("restored");
        let mut command = self.actor.command(self.config, Reads::Own)?;
        command.args(["--log-level", "normal", "-r", REPOSITORY, "restore", &backup.snapshot]);
        command.arg("--to").arg(&target).args(["--prepare", "--prepare-program", program()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let output = command.output().map_err(not_started)?;
        self.monitor.check()?;
        let messages = String::from_utf8_lossy(&output.stderr).into_owned();
        if !matches!(output.status.code(), Some(0 | 3)) {
            self.report.console.forward(&output.stderr);
            return Err(failed(
                ErrorKind::Prepare,
                "the first backup could not be restored and prepared",
                "its messages say why; the backup is stored",
            ));
        }
        let names = ["mariadb_backup_checkpoints", "xtrabackup_checkpoints"];
        let text = names.iter().find_map(|name| fs::read_to_string(target.join(name)).ok());
        Ok(judge(&messages, &text.unwrap_or_default()))
    }

    /// Makes a directory of the user's below another one, which goes away with the value.
    fn directory_of_user(&self, above: &Path) -> Outcome<tempfile::TempDir> {
        let made = || -> io::Result<tempfile::TempDir> {
            let directory = tempfile::Builder::new().prefix("haulout-setup-").tempdir_in(above)?;
            let mode = fs::Permissions::from_mode(0o700);
            fs::set_permissions(directory.path(), mode)?;
            self.actor.own(directory.path())?;
            Ok(directory)
        };
        made().map_err(|error| unwritten(above, error))
    }

    fn say(&self, text: &str) {
        self.report.console.note(text);
    }
}

/// Returns the program that prepares.
fn program() -> &'static str {
    let new = "mariadb-backup";
    if crate::environment::is_program(new) { new } else { "mariabackup" }
}

fn failed(kind: ErrorKind, message: impl Into<String>, hint: impl Into<String>) -> Failure {
    Failure::new(Error::new(kind, message), hint)
}

/// Writes a password of random letters to a new file of the user's.
pub(crate) fn write_password(path: &Path, random: [u8; 24], actor: &Actor) -> Outcome<()> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let letter = |byte: &u8| char::from(LETTERS[usize::from(byte % 32)]);
    let text: Zeroizing<String> = Zeroizing::new(random.iter().map(letter).collect());
    let line = Zeroizing::new(format!("{}\n", text.as_str()));
    make_parents(path).map_err(|error| unwritten(path, error))?;
    recovery_kit::write_secret(path, &line)?;
    actor.own(path).map_err(|error| unwritten(path, error))
}
