//! Tables of a physical backup: their files are fetched into a throw-away directory, a private
//! server is started on it, checks them, and the program of MariaDB dumps them.
//!
//! ```text
//! files -> prepare, judged -> private server, read only -> CHECK TABLE -> mariadb-dump ->
//! rewriting
//! ```
//!
//! Nothing of the directory stays. The dump fits other versions and clusters, and no server is
//! handed files. Views are made of their files ([`view`](super::view)).

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::world::World;
use crate::ops::part::client::is_there;
use crate::ops::part::dumper::Dumper;
use crate::ops::part::files::Files;
use crate::ops::part::files::Needed;
use crate::ops::part::files::has_full_text;
use crate::ops::part::files::spelled;
use crate::ops::part::guard;
use crate::ops::part::guard::Made;
use crate::ops::part::options::Broken;
use crate::ops::part::options::PartOptions;
use crate::ops::part::options::PartPlan;
use crate::ops::part::options::PartReport;
use crate::ops::part::options::Target;
use crate::ops::part::physical_part::SchemaPart;
use crate::ops::part::sink::Sink;
use crate::ops::part::staging::From;
use crate::ops::part::staging::Staging;
use crate::ops::part::staging::beginning;
use crate::ops::part::view::View;
use crate::ops::part::view::in_order;
use crate::ops::restore::dump::warnings;
use crate::ops::selection;
use crate::ops::selection::Selection;
use crate::ops::selection::path_of;
use crate::ops::wanted::TableName;
use crate::ops::wanted::Wanted;
use crate::parse::sql::Excerpt;
use crate::parse::sql::TableDefinition;
use crate::parse::sql::quoted;
use crate::repo::Repository;
use crate::repo::snapshots::StoredSnapshot;
use crate::server::login::Login;
use crate::server::needs::find_program;
use crate::server::needs::needs_of_backup;
use crate::server::private::Grants;
use crate::server::private::PrivateOptions;
use crate::server::private::PrivateServer;
use crate::server::private::Writes;
use crate::server::session::Session;

/// How long one table may be checked.
const CHECK_TIME: Duration = Duration::from_hours(24);

/// The buffer pool of the private server.
const POOL_BYTES: u64 = 128 << 20;

/// Says what would be fetched.
pub(super) fn plan(
    repository: &Repository,
    stored: &StoredSnapshot,
    options: &PartOptions,
    world: &World,
) -> Result<PartPlan> {
    let files = files_of(repository, stored, world)?;
    let needed = Needed::new(&files, &options.wanted)?;
    let mut notes = needed.notes;
    notes.push("files of full-text indexes are read besides, where a table has any".to_owned());
    let tables = options.wanted.iter().map(ToString::to_string).collect();
    Ok(PartPlan { tables, files: needed.files, notes })
}

/// Writes or loads what is wanted.
pub(super) fn restore<'t>(
    repository: &Repository,
    stored: &StoredSnapshot,
    target: Target<'t>,
    options: &PartOptions,
    world: &'t World,
) -> Result<PartReport> {
    require(options)?;
    let server_program = require_programs(options)?;
    if let Target::Server(server) = &target {
        guard::reach(server)?;
    }
    let files = files_of(repository, stored, world)?;
    let mut needed = Needed::new(&files, &options.wanted)?;
    let staging = Staging::make(&options.staging, stored, world)?;
    let globs = |needed: &Needed| needed.globs.iter().cloned().collect::<Vec<_>>();
    let from = From { repository, stored, world };
    let mut lost = staging.fetch(&from, globs(&needed), options)?;
    if add_full_text(&staging, &files, &mut needed)? {
        // All of it again: a restore fills an empty directory.
        staging.clear()?;
        lost = staging.fetch(&from, globs(&needed), options)?;
    }
    let missing = missing_tables(&lost, &needed)?;
    let whole: Vec<String> =
        needed.tables.iter().filter(|table| !missing.contains_key(*table)).cloned().collect();
    staging.prepare(stored, options, &whole, world)?;
    let data = staging.data();
    let private = PrivateOptions {
        writes: Writes::Refused,
        grants: Grants::Skipped,
        more: needs_of_backup(&data.join("backup-my.cnf"))?,
        buffer_pool_bytes: POOL_BYTES,
        ..PrivateOptions::new(server_program, &data, staging.root())
    };
    let private = PrivateServer::start(&private, world)?;
    let mut session = private.connect(&Login::of_user("root"))?;
    let mut looked = Looked { faults: missing, ..Looked::default() };
    for wanted in &options.wanted {
        looked.look(&mut session, wanted, &data, options)?;
    }
    looked.require_something(options)?;
    let made = looked.names(options);
    let mut notes = needed.notes;
    if let Target::Server(server) = &target {
        let mut definitions = || looked.definitions(&mut session, options);
        notes.extend(guard::check(server, &made, options, &mut definitions)?);
    }
    let mut sink = Sink::open(target, Some("utf8mb4"), &world.monitor)?;
    let mut missing_words = looked.missing;
    for part in &looked.parts {
        let mut excerpt = Excerpt::new(
            options.into.as_ref().map(|into| (part.name.as_bytes(), into.schema.as_bytes())),
        );
        if let (Some(table), [Wanted::Table(of)]) =
            (options.into.as_ref().and_then(|into| into.table.as_ref()), &options.wanted[..])
        {
            excerpt = excerpt.with_table(of.table.as_bytes(), table.as_bytes());
        }
        let dumper = Dumper { server: &private, monitor: &world.monitor };
        let left_out = dumper.write(&mut session, part, excerpt, &mut sink)?;
        missing_words.extend(warnings(left_out));
    }
    let bytes = sink.finish()?;
    drop(session);
    private.stop(&mut std::io::sink(), world)?;
    Ok(PartReport {
        id: stored.id(),
        tables: made.iter().map(ToString::to_string).collect(),
        bytes,
        notes,
        warnings: missing_words,
        counts: world.monitor.counts(),
    })
}

