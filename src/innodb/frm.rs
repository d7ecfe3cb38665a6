//! Tells from a `.frm` file which other files its table consists of.
//!
//! A table that is renamed while `mariabackup` copies it can be lost without an error: its
//! definition arrives, its data do not, and the backup calls itself complete. So each definition is
//! held against the files that did arrive.
//!
//! - A missing file is [`Missing::Certain`] only if no legitimate table lacks it.
//! - An engine that is not known needs nothing: a false alarm each night would hide the true one.
//!
//! Names are compared by the caller, who knows what arrived; this file neither decodes them nor
//! reads the columns of a table.
//!
//! Source: `legacy_db_type` in the server's `handler.h`, and `ha_known_exts` of the engines.

/// The beginning of a definition of a table, before its version and its engine.
const TABLE: [u8; 2] = [0xFE, 0x01];
/// The beginning of a definition of a view.
const VIEW: &[u8] = b"TYPE=VIEW\n";

/// The offset of the engine.
const ENGINE_AT: usize = 3;
/// The offset of the engine of a partitioned table's partitions.
const PARTITIONS_ENGINE_AT: usize = 61;

/// The offset of the file's length, which is little-endian.
const LENGTH_AT: usize = 10;

/// The bytes of the file that have to be shown.
pub const FRM_BYTES_MIN: usize = PARTITIONS_ENGINE_AT + 1;

/// The definition in a `.frm` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frm {
    /// A table that one engine stores as a whole.
    Table(Engine),
    /// A table whose partitions are tables of this engine.
    Partitioned(Engine),
    /// A view, which has no data.
    View,
    /// Neither, or fewer than [`FRM_BYTES_MIN`] bytes of it were shown.
    Unrecognised,
}

/// A storage engine, as far as it matters for what files there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// InnoDB. A sequence is such a table as well.
    InnoDb,
    /// Aria: an index file `.MAI` and a data file `.MAD`.
    Aria,
    /// MyISAM: an index file `.MYI` and a data file `.MYD`.
    MyIsam,
    /// CSV: a data file `.CSV` and a file `.CSM` about it.
    Csv,
    /// MERGE: one file `.MRG`.
    Merge,
    /// ARCHIVE: one data file `.ARZ`.
    Archive,
    /// MEMORY, BLACKHOLE and others that store no data here.
    Dataless,
    /// One that is not known here, by its number.
    Other(u8),
}

