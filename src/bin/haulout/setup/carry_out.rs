//! Writes what the answers make, and takes the first backup.

use std::env;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use clap::Command as Grammar;
use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::world::Entropy;
use haulout::world::Monitor;
use haulout::world::OsEntropy;
use serde::Serialize;

use crate::config::Config;
use crate::config::STANDARD;
use crate::config::examine;
use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::jobs::lock::unwritten;
use crate::jobs::record::replace;
use crate::jobs::units::Unit;
use crate::output::report::Report;
use crate::output::units::size;
use crate::setup::actor::Actor;
use crate::setup::actor::make_parents;
use crate::setup::answers::Answers;
use crate::setup::answers::Password;
use crate::setup::compose::Account;
use crate::setup::compose::configuration;
use crate::setup::compose::sql;
use crate::setup::compose::statements;
use crate::setup::interview::Wishes;
use crate::setup::judge::Judgement;
use crate::setup::night::Backup;
use crate::setup::night::Night;
use crate::setup::night::write_password;
use crate::setup::person::Person;
use crate::setup::trial::Trials;
use crate::setup::trial::administrator;

/// The time for a statement that makes the account.
const STATEMENT_TIME: Duration = Duration::from_secs(10);

/// A file that is to be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Planned {
    /// The path of the file.
    pub(crate) path: PathBuf,
    /// The text of the file; empty once it is written.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) text: String,
}

/// The JSON report of `setup`.
#[derive(Debug, Serialize)]
pub(crate) struct Done {
    /// The name of the job.
    pub(crate) job: String,
    /// The files, with their texts if they were not written.
    pub(crate) files: Vec<Planned>,
    /// The first backup, if it was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) backup: Option<Backup>,
    /// What was seen of its restore, if it was restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) restore: Option<Judgement>,
}

/// What is asked for besides the answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Consent {
    /// Whether a configuration that exists may be overwritten.
    pub(crate) overwrite: bool,
    /// Whether the account may be made.
    pub(crate) create_account: bool,
    /// The option file of the administrator who makes it.
    pub(crate) administrator: Option<PathBuf>,
}

/// The answers, and what they make.
pub(crate) struct Setup<'s> {
    /// The answers to all questions.
    pub(crate) answers: &'s Answers,
    /// What the first night needs to know besides.
    pub(crate) wishes: &'s Wishes,
    /// The configuration as it will be read.
    config: Config,
    /// The files, the configuration first.
    pub(crate) files: Vec<Planned>,
    /// The statements that make the account.
    statements: Vec<String>,
}

impl<'s> Setup<'s> {
    /// Composes all files from the answers.
    pub(crate) fn new(
        answers: &'s Answers,
        wishes: &'s Wishes,
        path: &Path,
        grammar: &Grammar,
    ) -> Outcome<Self> {
        let text = configuration(answers);
        let (file, mistakes) = examine(&text, grammar);
        if let Some(first) = mistakes.first() {
            return Err(Failure::usage(
                format!("an answer is none that a configuration may have: {}", first.message),
                "haulout help config explains the keys; nothing was written",
            ));
        }
        let config = Config { path: path.to_owned(), file };
        let account = account(answers, wishes)?;
        let statements = statements(&config, &account);
        let mut files = vec![Planned { path: path.to_owned(), text }];
        let of_account = sql(&answers.job, &statements);
        files.push(Planned { path: path.with_file_name("account.sql"), text: of_account });
        if let Some(directory) = &wishes.units {
            let program = env::current_exe().map_or("haulout".into(), |p| p.display().to_string());
            let unit = Unit::new(&config, &answers.job, &answers.user, program)?;
            let unit = unit.systemd()?;
            let planned = |(name, text)| Planned { path: directory.join::<String>(name), text };
            files.extend(unit.into_iter().map(planned));
        }
        Ok(Self { answers, wishes, config, files, statements })
    }

