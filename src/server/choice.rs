//! Which node of a Galera cluster is backed up.
//!
//! The same timer may run on every node: each asks all members and ranks them by the same rules, so
//! that they mostly agree; that only one backs up is decided by a claim in the repository, not
//! here. What a node sees decides about classes, never about numbers, since nodes look at different
//! moments.
//!
//! | rule | why |
//! | --- | --- |
//! | no member has the quorum: no backup | what is stored might be undone when the cluster meets |
//! | members disagree about the cluster: no backup | one of them has other data |
//! | never the writer | the backup's own pause and its reads would slow the application |
//! | the node of last night first | its pages are compared with those that it had |
//! | else the highest number first | the first ones are those that most tools write to |

use std::cmp::Ordering;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;

use crate::server::galera::Health;
use crate::server::galera::Node;

/// A member of a cluster, and what it answered.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its place, as the configuration names it.
    pub place: String,
    /// Its answer, or why there is none.
    pub answer: Result<Node, String>,
    /// The write sets that clients made on it between two looks.
    pub growth: u64,
}

/// What was seen of a cluster.
#[derive(Debug, Clone)]
pub struct Survey {
    /// The members in the order of the configuration.
    pub members: Vec<Member>,
    /// The id of the node on this host, which would be backed up here.
    pub local: String,
    /// The ids of the nodes that answered behind the address of the cluster.
    pub behind_address: BTreeSet<String>,
}

/// Whether the node that applications write to may be backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriterRule {
    /// It may never be.
    Never,
    /// It may be, if no other node can be.
    Last,
}

/// What the configuration wants.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// Nodes that are taken before others, by name or place.
    pub preferred: Vec<String>,
    /// The name of the node of the last backup.
    pub last: Option<String>,
    /// Whether the writer may be taken.
    pub writer: WriterRule,
}

/// A node that can be backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The name of the node.
    pub name: String,
    /// The id of the running node.
    pub id: String,
}

/// The nodes that can be backed up, the best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranking {
    /// The candidates; there is at least one.
    pub candidates: Vec<Candidate>,
    /// The others, with the reason.
    pub passed: Vec<(String, String)>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Whether members are missing: then no node may be desynced, since it could not help another
    /// one to join.
    pub is_degraded: bool,
}

impl Ranking {
    /// Returns the rank of a node by its id, 0 for the best.
    pub fn rank_of(&self, id: &str) -> Option<usize> {
        self.candidates.iter().position(|candidate| candidate.id == id)
    }

    /// Returns why a node is not among the candidates.
    pub fn why_not(&self, name: &str) -> Option<&str> {
        let found = self.passed.iter().find(|(passed, _)| passed == name)?;
        Some(&found.1)
    }
}

/// Why no node of the cluster is backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No member that answered is in a part of the cluster with the quorum.
    NoQuorum,
    /// The members see different clusters.
    Split,
    /// The node of this host is none of the members.
    Stranger,
    /// No member can be used; each with the reason.
    NoneLeft(Vec<(String, String)>),
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoQuorum => out.write_str("no member of the cluster has the quorum"),
            Self::Split => out.write_str("members of the cluster see different clusters"),
            Self::Stranger => {
                out.write_str("the server of this host answers as none of the members")
            }
            Self::NoneLeft(passed) => {
                let reason = |(name, why): &(String, String)| format!("{name}: {why}");
                let reasons: Vec<String> = passed.iter().map(reason).collect();
                write!(out, "no member can be backed up ({})", reasons.join("; "))
            }
        }
    }
}

