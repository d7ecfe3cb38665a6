//! A repository whose config is lost or changed, opened by its keys, and the config made again.
//!
//! All that a config holds is known from elsewhere: the id and the suite stand in every key slot
//! and in a recovery kit, cuts are the same in every repository, the tag derives from the key. Only
//! the feature bits are not, and what is stored does not show all of them: all that are known are
//! set. A bit too many only keeps earlier versions out. A repository that is not encrypted has its
//! key in the config and nowhere else.
//!
//! If nothing shows that runs have put intents, they begin to do so with the new config: a list of
//! the snapshots that are there goes before it, as when a repository is upgraded.
//!
//! Nothing is put until something that is stored here was opened with the key: a key slot, or a
//! kit, of another repository makes no config.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::Class;
use crate::base::ids::SnapshotId;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::base::world::World;
use crate::format::config::CUT_SIZES;
use crate::format::config::Config;
use crate::format::config::FEATURES_KNOWN;
use crate::format::config::Features;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::format::layout::Subject;
use crate::repo::Opened;
use crate::repo::Repository;
use crate::repo::features::decode_config;
use crate::repo::features::require_authentic;
use crate::repo::inventory::Inventory;
use crate::repo::key_slots::key_names;
use crate::repo::key_slots::key_slot_names;
use crate::repo::key_slots::unlock;
use crate::repo::key_slots::unlock_kit;
use crate::repo::sealing::sealing_failed;
use crate::seal::cost::Limits;
use crate::seal::ids::RepositoryId;
use crate::seal::key_slot::Credential;
use crate::seal::key_slot::Unlocked;
use crate::seal::keys::Keyring;
use crate::seal::keys::RepositoryKey;
use crate::seal::recovery_kit::RecoveryKit;
use crate::seal::run::RunRecord;
use crate::seal::suite::Suite;
use crate::store::Store;
use crate::store::error::Category;

/// Log2 of the smallest block of a page file, the same in every repository.
const BLOCK_LOG2: u8 = 14;
/// Folders in which only runs with intents put objects.
const OF_INTENTS: [Folder; 4] = [Folder::Intents, Folder::Fences, Folder::Removed, Folder::Cleared];

/// The state of a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigState {
    /// It is as it was written.
    Whole,
    /// It is not there.
    Missing,
    /// It is there, and is not what was written, in words.
    Changed(String),
}

/// A repository that opens although its config may be lost.
#[derive(Debug)]
pub struct Salvaged {
    /// The state in which the config was found.
    pub state: ConfigState,
    /// The repository, opened with the config that is there or with the one that was made again.
    pub repository: Repository,
    config: Config,
    /// The snapshots that are there, if runs begin to put intents with the new config.
    earlier: BTreeSet<SnapshotId>,
}

impl Salvaged {
    /// Opens a repository with a password or key file.
    pub fn by_key(
        store: Arc<dyn Store>,
        credential: &mut dyn FnMut() -> Result<Credential>,
        limits: &Limits,
        world: &World,
    ) -> Result<Self> {
        let keys = Arc::clone(&store);
        let mut open = || {
            if key_slot_names(&*keys)?.is_empty() {
                let what = "there is no key slot: without a recovery kit nothing opens this \
                            repository, and an unencrypted one has its key in its config alone";
                return Err(Error::new(ErrorKind::Damaged, what));
            }
            Ok(unlock(&*keys, &credential()?, limits)?.0)
        };
        Self::open(store, &mut open, world)
    }

    /// Opens a repository with a recovery kit, which needs no key slot.
    pub fn by_kit(
        store: Arc<dyn Store>,
        kit: &RecoveryKit,
        passphrase: &mut dyn FnMut() -> Result<Credential>,
        limits: &Limits,
        world: &World,
    ) -> Result<Self> {
        Self::open(store, &mut || unlock_kit(kit, passphrase, limits), world)
    }

    fn open(
        store: Arc<dyn Store>,
        unlock: &mut dyn FnMut() -> Result<Unlocked>,
        world: &World,
    ) -> Result<Self> {
        let found = found(&*store)?;
        if let Found::Config(config) = &found
            && config.suite == Suite::KeyedTag.byte()
        {
            let key = RepositoryKey::new(&config.clear_key);
            let keyring = Keyring::new(RepositoryId::new(config.repository), Suite::KeyedTag, &key);
            // It has its key in itself: if the tag is wrong nothing is left to make it right.
            require_authentic(config, &keyring, "")?;
            return Self::assemble(store, ConfigState::Whole, config.clone(), keyring, world);
        }
        let keyring = unlock()?.keyring();
        let state = match found {
            Found::Config(config) if require_authentic(&config, &keyring, "").is_ok() => {
                return Self::assemble(store, ConfigState::Whole, config, keyring, world);
            }
            Found::Config(config)
                if RepositoryId::new(config.repository) != keyring.repository() =>
            {
                let place = store.location();
                let what = format!("the config at {place} is that of another repository");
                return Err(Error::new(ErrorKind::Distrusted, what));
            }
            Found::Config(_) => {
                ConfigState::Changed("its tag does not match the repository's key".to_owned())
            }
            Found::Changed(words) => ConfigState::Changed(words),
            Found::Missing => ConfigState::Missing,
        };
        let config = made_again(&keyring, FEATURES_KNOWN)?;
        Self::assemble(store, state, config, keyring, world)?.proved(world)
    }

