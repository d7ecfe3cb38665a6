//! The passes of a compaction, each with an intent of its own, so that a replicate that waits for
//! it waits some minutes.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::error::Error;
use crate::base::error::ErrorKind;
use crate::base::error::Result;
use crate::base::ids::PackName;
use crate::base::num::u64_of;
use crate::base::world::World;
use crate::format::layout::Object;
use crate::format::pack_table::PackRecord;
use crate::ops::prune::compact::choose::Choice;
use crate::ops::prune::compact::moving::MovedPack;
use crate::ops::prune::compact::moving::Mover;
use crate::ops::prune::compact::walk::Walker;
use crate::ops::prune::compact::wishes::CompactOptions;
use crate::ops::prune::compact::wishes::CompactReport;
use crate::ops::prune::guard::Guard;
use crate::ops::prune::view::View;
use crate::pack::writer::RunKeys;
use crate::pipeline::relocations::seal_record;
use crate::pipeline::uploader::put_confirmed;
use crate::repo::Repository;
use crate::repo::standing::Standing;
use crate::seal::ids::RunId;
use crate::seal::object::ObjectKind;
use crate::store::error::Category;

/// The passes of one compaction.
pub(super) struct Passes<'p> {
    repository: &'p Repository,
    options: &'p CompactOptions,
    world: &'p World,
    run: RunId,
    keys: Option<RunKeys>,
    report: CompactReport,
}

/// The packs that are left, and what is live of them.
struct Work<'w, 'r> {
    walker: &'w mut Walker<'r>,
    left: VecDeque<PackRecord>,
}

impl<'p> Passes<'p> {
    /// Creates the passes of a run that has made none.
    pub(super) fn new(
        repository: &'p Repository,
        options: &'p CompactOptions,
        world: &'p World,
        run: RunId,
        keys: RunKeys,
    ) -> Self {
        let report = CompactReport::default();
        Self { repository, options, world, run, keys: Some(keys), report }
    }

    /// Moves all chosen packs.
    pub(super) fn run_all(
        &mut self,
        view: &View,
        walker: &mut Walker<'_>,
        choice: Choice,
    ) -> Result<()> {
        let packs = choice.into_packs();
        let keys = self.keys.take().expect("the passes of a run are made once");
        let (bytes, monitor) = (self.options.pack_bytes, &self.world.monitor);
        let mut mover = Mover::new(self.repository, keys, packs.clone(), bytes, monitor);
        let mut work = Work { walker, left: packs.into() };
        while !work.left.is_empty() {
            let mut guard = Guard::begin_compaction(self.repository, self.run, self.world)?;
            let done = self.pass(view, &mut work, &mut mover, &mut guard);
            guard.end(done, &mut self.report.refused)?;
        }
        self.report.left.extend(std::mem::take(&mut mover.failed));
        self.report.made = u64_of(mover.made.len());
        self.report.written_bytes = mover.made.values().map(|record| record.bytes).sum();
        Ok(())
    }

    /// Moves packs until the time of the pass is over.
    fn pass(
        &mut self,
        view: &View,
        Work { walker, left }: &mut Work<'_, '_>,
        mover: &mut Mover<'_>,
        guard: &mut Guard<'_>,
    ) -> Result<()> {
        let began = self.world.clock.elapsed();
        let standing = self.repository.standing()?;
        if let Some((run, error)) = standing.unread.into_iter().next() {
            let what = format!("it is not known what run {run} relies on, so nothing is moved");
            return Err(Error::new(ErrorKind::Damaged, what).because(error));
        }
        let standing = Standing { unread: Vec::new(), ..standing };
        self.walk_new(view, walker)?;
        walker.follow_moves();
        while let Some(record) = left.pop_front() {
            self.world.monitor.check()?;
            self.move_pack(record, walker, mover, &standing)?;
            self.commit(mover, guard)?;
            let elapsed: Duration = self.world.clock.elapsed().saturating_sub(began);
            if elapsed >= self.options.pass {
                break;
            }
        }
        mover.close()?;
        self.commit(mover, guard)
    }

    /// Walks the snapshots that came since the first walk: those of runs that have ended since.
    fn walk_new(&self, view: &View, walker: &mut Walker<'_>) -> Result<()> {
        let mut names = self.repository.listed_snapshots(None)?;
        names.extend(self.repository.listed_snapshots(None)?);
        for name in names {
            // What was out then is out still.
            if walker.walked.contains(&name.id) || view.out.contains(&name.id) {
                continue;
            }
            match self.repository.read_any_snapshot(&name) {
                Ok(stored) => walker.walk(&stored)?,
                Err(error) if self.repository.was_overtaken(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Moves what is live of a pack, unless a run that stands may need the rest.
    fn move_pack(
        &mut self,
        record: PackRecord,
        walker: &Walker<'_>,
        mover: &mut Mover<'_>,
        standing: &Standing,
    ) -> Result<()> {
        let name = record.name;
        if let Some(run) = standing.runs.iter().find(|run| run.holds(&name)) {
            self.leave(name, format!("run {} holds it", run.run));
            return Ok(());
        }
        let open = match mover.open(&name) {
            Ok(open) => open,
            Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Missing) => {
                self.leave(name, error.with_causes());
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if standing.runs.iter().any(|run| run.run == open.run()) {
            self.leave(name, format!("run {} has put it and goes on", open.run()));
            return Ok(());
        }
        match walker.live(&name) {
            Some(live) => mover.move_pack(&record, &open, live),
            None => Ok(()),
        }
    }

    fn leave(&mut self, pack: PackName, why: String) {
        self.report.left.push((pack, why));
    }

    /// Puts the records of the packs that were moved, and deletes these.
    fn commit(&mut self, mover: &mut Mover<'_>, guard: &mut Guard<'_>) -> Result<()> {
        let mut done = mover.take_moved();
        done.retain(|one| !mover.failed.contains_key(&one.record.name));
        for one in &done {
            self.put_record(one, mover)?;
        }
        for MovedPack { record, .. } in done {
            self.world.monitor.check()?;
            guard.look_if_due(1)?;
            let object = Object::Pack(record.name).name();
            match self.repository.store().delete(&object) {
                Ok(()) => {
                    self.report.compacted.push(record.name);
                    self.report.deleted_bytes += record.bytes;
                }
                Err(error) if error.category() == Category::Denied => {
                    let error = error.named(format!("cannot delete {object}"));
                    self.report.refused.push(error.with_causes());
                }
                Err(error) => return Err(error.named(format!("cannot delete {object}"))),
            }
        }
        Ok(())
    }

    /// Puts the relocation record of a pack, in two copies.
    fn put_record(&self, one: &MovedPack, mover: &Mover<'_>) -> Result<()> {
        let repository = self.repository;
        let pack = one.record.name;
        let text = one.relocation(&mover.made).encode();
        let entropy = &**repository.entropy();
        let kind = ObjectKind::Relocation;
        let sealed = seal_record(repository.keyring(), kind, &pack.0, &text, entropy)?;
        let (twin, bytes) = sealed.named(|hash| Object::RelocationTwin { pack, hash });
        let (object, _) = sealed.named(|hash| Object::Relocation { pack, hash });
        for object in [twin, object] {
            put_confirmed(&**repository.store(), &self.world.monitor, &object, &bytes)?;
        }
        Ok(())
    }

    /// Returns what was done.
    pub(super) fn into_report(self) -> CompactReport {
        self.report
    }
}
