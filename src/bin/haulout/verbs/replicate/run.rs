//! Sends snapshots to another repository, or fetches them.
//!
//! The keys of the other side decide how: a copy gets the packs as they are, a repository with keys
//! of its own gets the streams.

use std::collections::HashSet;
use std::sync::Arc;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::ops::copy_reencrypted;
use haulout::ops::copy_reencrypted::ReencryptionPlan;
use haulout::ops::copy_reencrypted::ReencryptionReport;
use haulout::ops::memory::Work;
use haulout::ops::replicate;
use haulout::ops::replicate::Confirmation;
use haulout::ops::replicate::FarSide;
use haulout::ops::replicate::ReplicateOptions;
use haulout::ops::replicate::Verified;
use haulout::ops::verify::Depth;
use haulout::ops::verify::VerifyOptions;
use haulout::ops::verify::verify;
use haulout::repo::NewProtection;
use haulout::repo::Repository;
use haulout::repo::SnapshotId;
use haulout::repo::keys::KdfCost;
use haulout::repo::keys::KeySlotNote;
use haulout::repo::keys::Limits;
use haulout::repo::snapshots::Listing;
use haulout::repo::snapshots::StoredSnapshot;
use haulout::store::Store;
use haulout::store::location::Location;
use haulout::store::memory::MemoryStore;

use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::open::run::Run;
use crate::open::run::require_encryption;
use crate::open::stores::Directory;
use crate::open::stores::Site;
use crate::open::traits::Traits;
use crate::output::progress::Activity;
use crate::secrets::password::PasswordSource;
use crate::secrets::password::Purpose;
use crate::verbs::job::Job;
use crate::verbs::replicate::plan::Destination;
use crate::verbs::replicate::plan::Direction;
use crate::verbs::replicate::plan::Mode;
use crate::verbs::replicate::plan::ReplicatePlan;
use crate::verbs::replicate::plan::Wanted;
use crate::verbs::replicate::report::Planned;

impl Job for ReplicatePlan {
    fn traits(&self) -> Traits {
        Traits { work: Work::Reencrypts, limit: self.limit.clone(), ..Traits::default() }
    }

    fn run(&self, run: &Run<'_>) -> Outcome<Exit> {
        run.replicate(self)
    }
}