    /// Tells whether the account is missing or lacks rights.
    fn account_lacks(&self) -> bool {
        self.wishes.server.refused.is_some() || !self.wishes.server.lacking.is_empty()
    }

    /// Asks whether all of it may be done.
    pub(crate) fn consent(&self, consent: &mut Consent, person: &mut dyn Person) -> Outcome<()> {
        let path = &self.files[0].path;
        let says_yes = |answer: Option<String>| {
            answer.map(|answer| ["y", "yes"].contains(&answer.to_lowercase().as_str()))
        };
        if path.exists() && !consent.overwrite {
            let question = format!("{} exists. Overwrite it? [y/N] ", path.display());
            if says_yes(person.ask(&question)?) != Some(true) {
                return Err(Failure::usage(
                    format!("{} exists", path.display()),
                    "name another file with --config, or give --overwrite; nothing was written",
                ));
            }
        }
        if self.account_lacks() && !consent.create_account {
            person.say("the server needs these statements, run by an administrator:");
            self.statements.iter().for_each(|statement| person.say(&format!("  {statement};")));
            let asked = person.ask("Run them now? [y/N] ")?;
            consent.create_account = says_yes(asked) == Some(true);
            if !consent.create_account {
                return Err(Failure::usage(
                    "the account of the backup is missing, or lacks rights",
                    "give --create-account, or run the statements that --plan prints as an \
                     administrator of the server; nothing was written",
                ));
            }
        }
        person.say("to be written:");
        self.files.iter().for_each(|file| person.say(&format!("  {}", file.path.display())));
        let asked = person.ask("Write this, and take the first backup? [Y/n] ")?;
        if asked.is_none_or(|answer| ["", "y", "Y", "yes"].contains(&answer.as_str())) {
            return Ok(());
        }
        Err(Failure::new(Error::cancelled(), "nothing was written"))
    }

    /// Writes the files, takes the first backup and restores it.
    pub(crate) fn carry_out(
        mut self,
        consent: &Consent,
        trials: &dyn Trials,
        report: &Report,
        monitor: &Monitor,
    ) -> Outcome<(Done, Exit)> {
        let answers = self.answers;
        let refused = |why: String| Failure::usage(why, "name another user with --user");
        let actor = Actor::new(&answers.user).map_err(refused)?;
        if self.account_lacks() && consent.create_account {
            self.make_account(consent)?;
            report.console.note("made the account of the backup");
        }
        if let Password::NewFile(path) = &answers.password {
            let mut random = [0; 24];
            OsEntropy.fill(&mut random);
            write_password(path, random, &actor)?;
            report.console.note(format!("wrote a random password to {}", path.display()));
        }
        for Planned { path, text } in &self.files {
            let written = make_parents(path).and_then(|()| replace(path, text.clone()));
            written.map_err(|error| unwritten(path, error))?;
            report.console.note(format!("wrote {}", path.display()));
        }
        self.require_account(trials)?;
        let config = self.config.path.clone();
        let night = Night { answers, actor: &actor, config: &config, report, monitor };
        night.directories()?;
        night.found()?;
        if let Some(kit) = &self.wishes.kit {
            night.kit(kit)?;
        }
        night.examine()?;
        let backup = night.backup()?;
        let restore = self.wishes.scratch.as_ref().map(|scratch| night.restore(&backup, scratch));
        let restore = restore.transpose()?;
        let is_bad = restore.as_ref().is_some_and(|judged| !judged.problems.is_empty());
        let exit = match (is_bad, backup.has_findings) {
            (true, _) => Exit::Failed,
            (false, true) => Exit::Findings,
            (false, false) => Exit::Done,
        };
        self.files.iter_mut().for_each(|file| file.text.clear());
        let (job, files) = (answers.job.clone(), self.files);
        Ok((Done { job, files, backup: Some(backup), restore }, exit))
    }