/// Refuses what makes no sense together.
fn require(options: &PartOptions) -> Result<()> {
    let refused = |what: &str| Err(Error::new(ErrorKind::Usage, what));
    if options.wanted.is_empty() {
        return refused("of a physical backup --load takes --table or --schema");
    }
    let schemas: BTreeSet<&str> = options.wanted.iter().map(Wanted::schema).collect();
    let Some(into) = &options.into else { return Ok(()) };
    if schemas.len() > 1 {
        return refused("--into takes parts of one schema");
    }
    if into.table.is_some() && !matches!(&options.wanted[..], [Wanted::Table(_)]) {
        return refused("--into SCHEMA.TABLE takes one --table");
    }
    Ok(())
}

/// Finds the programs that this takes; all that are missing are named at once.
fn require_programs(options: &PartOptions) -> Result<PathBuf> {
    let server = find_program(None, &options.programs.path);
    let mut missing = Vec::new();
    if server.is_err() {
        missing.push("mariadbd (mariadb-server)".to_owned());
    }
    if !is_there(&options.programs.prepare) {
        let name = options.programs.prepare.to_string_lossy();
        missing.push(format!("{name} (mariadb-backup)"));
    }
    for (program, package) in [("mariadb-dump", "mariadb-client"), ("setpriv", "util-linux")] {
        if !is_there(OsStr::new(program)) {
            missing.push(format!("{program} ({package})"));
        }
    }
    if missing.is_empty() {
        return server;
    }
    let what = format!(
        "tables of a physical backup are read by programs that are missing here: {}",
        missing.join(", ")
    );
    Err(Error::new(ErrorKind::Prepare, what))
}

/// Lists the files of a backup.
fn files_of(repository: &Repository, stored: &StoredSnapshot, world: &World) -> Result<Files> {
    repository.require_data()?;
    selection::refuse_checkpoint(stored)?;
    let contents = repository.contents(stored, &world.monitor)?;
    let mut files = Files::new();
    Selection::new(stored, &contents, None)?.every(&mut |file| {
        files.insert(String::from_utf8_lossy(path_of(&file)).into_owned(), file.length);
        Ok(())
    })?;
    Ok(files)
}

/// Adds the files of full-text indexes, if a table has any that were not fetched.
fn add_full_text(staging: &Staging, files: &Files, needed: &mut Needed) -> Result<bool> {
    let data = staging.data();
    let before = needed.files.len();
    for table in needed.tables.clone() {
        if has_full_text(&beginning(&data.join(format!("{table}.frm")))) {
            let schema = table.split('/').next().unwrap_or_default();
            needed.add_full_text(files, schema, staging.table_id(&table))?;
        }
    }
    Ok(needed.files.len() > before)
}

/// Tables that are not whole, by the beginning of their paths, each with the reason.
type Missing = std::collections::BTreeMap<String, String>;

/// Returns the tables of which files are lost; what every table needs must not be.
fn missing_tables(lost: &[(String, String)], needed: &Needed) -> Result<Missing> {
    let mut missing = Missing::new();
    for (path, why) in lost {
        let is_of = |table: &&String| {
            // In a chain the files stand below a directory for each link.
            let at = path.find(table.as_str()).map(|at| &path[at + table.len()..]);
            at.is_some_and(|rest| rest.starts_with('.') || rest.starts_with('#'))
        };
        let Some(table) = needed.tables.iter().find(is_of) else {
            let what = format!("{path} is needed for every table, and is not whole");
            return Err(Error::new(ErrorKind::Damaged, what).because(why.clone()));
        };
        missing.insert(table.clone(), format!("{path} is not whole: {why}"));
    }
    Ok(missing)
}

/// What the private server was asked about.
#[derive(Debug, Default)]
struct Looked {
    parts: Vec<SchemaPart>,
    /// Tables of which files are not whole.
    faults: Missing,
    /// What is left out, and why.
    missing: Vec<String>,
}

