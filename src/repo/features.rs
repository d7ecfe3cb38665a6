//! Required features of a repository that exists: its config is read again, and another one is put
//! in its place (FORMAT.md 10).
//!
//! The config is the only object that is ever replaced. At every moment there is the old one or
//! the new one, and both are good; so whatever interrupts this, the repository opens, and the next
//! attempt starts from the beginning.
//!
//! The same is done to a copy that lacks features of its source: `side` follows the name of the
//! object in messages, and is empty for the repository itself.

use bytes::Bytes;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Malformed;
use crate::base::error::Result;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::format::config;
use crate::format::config::Config;
use crate::format::config::Features;
use crate::format::layout::Object;
use crate::repo::sealing::sealing_failed;
use crate::seal::ids::RepositoryId;
use crate::seal::keys::Keyring;
use crate::store::Store;
use crate::store::error::Category;
use crate::store::error::StoreError;

/// The requests of [`set_features`] besides the put of the config: it is read before and after.
pub const EXTRA_REQUESTS: u64 = 2;

/// The effect of setting features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeaturesSet {
    /// A config with them took the place of the old one.
    Now,
    /// The config had them already.
    Before,
}

/// Reads the bytes of a config.
pub(super) fn decode_config(bytes: &[u8], side: &str) -> Result<Config> {
    Config::decode(bytes).map_err(|why| {
        let unknown = [config::UNKNOWN_VERSION, config::UNKNOWN_FEATURE].contains(&why.why);
        if unknown {
            let whose = if side.is_empty() { "this" } else { "the" };
            let what = format!("{whose} repository{side} needs a newer haulout");
            Error::new(ErrorKind::Unsupported, what).because(why)
        } else {
            Error::damaged(format!("the config{side}"), why)
        }
    })
}

/// Refuses a config that is not the one of the repository to which the keys belong.
pub(super) fn require_authentic(config: &Config, keyring: &Keyring, side: &str) -> Result<()> {
    let authentic = keyring.repository() == RepositoryId::new(config.repository)
        && keyring.check_config_tag(&config.tagged(), &config.tag).is_ok();
    if authentic {
        return Ok(());
    }
    let why = Malformed { what: "config", why: "its tag does not match the repository's key" };
    Err(Error::damaged(format!("the config{side}"), why))
}

/// Decodes a config and checks that it belongs to the repository of these keys.
pub fn authentic_config(bytes: &[u8], keyring: &Keyring, side: &str) -> Result<Config> {
    let config = decode_config(bytes, side)?;
    require_authentic(&config, keyring, side)?;
    Ok(config)
}

/// Sets required features in the config that a store holds.
///
/// Other features that it has stay set. Repeating it is always right.
pub fn set_features(
    store: &dyn Store,
    keyring: &Keyring,
    features: Features,
    side: &str,
) -> Result<FeaturesSet> {
    let old = read(store, keyring, side)?;
    if old.required_features.include(features) {
        return Ok(FeaturesSet::Before);
    }
    if !keyring.opens_data() {
        let what = format!("this key may add backups, and set no features{side}");
        return Err(Error::new(ErrorKind::WriteOnly, what));
    }
    let mut new = Config { required_features: old.required_features.with(features), ..old };
    new.tag = keyring.config_tag(&new.tagged()).map_err(sealing_failed)?;
    let name = Object::Config.name();
    store.replace(&name, &[Bytes::from(new.encode())]).map_err(|e| not_replaced(e, side))?;
    if read(store, keyring, side)?.required_features.include(features) {
        return Ok(FeaturesSet::Now);
    }
    let what = format!("the store took {name}{side} and has the previous one");
    Err(Error::new(ErrorKind::Store, what))
}

/// Returns the required features that the config has now.
pub fn features_now(store: &dyn Store, keyring: &Keyring) -> Result<Features> {
    read(store, keyring, "").map(|config| config.required_features)
}

fn read(store: &dyn Store, keyring: &Keyring, side: &str) -> Result<Config> {
    let bytes = store
        .get(&Object::Config.name(), SMALL_OBJECT_BYTES_MAX)
        .map_err(|e| e.named(format!("cannot read the config{side}")))?;
    authentic_config(&bytes, keyring, side)
}

/// Explains why the config was not replaced: many stores let their users put new objects only.
fn not_replaced(cause: StoreError, side: &str) -> Error {
    if matches!(cause.category(), Category::Denied | Category::Conflict) {
        let what = format!("the store does not let this user replace the config{side}");
        return Error::new(ErrorKind::Protected, what).because(cause);
    }
    cause.named(format!("cannot replace the config{side}"))
}