impl Run<'_> {
    /// Sends snapshots to another repository, or fetches them.
    pub(crate) fn replicate(&self, plan: &ReplicatePlan) -> Outcome<Exit> {
        let (from, to) = self.sites(plan);
        let own_keys = !matches!(plan.password, PasswordSource::Ask);
        let near = self.open_side(self.store_at(&from)?, plan, Direction::From)?;
        let far = self.target(&to, plan)?;
        let found = replicate::look(&near, &*far)?;
        if found == FarSide::Vacant {
            self.announce(plan, to.place)?;
        }
        match found {
            FarSide::Same if own_keys => Err(same_keys(&*far)),
            FarSide::Vacant if own_keys && plan.mode == Mode::Plan => {
                self.plan_copy_reencrypted(plan, &near, &far.location(), None)
            }
            FarSide::Vacant if own_keys => {
                plan.require_memory_to_reencrypt()?;
                let made = self.make_other(far, plan)?;
                self.copy_reencrypted(plan, &near, &made)
            }
            FarSide::Vacant | FarSide::Same => self.copy(plan, &near, far),
            FarSide::Other => {
                let opened = self.open_side(self.store_at(&to)?, plan, Direction::To)?;
                self.copy_reencrypted(plan, &near, &opened)
            }
        }
    }

    /// Opens the side that snapshots come from, or go to: the other one with its own password, if
    /// there is one.
    fn open_side(
        &self,
        store: Arc<dyn Store>,
        plan: &ReplicatePlan,
        other_if: Direction,
    ) -> Outcome<Repository> {
        let is_other = plan.direction == other_if;
        let is_given = !matches!(plan.password, PasswordSource::Ask);
        if !is_other || (other_if == Direction::From && !is_given) {
            return self.open(store);
        }
        self.open_other(store, &plan.password)
    }

    /// Opens a repository with keys of its own.
    pub(crate) fn open_other(
        &self,
        store: Arc<dyn Store>,
        password: &PasswordSource,
    ) -> Outcome<Repository> {
        let mut ask = || self.credential(password, Purpose::OpenOther);
        let opened = Repository::open(store, &mut ask, &Limits::STANDARD, &self.world);
        let opened = opened.map_err(|error| {
            let is_wrong = error.kind() == ErrorKind::WrongKey;
            if is_wrong { self.misspelt(error) } else { error.into() }
        })?;
        if !matches!(password, PasswordSource::Ask) {
            require_encryption(&opened)?;
        }
        Ok(opened)
    }

    /// Creates a repository with keys of its own.
    fn make_other(&self, store: Arc<dyn Store>, plan: &ReplicatePlan) -> Outcome<Repository> {
        let password = match plan.direction {
            Direction::To => &plan.password,
            Direction::From => &self.settings.password,
        };
        let credential = &self.credential(password, Purpose::ProtectOther)?;
        let note = KeySlotNote {
            label: self.settings.host.clone(),
            created_unix_seconds: self.report.clock.unix_seconds(),
        };
        let protection = NewProtection::Encrypted { credential, cost: KdfCost::STANDARD, note };
        Ok(Repository::init(store, &protection, &self.world)?)
    }

    fn plan_copy_reencrypted(
        &self,
        plan: &ReplicatePlan,
        near: &Repository,
        place: &str,
        far: Option<&Repository>,
    ) -> Outcome<Exit> {
        plan.require_memory_to_reencrypt()?;
        let (snapshots, unreadable) = self.wanted(near, &plan.wanted)?;
        let planned = reencryption(plan, near, far, snapshots)?;
        self.report.reencryption_planned(place, &planned)?;
        Ok(Exit::with(unreadable))
    }

    /// Re-encrypts the snapshots: backs their streams up to a repository with other keys.
    fn copy_reencrypted(
        &self,
        plan: &ReplicatePlan,
        near: &Repository,
        far: &Repository,
    ) -> Outcome<Exit> {
        let place = far.store().location();
        if plan.mode == Mode::Plan {
            return self.plan_copy_reencrypted(plan, near, &place, Some(far));
        }
        plan.require_memory_to_reencrypt()?;
        let (snapshots, unreadable) = self.wanted(near, &plan.wanted)?;
        let planned = reencryption(plan, near, Some(far), snapshots)?;
        let (began, progress) = (self.now(), self.progress(Activity::Restoring));
        let report = planned.send(far, self.settings.at_once.workers, &self.world)?;
        drop(progress);
        let (verified, unsound) = self.read_back(plan, far, &report)?;
        let time = self.now().saturating_sub(began);
        self.report.reencrypted(&place, &report, verified, time)?;
        Ok(Exit::with(unreadable + report.left_out.len() + unsound))
    }

    /// Reads what is there of the wanted snapshots, if that was asked for; returns the amount that
    /// was right, and the number of findings.
    fn read_back(
        &self,
        plan: &ReplicatePlan,
        far: &Repository,
        report: &ReencryptionReport,
    ) -> Outcome<(Verified, usize)> {
        let wanted: HashSet<SnapshotId> = report.sent.iter().map(|done| done.id).collect();
        let snapshots = far.snapshots()?.snapshots.into_iter().filter(|stored| {
            wanted.contains(&stored.id()) || report.known.contains(&stored.id().to_string())
        });
        let snapshots: Vec<StoredSnapshot> = snapshots.collect();
        if plan.confirmation != Confirmation::ReadBack || snapshots.is_empty() {
            return Ok((Verified::default(), 0));
        }
        let workers = self.settings.at_once.workers;
        let options = VerifyOptions { snapshots, workers, ..VerifyOptions::new(Depth::Blocks) };
        let verified = verify(far, &options, &self.world)?;
        for finding in &verified.findings {
            self.report.console.warning(format!("on the other side, {}", finding.in_words()));
        }
        let right = Verified { objects: verified.objects, bytes: verified.bytes };
        Ok((right, verified.findings.len()))
    }

    /// Returns the sites that snapshots go from and to. The limit applies between the two: what is
    /// read from a directory only to be sent elsewhere is not limited, nor what arrives in one.
    fn sites<'s>(&'s self, plan: &'s ReplicatePlan) -> (Site<'s>, Site<'s>) {
        let other = Site { place: &plan.other, network: &plan.network, ..self.site() };
        let (mut from, mut to) = match plan.direction {
            Direction::To => (self.site(), other),
            Direction::From => (other, self.site()),
        };
        from.directory = Directory::Free;
        if !from.is_directory() {
            to.directory = Directory::Free;
        }
        (from, to)
    }

    fn copy(&self, plan: &ReplicatePlan, near: &Repository, far: Arc<dyn Store>) -> Outcome<Exit> {
        let (snapshots, unreadable) = self.wanted(near, &plan.wanted)?;
        let options = ReplicateOptions {
            snapshots,
            connections: plan.connections,
            confirmation: plan.confirmation,
        };
        let place = far.location();
        let planned = replicate::plan(near, far, options, &self.world)?;
        let now = self.report.clock.week_minute();
        let bytes = planned.cost().bytes;
        let time = self.settings.limit.as_ref().map(|limit| limit.time_for(bytes, now));
        let told = Planned::new(place, &planned, time);
        if plan.mode == Mode::Plan {
            self.report.replication_planned(&told)?;
            return Ok(Exit::with(unreadable));
        }
        let (began, progress) = (self.now(), self.progress(Activity::Replicating));
        let report = planned.send(&self.world)?;
        drop(progress);
        self.report.replication(&told, &report, self.now().saturating_sub(began))?;
        Ok(Exit::with(unreadable + report.left_out.len() + report.damaged.len()))
    }

    /// Returns the snapshots that are meant, and how many can't be read.
    fn wanted(&self, near: &Repository, wanted: &Wanted) -> Outcome<(Vec<StoredSnapshot>, usize)> {
        let (sources, last) = match wanted {
            Wanted::Named(names) => {
                let found =
                    names.iter().map(|name| self.find(near, name)).collect::<Outcome<_>>()?;
                return Ok((found, 0));
            }
            Wanted::Newest { sources, last } => (sources, *last),
        };
        let Listing { snapshots, damaged, overtaken: _ } = replicate::newest(near, sources, last)?;
        for (name, error) in &damaged {
            self.report
                .console
                .warning(format!("snapshot {} can't be sent: {error}", name.id.short()));
        }
        for source in sources {
            if !snapshots.iter().any(|stored| stored.snapshot.about.source == *source) {
                return Err(Failure::usage(
                    format!("there is no snapshot of {source}"),
                    "haulout snapshots lists what there is",
                ));
            }
        }
        Ok((snapshots, damaged.len()))
    }

    /// Reports that a repository is made, before anything is sent.
    fn announce(&self, plan: &ReplicatePlan, place: &Location) -> Outcome<()> {
        require_init(plan, place)?;
        let keys = match plan.password {
            PasswordSource::Ask => "the same keys",
            PasswordSource::File(_) | PasswordSource::Command(_) | PasswordSource::Given(_) => {
                "keys of its own"
            }
        };
        self.report.console.note(match (plan.mode, plan.destination) {
            (Mode::Send, _) => format!("making a repository at {place}, with {keys}"),
            (Mode::Plan, Destination::Made) => {
                format!("a repository would be made at {place}, with {keys}")
            }
            (Mode::Plan, Destination::Existing) => {
                format!("there is no repository at {place}: to make one, give --init as well")
            }
        });
        Ok(())
    }

    /// Opens the store that snapshots go to; with `--init` it is made if there is none.
    fn target(&self, site: &Site<'_>, plan: &ReplicatePlan) -> Outcome<Arc<dyn Store>> {
        let missing = matches!(site.place, Location::Directory(path) if !path.exists());
        if missing {
            require_init(plan, site.place)?;
        }
        if plan.mode == Mode::Plan && missing {
            // Nothing is made for a plan.
            return Ok(Arc::new(MemoryStore::in_place_of(site.place.to_string())));
        }
        self.new_store_at(site)
    }
}

