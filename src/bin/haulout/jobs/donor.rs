//! The node of a cluster that a job backs up: asks the members, ranks them, and says whether it is
//! the one on this host.
//!
//! The rules are those of [`haulout::server::choice`]. Each member is asked twice, some seconds
//! apart, since only the growth of a counter tells which of them applications write to.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use haulout::error::Error;
use haulout::error::ErrorKind;
use haulout::error::Result;
use haulout::server::choice;
use haulout::server::choice::Member;
use haulout::server::choice::Ranking;
use haulout::server::choice::Refusal;
use haulout::server::choice::Survey;
use haulout::server::choice::Wishes;
use haulout::server::choice::WriterRule;
use haulout::server::galera::Node;
use haulout::server::login::Address;
use haulout::server::login::Login;
use haulout::server::session::Session;
use haulout::world::Monitor;

use crate::config::tree::Table;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::jobs::clustercheck;
use crate::jobs::server;

/// The time between the two looks at each member.
const BETWEEN: Duration = Duration::from_secs(3);

/// The answer of a server, or why there is none.
type Answer = std::result::Result<Node, String>;

/// A cluster, and the source whose server is one of its nodes.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    /// The name of the cluster in the configuration.
    pub(crate) name: String,
    /// The section of the cluster.
    pub(crate) table: Table,
    /// The section of the first source that is a node of it.
    pub(crate) source: Table,
    /// The names of all such sources of the job.
    pub(crate) sources: Vec<String>,
}

/// The node on this host, among those that can be backed up.
#[derive(Debug)]
pub(crate) struct Standpoint {
    /// The name of the node on this host.
    pub(crate) node: String,
    /// The id of the running node.
    id: String,
    /// The nodes that can be backed up, and the others.
    pub(crate) ranking: Ranking,
}

impl Standpoint {
    /// Returns the rank of the node on this host, or why it is not to be backed up.
    pub(crate) fn rank(&self) -> std::result::Result<u32, String> {
        let rank = self.ranking.rank_of(&self.id).and_then(|rank| u32::try_from(rank).ok());
        let why = || self.ranking.why_not(&self.node).unwrap_or("it can't be used").to_owned();
        rank.ok_or_else(why)
    }
}

impl Cluster {
    /// Looks at all members, and ranks them. `last` is the node of the last backup.
    pub(crate) fn survey(&self, last: Option<String>, monitor: &Monitor) -> Outcome<Standpoint> {
        let mut own = server::of_source(&self.source)?;
        let local = Node::ask(&mut own)?.ok_or_else(|| self.no_node(own.address()))?;
        let login = server::login_of(&self.table, &self.source)?;
        let mut warnings = Vec::new();
        let survey = Survey {
            members: self.members(&login, monitor)?,
            local: local.id.clone(),
            behind_address: self.behind_address(&login, &mut warnings),
        };
        let wishes = Wishes {
            preferred: self.table.texts("prefer"),
            last,
            writer: match self.table.text("writer") {
                Some("last") => WriterRule::Last,
                _ => WriterRule::Never,
            },
        };
        let checked = clustercheck::ask(&self.table.texts("clustercheck"));
        warnings.extend(clustercheck::compare(&checked, &survey.members));
        let mut ranking =
            choice::rank(&survey, &wishes).map_err(|refusal| self.refused(&refusal))?;
        ranking.warnings.append(&mut warnings);
        Ok(Standpoint { node: local.name, id: local.id, ranking })
    }

    /// Asks all members at one time, twice.
    fn members(&self, login: &Login, monitor: &Monitor) -> Outcome<Vec<Member>> {
        let places = self.table.texts("members");
        let mut sessions: Vec<Result<Session>> = thread::scope(|scope| {
            let asking = places.iter().map(|place| scope.spawn(|| connect(place, login)));
            let asking: Vec<_> = asking.collect();
            asking.into_iter().map(|one| one.join().unwrap_or_else(|_| Err(stopped()))).collect()
        });
        let first: Vec<Answer> = sessions.iter_mut().map(look).collect();
        monitor.pause(BETWEEN)?;
        let second = sessions.iter_mut().map(look);
        let both = places.into_iter().zip(first).zip(second);
        let count = |answer: &Answer| answer.as_ref().map_or(0, |node| node.replicated);
        let member = |((place, first), second): ((String, Answer), Answer)| {
            let growth = count(&second).saturating_sub(count(&first));
            Member { place, growth, answer: second }
        };
        Ok(both.map(member).collect())
    }

    /// Returns the id of the node to which the address of the cluster leads. One that leads to
    /// several shares out reads, and says nothing about the writer.
    fn behind_address(&self, login: &Login, warnings: &mut Vec<String>) -> BTreeSet<String> {
        let mut ids = BTreeSet::new();
        let Some(address) = self.table.text("virtual_address") else { return ids };
        // A balancer may lead each connection to another node.
        for _member in self.table.texts("members") {
            match look(&mut connect(address, login)) {
                Ok(node) => _ = ids.insert(node.id),
                Err(why) => {
                    let what = "only the writes on each node tell which one is the writer";
                    warnings.push(format!("{address} does not lead to a node ({why}); {what}"));
                    break;
                }
            }
        }
        if ids.len() > 1 {
            ids.clear();
        }
        ids
    }

    fn no_node(&self, address: &Address) -> Failure {
        let what = format!("the server {address} is no node of a Galera cluster");
        let hint = format!("take cluster = \"{}\" out of its source, or look why", self.name);
        Failure::new(Error::new(ErrorKind::Server, what), hint)
    }

    fn refused(&self, refusal: &Refusal) -> Failure {
        let hint = match refusal {
            Refusal::NoQuorum => "bring the cluster back first; what is stored would be undone",
            Refusal::Split => "wait until the cluster is one again, and look at all nodes",
            Refusal::Stranger => "name this server among the members of the cluster",
            Refusal::NoneLeft(_) => "look at the nodes; writer = \"last\" allows the writer",
        };
        let what = format!("cluster {}: {refusal}", self.name);
        Failure::new(Error::new(ErrorKind::Server, what), hint)
    }
}

fn connect(place: &str, login: &Login) -> Result<Session> {
    let address: Address =
        place.parse().map_err(|why: String| Error::new(ErrorKind::Usage, why))?;
    Session::connect(&address, login)
}

fn look(session: &mut Result<Session>) -> Answer {
    let session = session.as_mut().map_err(|error| error.with_causes())?;
    let node = Node::ask(session).map_err(|error| error.with_causes())?;
    node.ok_or_else(|| "it is no node of a cluster".to_owned())
}

fn stopped() -> Error {
    Error::new(ErrorKind::Bug, "a thread that asks a server has panicked")
}