/// The file of a table that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Every file that must be there is.
    Nothing,
    /// The table cannot be opened without the file that ends in this.
    Certain(&'static str),
    /// No file that ends in this is there, but the data may lie in the system tablespace, or have
    /// been discarded.
    Perhaps(&'static str),
}

impl Frm {
    /// Reads the beginning of a `.frm` file.
    pub fn parse(first: &[u8]) -> Self {
        if first.starts_with(VIEW) {
            return Self::View;
        }
        if first.len() < FRM_BYTES_MIN || !first.starts_with(&TABLE) {
            return Self::Unrecognised;
        }
        match first[ENGINE_AT] {
            PARTITION => Self::Partitioned(Engine::from_code(first[PARTITIONS_ENGINE_AT])),
            code => Self::Table(Engine::from_code(code)),
        }
    }

    /// Returns the length that the file should at least have, if the beginning of it tells.
    pub fn stated_length(first: &[u8]) -> Option<u64> {
        let length = first.get(LENGTH_AT..)?.first_chunk()?;
        first.starts_with(&TABLE).then(|| u32::from_le_bytes(*length).into())
    }

    /// Compares the files that the table needs with those that exist.
    ///
    /// `exists` says of a string whether some file is named like the `.frm` file with the string
    /// in place of `.frm`; for `#P#`, whether the name of some file begins like that.
    pub fn missing(self, exists: impl Fn(&'static str) -> bool) -> Missing {
        let first_missing = |needed: &[&'static str]| {
            let missing = needed.iter().copied().find(|suffix| !exists(suffix));
            missing.map_or(Missing::Nothing, Missing::Certain)
        };
        match self {
            Self::Table(engine) => match engine {
                Engine::InnoDb if TABLESPACES.iter().any(|suffix| exists(suffix)) => {
                    Missing::Nothing
                }
                Engine::InnoDb => Missing::Perhaps(".ibd"),
                Engine::Aria => first_missing(&[".MAI", ".MAD"]),
                Engine::MyIsam => first_missing(&[".MYI", ".MYD"]),
                Engine::Csv => first_missing(&[".CSV", ".CSM"]),
                Engine::Merge => first_missing(&[".MRG"]),
                Engine::Archive => first_missing(&[".ARZ"]),
                Engine::Dataless | Engine::Other(_) => Missing::Nothing,
            },
            Self::Partitioned(engine) => match engine {
                Engine::InnoDb if exists(".par") && !exists("#P#") => Missing::Perhaps("#P#"),
                Engine::InnoDb | Engine::Dataless | Engine::Other(_) => first_missing(&[".par"]),
                Engine::Aria | Engine::MyIsam | Engine::Csv | Engine::Merge | Engine::Archive => {
                    first_missing(&[".par", "#P#"])
                }
            },
            Self::View | Self::Unrecognised => Missing::Nothing,
        }
    }
}

const PARTITION: u8 = 20;

/// Ends of the names of a table's tablespace: usual, in an incremental backup, and when the
/// table was created during the backup.
const TABLESPACES: [&str; 3] = [".ibd", ".ibd.delta", ".new"];

impl Engine {
    /// Looks up the number by which definitions name an engine.
    const fn from_code(code: u8) -> Self {
        match code {
            9 => Self::MyIsam,
            10 => Self::Merge,
            12 => Self::InnoDb,
            16 => Self::Archive,
            17 => Self::Csv,
            42 => Self::Aria,
            // MEMORY, EXAMPLE, FEDERATED, BLACKHOLE, PERFORMANCE_SCHEMA, S3.
            6 | 15 | 18 | 19 | 28 | 41 => Self::Dataless,
            code => Self::Other(code),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frm(engine: u8, partitions_engine: u8) -> Frm {
        let mut bytes = [0; 64];
        bytes[..4].copy_from_slice(&[0xFE, 0x01, 0x0A, engine]);
        bytes[PARTITIONS_ENGINE_AT] = partitions_engine;
        Frm::parse(&bytes)
    }

    fn missing(frm: Frm, files: &[&str]) -> Missing {
        frm.missing(|suffix| files.contains(&suffix))
    }

    #[test]
    fn engines_seen_on_a_server_are_known() {
        let seen = [
            (0x06, Engine::Dataless),
            (0x09, Engine::MyIsam),
            (0x0A, Engine::Merge),
            (0x0C, Engine::InnoDb),
            (0x11, Engine::Csv),
            (0x2A, Engine::Aria),
            (0x7E, Engine::Other(0x7E)),
        ];
        for (code, engine) in seen {
            assert_eq!(frm(code, 0), Frm::Table(engine));
        }
        assert_eq!(frm(0x14, 0x0C), Frm::Partitioned(Engine::InnoDb));
    }

    #[test]
    fn a_table_states_the_length_of_its_definition() {
        // Of a real table, whose file has 919 bytes.
        let bytes = [0xfe, 1, 10, 12, 0x12, 0, 0x56, 0, 1, 0, 0x97, 3, 0, 0, 0, 0x10];
        assert_eq!(Frm::stated_length(&bytes), Some(919));
        assert_eq!(Frm::stated_length(&bytes[..13]), None);
        assert_eq!(Frm::stated_length(b"TYPE=VIEW\nquery=select 1"), None);
    }

    #[test]
    fn a_view_is_text_and_needs_nothing() {
        let view = Frm::parse(b"TYPE=VIEW\nquery=select 1");
        assert_eq!(view, Frm::View);
        assert_eq!(missing(view, &[]), Missing::Nothing);
        assert_eq!(Frm::parse(b"TYPE=TRIGGERS\n"), Frm::Unrecognised);
        assert_eq!(Frm::parse(b"\xFE\x01\x0A\x0C"), Frm::Unrecognised);
    }

    #[test]
    fn a_table_whose_data_never_arrived_is_noticed() {
        let aria = frm(0x2A, 0);
        assert_eq!(missing(aria, &[]), Missing::Certain(".MAI"));
        assert_eq!(missing(aria, &[".MAI"]), Missing::Certain(".MAD"));
        assert_eq!(missing(aria, &[".MAI", ".MAD"]), Missing::Nothing);

        let csv = frm(0x11, 0);
        assert_eq!(missing(csv, &[".CSV"]), Missing::Certain(".CSM"));

        let partitioned = frm(0x14, 0x09);
        assert_eq!(missing(partitioned, &["#P#"]), Missing::Certain(".par"));
        assert_eq!(missing(partitioned, &[".par"]), Missing::Certain("#P#"));
    }

    #[test]
    fn innodb_data_may_lie_in_the_system_tablespace() {
        let innodb = frm(0x0C, 0);
        assert_eq!(missing(innodb, &[]), Missing::Perhaps(".ibd"));
        assert_eq!(missing(innodb, &[".ibd"]), Missing::Nothing);
        assert_eq!(missing(innodb, &[".ibd.delta"]), Missing::Nothing);
        assert_eq!(missing(innodb, &[".new"]), Missing::Nothing);
        let partitioned = frm(0x14, 0x0C);
        assert_eq!(missing(partitioned, &[]), Missing::Certain(".par"));
        assert_eq!(missing(partitioned, &[".par"]), Missing::Perhaps("#P#"));
        assert_eq!(missing(partitioned, &[".par", "#P#"]), Missing::Nothing);
    }

    #[test]
    fn an_engine_that_is_not_known_raises_no_alarm() {
        assert_eq!(missing(frm(0x7E, 0), &[]), Missing::Nothing);
        assert_eq!(missing(frm(0x14, 0x7E), &[".par"]), Missing::Nothing);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Frm::parse(&bytes).missing(|_| false);
        }
    }
}
