//! Makes a repository at a place so that of several attempts at once at most one succeeds
//! (FORMAT.md 3.1).
//!
//! A claim under a random name is put first. Putting it a second time shows whether the store
//! refuses a name that is taken: then the put of `config` decides, and exactly one attempt
//! succeeds. On any other store only a claim that is alone goes on. In either case `config` is read
//! back: who finds another one has lost, removes the keys that it put, and fails.

use bytes::Bytes;

use crate::base::entropy::Entropy;
use crate::base::entropy::random;
use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::limits::SMALL_OBJECT_BYTES_MAX;
use crate::base::num::u64_of;
use crate::format::config::claimed_id;
use crate::format::layout::Folder;
use crate::format::layout::Object;
use crate::store::Store;
use crate::store::error::Category;
use crate::store::error::StoreError;
use crate::store::name::ObjectName;

/// The text of a claim: a magic and a version.
const CLAIM: &[u8] = b"HAULOCLM\x01\x00";
/// The bytes that are put under the name of a claim to see whether the store refuses them.
const SECOND: &[u8] = b"HAULOCLM\x01\x00again";

/// The outcome of an attempt that did not succeed.
enum Failed {
    /// Nothing of it counts: the claim is removed.
    Surely(Error),
    /// The config may be stored, now or later: the claim stays.
    Perhaps(Error),
}

type Attempt = std::result::Result<(), Failed>;

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Surely(error)
    }
}

/// Returns the requests of [`found`] besides the puts of `keys` keys and the config, at a store
/// that decides: two puts and the deletion of a claim, a look for the config, and what is read
/// back.
pub fn extra_requests(keys: usize) -> u64 {
    5 + u64_of(keys)
}

/// Puts the keys and the config of a repository at a place that has none.
pub fn found(
    store: &dyn Store,
    keys: &[(ObjectName, Bytes)],
    config: &Bytes,
    entropy: &dyn Entropy,
) -> Result<()> {
    let claim = Object::Claim(random(entropy)).name();
    let attempt = stake(store, &claim).and_then(|()| write(store, keys, config));
    let outcome = match attempt {
        Err(Failed::Perhaps(error)) => return Err(error),
        Err(Failed::Surely(error)) => Err(error),
        Ok(()) => Ok(()),
    };
    // A claim beside a config means nothing, so one that may not be deleted can stay.
    let _removed = store.delete(&claim);
    outcome
}

/// Puts the claim, and continues only if it is the only claim or the store decides.
fn stake(store: &dyn Store, claim: &ObjectName) -> Attempt {
    let cannot_write = |e: StoreError| e.named(format!("cannot write {claim}"));
    store.put(claim, &[Bytes::from_static(CLAIM)]).map_err(cannot_write)?;
    let store_decides = match store.put(claim, &[Bytes::from_static(SECOND)]) {
        Err(error) if error.category() == Category::Conflict => true,
        Ok(()) => false,
        // A store that lets this user overwrite nothing may let others.
        Err(error) if error.category() == Category::Denied => false,
        Err(error) => return Err(cannot_write(error).into()),
    };
    if !store_decides {
        require_alone(store, claim)?;
    }
    // After the listing: a claim that is gone from it was removed after its config was put.
    match store.get(&Object::Config.name(), SMALL_OBJECT_BYTES_MAX) {
        Ok(_) => Err(occupied(store).into()),
        Err(error) if error.category() == Category::NotFound => Ok(()),
        Err(error) => Err(error.named("cannot look for the config").into()),
    }
}

