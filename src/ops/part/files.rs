//! Which files of a physical backup a table needs.
//!
//! | files | for |
//! |---|---|
//! | `ibdata*`, `undo*`, `ib_logfile0`, `aria_log*` | every table: redo and what was open |
//! | `backup-my.cnf`, `xtrabackup_*`, `mariadb_backup_*` | preparing |
//! | `SCHEMA/TABLE.*`, `SCHEMA/TABLE#*` | the table, its partitions, its triggers; `.new` as well |
//! | `SCHEMA/FTS_*` | full-text indexes, by the number of the table |
//! | `SCHEMA/*.TRN` | names of triggers, if the table has any |
//! | `mysql/proc.*`, `mysql/event.*` | routines and events of a whole schema |
//!
//! In an increment the same files have `.delta` and `.meta` behind their names.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::ops::part::options::PlannedFile;
use crate::ops::wanted::Wanted;

/// Beginnings of the names of files that every table needs.
const OF_ALL: [&str; 7] =
    ["ibdata", "undo", "ib_logfile", "aria_log", "backup-my.cnf", "xtrabackup_", "mariadb_backup_"];

/// What an increment adds to the name of a file.
const OF_INCREMENT: [&str; 2] = [".delta", ".meta"];

/// Beginnings of names of files with the data of a table, behind the name of the table.
const DATA: [&str; 10] =
    [".ibd", ".new", ".MAD", ".MYD", ".CSV", ".ARZ", ".MRG", ".par", "#P#", "#p#"];

/// The files that are needed, as globs that hold for every link of a chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Needed {
    pub(super) globs: BTreeSet<String>,
    pub(super) files: Vec<PlannedFile>,
    pub(super) notes: Vec<String>,
    /// The tables, each with the beginning of the paths of its files.
    pub(super) tables: Vec<String>,
}

/// The files of a backup with their lengths.
pub(super) type Files = BTreeMap<String, u64>;

/// Spells a name as the server does in names of files.
pub(super) fn spelled(name: &str) -> Result<String> {
    let mut out = String::new();
    for letter in name.chars() {
        let code = u32::from(letter);
        // Letters of Latin, Greek and the like have spellings of their own.
        let has_own = (0xc0..0x600).contains(&code) || (0x1e00..0x2000).contains(&code);
        if has_own || code > 0xffff {
            let what =
                format!("the name of the file of '{name}' is not known: restore it as files");
            return Err(Error::new(ErrorKind::Unsupported, what));
        }
        if letter.is_ascii_alphanumeric() || letter == '_' {
            out.push(letter);
        } else {
            let spelling = format!("@{code:04x}");
            out.push_str(&spelling);
        }
    }
    Ok(out)
}

impl Needed {
    /// Chooses the files of a backup that the wanted tables need.
    pub(super) fn new(files: &Files, wanted: &[Wanted]) -> Result<Self> {
        let mut needed = Self::default();
        for path in files.keys().filter(|path| !path.contains('/')) {
            if OF_ALL.iter().any(|begins| path.starts_with(begins)) {
                let name = OF_INCREMENT.iter().find_map(|end| path.strip_suffix(end));
                let name = name.unwrap_or(path);
                needed.globs.insert(name.to_owned());
                needed.globs.extend(OF_INCREMENT.map(|end| format!("{name}{end}")));
            }
        }
        for wanted in wanted {
            let schema = spelled(wanted.schema())?;
            needed.globs.insert(format!("{schema}/db.opt"));
            match wanted {
                Wanted::Schema(_) => needed.add_schema(files, wanted, &schema)?,
                Wanted::Table(name) => {
                    let table = spelled(&name.table)?;
                    needed.add_table(files, wanted, &format!("{schema}/{table}"))?;
                }
            }
        }
        needed.list(files)?;
        Ok(needed)
    }

    fn add_schema(&mut self, files: &Files, wanted: &Wanted, schema: &str) -> Result<()> {
        let below = format!("{schema}/");
        if !files.keys().any(|path| path.starts_with(&below)) {
            return Err(missing(wanted));
        }
        self.globs.insert(format!("{schema}/*"));
        self.globs.extend(["mysql/proc.*", "mysql/event.*", "mysql/db.opt"].map(str::to_owned));
        let name = |path: &String| {
            let table = path.strip_suffix(".frm")?;
            let is_of = table.starts_with(&below) && !table[below.len()..].starts_with('#');
            is_of.then(|| table.to_owned())
        };
        self.tables.extend(files.keys().filter_map(name));
        Ok(())
    }

    fn add_table(&mut self, files: &Files, wanted: &Wanted, table: &str) -> Result<()> {
        if !files.contains_key(&format!("{table}.frm")) {
            return Err(missing(wanted));
        }
        self.globs.insert(format!("{table}.*"));
        self.globs.insert(format!("{table}#*"));
        if files.contains_key(&format!("{table}.TRG")) {
            let schema = table.split('/').next().unwrap_or_default();
            self.globs.insert(format!("{schema}/*.TRN"));
        }
        let has_data = |path: &&String| {
            let rest = path.strip_prefix(table);
            rest.is_some_and(|rest| DATA.iter().any(|begins| rest.starts_with(begins)))
        };
        if !files.keys().any(|path| has_data(&path)) {
            self.notes.push(format!(
                "{wanted} has no data file of its own: it is a view, or its rows stand in ibdata1, \
                 which is read as a whole in any case"
            ));
        }
        self.tables.push(table.to_owned());
        Ok(())
    }