/// Ranks the nodes of a cluster.
pub fn rank(survey: &Survey, wishes: &Wishes) -> Result<Ranking, Refusal> {
    let nodes = || survey.members.iter().filter_map(|member| member.answer.as_ref().ok());
    if !nodes().any(|node| node.id == survey.local) {
        return Err(Refusal::Stranger);
    }
    let primary = || nodes().filter(|node| node.status == "Primary");
    let views: BTreeSet<_> = primary().map(|node| (&node.cluster, &node.membership)).collect();
    match views.len() {
        0 => return Err(Refusal::NoQuorum),
        1 => {}
        _ => return Err(Refusal::Split),
    }
    let writers = writers(survey);
    let (mut usable, mut passed, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    for member in &survey.members {
        let node = match &member.answer {
            Ok(node) => node,
            Err(why) => {
                warnings.push(format!("{} did not answer: {why}", member.place));
                passed.push((member.place.clone(), why.clone()));
                continue;
            }
        };
        match node.health() {
            Health::Unusable(why) => passed.push((node.name.clone(), why.words().to_owned())),
            health @ (Health::Good | Health::Lagging) => usable.push((member, node, health)),
        }
    }
    usable.sort_by(|one, other| order(*one, *other, wishes));
    let (writing, mut chosen): (Vec<_>, Vec<_>) =
        usable.into_iter().partition(|(_, node, _)| writers.contains(&node.id));
    if chosen.is_empty() && wishes.writer == WriterRule::Last && !writing.is_empty() {
        warnings.push("the writer is backed up, since no other node can be".to_owned());
        chosen = writing;
    } else {
        let writer = |(_, node, _): &(_, &Node, _)| {
            (node.name.clone(), "applications write to it".to_owned())
        };
        passed.extend(writing.iter().map(writer));
    }
    if chosen.is_empty() {
        return Err(Refusal::NoneLeft(passed));
    }
    let (size, expected) = (primary().map(|node| node.size).min(), survey.members.len());
    let is_degraded = size.is_none_or(|size| usize::try_from(size).is_ok_and(|n| n < expected));
    if is_degraded {
        let size = size.unwrap_or_default();
        warnings.push(format!("the cluster has {size} of {expected} members"));
    }
    let candidate =
        |(_, node, _): (_, &Node, _)| Candidate { name: node.name.clone(), id: node.id.clone() };
    let candidates = chosen.into_iter().map(candidate).collect();
    Ok(Ranking { candidates, passed, warnings, is_degraded })
}

/// Returns the ids of the nodes that applications write to: those behind the address of the
/// cluster, and one on which more than half of all new write sets were made.
fn writers(survey: &Survey) -> BTreeSet<String> {
    let total: u64 = survey.members.iter().map(|member| member.growth).sum();
    let is_busy = |member: &&Member| member.growth > total / 2;
    let busy = survey.members.iter().filter(is_busy);
    let ids = busy.filter_map(|member| member.answer.as_ref().ok()).map(|node| node.id.clone());
    survey.behind_address.iter().cloned().chain(ids).collect()
}

type Usable<'m> = (&'m Member, &'m Node, Health);

fn order(one: Usable<'_>, other: Usable<'_>, wishes: &Wishes) -> Ordering {
    let key = |(member, node, health): Usable<'_>| {
        let is = |name: &String| *name == node.name || *name == member.place;
        let preferred = wishes.preferred.iter().position(is).unwrap_or(usize::MAX);
        let is_last = wishes.last.as_ref() == Some(&node.name);
        (health, preferred, Reverse(is_last))
    };
    key(one)
        .cmp(&key(other))
        .then_with(|| natural(&other.1.name, &one.1.name))
        .then_with(|| one.1.id.cmp(&other.1.id))
}

/// Compares names as people do: `db10` comes after `db9`.
pub fn natural(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one, other);
    loop {
        let ((a, one_rest), (b, other_rest)) = (run(one), run(other));
        if a.is_empty() || b.is_empty() {
            return a.len().cmp(&b.len());
        }
        let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        let ordering = if is_number(a) && is_number(b) {
            let digits = |text: &str| text.trim_start_matches('0').len();
            let significant = |text: &str| text.trim_start_matches('0').to_owned();
            digits(a).cmp(&digits(b)).then_with(|| significant(a).cmp(&significant(b)))
        } else {
            a.cmp(b)
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
        (one, other) = (one_rest, other_rest);
    }
}

