//! Failures of every part of a pool, at every place, and that nothing waits for what is gone.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use super::*;

/// Items of a run: more than all that is in progress at once.
const ITEMS: u64 = 60;
/// Weight that is in progress at most.
const WEIGHT_MAX: u64 = 7;

/// The part of the pool that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Plan,
    Work,
    Take,
}

/// The way in which a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Error,
    Panic,
    Stop,
}

/// A failure of one part at one item.
#[derive(Debug, Clone, Copy)]
struct Fault {
    part: Part,
    how: How,
    item: u64,
}

impl Fault {
    fn meet(self, part: Part, item: u64, monitor: &Monitor) -> Result<()> {
        if self.part != part || self.item != item {
            return Ok(());
        }
        match self.how {
            How::Error => Err(Error::damaged(format!("item {item}"), "as told")),
            How::Panic => panic!("item {item} makes a thread panic"),
            How::Stop => {
                monitor.stop();
                Ok(())
            }
        }
    }
}

/// Fails the test if `body` does not end: far longer than it can take.
fn within_a_minute<T: Send + 'static>(
    what: String,
    body: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(body()));
    receiver.recv_timeout(Duration::from_mins(1)).unwrap_or_else(|_| panic!("{what} hangs"))
}

/// Runs a pool whose workers pause after every third item.
fn run(workers: u32, fault: Option<Fault>) -> Result<Vec<u64>> {
    let monitor = Monitor::default();
    let meet = |part, item| fault.map_or(Ok(()), |fault| fault.meet(part, item, &monitor));
    let mut taken = Vec::new();
    let shape = Shape { planner: "plan", workers, weight_max: WEIGHT_MAX, monitor: &monitor };
    let work = |jobs: Jobs<'_, u64, u64>| {
        let mut go_on = GoOn::Yes;
        while go_on == GoOn::Yes {
            let mut worked = 0;
            go_on = jobs.work(|item| {
                meet(Part::Work, item)?;
                worked += 1;
                Ok((item, if worked == 3 { GoOn::No } else { GoOn::Yes }))
            })?;
        }
        Ok(())
    };
    in_order_by(
        shape,
        |planner| {
            for item in 0..ITEMS {
                meet(Part::Plan, item)?;
                planner.work(item % 3 + 1, item)?;
            }
            Ok(())
        },
        work,
        |item| {
            meet(Part::Take, item)?;
            taken.push(item);
            Ok(())
        },
    )?;
    Ok(taken)
}

#[test]
fn results_come_in_the_order_of_the_plan() {
    for workers in 0..=4 {
        let done = within_a_minute(format!("{workers} workers"), move || run(workers, None));
        assert_eq!(done.unwrap(), (0..ITEMS).collect::<Vec<_>>());
    }
}

#[test]
fn threads_are_named_by_their_roles() {
    let monitor = Monitor::default();
    let shape = Shape { planner: "read", workers: 12, weight_max: 12, monitor: &monitor };
    let name = || thread::current().name().unwrap_or_default().to_owned();
    let named = Barrier::new(12);
    let mut workers = BTreeSet::new();
    let planner = in_order(
        shape,
        |planner| (0..12).try_for_each(|_| planner.work(1, ())).map(|()| name()),
        || {
            |()| {
                named.wait();
                Ok(name())
            }
        },
        |worker| {
            workers.insert(worker);
            Ok(())
        },
    );
    assert_eq!(planner.unwrap(), "haulout-read");
    assert_eq!(workers, (1..=12).map(|n| format!("haulout-work-{n}")).collect());
    let longest = workers.iter().map(String::len).max().unwrap();
    assert!(longest <= 15, "{longest} characters: the kernel keeps 15");
}

#[test]
fn a_failure_of_any_part_at_any_item_ends_all_with_its_error() {
    for part in [Part::Plan, Part::Work, Part::Take] {
        for how in [How::Error, How::Panic, How::Stop] {
            for workers in 1..=4 {
                for item in 0..ITEMS {
                    let fault = Fault { part, how, item };
                    let what = format!("{fault:?} with {workers} workers");
                    let done = within_a_minute(what.clone(), move || run(workers, Some(fault)));
                    let error = done.expect_err(&what);
                    let (kind, words) = match how {
                        How::Error => (ErrorKind::Damaged, format!("item {item} is damaged")),
                        How::Panic => (ErrorKind::Bug, format!("item {item} makes a thread panic")),
                        How::Stop => (ErrorKind::Cancelled, String::new()),
                    };
                    assert_eq!(error.kind(), kind, "{what}: {error:?}");
                    assert!(error.to_string().contains(&words), "{what}: {error:?}");
                }
            }
        }
    }
}

