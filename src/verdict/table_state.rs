//! The state of a table, or of a partition, by the files of it that have come.
//!
//! A [`TableState`] is also a change: joined to what was known before it gives what is known now.
//! So the state of very many tables can be kept in sorted files, to which changes are added without
//! reading them.

use crate::base::error::Malformed;
use crate::base::wire::Reader;
use crate::base::wire::put_bytes;
use crate::base::wire::put_varint;
use crate::innodb::frm::Engine;
use crate::innodb::frm::Frm;
use crate::verdict::lengths::Data;
use crate::verdict::lengths::DataFault;
use crate::verdict::lengths::Stated;
use crate::verdict::table_files::Files;
use crate::verdict::table_files::SUFFIXES;

/// The state of a table, since it was seen first or since the state to which this is joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TableState {
    /// Nothing that was known before counts.
    replaces: bool,
    /// Files that were replaced or went away: what was known of them before does not count.
    gone: Files,
    /// Files that are there.
    pub(super) files: Files,
    pub(super) definition: Option<Frm>,
    /// The number of its tablespace; 0 is the system tablespace's and stands for none.
    pub(super) space: u32,
    /// Its name, which is kept of tables that have a definition or a tablespace.
    pub(super) stem: Option<Box<[u8]>>,
    details: Option<Box<Details>>,
}

/// The statements of a table's files about each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Details {
    stated: Option<Stated>,
    data: Option<Data>,
    /// Names, each followed by a zero.
    partitions: Option<Box<[u8]>>,
}

/// The facts that were observed from a file of a table.
#[derive(Debug, Clone)]
pub(super) enum Observed {
    Nothing,
    /// From a `.frm` file.
    Definition(Frm),
    /// From a `.par` file; `None` if it can't be read.
    Partitions(Option<Box<[u8]>>),
    /// From an index file or the description of a CSV table.
    Stated(Option<Stated>),
    /// From a data file.
    Data(Data),
    /// From a tablespace: its number.
    Space(u32),
}

/// The kind of the backup: incremental or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Incremental {
    Yes,
    No,
}

impl TableState {
    /// Returns the state of a table of which all files went away.
    pub(super) fn nothing_any_more() -> Self {
        Self { replaces: true, ..Self::default() }
    }

    /// Records that a file came, in place of any previous one, and what was observed from it.
    pub(super) fn add(&mut self, bit: u32, observed: Observed) {
        self.remove(bit);
        self.files.0 |= bit;
        match observed {
            Observed::Nothing => {}
            Observed::Definition(definition) => self.definition = Some(definition),
            Observed::Partitions(names) => self.details.get_or_insert_default().partitions = names,
            Observed::Stated(stated) => self.details.get_or_insert_default().stated = stated,
            Observed::Data(data) => self.details.get_or_insert_default().data = Some(data),
            Observed::Space(space) => self.space = space,
        }
    }

    /// Records that files went away, with what was observed from them.
    pub(super) fn remove(&mut self, bits: u32) {
        self.gone.0 |= bits;
        self.files.0 &= !bits;
        if bits & Files::FRM != 0 {
            self.definition = None;
        }
        if bits & Files::IBD != 0 {
            self.space = 0;
        }
        let Some(details) = &mut self.details else { return };
        if bits & Files::PAR != 0 {
            details.partitions = None;
        }
        if bits & Files::STATING != 0 {
            details.stated = None;
        }
        if bits & Files::DATA != 0 {
            details.data = None;
        }
    }

    /// Joins a later change to what was known before.
    pub(super) fn join(&mut self, later: Self) {
        if later.replaces {
            *self = later;
            return;
        }
        // What is known from a file comes with its replacement.
        self.remove(later.gone.0);
        self.files.0 |= later.files.0;
        self.definition = self.definition.or(later.definition);
        self.space = self.space.max(later.space);
        self.stem = later.stem.or(self.stem.take());
        let Some(more) = later.details else { return };
        let details = self.details.get_or_insert_default();
        details.stated = details.stated.or(more.stated);
        details.data = details.data.or(more.data);
        details.partitions = details.partitions.take().or(more.partitions);
    }

    /// Returns what was observed from the file of that bit.
    pub(super) fn observed(&self, bit: u32) -> Observed {
        let details = self.details.as_deref();
        match bit {
            Files::FRM => self.definition.map_or(Observed::Nothing, Observed::Definition),
            Files::IBD => Observed::Space(self.space),
            Files::PAR => Observed::Partitions(details.and_then(|it| it.partitions.clone())),
            bit if bit & Files::STATING != 0 => {
                Observed::Stated(details.and_then(|details| details.stated))
            }
            bit if bit & Files::DATA != 0 => {
                details.and_then(|details| details.data).map_or(Observed::Nothing, Observed::Data)
            }
            _ => Observed::Nothing,
        }
    }