    fn make_account(&self, consent: &Consent) -> Outcome<()> {
        let file = consent.administrator.as_deref();
        let mut session = administrator(&self.answers.socket.value, file).map_err(|failure| {
            failure.with_hint("name an option file of an administrator: --admin-defaults-file")
        })?;
        for statement in &self.statements {
            if let Err(refusal) = session.run(statement, STATEMENT_TIME)? {
                let message = format!("the server refused {statement}");
                let error = Error::new(ErrorKind::Server, message).because(refusal.to_string());
                return Err(Failure::new(
                    error,
                    "run it as an administrator of the server, whom --admin-defaults-file names",
                ));
            }
        }
        Ok(())
    }

    /// Connects again with an account that was made.
    fn require_account(&self, trials: &dyn Trials) -> Outcome<()> {
        if !self.account_lacks() {
            return Ok(());
        }
        let refused = |why: String| {
            Failure::new(
                Error::new(ErrorKind::Server, "the account of the backup does not do").because(why),
                "the files are written; mend the account, then run haulout setup again",
            )
        };
        let seen = trials.server(self.answers).map_err(refused)?;
        match seen.refused.into_iter().chain(seen.lacking).next() {
            Some(why) => Err(refused(why)),
            None => Ok(()),
        }
    }
}

/// Returns the account whose rights are granted.
fn account(answers: &Answers, wishes: &Wishes) -> Outcome<Account> {
    if let Some(account) = &wishes.server.account {
        return Ok(Account::Existing(account.clone()));
    }
    if answers.defaults_file.is_none() {
        return Ok(Account::OfHost(answers.user.clone()));
    }
    // It could log in, or its file would have been refused; it may lack every right.
    let named = wishes.server.lacking.iter().find_map(|line| line.split_whitespace().next());
    match named {
        Some(account) => Ok(Account::Existing(account.to_owned())),
        None => Err(Failure::usage(
            "the server did not say which account the option file has",
            "haulout doctor looks at the account; nothing was written",
        )),
    }
}

/// Returns what was done, in words.
pub(crate) fn in_words(done: &Done) -> String {
    let mut lines = Vec::new();
    if let Some(backup) = &done.backup {
        let Backup { snapshot, verdict, .. } = backup;
        let short: String = snapshot.chars().take(10).collect();
        let (read, stored) = (size(backup.stream_bytes), size(backup.stored_bytes));
        lines.push(format!("first backup {short}: {verdict}, {read} read, {stored} stored"));
    }
    lines.push(match &done.restore {
        Some(Judgement { problems, end_lsn, .. }) if problems.is_empty() => {
            let end = end_lsn.map_or(String::new(), |lsn| format!(", log complete to LSN {lsn}"));
            format!("restored as a test and prepared: good{end}")
        }
        Some(Judgement { problems, .. }) => {
            format!("restored as a test and prepared: NOT GOOD: {}", problems.join("; "))
        }
        None => "not restored as a test".to_owned(),
    });
    let job = &done.job;
    let config = done.files.first().map_or(Path::new(STANDARD), |file| &file.path);
    let shown = config.display();
    let is_usual = config == Path::new(STANDARD);
    let named = if is_usual { String::new() } else { format!(" --config {shown}") };
    lines.push("next:".to_owned());
    if done.files.iter().any(|file| file.path.extension().is_some_and(|kind| kind == "timer")) {
        lines.push("  systemctl daemon-reload".to_owned());
        lines.push(format!("  systemctl enable --now haulout-{job}.timer"));
    } else {
        lines.push(format!("  haulout{named} generate cron {job}"));
    }
    lines.push(format!("  haulout{named} status"));
    lines.join("\n") + "\n"
}

/// Returns the files as they would be written.
pub(crate) fn planned(files: &[Planned]) -> String {
    let file = |Planned { path, text }: &Planned| format!("# {}\n{text}", path.display());
    files.iter().map(file).collect::<Vec<_>>().join("\n")
}
