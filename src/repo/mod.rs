//! A repository as a value: made, opened, and asked for its snapshots.
//!
//! [`Repository`] exists only after its config was read, a key opened it, and the config's tag was
//! found right under that key. It knows snapshots and pack tables; what is done with them is in
//! [`ops`](crate::ops).

mod believed;
pub mod contents;
pub mod damage;
pub mod features;
pub mod fences;
pub mod founding;
pub mod generations;
pub mod hidden;
pub mod inventory;
mod key_slots;
pub mod keys;
pub mod lineage;
pub mod needs;
pub mod notes;
pub mod probe;
mod prune_records;
pub mod removals;
pub mod renewal;
pub mod salvage;
mod sealing;
pub mod segments;
mod slots;
pub mod snapshot_lists;
mod snapshot_name;
pub mod snapshots;
pub mod standing;
pub mod vacancy;
pub mod verified;

use std::sync::Arc;
use std::sync::Mutex;

use bytes::Bytes;

use crate::base::entropy::Entropy;
use crate::base::entropy::random;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::SourceId;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::base::monitor::Monitor;
use crate::base::world::World;
use crate::cut::Cutter;
use crate::format::config::CUT_SIZES;
use crate::format::config::Config;
use crate::format::layout::Folder;
use crate::format::pack_table::PackTable;
use crate::hash::BlockHasher;
use crate::pack::reader::Packs;
use crate::repo::believed::Believed;
use crate::repo::features::decode_config;
use crate::repo::features::require_authentic;
use crate::repo::founding::found;
use crate::repo::hidden::Hidden;
use crate::repo::key_slots::key_slot_object;
use crate::repo::key_slots::unlock;
use crate::repo::key_slots::unlock_kit;
use crate::repo::sealing::sealing_failed;
use crate::seal::cost::KdfCost;
use crate::seal::cost::Limits;
use crate::seal::ids::RepositoryId;
use crate::seal::key_slot::Credential;
use crate::seal::key_slot::KeySlot;
use crate::seal::key_slot::KeySlotNote;
use crate::seal::key_slot::Protection;
use crate::seal::key_slot::Unlocked;
use crate::seal::keys::Keyring;
use crate::seal::keys::RepositoryKey;
use crate::seal::purpose::Purpose;
use crate::seal::recovery_kit::RecoveryKit;
use crate::seal::suite::Suite;
use crate::store::Store;
use crate::store::error::Category;
use crate::store::name::ObjectName;

pub use crate::base::ids::SnapshotId;
pub use crate::format::config::FEATURES_KNOWN;
pub use crate::format::config::FEATURES_MADE;
pub use crate::format::config::FORMAT_VERSION;
pub use crate::format::config::FeatureAbout;
pub use crate::format::config::Features;
pub use crate::format::config::ProgramVersion;
pub use crate::format::layout::Object;
pub use crate::format::record::PageCounts;
pub use crate::format::snapshot::Check;
pub use crate::format::snapshot::Description;
pub use crate::format::snapshot::Finding;
pub use crate::format::snapshot::Positions;
pub use crate::format::snapshot::Severity;
pub use crate::format::snapshot::SnapshotKind;
pub use crate::format::snapshot::StreamFormat;
pub use crate::format::snapshot::Verdict;
pub use crate::format::snapshot_damage::SnapshotDamage;

/// The protection of a new repository.
#[derive(Debug)]
pub enum NewProtection<'c> {
    /// Encrypted; this credential is the first to open it.
    Encrypted {
        /// The credential that opens the first key slot.
        credential: &'c Credential,
        /// Argon2id parameters for a passphrase.
        cost: KdfCost,
        /// The label and creation time of the first key slot.
        note: KeySlotNote,
    },
    /// Not encrypted: the key lies in the config.
    Clear,
}

/// An open repository, with its store and the keys that opened it.
#[derive(Debug, Clone)]
pub struct Repository {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    hasher: BlockHasher,
    cutter: Cutter,
    entropy: Arc<dyn Entropy>,
    believed: Arc<Believed>,
    features: Features,
    /// Names under `keys/` when the repository was opened; `None` if they were not listed.
    key_names: Option<Arc<[ObjectName]>>,
    /// The snapshots that were hidden when that was looked at last.
    hidden: Arc<Mutex<Option<Arc<Hidden>>>>,
}

/// Checks that the store has what it just accepted: some accept an object and keep nothing, or
/// something else.
pub fn require_there(store: &dyn Store, name: &ObjectName, bytes: u64) -> Result<()> {
    let found =
        store.size(name).map_err(|e| e.named(format!("cannot look for {name}, which was put")))?;
    if found == Some(bytes) {
        return Ok(());
    }
    let what = match found {
        None => format!("the store took {name} and does not have it"),
        Some(found) => format!("the store took {name}, of {bytes} bytes, and has {found}"),
    };
    Err(Error::new(ErrorKind::Store, what))
}