fn require_alone(store: &dyn Store, claim: &ObjectName) -> Result<()> {
    let (mut own, mut other) = (false, None);
    store
        .list(Folder::Claims.prefix(), &mut |meta| {
            if meta.name == *claim {
                own = true;
            } else {
                other = Some(meta.name);
            }
        })
        .map_err(|e| e.named("cannot list the claims"))?;
    let place = store.location();
    if let Some(other) = other {
        let what = format!(
            "another haulout is making a repository at {place}, or was interrupted: {other} \
             stands; if none is running, remove it with {}",
            removal(&place, &other)
        );
        return Err(Error::new(ErrorKind::Occupied, what));
    }
    if !own {
        let what = format!("{place} does not list {claim}, which was just put there");
        return Err(Error::new(ErrorKind::Store, what));
    }
    Ok(())
}

/// Returns the command that removes an object of a place.
fn removal(place: &str, name: &ObjectName) -> String {
    let object = format!("{}/{name}", place.trim_end_matches('/'));
    match place.split_once("://") {
        Some(("s3", _)) => format!("aws s3 rm {object}"),
        Some(("gs", _)) => format!("gcloud storage rm {object}"),
        Some(("az", rest)) => {
            let (container, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let blob = format!("{prefix}/{name}");
            let blob = blob.trim_start_matches('/');
            format!("az storage blob delete --container-name {container} --name {blob}")
        }
        _ => format!("rm '{object}'"),
    }
}

fn write(store: &dyn Store, keys: &[(ObjectName, Bytes)], config: &Bytes) -> Attempt {
    for (name, bytes) in keys {
        put_and_compare(store, name, bytes)?;
    }
    let object = Object::Config.name();
    // Last: a reader that sees a config finds a key that opens the repository.
    match store.put(&object, std::slice::from_ref(config)) {
        Ok(()) => {}
        Err(error) if error.category() == Category::Conflict => {}
        Err(error) => return Err(Failed::Perhaps(error.named("cannot write the config"))),
    }
    match store.get(&object, SMALL_OBJECT_BYTES_MAX) {
        Ok(stored) if stored == *config => Ok(()),
        // Another copy of the same repository, with other features, has the same keys.
        Ok(stored) if claimed_id(&stored) == claimed_id(config) => Err(occupied(store).into()),
        Ok(_) => {
            // Only here: an attempt to copy the same repository may rely on the same keys.
            for (name, _) in keys {
                store.delete(name).map_err(|e| e.named(format!("cannot remove {name}")))?;
            }
            Err(occupied(store).into())
        }
        Err(error) => Err(Failed::Perhaps(error.named("cannot read the config back"))),
    }
}

fn occupied(store: &dyn Store) -> Error {
    Error::new(ErrorKind::Occupied, format!("{} holds a repository already", store.location()))
}

/// Puts an object whose name is no hash of its content, and compares what is stored then.
pub fn put_and_compare(store: &dyn Store, name: &ObjectName, bytes: &Bytes) -> Result<()> {
    store
        .put(name, std::slice::from_ref(bytes))
        .map_err(|e| e.named(format!("cannot write {name}")))?;
    let stored = match store.get(name, u64_of(bytes.len())) {
        Ok(stored) => stored,
        Err(error) if error.category() == Category::NotFound => {
            let what = format!("the store took {name} and does not have it");
            return Err(Error::new(ErrorKind::Store, what).because(error));
        }
        Err(error) => return Err(error.named(format!("cannot read {name} back"))),
    };
    if stored == *bytes {
        return Ok(());
    }
    let what = format!("{name} is there with other bytes than were put");
    Err(Error::new(ErrorKind::Store, what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::layout::Object;

    #[test]
    fn the_command_that_removes_a_claim_fits_the_place() {
        let claim = Object::Claim([0xab; 16]).name();
        let id = "ab".repeat(16);
        for (place, command) in [
            ("/srv/backup", format!("rm '/srv/backup/claims/{id}'")),
            ("s3://b/db/", format!("aws s3 rm s3://b/db/claims/{id}")),
            ("gs://b", format!("gcloud storage rm gs://b/claims/{id}")),
            (
                "az://b/db",
                format!("az storage blob delete --container-name b --name db/claims/{id}"),
            ),
        ] {
            assert_eq!(removal(place, &claim), command);
        }
    }
}