    /// Tells whether there is a file that ends so. In an incremental backup the changed pages stand
    /// for the tablespace.
    pub(super) fn has(&self, suffix: &str, incremental: Incremental) -> bool {
        let bit = SUFFIXES.iter().find(|(listed, _)| *listed == suffix).map_or(0, |(_, bit)| *bit);
        let delta = Files::DELTA | Files::META;
        let by_delta = incremental == Incremental::Yes && self.files.0 & delta == delta;
        self.files.0 & bit != 0
            || bit == Files::IBD && (by_delta || self.files.0 & Files::RENAMED != 0)
    }

    /// Tells whether there are changed pages, but not what they belong to.
    pub(super) fn lacks_meta(&self) -> bool {
        self.files.0 & Files::DELTA != 0 && self.files.0 & Files::META == 0
    }

    /// Returns the listed names of partitions, each followed by a zero.
    pub(super) fn listed(&self) -> &[u8] {
        let details = self.details.as_deref();
        details.and_then(|details| details.partitions.as_deref()).unwrap_or_default()
    }

    /// Returns what is wrong with the data file, with its length and what its name ends in.
    pub(super) fn data_fault(&self) -> Option<(&'static str, Data, DataFault)> {
        let details = self.details.as_ref()?;
        let data = details.data?;
        let fault = details.stated?.fault(data)?;
        let of_data = |(_, bit): &&(&str, u32)| self.files.0 & Files::DATA & bit != 0;
        let (suffix, _) = SUFFIXES.iter().find(of_data)?;
        Some((suffix, data, fault))
    }

    /// Returns about how many bytes it occupies beside itself.
    pub(super) fn bytes(&self) -> usize {
        let details =
            self.details.as_ref().map_or(0, |_| size_of::<Details>() + self.listed().len());
        self.stem.as_ref().map_or(0, |stem| stem.len() + 16) + details
    }

    /// Writes the state for [`TableState::decode`].
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.push(u8::from(self.replaces));
        for number in [self.gone.0, self.files.0, self.space] {
            put_varint(&mut out, number.into());
        }
        put_bytes(&mut out, self.stem.as_deref().unwrap_or_default());
        put_definition(&mut out, self.definition);
        let Some(details) = &self.details else { return out };
        let (kind, number) = match details.stated {
            None => (0, 0),
            Some(Stated::Bytes(bytes)) => (1, bytes),
            Some(Stated::BytesInTime(bytes)) => (2, bytes),
            Some(Stated::Rows { rows, is_open: false }) => (3, rows),
            Some(Stated::Rows { rows, is_open: true }) => (4, rows),
        };
        out.push(kind);
        put_varint(&mut out, number);
        out.push(details.data.map_or(0, |data| 1 + u8::from(data.ends_a_line)));
        let data = details.data.unwrap_or_default();
        put_varint(&mut out, data.length);
        put_varint(&mut out, data.line_ends);
        out.push(u8::from(details.partitions.is_some()));
        put_bytes(&mut out, self.listed());
        out
    }

    /// Reads what [`TableState::encode`] wrote.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut from = Reader::new("files of a table", bytes);
        let replaces = from.u8()? != 0;
        let (gone, files) = (Files(from.varint_u32()?), Files(from.varint_u32()?));
        let space = from.varint_u32()?;
        let stem = Some(from.bytes()?).filter(|stem| !stem.is_empty()).map(Box::from);
        let definition = take_definition(&mut from)?;
        let mut state = Self { replaces, gone, files, definition, space, stem, details: None };
        if from.left() == 0 {
            return Ok(state);
        }
        let (kind, number) = (from.u8()?, from.varint()?);
        let stated = match kind {
            1 => Some(Stated::Bytes(number)),
            2 => Some(Stated::BytesInTime(number)),
            3 | 4 => Some(Stated::Rows { rows: number, is_open: kind == 4 }),
            _ => None,
        };
        let kind = from.u8()?;
        let (length, line_ends) = (from.varint()?, from.varint()?);
        let data = (kind > 0).then_some(Data { length, line_ends, ends_a_line: kind == 2 });
        let is_listed = from.u8()? != 0;
        let partitions = Some(from.bytes()?).filter(|_| is_listed).map(Box::from);
        state.details = Some(Box::new(Details { stated, data, partitions }));
        from.finish()?;
        Ok(state)
    }
}

fn put_definition(out: &mut Vec<u8>, definition: Option<Frm>) {
    let (kind, engine) = match definition {
        None => (0, None),
        Some(Frm::Table(engine)) => (1, Some(engine)),
        Some(Frm::Partitioned(engine)) => (2, Some(engine)),
        Some(Frm::View) => (3, None),
        Some(Frm::Unrecognised) => (4, None),
    };
    out.push(kind);
    let (engine, number) = match engine {
        None | Some(Engine::InnoDb) => (0, 0),
        Some(Engine::Aria) => (1, 0),
        Some(Engine::MyIsam) => (2, 0),
        Some(Engine::Csv) => (3, 0),
        Some(Engine::Merge) => (4, 0),
        Some(Engine::Archive) => (5, 0),
        Some(Engine::Dataless) => (6, 0),
        Some(Engine::Other(number)) => (7, number),
    };
    out.extend_from_slice(&[engine, number]);
}

