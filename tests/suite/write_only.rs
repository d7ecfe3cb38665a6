//! A host that may only write: what it can do, and that with everything it has no earlier page can
//! be read.

use std::sync::Arc;

use haulout::base::entropy::SeededEntropy;
use haulout::base::error::Error;
use haulout::base::error::ErrorKind;
use haulout::base::ids::Class;
use haulout::base::world::World;
use haulout::format::pack_table::PackTable;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::verify;
use haulout::repo::Repository;
use haulout::repo::keys::Keys;
use haulout::seal::cost::KdfCost;
use haulout::seal::cost::Limits;
use haulout::seal::error::SealError;
use haulout::seal::key_slot::Credential;
use haulout::seal::key_slot::KeyFile;
use haulout::seal::key_slot::KeySlotNote;
use haulout::seal::key_slot::Passphrase;
use haulout::seal::key_slot::Protection;
use haulout::seal::purpose::Purpose;
use haulout::seal::run::RunRecord;
use haulout::seal::slot_contents::Role;
use haulout::store::Store;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;

use crate::support;
use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up;
use crate::support::init;
use crate::support::open;
use crate::support::password;
use crate::support::shared;
use crate::support::stream_of;

/// A repository, and the key file of a host that may only write to it.
struct Setting {
    store: Arc<MemoryStore>,
    full: Repository,
    key_file: String,
}

impl Setting {
    fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let full = init(shared(&store), Protected::Encrypted, 1);
        let file = KeyFile::generate(&SeededEntropy::new(8));
        let note = KeySlotNote { label: "db1".to_owned(), created_unix_seconds: 0 };
        let keys = keys(&store, password()).unwrap();
        keys.add(Role::WriteOnly, Protection::KeyFile(&file), &note).unwrap();
        Self { store, full, key_file: file.to_text().to_string() }
    }

    fn credential(&self) -> Credential {
        Credential::KeyFile(KeyFile::from_text(&self.key_file).unwrap())
    }

    /// The repository as the host opens it, with all that it has on disk: its key file.
    fn host(&self, seed: u64) -> Repository {
        let world = support::world(seed);
        let mut give = || Ok(self.credential());
        Repository::open(shared(&self.store), &mut give, &Limits::FOR_TESTS, &world).unwrap()
    }
}

fn keys(store: &Arc<MemoryStore>, credential: Credential) -> Result<Keys, Error> {
    let mut credential = Some(credential);
    let mut give = || Ok(credential.take().unwrap());
    let world = support::world(50);
    Keys::open(shared(store), &mut give, &Limits::FOR_TESTS, &world)
}

fn names(store: &dyn Store, prefix: &str) -> Vec<ObjectName> {
    let mut names = Vec::new();
    store.list(prefix, &mut |meta| names.push(meta.name)).unwrap();
    names
}

#[test]
fn such_a_host_backs_up_and_shares_what_did_not_change() {
    let setting = Setting::new();
    let mut server = Server::new(1, 2, 60);
    let mut streams = vec![server.stream()];
    back_up(&setting.full, &streams[0]);
    for night in 0..2 {
        server.night(10);
        streams.push(server.stream());
        let report = back_up(&setting.host(100 + night), streams.last().unwrap());
        let counts = report.counts;
        assert!(counts.blocks_same > 10 * counts.blocks_whole, "{counts:?}");
        assert_eq!(counts.blocks_delta, 0, "it has no base to compare with");
        assert!(counts.blocks_whole > 5);
    }
    let full = open(shared(&setting.store), 9).unwrap();
    for (stored, stream) in full.snapshots().unwrap().snapshots.iter().zip(&streams) {
        assert_eq!(&stream_of(&full, &stored.id().to_string()).unwrap(), stream);
    }
    // And a host with a full key goes on from there, with deltas.
    server.night(10);
    let report = back_up(&full, &server.stream());
    assert!(report.counts.blocks_delta > 5, "{:?}", report.counts);
}

#[test]
fn with_everything_that_the_host_has_no_page_can_be_read() {
    let setting = Setting::new();
    let mut server = Server::new(1, 2, 40);
    back_up(&setting.full, &server.stream());
    server.night(10);
    back_up(&setting.host(100), &server.stream());
    // The host as whoever takes it over finds it the next day: its key file, and the store.
    let host = setting.host(101);
    for purpose in [Purpose::RunData, Purpose::Recovery] {
        let missing = host.keyring().subkey(purpose).map(|_| ());
        assert_eq!(missing, Err(SealError::KeyNotInSlot(purpose)));
    }
    for name in names(&*setting.store, "runs/") {
        let record = RunRecord::decode(&setting.store.get(&name, 1 << 20).unwrap()).unwrap();
        host.keyring().open_run(&record, Class::Meta).unwrap();
        let refused = host.keyring().open_run(&record, Class::Data).map(|_| ());
        assert_eq!(refused, Err(SealError::KeyNotInSlot(Purpose::RunData)), "also its own run");
    }
    let twins = names(&*setting.store, "twins/");
    let mut data_packs = 0;
    for name in names(&*setting.store, "packs/") {
        let hash = name.as_str().rsplit('/').next().unwrap();
        if twins.iter().any(|twin| twin.as_str().ends_with(hash)) {
            continue;
        }
        data_packs += 1;
        let name = haulout::base::ids::PackName(haulout::base::hex::decode(hash).unwrap());
        let packs = host.packs(PackTable::default(), &Arc::default());
        assert!(packs.open(&name).is_err(), "its directory is sealed as well");
    }
    assert!(data_packs >= 2, "packs of both runs");
    assert_eq!(stream_of(&host, "latest").unwrap_err().kind(), ErrorKind::WriteOnly);
    let options = VerifyOptions::new(Depth::Blocks);
    let refused = verify(&host, &options, &World::of_this_machine()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WriteOnly);
    assert!(names(&*setting.store, "damage/").is_empty(), "what it can't open is not damaged");
    let options = VerifyOptions { depth: Depth::Stored, ..options };
    let report = verify(&host, &options, &World::of_this_machine()).unwrap();
    assert_eq!(report.findings, []);
}

#[test]
fn such_a_host_changes_no_keys_and_is_no_last_key() {
    let setting = Setting::new();
    let host = keys(&setting.store, setting.credential()).unwrap();
    let listed = host.list().unwrap().slots;
    assert_eq!(listed.len(), 2, "it sees who else there is");
    let full = listed.iter().find(|entry| entry.role == Role::Full).unwrap().id;
    let own = listed.iter().find(|entry| entry.role == Role::WriteOnly).unwrap().id;
    let secret = Passphrase::new(b"x".to_vec()).unwrap();
    let weak = Protection::Passphrase(&secret, KdfCost::FOR_TESTS);
    let note = KeySlotNote { label: String::new(), created_unix_seconds: 0 };
    assert_eq!(host.add(Role::Full, weak, &note).unwrap_err().kind(), ErrorKind::WriteOnly);
    assert_eq!(host.remove(full).unwrap_err().kind(), ErrorKind::WriteOnly);
    assert_eq!(host.kit(None, &note).unwrap_err().kind(), ErrorKind::WriteOnly);
    let admin = keys(&setting.store, password()).unwrap();
    assert_eq!(admin.remove(full).unwrap_err().kind(), ErrorKind::Usage, "the last full one");
    admin.remove(own).unwrap();
    assert_eq!(keys(&setting.store, setting.credential()).unwrap_err().kind(), ErrorKind::WrongKey);
}