/// Plans to copy snapshots re-encrypted: again if they are named, and damaged there.
fn reencryption<'r>(
    plan: &ReplicatePlan,
    near: &'r Repository,
    far: Option<&Repository>,
    snapshots: Vec<StoredSnapshot>,
) -> haulout::error::Result<ReencryptionPlan<'r>> {
    match plan.wanted {
        Wanted::Named(_) => copy_reencrypted::plan_named(near, far, snapshots),
        Wanted::Newest { .. } => copy_reencrypted::plan(near, far, snapshots),
    }
}

/// Refuses a place without a repository, unless one is to be made; a plan may look.
fn require_init(plan: &ReplicatePlan, place: &Location) -> Outcome<()> {
    if plan.destination == Destination::Existing && plan.mode == Mode::Send {
        return Err(not_there(place));
    }
    Ok(())
}

/// Creates the error for a place without a repository, where none was to be made.
pub(crate) fn not_there(place: &Location) -> Failure {
    let error = Error::new(ErrorKind::NoRepository, format!("there is no repository at {place}"));
    Failure::new(
        error,
        "check the name, and that it is mounted; if a new repository is wanted there, give --init",
    )
}

fn same_keys(far: &dyn Store) -> Failure {
    Failure::usage(
        format!("{} has the same keys, and a password of its own was given", far.location()),
        "leave out the password of the other side, or name another place",
    )
}