/// Splits off the digits, or what is none, at the beginning of a text.
fn run(text: &str) -> (&str, &str) {
    let is_number = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != is_number).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str) -> Member {
        let node = Node {
            name: name.to_owned(),
            id: format!("id of {name}"),
            cluster: "c".to_owned(),
            membership: "5".to_owned(),
            size: 3,
            status: "Primary".to_owned(),
            is_ready: true,
            is_connected: true,
            state: 4,
            ..Node::default()
        };
        Member { place: format!("{name}.example.org"), answer: Ok(node), growth: 0 }
    }

    fn survey() -> Survey {
        Survey {
            members: ["db1", "db9", "db10"].map(member).into(),
            local: "id of db1".to_owned(),
            behind_address: BTreeSet::new(),
        }
    }

    fn wishes() -> Wishes {
        Wishes { preferred: Vec::new(), last: None, writer: WriterRule::Never }
    }

    fn node(survey: &mut Survey, index: usize) -> &mut Node {
        survey.members[index].answer.as_mut().unwrap()
    }

    fn names(survey: &Survey, wishes: &Wishes) -> Result<String, String> {
        let ranking = rank(survey, wishes).map_err(|refusal| refusal.to_string())?;
        let names: Vec<_> = ranking.candidates.into_iter().map(|one| one.name).collect();
        Ok(names.join(" "))
    }

    #[test]
    fn the_highest_number_comes_first_and_wishes_before_it() {
        let mut wishes = wishes();
        assert_eq!(names(&survey(), &wishes).unwrap(), "db10 db9 db1");
        wishes.last = Some("db9".to_owned());
        assert_eq!(names(&survey(), &wishes).unwrap(), "db9 db10 db1");
        wishes.preferred = vec!["db1.example.org".to_owned(), "db10".to_owned()];
        assert_eq!(names(&survey(), &wishes).unwrap(), "db1 db10 db9");
        // One that lags comes last, whatever is wished.
        let mut lagging = survey();
        node(&mut lagging, 0).queue = 500;
        assert_eq!(names(&lagging, &wishes).unwrap(), "db10 db9 db1");
    }

    #[test]
    fn the_writer_is_left_alone() {
        let mut seen = survey();
        seen.behind_address.insert("id of db10".to_owned());
        assert_eq!(names(&seen, &wishes()).unwrap(), "db9 db1");
        seen.members[0].growth = 600;
        seen.members[1].growth = 5;
        assert_eq!(names(&seen, &wishes()).unwrap(), "db9");
        // Where all write alike, none is the writer.
        let mut all = survey();
        all.members.iter_mut().for_each(|member| member.growth = 100);
        assert_eq!(names(&all, &wishes()).unwrap(), "db10 db9 db1");
    }

    #[test]
    fn the_writer_is_taken_last_where_that_is_allowed() {
        let mut seen = survey();
        seen.behind_address.insert("id of db10".to_owned());
        node(&mut seen, 0).is_desynced = true;
        seen.members[1].answer = Err("no answer in 5s".to_owned());
        let refused = names(&seen, &wishes()).unwrap_err();
        for part in ["db1: it is desynced", "db9.example.org: no answer", "db10: applications"] {
            assert!(refused.contains(part), "{refused}");
        }
        let last = Wishes { writer: WriterRule::Last, ..wishes() };
        let ranking = rank(&seen, &last).unwrap();
        assert_eq!(ranking.rank_of("id of db10"), Some(0));
        assert_eq!(ranking.warnings.len(), 2);
        assert_eq!(
            ranking.why_not("db1").unwrap(),
            "it is desynced, by a backup, a state transfer or an operator"
        );
    }

    #[test]
    fn without_quorum_or_agreement_there_is_no_backup() {
        let mut seen = survey();
        for index in 0..3 {
            node(&mut seen, index).status = "non-Primary".to_owned();
        }
        assert_eq!(rank(&seen, &wishes()).unwrap_err(), Refusal::NoQuorum);
        node(&mut seen, 2).status = "Primary".to_owned();
        assert_eq!(names(&seen, &wishes()).unwrap(), "db10");
        let mut split = survey();
        node(&mut split, 1).membership = "6".to_owned();
        assert_eq!(rank(&split, &wishes()).unwrap_err(), Refusal::Split);
        let stranger = Survey { local: "other".to_owned(), ..survey() };
        assert_eq!(rank(&stranger, &wishes()).unwrap_err(), Refusal::Stranger);
    }

    #[test]
    fn a_cluster_with_missing_members_is_backed_up_with_a_warning() {
        let mut seen = survey();
        seen.members[2].answer = Err("connection refused".to_owned());
        node(&mut seen, 0).size = 2;
        node(&mut seen, 1).size = 2;
        let ranking = rank(&seen, &wishes()).unwrap();
        assert!(ranking.is_degraded);
        assert_eq!(ranking.warnings.len(), 2);
        assert_eq!(ranking.candidates.len(), 2);
        assert!(!rank(&survey(), &wishes()).unwrap().is_degraded);
    }

    #[test]
    fn names_are_compared_as_people_do() {
        let mut names = ["db10", "db9", "db", "db9b", "db09a", "a", "10", "9"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["9", "10", "a", "db", "db9", "db09a", "db9b", "db10"]);
    }
}
