//! The reports of the commands of `key`.

use haulout::error::Result;
use haulout::repo::keys::KeySlotEntry;
use haulout::repo::keys::KeySlotId;
use haulout::repo::keys::KeySlots;
use haulout::repo::keys::Role;
use haulout::repo::keys::Rotated;
use serde::Serialize;

use crate::output::report::Format;
use crate::output::report::Report;
use crate::output::report::print;
use crate::output::report::print_json;
use crate::output::text::Canvas;
use crate::output::text::Column;
use crate::output::text::Narrow;
use crate::output::text::Side;
use crate::output::text::clean;
use crate::output::text::table;
use crate::output::timefmt;

/// Number of digits of an id that people see.
const ID_DIGITS: usize = 8;

impl Report {
    /// Prints the keys of a repository.
    pub(crate) fn keys(&self, found: &KeySlots) -> Result<()> {
        let KeySlots { slots, damaged } = found;
        for (_, error) in damaged {
            let causes = error.causes().join(": ");
            self.console.warning(format!("{error}: {causes}"));
        }
        match self.format {
            Format::Json => print_json(&slots.iter().map(Listed::new).collect::<Vec<_>>()),
            Format::Text => print(&text(slots, self.canvas)),
        }
    }

    /// Prints the report of an added, removed or replaced key.
    pub(crate) fn key_changed(&self, change: &Change) -> Result<()> {
        self.result(change, || match (&change.removed, &change.added) {
            (Some(old), Some(new)) => format!("key {new} is in the place of {old}\n"),
            (Some(old), None) => format!("removed key {old}\n"),
            (None, Some(new)) => format!("added key {new}\n"),
            (None, None) => String::new(),
        })
    }

    /// Prints the report of a rotation.
    pub(crate) fn rotated(&self, rotated: &Rotated) -> Result<()> {
        let told = Rotation {
            generation: rotated.generation,
            added: rotated.added.to_string(),
            removed: rotated.removed.map(|id| id.to_string()),
            listed: rotated.listed,
            retired: rotated.retired.iter().map(Listed::new).collect(),
        };
        self.result(&told, || told.text())
    }

    /// Prints the report of an exported recovery kit.
    pub(crate) fn kit(&self, kit: &Kit) -> Result<()> {
        self.result(kit, || {
            let Kit { file, repository, password } = kit;
            let how = if *password { "with a password" } else { "WITHOUT a password" };
            let file = clean(file);
            format!("wrote a recovery kit of {repository} to {file}, {how}; it was tested\n")
        })
    }
}

/// The JSON report of a change of keys.
#[derive(Debug, Serialize)]
pub(crate) struct Change {
    added: Option<String>,
    removed: Option<String>,
}

impl Change {
    /// Creates the report of an added key.
    pub(crate) fn added(id: KeySlotId) -> Self {
        Self { added: Some(id.to_string()), removed: None }
    }

    /// Creates the report of a removed key.
    pub(crate) fn removed(id: KeySlotId) -> Self {
        Self { added: None, removed: Some(id.to_string()) }
    }

    /// Creates the report of a key that took the place of another.
    pub(crate) fn replaced(old: KeySlotId, new: KeySlotId) -> Self {
        Self { added: Some(new.to_string()), removed: Some(old.to_string()) }
    }
}

/// The JSON report of a rotation.
#[derive(Debug, Serialize)]
struct Rotation<'r> {
    generation: u8,
    added: String,
    removed: Option<String>,
    /// Number of snapshots and notes that the previous keys had sealed.
    listed: usize,
    retired: Vec<Listed<'r>>,
}

impl Rotation<'_> {
    fn text(&self) -> String {
        let Rotation { generation, added, listed, .. } = self;
        let place = self.removed.as_ref().map(|old| format!(", in the place of {old}"));
        let place = place.unwrap_or_default();
        let head = format!(
            "generation {generation} of keys began, and key {added} opens it{place}\n\
             {listed} snapshots and notes of before stay as they are; recovery kits of before open \
             those only: make a new one with haulout key export\n"
        );
        let retired = self.retired.iter().map(|Listed { id, label, .. }| {
            let (id, label) = (&id[..ID_DIGITS], clean(label));
            format!("retired, to be added again or removed: {id} {label}\n")
        });
        std::iter::once(head).chain(retired).collect()
    }
}

/// The JSON report of a recovery kit that was written.
#[derive(Debug, Serialize)]
pub(crate) struct Kit {
    /// The file that the kit was written to.
    pub(crate) file: String,
    /// The repository that the kit opens.
    pub(crate) repository: String,
    /// True if the kit needs a password.
    pub(crate) password: bool,
}

/// The JSON report of one key of `key list`.
#[derive(Debug, Serialize)]
struct Listed<'r> {
    id: String,
    protection: &'static str,
    role: &'static str,
    generation: u8,
    retired: bool,
    label: &'r str,
    created: String,
    created_unix: u64,
    in_use: bool,
}

impl<'r> Listed<'r> {
    fn new(entry: &'r KeySlotEntry) -> Self {
        Listed {
            id: entry.id.to_string(),
            protection: entry.protection.name(),
            role: entry.role.name(),
            generation: entry.generation,
            retired: entry.retired,
            label: &entry.note.label,
            created: timefmt::for_programs(entry.note.created_unix_seconds),
            created_unix: entry.note.created_unix_seconds,
            in_use: entry.in_use,
        }
    }
}

const LISTING: [Column; 6] = [
    Column { title: "KEY", side: Side::Left, narrow: Narrow::Keep },
    Column { title: "ADDED", side: Side::Left, narrow: Narrow::Clip(10) },
    Column { title: "OPENS WITH", side: Side::Left, narrow: Narrow::Keep },
    Column { title: "MAY", side: Side::Left, narrow: Narrow::Keep },
    Column { title: "IN USE", side: Side::Left, narrow: Narrow::Hide },
    Column { title: "LABEL", side: Side::Left, narrow: Narrow::Cut(10) },
];

/// Returns the rights of a key in words.
fn may(entry: &KeySlotEntry) -> &'static str {
    match (entry.role, entry.retired) {
        (Role::Full, false) => "everything",
        (Role::WriteOnly, false) => "write only",
        (Role::Full, true) => "read before rotation",
        (Role::WriteOnly, true) => "nothing since rotation",
    }
}

fn text(slots: &[KeySlotEntry], canvas: Canvas) -> String {
    let row = |entry: &KeySlotEntry| {
        vec![
            entry.id.to_string()[..ID_DIGITS].into(),
            canvas.time(entry.note.created_unix_seconds).into(),
            entry.protection.name().into(),
            may(entry).into(),
            if entry.in_use { "yes" } else { "" }.into(),
            entry.note.label.as_str().into(),
        ]
    };
    table(&LISTING, &slots.iter().map(row).collect::<Vec<_>>(), canvas)
}
