//! What the watchdog does: switches the desync on, waits for the end of the backup or of the run,
//! and puts the node back.
//!
//! Each wait has an end. What can't be done is said, and the note stays for the next run.

use std::time::Duration;

use haulout::server::galera::Health;
use haulout::server::galera::Node;
use serde::Deserialize;
use serde::Serialize;

use crate::jobs::desync::node::Switch;
use crate::jobs::desync::node::Switchable;
use crate::jobs::desync::node::Switched;
use crate::jobs::desync::note::Desync;
use crate::jobs::desync::wishes::When;

/// The time between two looks at a node that may become slow.
const SLOW_LOOK: Duration = Duration::from_secs(2);
/// The time between two looks at a node that is waited for.
const LOOK: Duration = Duration::from_millis(500);
/// Write sets in the queue from which on a node is put back.
const QUEUE_MAX: u64 = 10;
/// The time for which the queue is waited for.
const QUEUE_TIME: Duration = Duration::from_mins(10);
/// The time for which a switch that was not answered is waited for: longer than a stage in which
/// the node stands still.
const PENDING_TIME: Duration = Duration::from_mins(10);
/// The time after which a switch that was not answered will not be done any more, once the node
/// does not stand still.
const SETTLED_TIME: Duration = Duration::from_secs(30);
/// The time for which it is tried to switch the desync off.
const OFF_TIME: Duration = Duration::from_mins(5);
/// The time for which it is waited until the node is synced.
const SYNC_TIME: Duration = Duration::from_mins(10);
/// The time for which one order is waited for; then for the next.
const ORDER_TIME: Duration = Duration::from_mins(1);

/// What the run wants, or what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The backup has ended.
    End,
    /// The run has died, or this process was asked to end.
    Lost,
}

/// What the watchdog tells the run, a line each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Told {
    /// It looks whether the node keeps up.
    Watching,
    /// The node is not desynced, for this reason.
    Declined(String),
    /// The node is desynced.
    On,
    /// The node was desynced for these milliseconds, and is not any more.
    Off(u64),
    /// Something that a person should know.
    Problem(String),
}

/// The time that passes.
pub(crate) trait Time {
    /// Waits for a time; returns false if nothing is to be waited for any more.
    fn pause(&self, time: Duration) -> bool;

    /// Returns the time that has passed since some moment.
    fn elapsed(&self) -> Duration;
}

/// The process around the watchdog.
pub(crate) trait Around: Time {
    /// Waits for an order for a time.
    fn order(&self, time: Duration) -> Option<Order>;

    /// Returns the time of day, seconds since 1970.
    fn unix_seconds(&self) -> u64;

    /// Ends the processes of the producer.
    fn end_producers(&self) -> Result<(), String>;

    /// Tells the run how it stands.
    fn tell(&self, told: Told);

    /// Writes the note, or removes it.
    fn note(&self, note: Option<&Desync>) -> Result<(), String>;
}

/// Whether a switch was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// The server has done it.
    Ours,
    /// The server did not answer.
    Perhaps,
}

/// A watch over the backup of one node.
pub(crate) struct Watch<'w> {
    /// The node that is backed up.
    pub(crate) server: &'w mut dyn Switchable,
    /// The process around it.
    pub(crate) around: &'w dyn Around,
    /// When it is desynced.
    pub(crate) when: When,
    /// Members that the cluster should have.
    pub(crate) members: u64,
    /// The run, as the processes of its producer have it in their environment.
    pub(crate) run: String,
}