    fn assemble(
        store: Arc<dyn Store>,
        state: ConfigState,
        config: Config,
        keyring: Keyring,
        world: &World,
    ) -> Result<Self> {
        let key_names = Some(key_names(&*store)?);
        let opened = Opened { config: config.clone(), keyring, unlocked: None, key_names };
        let repository = Repository::assemble(store, opened, Arc::clone(&world.entropy))?;
        Ok(Self { state, repository, config, earlier: BTreeSet::new() })
    }

    /// Fails unless the key opens something that is stored; finds whether runs have put intents.
    fn proved(mut self, world: &World) -> Result<Self> {
        let repository = &self.repository;
        let listed = repository.listed_snapshots(None)?;
        let (mut opened, mut intents) = (false, false);
        for name in &listed {
            world.monitor.check()?;
            match repository.read_any_snapshot(name) {
                Ok(stored) => {
                    opened = true;
                    intents |= stored.snapshot.about.protocol.is_some();
                }
                Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
                Err(_) => {}
            }
        }
        let mut any = !listed.is_empty();
        if !opened {
            let runs = Inventory::of(&**repository.store(), &[Folder::Runs], "")?;
            for (object, _) in runs.others() {
                any = true;
                opened = opens_run(repository, &object)?;
                if opened {
                    break;
                }
            }
        }
        if !opened {
            let place = repository.store().location();
            let what = if any {
                format!("this key opens nothing that is stored at {place}")
            } else {
                format!("{place} has neither snapshots nor runs: there is nothing to salvage")
            };
            return Err(Error::new(ErrorKind::ForeignKey, what));
        }
        let of_intents = Inventory::of(&**repository.store(), &OF_INTENTS, "")?;
        let notes = Inventory::of(&**repository.store(), &[Folder::Notes], "")?;
        let is_list =
            |object: &Object| matches!(object, Object::Note { about: Subject::Began, .. });
        let has_list = notes.others().any(|(object, _)| is_list(&object));
        if !intents && of_intents.others().next().is_none() && !has_list {
            self.earlier = listed.iter().map(|name| name.id).collect();
        }
        Ok(self)
    }

    /// Puts the config that was made again, and reads it back.
    pub fn put_config(&self, world: &World) -> Result<()> {
        if self.state != ConfigState::Whole && !self.earlier.is_empty() {
            self.repository.put_earlier(self.earlier.clone(), world.clock.unix_seconds())?;
        }
        let (store, name) = (self.repository.store(), Object::Config.name());
        let bytes = Bytes::from(self.config.encode());
        let put = match self.state {
            ConfigState::Whole => return Ok(()),
            // Several that salvage put the same bytes.
            ConfigState::Missing => store.put(&name, std::slice::from_ref(&bytes)),
            ConfigState::Changed(_) => store.replace(&name, std::slice::from_ref(&bytes)),
        };
        put.map_err(|e| e.named("cannot write the config"))?;
        let stored = store
            .get(&name, SMALL_OBJECT_BYTES_MAX)
            .map_err(|e| e.named("cannot read the config back"))?;
        if stored == bytes {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Store, "the store took the config and has another one"))
    }
}

/// What is found under the name of the config.
enum Found {
    Config(Config),
    Changed(String),
    Missing,
}

fn found(store: &dyn Store) -> Result<Found> {
    let read = store.get(&Object::Config.name(), SMALL_OBJECT_BYTES_MAX);
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(error) if error.category() == Category::NotFound => return Ok(Found::Missing),
        Err(error) if error.category() == Category::Damaged => {
            return Ok(Found::Changed(error.to_string()));
        }
        Err(error) => return Err(error.named("cannot read the config")),
    };
    match decode_config(&bytes, "") {
        Ok(config) => Ok(Found::Config(config)),
        // A newer program may have written it.
        Err(error) if error.kind() == ErrorKind::Unsupported => Err(error),
        Err(error) => Ok(Found::Changed(error.with_causes())),
    }
}

fn made_again(keyring: &Keyring, required_features: Features) -> Result<Config> {
    let mut config = Config {
        suite: keyring.suite().byte(),
        required_features,
        optional_features: Features::NONE,
        repository: *keyring.repository().bytes(),
        block_log2: BLOCK_LOG2,
        cuts: CUT_SIZES,
        clear_key: [0; 32],
        tag: [0; 32],
    };
    config.tag = keyring.config_tag(&config.tagged()).map_err(sealing_failed)?;
    Ok(config)
}

/// Tells whether the key opens the secrets of a run.
fn opens_run(repository: &Repository, object: &Object) -> Result<bool> {
    match repository.store().get(&object.name(), SMALL_OBJECT_BYTES_MAX) {
        Ok(bytes) => Ok(RunRecord::decode(&bytes)
            .is_ok_and(|record| repository.keyring().open_run(&record, Class::Meta).is_ok())),
        Err(error) if matches!(error.category(), Category::NotFound | Category::Damaged) => {
            Ok(false)
        }
        Err(error) => Err(error.named(format!("cannot read {}", object.name()))),
    }
}