fn take_definition(from: &mut Reader<'_>) -> Result<Option<Frm>, Malformed> {
    let [kind, engine, number] = from.array()?;
    let engine = match engine {
        0 => Engine::InnoDb,
        1 => Engine::Aria,
        2 => Engine::MyIsam,
        3 => Engine::Csv,
        4 => Engine::Merge,
        5 => Engine::Archive,
        6 => Engine::Dataless,
        _ => Engine::Other(number),
    };
    Ok(match kind {
        0 => None,
        1 => Some(Frm::Table(engine)),
        2 => Some(Frm::Partitioned(engine)),
        3 => Some(Frm::View),
        _ => Some(Frm::Unrecognised),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn observed() -> impl Strategy<Value = (u32, Observed)> {
        let engines = [Engine::InnoDb, Engine::Aria, Engine::Merge, Engine::Other(42)];
        let definitions = proptest::sample::select(engines.to_vec()).prop_flat_map(|engine| {
            proptest::sample::select(vec![
                Frm::Table(engine),
                Frm::Partitioned(engine),
                Frm::View,
                Frm::Unrecognised,
            ])
        });
        let stated = proptest::sample::select(vec![
            None,
            Some(Stated::Bytes(u64::MAX)),
            Some(Stated::BytesInTime(7)),
            Some(Stated::Rows { rows: 300, is_open: true }),
            Some(Stated::Rows { rows: 0, is_open: false }),
        ]);
        let data = (0..1000_u64, any::<bool>());
        let names = proptest::option::of(Just(Box::from(*b"p0\0p1\0")));
        prop_oneof![
            definitions.prop_map(|it| (Files::FRM, Observed::Definition(it))),
            stated.prop_map(|it| (Files::MYI, Observed::Stated(it))),
            data.prop_map(|(length, ends_a_line)| {
                (Files::CSV, Observed::Data(Data { length, line_ends: 3, ends_a_line }))
            }),
            names.prop_map(|it| (Files::PAR, Observed::Partitions(it))),
            (1..9_u32).prop_map(|it| (Files::IBD, Observed::Space(it))),
            Just((Files::OPT, Observed::Nothing)),
        ]
    }

    #[derive(Debug, Clone)]
    enum Event {
        Add(u32, Observed),
        Remove(u32),
        Name,
        Gone,
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let bits = [Files::FRM, Files::MYI, Files::CSV, Files::PAR, Files::IBD, Files::OPT];
        let event = prop_oneof![
            4 => observed().prop_map(|(bit, observed)| Event::Add(bit, observed)),
            2 => proptest::sample::select(bits.to_vec()).prop_map(Event::Remove),
            1 => Just(Event::Name),
            1 => Just(Event::Gone),
        ];
        proptest::collection::vec(event, 0..12)
    }

    fn play(state: &mut TableState, events: &[Event]) {
        for event in events.iter().cloned() {
            match event {
                Event::Add(bit, observed) => state.add(bit, observed),
                Event::Remove(bit) => state.remove(bit),
                Event::Name => state.stem = Some(Box::from(*b"name")),
                Event::Gone => *state = TableState::nothing_any_more(),
            }
        }
    }

    fn facts(state: &TableState) -> String {
        let TableState { replaces: _, gone: _, files, definition, space, stem, .. } = state;
        let observed = [Files::PAR, Files::MYI, Files::CSV].map(|bit| state.observed(bit));
        format!("{files:?} {definition:?} {space} {stem:?} {observed:?}")
    }

    proptest! {
        #[test]
        fn changes_can_be_joined_in_parts(parts in [events(), events(), events()]) {
            let mut whole = TableState::default();
            play(&mut whole, &parts.concat());
            let parts = parts.map(|events| {
                let mut part = TableState::default();
                play(&mut part, &events);
                TableState::decode(&part.encode()).unwrap()
            });
            let [first, second, third] = parts.clone();
            let (mut left, mut tail) = (first, second);
            left.join(tail.clone());
            left.join(third.clone());
            prop_assert_eq!(facts(&left), facts(&whole));
            tail.join(third);
            let [mut right, ..] = parts;
            right.join(tail);
            prop_assert_eq!(facts(&right), facts(&whole));
        }

        #[test]
        fn what_is_written_is_read(events in events()) {
            let mut state = TableState::default();
            play(&mut state, &events);
            prop_assert_eq!(TableState::decode(&state.encode()).unwrap(), state);
        }
    }
}