    /// Adds the files of full-text indexes: of a table by its number, or all of a schema.
    pub(super) fn add_full_text(
        &mut self,
        files: &Files,
        schema: &str,
        id: Option<u64>,
    ) -> Result<()> {
        self.globs.insert(match id {
            Some(id) => format!("{schema}/FTS_{id:016x}_*"),
            None => format!("{schema}/FTS_*"),
        });
        self.list(files)
    }

    /// Lists the files that the globs choose.
    fn list(&mut self, files: &Files) -> Result<()> {
        let globs: Vec<&String> = self.globs.iter().collect();
        let globs = crate::base::globs::Globs::new(&globs)?;
        let chosen = files.iter().filter(|(path, _)| globs.matches(path.as_bytes()));
        self.files =
            chosen.map(|(path, bytes)| PlannedFile { path: path.clone(), bytes: *bytes }).collect();
        Ok(())
    }
}

fn missing(wanted: &Wanted) -> Error {
    Error::new(ErrorKind::Usage, format!("the backup has no {wanted}"))
}

/// Tells whether a table's definition has a full-text index.
///
/// | at | bytes | of the file |
/// |---|---|---|
/// | 6 | 2 | where the keys begin: number of keys, of parts, and from 6 on the keys |
///
/// A key has 8 bytes: flags, length, parts, algorithm, block size; each part has 9.
pub(super) fn has_full_text(frm: &[u8]) -> bool {
    const FULL_TEXT: u8 = 0x80;
    const KEY_BYTES: usize = 8;
    const PART_BYTES: usize = 9;
    let byte = |at: usize| frm.get(at).copied().unwrap_or_default();
    if !frm.starts_with(&[0xfe, 0x01]) {
        return false;
    }
    let begin = usize::from(byte(6)) | usize::from(byte(7)) << 8;
    let first = usize::from(byte(begin));
    let count =
        if first & 0x80 == 0 { first } else { usize::from(byte(begin + 1)) << 7 | first & 0x7f };
    let mut at = begin + 6;
    for _ in 0..count {
        if byte(at) & FULL_TEXT != 0 {
            return true;
        }
        at += KEY_BYTES + PART_BYTES * usize::from(byte(at + 4));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(wanted: &str) -> Result<Vec<String>> {
        let paths = [
            "ibdata1",
            "ib_logfile0",
            "undo001",
            "backup-my.cnf",
            "xtrabackup_checkpoints",
            "aria_log.00000001",
            "aria_log_control",
            "mysql/proc.frm",
            "mysql/user.frm",
            "shop/db.opt",
            "shop/t.frm",
            "shop/t.new",
            "shop/t2.frm",
            "shop/t2.ibd",
            "shop/t.TRG",
            "shop/tr.TRN",
            "shop/p.frm",
            "shop/p.par",
            "shop/p#P#p0.ibd",
            "shop/a@002db.frm",
            "shop/a@002db.ibd.delta",
            "undo/x.frm",
            "shop/FTS_0000000000000012_CONFIG.ibd",
        ];
        let files = paths.iter().map(|path| ((*path).to_owned(), 1)).collect();
        let wanted = match wanted.split_once('.') {
            Some(_) => Wanted::Table(wanted.parse().unwrap()),
            None => Wanted::Schema(wanted.to_owned()),
        };
        let needed = Needed::new(&files, &[wanted])?;
        let of_tables = needed.files.into_iter().map(|file| file.path).filter(|p| p.contains('/'));
        Ok(of_tables.collect())
    }

    #[test]
    fn a_table_needs_its_files_and_no_others() {
        for (wanted, files) in [
            (
                "shop.t",
                &["shop/db.opt", "shop/t.TRG", "shop/t.frm", "shop/t.new", "shop/tr.TRN"][..],
            ),
            ("shop.p", &["shop/db.opt", "shop/p#P#p0.ibd", "shop/p.frm", "shop/p.par"]),
            ("shop.a-b", &["shop/a@002db.frm", "shop/a@002db.ibd.delta", "shop/db.opt"]),
        ] {
            assert_eq!(needed(wanted).unwrap(), files, "{wanted}");
        }
        assert_eq!(needed("shop").unwrap().len(), 14);
        assert!(needed("shop.none").is_err() && needed("none").is_err());
        assert!(spelled("caf\u{e9}").is_err());
        assert_eq!(spelled("a b$_\u{4e00}").unwrap(), "a@0020b@0024_@4e00");
    }

    #[test]
    fn a_full_text_index_is_seen_in_a_definition() {
        let mut frm = vec![0; 100];
        frm[..2].copy_from_slice(&[0xfe, 0x01]);
        frm[6] = 40;
        frm[40] = 2;
        // The first key has one part.
        frm[46 + 4] = 1;
        assert!(!has_full_text(&frm));
        frm[46 + 17] = 0x80;
        assert!(has_full_text(&frm));
        assert!(!has_full_text(b"TYPE=VIEW\n") && !has_full_text(&[0xfe, 0x01, 0xff]));
    }
}