impl Repository {
    /// Creates a repository in a store that has none, with all features that this program makes.
    pub fn init(
        store: Arc<dyn Store>,
        protection: &NewProtection<'_>,
        world: &World,
    ) -> Result<Self> {
        Self::init_with(store, protection, FEATURES_MADE, world)
    }

    /// Creates a repository with these required features: an earlier version makes some without.
    #[cfg(any(test, feature = "internals"))]
    pub fn init_as_earlier(
        store: Arc<dyn Store>,
        protection: &NewProtection<'_>,
        features: Features,
        world: &World,
    ) -> Result<Self> {
        Self::init_with(store, protection, features, world)
    }

    fn init_with(
        store: Arc<dyn Store>,
        protection: &NewProtection<'_>,
        required_features: Features,
        world: &World,
    ) -> Result<Self> {
        let entropy = &*world.entropy;
        let object = Object::Config.name();
        let known = store
            .size(&object)
            .map_err(|e| e.named(format!("cannot look at {}", store.location())))?;
        if known.is_some() {
            let place = store.location();
            return Err(Error::new(
                ErrorKind::Occupied,
                format!("{place} holds a repository already"),
            ));
        }
        let key = RepositoryKey::generate(entropy);
        let suite = match protection {
            NewProtection::Encrypted { .. } => Suite::Aes256GcmSiv,
            NewProtection::Clear => Suite::KeyedTag,
        };
        let repository = RepositoryId::new(random(entropy));
        let keyring = Keyring::new(repository, suite, &key);
        let mut keys = Vec::new();
        if let NewProtection::Encrypted { credential, cost, note } = protection {
            let protection = match credential {
                Credential::Passphrase(passphrase) => Protection::Passphrase(passphrase, *cost),
                Credential::KeyFile(file) => Protection::KeyFile(file),
            };
            let slot =
                KeySlot::seal(&keyring, &key, protection, note, entropy).map_err(sealing_failed)?;
            keys.push((key_slot_object(slot.id()), Bytes::from(slot.encode())));
        }
        let clear_key = match suite {
            Suite::KeyedTag => *key.expose(),
            Suite::Aes256GcmSiv => [0; 32],
        };
        let mut config = Config {
            suite: suite.byte(),
            required_features,
            optional_features: Features::NONE,
            repository: *repository.bytes(),
            block_log2: 14,
            cuts: CUT_SIZES,
            clear_key,
            tag: [0; 32],
        };
        config.tag = keyring.config_tag(&config.tagged()).map_err(sealing_failed)?;
        found(&*store, &keys, &Bytes::from(config.encode()), entropy)?;
        let opened = Opened { config, keyring, unlocked: None, key_names: Some(Vec::new()) };
        Self::assemble(store, opened, Arc::clone(&world.entropy))
    }

    /// Opens a repository. `credential` is asked only if it is encrypted.
    pub fn open(
        store: Arc<dyn Store>,
        credential: &mut dyn FnMut() -> Result<Credential>,
        limits: &Limits,
        world: &World,
    ) -> Result<Self> {
        let opened = Opened::by_credential(&*store, credential, limits)?;
        Self::assemble(store, opened, Arc::clone(&world.entropy))
    }

    /// Opens a repository with a recovery kit. `passphrase` is asked only if the kit has one.
    pub fn open_by_kit(
        store: Arc<dyn Store>,
        kit: &RecoveryKit,
        passphrase: &mut dyn FnMut() -> Result<Credential>,
        limits: &Limits,
        world: &World,
    ) -> Result<Self> {
        let opened = Opened::by(&*store, &mut || unlock_kit(kit, passphrase, limits))?;
        Self::assemble(store, opened, Arc::clone(&world.entropy))
    }

    fn assemble(store: Arc<dyn Store>, opened: Opened, entropy: Arc<dyn Entropy>) -> Result<Self> {
        let Opened { config, keyring, key_names, .. } = opened;
        let features = config.required_features;
        let key = |purpose| keyring.subkey(purpose).map(|key| *key.bytes());
        let hasher = BlockHasher::new(key(Purpose::BlockHash).map_err(sealing_failed)?);
        let cutter = Cutter::new(&key(Purpose::Cut).map_err(sealing_failed)?, config.cuts);
        let believed = Arc::new(Believed::load(&*store, &keyring)?);
        let (keyring, key_names) = (Arc::new(keyring), key_names.map(Arc::from));
        let hidden = Arc::default();
        Ok(Self { store, keyring, hasher, cutter, entropy, believed, features, key_names, hidden })
    }

    /// Returns the same repository in another store: a copy with the same keys.
    #[cfg(any(test, feature = "internals"))]
    #[must_use]
    pub fn elsewhere(&self, store: Arc<dyn Store>) -> Self {
        Self { store, hidden: Arc::default(), ..self.clone() }
    }

    /// Returns the same repository as another store shows it, whose lists of what retired keys had
    /// sealed are read again.
    pub(crate) fn shown_by(&self, store: Arc<dyn Store>) -> Result<Self> {
        self.copy_in(store, self.features)
    }

