//! A watch over a node that does what it is asked, or not.

use std::cell::Cell;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::error::Result;

use super::*;

/// What happened, in order.
type Events = Rc<RefCell<Vec<String>>>;

/// A node that does what it is asked, or not.
struct FakeNode {
    node: Node,
    events: Events,
    /// Answers to switches, before those of a good node.
    answers: VecDeque<Switched>,
    /// Looks that are not answered.
    silent: u32,
    /// Looks after which a switch that was not answered takes effect.
    pending: Option<u32>,
    /// Write sets that leave the queue at each look.
    applied: u64,
    /// What each look adds to the messages that slow the cluster down.
    brakes: u64,
}

impl Switchable for FakeNode {
    fn look(&mut self) -> Result<Node> {
        if self.silent > 0 {
            self.silent -= 1;
            return Err(Error::new(ErrorKind::Server, "no answer"));
        }
        match &mut self.pending {
            Some(0) => {
                self.node.is_desynced = true;
                self.pending = None;
            }
            Some(looks) => *looks -= 1,
            None => {}
        }
        self.node.queue = self.node.queue.saturating_sub(self.applied);
        self.node.brakes += self.brakes;
        Ok(self.node.clone())
    }

    fn uptime(&mut self) -> Result<u64> {
        Ok(1_000)
    }

    fn switch(&mut self, to: Switch) -> Switched {
        let word = if to == Switch::On { "on" } else { "off" };
        self.events.borrow_mut().push(word.to_owned());
        if let Some(answer) = self.answers.pop_front() {
            return answer;
        }
        self.node.is_desynced = to == Switch::On;
        Switched::Done
    }
}

struct FakeProcess {
    events: Events,
    now: Cell<Duration>,
    orders: RefCell<VecDeque<Option<Order>>>,
    note_fails: bool,
    /// The time from which nothing is waited for.
    stops_at: Duration,
}

impl Time for FakeProcess {
    fn pause(&self, time: Duration) -> bool {
        self.now.set(self.now.get() + time);
        self.now.get() < self.stops_at
    }

    fn elapsed(&self) -> Duration {
        self.now.get()
    }
}

impl Around for FakeProcess {
    fn order(&self, _time: Duration) -> Option<Order> {
        self.orders.borrow_mut().pop_front().unwrap_or(Some(Order::Lost))
    }

    fn unix_seconds(&self) -> u64 {
        7
    }

    fn end_producers(&self) -> std::result::Result<(), String> {
        self.events.borrow_mut().push("end producers".to_owned());
        Ok(())
    }

    fn tell(&self, told: Told) {
        self.events.borrow_mut().push(format!("{told:?}"));
    }

    fn note(&self, note: Option<&Desync>) -> std::result::Result<(), String> {
        if self.note_fails {
            return Err("the disk is full".to_owned());
        }
        let word = if note.is_some() { "note" } else { "no note" };
        self.events.borrow_mut().push(word.to_owned());
        Ok(())
    }
}

fn good() -> Node {
    Node {
        name: "db3".to_owned(),
        id: "1".to_owned(),
        size: 3,
        status: "Primary".to_owned(),
        is_ready: true,
        is_connected: true,
        state: 4,
        state_words: "Synced".to_owned(),
        ..Node::default()
    }
}

/// Runs a watch over a node, and returns what happened.
fn watched(
    when: When,
    orders: &[Option<Order>],
    change: impl FnOnce(&mut FakeNode, &mut FakeProcess),
) -> Vec<String> {
    let events = Events::default();
    let mut server = FakeNode {
        node: good(),
        events: Rc::clone(&events),
        answers: VecDeque::new(),
        silent: 0,
        pending: None,
        applied: 100,
        brakes: 0,
    };
    let mut around = FakeProcess {
        events: Rc::clone(&events),
        now: Cell::default(),
        orders: RefCell::new(orders.iter().copied().collect()),
        note_fails: false,
        stops_at: Duration::MAX,
    };
    change(&mut server, &mut around);
    let run = "1-2".to_owned();
    Watch { server: &mut server, around: &around, when, members: 3, run }.run();
    events.take()
}

const END: [Option<Order>; 2] = [None, Some(Order::End)];

#[test]
fn a_node_is_desynced_until_its_backup_has_ended() {
    let happened = watched(When::Always, &END, |_, _| {});
    assert_eq!(happened, ["note", "on", "On", "off", "no note", "Off(0)"]);
}

#[test]
fn the_producer_of_a_run_that_died_ends_first() {
    let happened = watched(When::Always, &[Some(Order::Lost)], |_, _| {});
    assert_eq!(happened, ["note", "on", "On", "end producers", "off", "no note", "Off(0)"]);
    // Also where nothing was switched on.
    let happened = watched(When::Slow, &[None, Some(Order::Lost)], |_, _| {});
    assert_eq!(happened, ["Watching", "end producers"]);
}