#[test]
fn a_worker_that_can_not_be_made_ends_all() {
    for workers in 1..=4 {
        let made = within_a_minute(format!("{workers} workers"), move || {
            let monitor = Monitor::default();
            let shape = Shape { planner: "plan", workers, weight_max: 2, monitor: &monitor };
            in_order(
                shape,
                |planner| (0..ITEMS).try_for_each(|item| planner.work(1, item)),
                || {
                    let own: u64 = "no worker".parse().expect("no worker");
                    move |item| Ok(item + own)
                },
                |_| Ok(()),
            )
        });
        assert_eq!(made.unwrap_err().kind(), ErrorKind::Bug);
    }
}

#[test]
fn no_more_is_under_way_than_the_bound_but_for_one_heavy_item_alone() {
    let monitor = Monitor::default();
    // A taker may be ahead of the planner's count, which is negative then.
    let under_way = AtomicI64::new(0);
    let most = AtomicI64::new(0);
    let shape = Shape { planner: "plan", workers: 4, weight_max: 10, monitor: &monitor };
    let weights = [4_i64, 4, 25, 1, 9, 4, 4, 25, 25, 1, 1, 1];
    in_order(
        shape,
        |planner| {
            weights.iter().try_for_each(|weight| {
                planner.work(weight.unsigned_abs(), *weight)?;
                let now = under_way.fetch_add(*weight, Ordering::SeqCst) + weight;
                // What is taken at the same time is counted a little later than the pool does.
                most.fetch_max(now, Ordering::SeqCst);
                Ok(())
            })
        },
        || Ok,
        |weight| {
            under_way.fetch_sub(weight, Ordering::SeqCst);
            Ok(())
        },
    )
    .unwrap();
    assert_eq!(under_way.into_inner(), 0);
    // The one that is being taken counts here and not in the pool.
    assert!(most.into_inner() <= 25 + 25);
}

#[test]
fn what_needs_no_work_keeps_its_place() {
    let monitor = Monitor::default();
    let shape = Shape { planner: "plan", workers: 2, weight_max: 3, monitor: &monitor };
    let mut taken = Vec::new();
    in_order(
        shape,
        |planner| {
            (0..ITEMS).try_for_each(|item| match item % 3 {
                0 => planner.ready(1, item),
                _ => planner.work(1, item),
            })
        },
        || Ok,
        |item| {
            taken.push(item);
            Ok(())
        },
    )
    .unwrap();
    assert_eq!(taken, (0..ITEMS).collect::<Vec<_>>());
}

#[test]
fn a_plan_that_waits_for_something_else_can_tell_that_the_pool_has_stopped() {
    let done: Result<()> = within_a_minute("the plan".to_owned(), || {
        let monitor = Monitor::default();
        let shape = Shape { planner: "plan", workers: 2, weight_max: 8, monitor: &monitor };
        in_order(
            shape,
            |planner| {
                planner.work(1, 1)?;
                loop {
                    planner.check()?;
                    thread::yield_now();
                }
            },
            || |item: u64| Err::<u64, _>(Error::damaged(format!("item {item}"), "as told")),
            |_| Ok(()),
        )
    });
    assert_eq!(done.unwrap_err().kind(), ErrorKind::Damaged);
}

#[test]
fn the_first_failure_is_not_hidden_by_those_that_stop_because_of_it() {
    let failure = FirstFailure::default();
    failure.check().unwrap();
    failure.record(Error::cancelled());
    failure.record(Error::damaged("a", "b"));
    failure.record(Error::damaged("c", "d"));
    failure.record(Error::cancelled());
    assert_eq!(failure.check().unwrap_err().with_causes(), "a is damaged: b");
    assert_eq!(failure.check().unwrap_err().to_string(), "a is damaged");
    assert_eq!(failure.into_result().unwrap_err().kind(), ErrorKind::Damaged);
}

#[test]
fn no_more_is_held_than_allowed_but_for_one_large_piece_alone() {
    let (semaphore, monitor) = (ByteSemaphore::new(10), Monitor::default());
    let most = Mutex::new(0);
    thread::scope(|scope| {
        for bytes in [4, 4, 4, 25, 1, 9, 4, 4] {
            let (semaphore, most, monitor) = (&semaphore, &most, &monitor);
            scope.spawn(move || {
                let own = semaphore.hold(bytes, monitor).unwrap();
                let held = *lock(&semaphore.held);
                assert!(held <= 10 || held == bytes, "{held} with {bytes}");
                let mut most = lock(most);
                *most = held.max(*most);
                drop((most, own));
            });
        }
    });
    assert_eq!((*lock(&semaphore.held), unlocked(most)), (0, 25));
}

#[test]
fn who_waits_for_room_hears_the_wish_to_stop() {
    let stopped = within_a_minute("the wait".to_owned(), || {
        let (semaphore, monitor) = (ByteSemaphore::new(1), Monitor::default());
        let _held = semaphore.hold(1, &monitor).unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| semaphore.hold(1, &monitor).map(drop));
            monitor.stop();
            waiting.join().unwrap()
        })
    });
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Cancelled);
}
