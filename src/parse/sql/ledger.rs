//! Keeps account of one dump: what it drops and has to make again, what it locks, which views it
//! has promised, and what does not belong into a dump.
//!
//! A dump that lost a part in the middle still has its completion line, and most of what is left
//! loads without an error. Each check here looks at something that the dump programs always write
//! in pairs.
//!
//! Invariants:
//! - memory: `PENDING_MAX` names of each kind, and `KEPT_MAX` of what was found.

use std::collections::HashSet;

use crate::parse::sql::facts::DumpEnd;
use crate::parse::sql::facts::Flaw;
use crate::parse::sql::facts::Oddity;
use crate::parse::sql::facts::OddityKind;
use crate::parse::sql::section::Name;

/// Names that wait for their counterpart; with more than that the check is given up.
const PENDING_MAX: usize = 4096;

/// Flaws that are kept, and as many oddities.
const KEPT_MAX: usize = 20;

/// A name, in its schema if that is known.
pub(super) type Object = (Option<Name>, Name);

/// Names that wait for their counterpart.
#[derive(Debug, Default)]
struct Pending {
    names: HashSet<Object>,
    is_given_up: bool,
}

/// The flaws and oddities of a dump, and what is still expected of it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    dropped: Pending,
    placeholders: Pending,
    locked: Option<Object>,
    /// The flaws of the dump that is read.
    flaws: Found<Flaw>,
    oddities: Found<Oddity>,
    /// Harmless statements and comments after the completion line, unless another dump follows:
    /// then they prepare that one.
    trailing: Found<Oddity>,
}

/// The first ones of what was found, and how many more there are.
#[derive(Debug)]
pub(super) struct Found<T> {
    pub(super) kept: Vec<T>,
    pub(super) others: u64,
}

impl<T> Default for Found<T> {
    fn default() -> Self {
        Self { kept: Vec::new(), others: 0 }
    }
}

impl<T: PartialEq> Found<T> {
    pub(super) fn push(&mut self, one: T) {
        if self.kept.last() == Some(&one) {
            return;
        }
        if self.kept.len() < KEPT_MAX {
            self.kept.push(one);
        } else {
            self.others += 1;
        }
    }

    pub(super) fn append(&mut self, more: Self) {
        more.kept.into_iter().for_each(|one| self.push(one));
        self.others += more.others;
    }
}

impl Pending {
    fn add(&mut self, object: Object) {
        if self.names.len() < PENDING_MAX {
            self.names.insert(object);
        } else {
            self.is_given_up = true;
        }
    }

    /// Returns the names that still wait.
    fn left(&mut self) -> Vec<String> {
        let names = std::mem::take(&mut self.names);
        if self.is_given_up {
            return Vec::new();
        }
        let mut left: Vec<String> = names.iter().map(display).collect();
        left.sort_unstable();
        left
    }
}

impl Ledger {
    pub(super) fn drops(&mut self, object: Object) {
        self.dropped.add(object);
    }

    /// Takes note of an object that was made: it no longer counts as dropped.
    pub(super) fn makes(&mut self, object: &Object) {
        self.dropped.names.remove(object);
    }

    pub(super) fn promises_view(&mut self, object: Object) {
        self.placeholders.add(object);
    }

    pub(super) fn makes_view(&mut self, object: &Object) {
        self.placeholders.names.remove(object);
    }

    pub(super) fn locks(&mut self, object: Object) {
        self.unlock_is_missing();
        self.locked = Some(object);
    }

    pub(super) fn unlocks(&mut self) {
        self.locked = None;
    }

    fn unlock_is_missing(&mut self) {
        if let Some(object) = self.locked.take() {
            self.flaws.push(Flaw::Locked(display(&object)));
        }
    }

    pub(super) fn flaw(&mut self, flaw: Flaw) {
        self.flaws.push(flaw);
    }

    pub(super) fn oddity(&mut self, kind: OddityKind, place: String, text: String) {
        self.oddities.push(Oddity { kind, place, text });
    }

    /// Forgets what was read until now: it is no dump but text before one. Returns the error
    /// messages in it, and the beginning of the text.
    pub(super) fn forget_text(&mut self) -> (Found<Flaw>, Option<String>) {
        let (mut messages, mut text) = (Found::default(), None);
        for flaw in std::mem::take(&mut self.flaws).kept {
            if matches!(flaw, Flaw::Message(_)) {
                messages.push(flaw);
            } else if let Flaw::Text { text: words, .. } = flaw {
                text = text.or(Some(words));
            }
        }
        (self.dropped, self.placeholders, self.locked) = Default::default();
        (messages, text)
    }

    /// Ends a dump: objects still expected are missing, unless the dump was cut before they could
    /// come.
    pub(super) fn close(&mut self, end: DumpEnd) -> Found<Flaw> {
        if end != DumpEnd::Completed {
            (self.dropped, self.placeholders, self.locked) = Default::default();
        }
        self.unlock_is_missing();
        for name in self.dropped.left() {
            self.flaws.push(Flaw::Dropped(name));
        }
        for name in self.placeholders.left() {
            self.flaws.push(Flaw::Placeholder(name));
        }
        (self.dropped, self.placeholders) = Default::default();
        std::mem::take(&mut self.flaws)
    }

    /// Takes what stands after the completion line and does no harm.
    pub(super) fn trailing(&mut self, kind: OddityKind, text: String) {
        self.trailing.push(Oddity { kind, place: "@trailer".to_owned(), text });
    }

    /// Forgets what trailed the dump that has ended: another dump follows it.
    pub(super) fn goes_on(&mut self) {
        self.trailing = Found::default();
    }

    pub(super) fn into_oddities(mut self) -> Found<Oddity> {
        self.oddities.append(self.trailing);
        self.oddities
    }
}

fn display((schema, name): &Object) -> String {
    let schema = schema.as_ref().map_or(String::new(), |schema| schema.display() + ".");
    schema + &name.display()
}