#[test]
fn only_what_was_switched_on_here_is_switched_off() {
    let happened = watched(When::Always, &END, |node, _| node.answers.push_back(Switched::WasSo));
    let declined = "Declined(\"another session has desynced it\")";
    assert_eq!(happened, ["note", "on", "no note", declined]);
    let happened = watched(When::Always, &END, |node, _| {
        node.answers.push_back(Switched::Refused("no SUPER".to_owned()));
    });
    assert_eq!(happened, ["note", "on", "no note", "Declined(\"no SUPER\")"]);
}

#[test]
fn a_node_that_is_held_or_needed_as_a_donor_is_left_alone() {
    type Change = fn(&mut FakeNode);
    let changes: [Change; 5] = [
        |fake| fake.node.desyncs = 1,
        |fake| fake.node.is_desynced = true,
        |fake| fake.node.state = 2,
        |fake| fake.node.size = 2,
        |fake| fake.silent = 1,
    ];
    for change in changes {
        let happened = watched(When::Always, &END, |node, _| change(node));
        assert!(matches!(&happened[..], [one] if one.starts_with("Declined")), "{happened:?}");
    }
}

#[test]
fn nothing_is_switched_that_could_not_be_noted() {
    let happened = watched(When::Always, &END, |_, process| process.note_fails = true);
    assert_eq!(happened, ["Declined(\"the disk is full\")"]);
}

#[test]
fn a_switch_that_was_not_answered_is_waited_for_and_taken_back() {
    let unanswered = || Switched::Unanswered("no answer in 10s".to_owned());
    let happened = watched(When::Always, &END, |node, _| {
        node.answers.push_back(unanswered());
        // It takes effect after the stage in which the node stands still.
        node.node.queue = 99;
        node.pending = Some(40);
    });
    assert_eq!(happened[..2], ["note", "on"]);
    assert!(happened[2].starts_with("Problem"), "{happened:?}");
    assert_eq!(happened[3..6], ["On", "off", "no note"]);
    // One that the server did not receive never does.
    let happened = watched(When::Always, &END, |node, _| node.answers.push_back(unanswered()));
    assert_eq!(happened[3..5], ["On", "no note"]);
    // Where that can't be seen, the note stays.
    let happened = watched(When::Always, &END, |node, process| {
        node.answers.push_back(unanswered());
        process.stops_at = Duration::from_secs(1);
    });
    assert!(!happened.contains(&"no note".to_owned()), "{happened:?}");
    assert!(happened.last().unwrap().contains("it is not known"), "{happened:?}");
}

#[test]
fn a_node_is_put_back_although_its_queue_stays_long() {
    let happened = watched(When::Always, &END, |node, _| {
        node.node.queue = 50;
        node.applied = 0;
    });
    assert_eq!(happened[3..5], ["off", "no note"]);
    assert_eq!(happened[5], format!("Off({})", QUEUE_TIME.as_millis()));
    assert!(happened[6].contains("the queue of the node is long"), "{happened:?}");
}

#[test]
fn a_wait_that_is_stopped_ends_with_one_try_to_put_the_node_back() {
    let happened = watched(When::Always, &END, |node, process| {
        node.node.queue = 50;
        node.applied = 0;
        process.stops_at = Duration::from_secs(2);
    });
    assert_eq!(happened[..6], ["note", "on", "On", "off", "no note", "Off(2000)"]);
}

#[test]
fn a_server_that_does_not_answer_is_asked_again_and_the_note_stays_in_the_end() {
    let happened = watched(When::Always, &END, |node, _| {
        node.answers.extend([Switched::Done, Switched::Unanswered("away".to_owned())]);
        node.node.is_desynced = false;
        node.pending = Some(1);
    });
    assert_eq!(happened, ["note", "on", "On", "off", "off", "no note", "Off(500)"]);
    let happened = watched(When::Always, &END, |node, _| {
        node.answers.push_back(Switched::Done);
        node.pending = Some(1);
        let never = std::iter::repeat_n(Switched::Refused("no".to_owned()), 10_000);
        node.answers.extend(never);
    });
    assert!(!happened.contains(&"no note".to_owned()), "{happened:?}");
    let last = happened.last().unwrap();
    assert!(last.contains("SET GLOBAL wsrep_desync = OFF"), "{last}");
}

#[test]
fn a_slow_node_is_desynced_once_it_slows_the_cluster_down() {
    let orders = [None, None, None, Some(Order::End)];
    let happened = watched(When::Slow, &orders, |node, _| node.brakes = 1);
    assert_eq!(happened, ["Watching", "note", "on", "On", "off", "no note", "Off(0)"]);
    let happened = watched(When::Slow, &orders, |_, _| {});
    assert_eq!(happened, ["Watching"]);
    // A queue is waited for only if it stays.
    let happened = watched(When::Slow, &orders, |node, _| {
        node.node.queue = 250;
        node.applied = 0;
    });
    assert_eq!(happened[..4], ["Watching", "note", "on", "On"]);
    let happened = watched(When::Slow, &orders, |node, _| node.node.queue = 250);
    assert_eq!(happened, ["Watching"]);
}