    /// Returns the copy of this repository in another store, which has the same keys and these
    /// features.
    pub fn copy_in(&self, store: Arc<dyn Store>, features: Features) -> Result<Self> {
        let believed = Arc::new(Believed::load(&*store, &self.keyring)?);
        Ok(Self { store, believed, features, hidden: Arc::default(), ..self.clone() })
    }

    /// Returns the store that holds the repository's objects.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Returns the keys that the key slot in use has.
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// Returns the required features that the repository has.
    pub fn features(&self) -> Features {
        self.features
    }

    /// Tells whether runs put intents here, and snapshots may be removed.
    pub fn has_intents(&self) -> bool {
        self.features.include(Features::INTENTS)
    }

    /// Returns the same repository with these features, after they were set.
    pub(crate) fn with_features(&self, features: Features) -> Self {
        Self { features, hidden: Arc::default(), ..self.clone() }
    }

    /// Returns the cutter that finds content-defined cuts.
    pub fn cutter(&self) -> &Cutter {
        &self.cutter
    }

    /// Returns the source of random bytes.
    pub fn entropy(&self) -> &Arc<dyn Entropy> {
        &self.entropy
    }

    /// Tells whether the key in use can open data packs.
    pub fn opens_data(&self) -> bool {
        self.keyring.opens_data()
    }

    /// Refuses what needs data packs opened, if the key in use may only write.
    pub fn require_data(&self) -> Result<()> {
        if self.opens_data() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::WriteOnly, "this key may add backups, and read none"))
    }

    /// Returns the key for hashes of paths.
    pub fn path_key(&self) -> Result<[u8; 32]> {
        self.keyring.subkey(Purpose::Path).map(|key| *key.bytes()).map_err(sealing_failed)
    }

    /// Returns the opaque id of a source, derived from its name.
    pub fn source_id(&self, name: &str) -> Result<SourceId> {
        let key = self.keyring.subkey(Purpose::Source).map_err(sealing_failed)?;
        let full = blake3::keyed_hash(key.bytes(), name.as_bytes());
        Ok(SourceId(*full.as_bytes().first_chunk().expect("BLAKE3 gives 32 bytes")))
    }

    /// Returns a reader of packs with this table.
    pub fn packs(&self, table: PackTable, monitor: &Arc<Monitor>) -> Packs {
        Packs::new(
            Arc::clone(&self.store),
            Arc::clone(&self.keyring),
            self.hasher.clone(),
            table,
            Arc::clone(monitor),
        )
    }
}

/// A config that was found authentic, with the keys that show it.
struct Opened {
    config: Config,
    keyring: Keyring,
    /// The secrets that the credential opened; `None` if the repository is not encrypted.
    unlocked: Option<Unlocked>,
    /// Names under `keys/`; `None` if they were not listed.
    key_names: Option<Vec<ObjectName>>,
}

impl Opened {
    fn by_credential(
        store: &dyn Store,
        credential: &mut dyn FnMut() -> Result<Credential>,
        limits: &Limits,
    ) -> Result<Self> {
        let mut seen = None;
        let mut opened = Self::by(store, &mut || {
            let (unlocked, names) = unlock(store, &credential()?, limits)?;
            seen = Some(names);
            Ok(unlocked)
        })?;
        opened.key_names = seen;
        Ok(opened)
    }

    fn by(store: &dyn Store, unlock: &mut dyn FnMut() -> Result<Unlocked>) -> Result<Self> {
        let config = read_config(store)?;
        let suite = Suite::from_byte(config.suite).map_err(|e| {
            Error::new(ErrorKind::Unsupported, "the config names an unknown suite").because(e)
        })?;
        let repository = RepositoryId::new(config.repository);
        let (keyring, unlocked) = match suite {
            Suite::KeyedTag => {
                let key = RepositoryKey::new(&config.clear_key);
                (Keyring::new(repository, suite, &key), None)
            }
            Suite::Aes256GcmSiv => {
                let unlocked = unlock()?;
                (unlocked.keyring(), Some(unlocked))
            }
        };
        require_authentic(&config, &keyring, "")?;
        Ok(Self { config, keyring, unlocked, key_names: None })
    }
}

/// Describes a place without a config: no repository, or one that has lost its config.
fn without_config(store: &dyn Store) -> Error {
    let place = store.location();
    let mut has_snapshots = false;
    // A store that can't be listed was reached, and has no config: that much is known.
    let _listed = store.list(Folder::Snapshots.prefix(), &mut |_| has_snapshots = true);
    if has_snapshots {
        let what = format!("the repository at {place} has snapshots, and its config is missing");
        return Error::new(ErrorKind::NoConfig, what);
    }
    Error::new(ErrorKind::NoRepository, format!("there is no repository at {place}"))
}

fn read_config(store: &dyn Store) -> Result<Config> {
    let bytes = match store.get(&Object::Config.name(), SMALL_OBJECT_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.category() == Category::NotFound => {
            return Err(without_config(store));
        }
        Err(error) => return Err(error.named("cannot read the config")),
    };
    decode_config(&bytes, "")
}
