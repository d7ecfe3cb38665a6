//! A repository in memory with some nights in it, and its copies.

#![allow(dead_code, reason = "the benchmarks use a part")]

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use haulout::base::error::Result;
use haulout::base::world::World;
use haulout::ops::backup::BackupReport;
use haulout::ops::replicate::Confirmation;
use haulout::ops::replicate::CopyPlan;
use haulout::ops::replicate::ReplicateOptions;
use haulout::ops::replicate::ReplicateReport;
use haulout::ops::replicate::newest;
use haulout::ops::replicate::plan;
use haulout::repo::FEATURES_MADE;
use haulout::repo::Features;
use haulout::repo::Repository;
use haulout::repo::snapshots::Listing;
use haulout::store::Store;
use haulout::store::memory::MemoryStore;
use haulout::store::name::ObjectName;

use crate::support::Protected;
use crate::support::Server;
use crate::support::back_up;
use crate::support::init_as_earlier;
use crate::support::open;
use crate::support::shared;
use crate::support::stream_of;

/// A repository with some nights of a small server in it.
pub(crate) struct Near {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) repository: Repository,
    pub(crate) server: Server,
    pub(crate) nights: Vec<(BackupReport, Vec<u8>)>,
}

impl Near {
    pub(crate) fn with_nights(count: usize) -> Self {
        Self::of(FEATURES_MADE, count)
    }

    /// The same with these features.
    pub(crate) fn of(features: Features, count: usize) -> Self {
        let store = Arc::new(MemoryStore::new());
        let repository = init_as_earlier(shared(&store), Protected::Encrypted, features, 1);
        let server = Server::new(1, 2, 40);
        let mut near = Self { store, repository, server, nights: Vec::new() };
        (0..count).for_each(|_| near.night());
        near
    }

    pub(crate) fn night(&mut self) {
        let stream = self.server.stream();
        let report = back_up(&self.repository, &stream);
        self.nights.push((report, stream));
        self.server.night(12);
    }

    pub(crate) fn planned(&self, far: Arc<dyn Store>, last: Option<u32>) -> Result<CopyPlan<'_>> {
        let Listing { snapshots, damaged, .. } = newest(&self.repository, &[], last)?;
        assert!(damaged.is_empty());
        let confirmation = Confirmation::Listed;
        let options = ReplicateOptions { snapshots, connections: 2, confirmation };
        plan(&self.repository, far, options, &World::of_this_machine())
    }

    pub(crate) fn replicated(&self, far: Arc<dyn Store>) -> Result<ReplicateReport> {
        self.planned(far, None)?.send(&World::of_this_machine())
    }

    /// Whatever is visible in a copy must be what was backed up.
    pub(crate) fn visible_nights_of(&self, far: &Arc<dyn Store>) -> usize {
        if far.size(&ObjectName::new("config").unwrap()).unwrap().is_none() {
            return 0;
        }
        let copy = open(Arc::clone(far), 77).unwrap();
        let listing = copy.snapshots().unwrap();
        assert!(listing.damaged.is_empty());
        for stored in &listing.snapshots {
            let id = stored.id();
            let (_, stream) = self.nights.iter().find(|(night, _)| night.id == id).unwrap();
            assert_eq!(&stream_of(&copy, &id.to_string()).unwrap(), stream);
        }
        listing.snapshots.len()
    }
}

pub(crate) fn objects_of(store: &dyn Store, prefix: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    store.list(prefix, &mut |meta| names.extend([meta.name.to_string()])).unwrap();
    names
}

/// The data packs of a repository, by the night that wrote them.
pub(crate) fn data_packs(near: &Near, before: &BTreeSet<String>) -> Vec<String> {
    let twins = objects_of(&*near.store, "twins/");
    let is_data = |name: &String| !twins.contains(&name.replace("packs/", "twins/"));
    let packs = objects_of(&*near.store, "packs/");
    packs.into_iter().filter(|name| !before.contains(name)).filter(is_data).collect()
}

pub(crate) fn spoil(store: &MemoryStore, name: &str) {
    let name = ObjectName::new(name).unwrap();
    let mut bytes = store.get(&name, 1 << 30).unwrap().to_vec();
    bytes[40] ^= 1;
    store.delete(&name).unwrap();
    store.put(&name, &[Bytes::from(bytes)]).unwrap();
}