impl Looked {
    /// Checks what is wanted, and sorts it into tables and views.
    fn look(
        &mut self,
        session: &mut Session,
        wanted: &Wanted,
        data: &Path,
        options: &PartOptions,
    ) -> Result<()> {
        let schema = wanted.schema();
        let names = match wanted {
            Wanted::Table(name) => vec![name.table.clone()],
            Wanted::Schema(_) => names_in(session, schema)?,
        };
        let mut part = SchemaPart {
            name: schema.to_owned(),
            is_whole: matches!(wanted, Wanted::Schema(_)),
            ..SchemaPart::default()
        };
        for name in names {
            let path = format!("{}/{}", spelled(schema)?, spelled(&name)?);
            let file = beginning(&data.join(format!("{path}.frm")));
            if let Some(view) = View::read(schema, &name, &file) {
                part.views.push(view);
                continue;
            }
            let fault = match self.faults.remove(&path) {
                Some(why) => Some(why),
                None => check(session, schema, &name)?,
            };
            match fault {
                None => part.tables.push(name),
                Some(why) if options.broken == Broken::LeaveOut => {
                    self.missing.push(format!("left out: table {schema}.{name}: {why}"));
                    part.without.push(name);
                }
                Some(why) => {
                    let what = format!("table {schema}.{name} is not whole");
                    return Err(Error::new(ErrorKind::Damaged, what).because(why));
                }
            }
        }
        if part.is_whole {
            let events = format!(
                "SELECT name FROM mysql.event WHERE db = {} ORDER BY name",
                guard::text(schema)
            );
            // A server of another version may not show it.
            if let Ok(rows) = session.try_rows(&events, CHECK_TIME)? {
                let name = |row: Vec<Option<String>>| row.into_iter().next().flatten();
                let word = |name| format!("left out: event {schema}.{name}");
                self.missing.extend(rows.into_iter().filter_map(name).map(word));
            }
        }
        part.views = in_order(std::mem::take(&mut part.views));
        match self.parts.iter_mut().find(|there| there.name == part.name) {
            Some(there) => {
                there.tables.extend(part.tables);
                there.views.extend(part.views);
                there.without.extend(part.without);
                there.is_whole |= part.is_whole;
            }
            None => self.parts.push(part),
        }
        Ok(())
    }

    fn require_something(&self, options: &PartOptions) -> Result<()> {
        let is_empty = |part: &SchemaPart| part.tables.is_empty() && part.views.is_empty();
        let has_schema = options.wanted.iter().any(|wanted| matches!(wanted, Wanted::Schema(_)));
        if has_schema || !self.parts.iter().all(is_empty) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Damaged, "none of the tables is whole")
            .because(self.missing.join("; ")))
    }

    /// Returns what is made, by the names that it gets.
    fn names(&self, options: &PartOptions) -> Vec<TableName> {
        let of = |part: &SchemaPart| {
            let views = part.views.iter().map(|view| view.name.clone());
            let into = options.into.as_ref();
            let schema = into.map_or(&part.name, |into| &into.schema).clone();
            let other = into.and_then(|into| into.table.clone());
            let name = move |name: String| TableName {
                schema: schema.clone(),
                table: other.clone().unwrap_or(name),
            };
            part.tables.iter().cloned().chain(views).map(name).collect::<Vec<_>>()
        };
        self.parts.iter().flat_map(of).collect()
    }

    fn definitions(&self, session: &mut Session, options: &PartOptions) -> Result<Vec<Made>> {
        let mut made = Vec::new();
        let names = self.names(options);
        let tables = self.parts.iter().flat_map(|part| part.tables.iter().map(|t| (&part.name, t)));
        for ((schema, table), name) in tables.zip(names) {
            let statement = format!("SHOW CREATE TABLE {}.{}", quoted(schema), quoted(table));
            let rows = session.rows(&statement)?;
            let text = rows.into_iter().next().and_then(|row| row.into_iter().nth(1).flatten());
            let text = text.unwrap_or_default();
            made.push((name, TableDefinition::find(text.as_bytes())));
        }
        Ok(made)
    }
}

/// Lists tables and views of a schema.
fn names_in(session: &mut Session, schema: &str) -> Result<Vec<String>> {
    let rows = session.rows(&format!("SHOW TABLES FROM {}", quoted(schema)))?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

/// Checks a table; returns what is wrong with it.
fn check(session: &mut Session, schema: &str, table: &str) -> Result<Option<String>> {
    let statement = format!("CHECK TABLE {}.{}", quoted(schema), quoted(table));
    let rows = match session.try_rows(&statement, CHECK_TIME)? {
        Ok(rows) => rows,
        Err(refusal) => return Ok(Some(refusal.to_string())),
    };
    let fault = |row: Vec<Option<String>>| {
        let mut texts = row.into_iter().skip(2).map(Option::unwrap_or_default);
        let (kind, text) = (texts.next()?, texts.next()?);
        let is_bad = kind.eq_ignore_ascii_case("error")
            || (kind == "status" && text != "OK" && !text.contains("up to date"));
        is_bad.then_some(text)
    };
    let faults: Vec<String> = rows.into_iter().filter_map(fault).collect();
    Ok((!faults.is_empty()).then(|| faults.join("; ")))
}