impl Watch<'_> {
    /// Watches until the node is as it was before.
    pub(crate) fn run(mut self) {
        let node = match self.server.look() {
            Ok(node) => node,
            Err(error) => return self.around.tell(Told::Declined(error.with_causes())),
        };
        if let Some(why) = obstacle(&node, self.members) {
            return self.around.tell(Told::Declined(why));
        }
        let hold = match self.when {
            When::Always => self.switch_on(&node),
            When::Slow => {
                self.around.tell(Told::Watching);
                match self.until_slow(node) {
                    Ok(node) => self.switch_on(&node),
                    Err(order) => return self.end(order, None),
                }
            }
        };
        if hold.is_none() && self.when == When::Always {
            return;
        }
        let began = self.around.elapsed();
        let order = loop {
            if let Some(order) = self.around.order(ORDER_TIME) {
                break order;
            }
        };
        self.end(order, hold.map(|hold| (hold, began)));
    }

    /// Waits until the node can't keep up; or for an order.
    fn until_slow(&mut self, mut before: Node) -> Result<Node, Order> {
        loop {
            if let Some(order) = self.around.order(SLOW_LOOK) {
                return Err(order);
            }
            // A node that does not answer can't be switched either.
            let Ok(now) = self.server.look() else { continue };
            let lags = |node: &Node| node.health() == Health::Lagging;
            let is_slow = now.brakes > before.brakes || lags(&before) && lags(&now);
            if is_slow && obstacle(&now, self.members).is_none() {
                return Ok(now);
            }
            before = now;
        }
    }

    /// Switches the desync on, if that is possible.
    fn switch_on(&mut self, node: &Node) -> Option<Hold> {
        let intent = Desync {
            node: node.name.clone(),
            id: node.id.clone(),
            since: self.around.unix_seconds(),
            run: self.run.clone(),
            watchdog: std::process::id(),
        };
        if let Err(why) = self.around.note(Some(&intent)) {
            self.around.tell(Told::Declined(why));
            return None;
        }
        let declined = match self.server.switch(Switch::On) {
            Switched::Done => {
                self.around.tell(Told::On);
                return Some(Hold::Ours);
            }
            Switched::Unanswered(why) => {
                let what = format!("it is not known whether the node is desynced: {why}");
                self.around.tell(Told::Problem(what));
                self.around.tell(Told::On);
                return Some(Hold::Perhaps);
            }
            Switched::WasSo => "another session has desynced it".to_owned(),
            Switched::Refused(why) => why,
        };
        self.remove_note();
        self.around.tell(Told::Declined(declined));
        None
    }

    /// Ends the producer if the run can't, and puts the node back.
    fn end(mut self, order: Order, switched: Option<(Hold, Duration)>) {
        if order == Order::Lost
            && let Err(why) = self.around.end_producers()
        {
            self.around.tell(Told::Problem(why));
        }
        let Some((hold, began)) = switched else { return };
        match put_back(self.server, self.around, hold) {
            Ok(problems) => {
                self.remove_note();
                let time = self.around.elapsed().saturating_sub(began);
                let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                self.around.tell(Told::Off(time));
                self.tell_all(problems);
                let unsynced = until_synced(self.server, self.around).err();
                self.tell_all(unsynced);
            }
            Err(why) => self.tell_all(Some(why)),
        }
    }

    fn remove_note(&mut self) {
        self.tell_all(self.around.note(None).err());
    }

    fn tell_all(&self, problems: impl IntoIterator<Item = String>) {
        for problem in problems {
            self.around.tell(Told::Problem(problem));
        }
    }
}

/// Returns why a node is not to be desynced.
fn obstacle(node: &Node, members: u64) -> Option<String> {
    match node.health() {
        Health::Unusable(why) => Some(why.words().to_owned()),
        Health::Good | Health::Lagging if node.size < members => {
            let size = node.size;
            Some(format!("the cluster has {size} of {members} members, and one may need a donor"))
        }
        Health::Good | Health::Lagging => None,
    }
}

/// Switches the desync off, once the node has caught up; returns what a person should know.
pub(crate) fn put_back(
    server: &mut dyn Switchable,
    time: &dyn Time,
    hold: Hold,
) -> Result<Vec<String>, String> {
    let mut problems = Vec::new();
    if hold == Hold::Perhaps && !takes_effect(server, time)? {
        return Ok(problems);
    }
    let is_over = until(time, QUEUE_TIME, || {
        server.look().is_ok_and(|node| node.queue < QUEUE_MAX || !node.is_desynced)
    });
    if !is_over {
        problems.push("the queue of the node is long, and it is put back all the same".to_owned());
    }
    let mut why = String::new();
    let is_off = until(time, OFF_TIME, || {
        // A server that has been restarted is not desynced.
        if server.look().is_ok_and(|node| !node.is_desynced) {
            return true;
        }
        match server.switch(Switch::Off) {
            Switched::Done | Switched::WasSo => server.look().is_ok_and(|node| !node.is_desynced),
            Switched::Refused(words) | Switched::Unanswered(words) => {
                why = words;
                false
            }
        }
    });
    if is_off {
        return Ok(problems);
    }
    Err(format!("the node is still desynced, run SET GLOBAL wsrep_desync = OFF there: {why}"))
}

/// Waits until a switch that was not answered takes effect; returns whether it has, or why that is
/// not known.
fn takes_effect(server: &mut dyn Switchable, time: &dyn Time) -> Result<bool, String> {
    let mut settled: Option<Duration> = None;
    let mut is_on = false;
    let is_known = until(time, PENDING_TIME, || {
        let Ok(node) = server.look() else { return false };
        is_on = node.is_desynced;
        let since = settled.get_or_insert_with(|| time.elapsed());
        if !node.is_synced() || node.desyncs > 0 {
            *since = time.elapsed();
        }
        is_on || time.elapsed().saturating_sub(*since) >= SETTLED_TIME
    });
    if is_known {
        return Ok(is_on);
    }
    Err("it is not known whether the node is desynced: look at wsrep_desync there".to_owned())
}

/// Waits until the node is synced.
pub(crate) fn until_synced(server: &mut dyn Switchable, time: &dyn Time) -> Result<(), String> {
    let mut last = String::from("it does not answer");
    let is_synced = until(time, SYNC_TIME, || match server.look() {
        Ok(node) => {
            last.clone_from(&node.state_words);
            node.is_synced() && node.desyncs == 0
        }
        Err(error) => {
            last = error.with_causes();
            false
        }
    });
    if is_synced { Ok(()) } else { Err(format!("the node is not synced again: {last}")) }
}

/// Asks again and again, for a time, and tells whether the answer was yes in the end.
fn until(time: &dyn Time, limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let began = time.elapsed();
    loop {
        if is_so() {
            return true;
        }
        if time.elapsed().saturating_sub(began) >= limit || !time.pause(LOOK) {
            return false;
        }
    }
}

#[cfg(test)]
mod tests;
