//! Decides from the reports of all nodes what is to be done. Pure: no host is asked here.
//!
//! The rules, in this order:
//!
//! 1. A node in a part with the quorum: the cluster is there, and the others are to be started.
//! 2. A member that did not report, and was not said to be lost: nothing is decided, since it may
//!    have the newest data.
//! 3. Good data of two histories: nothing is decided until one of them is chosen.
//! 4. Good data: the node with the newest write set begins, restored is nothing.
//! 5. No good data at all: the cluster is lost, and a snapshot is restored.
//!
//! Source: "Restarting the Cluster" and "Quorum Reset" of the manual of Galera Cluster.

use std::collections::BTreeSet;

use crate::rescue::node::NodeReport;

/// What a person knows and the reports do not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Knowledge {
    /// Members that are known to be lost, by host or address.
    pub(crate) lost: Vec<String>,
    /// The history that counts, if there are two.
    pub(crate) uuid: Option<String>,
}

/// What is to be done about a cluster. Hosts are indexes of the reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// The cluster is there; these nodes are to be started.
    Alive(Vec<usize>),
    /// Servers run, without a quorum; this one has the newest data.
    NoQuorum(usize),
    /// No server runs, or none that can begin; this one has the newest data.
    Begin(usize),
    /// No node has good data.
    Lost,
    /// Nothing is decided, for these reasons.
    Undecided(Vec<String>),
}

/// Decides what is to be done.
pub(crate) fn judge(reports: &[NodeReport], known: &Knowledge) -> Outlook {
    if reports.iter().any(NodeReport::has_quorum) {
        return alive(reports);
    }
    let mut doubts = missing(reports, known);
    let good: Vec<usize> =
        (0..reports.len()).filter(|at| reports[*at].good_position().is_some()).collect();
    let uuid = |at: &usize| reports[*at].good_position().map(|position| position.uuid.as_str());
    let histories: BTreeSet<&str> = good.iter().filter_map(uuid).collect();
    let chosen = known.uuid.as_deref();
    if histories.len() > 1 && chosen.is_none_or(|chosen| !histories.contains(chosen)) {
        let of = |history: &str| {
            let hosts = good.iter().filter(|at| uuid(at) == Some(history));
            let hosts: Vec<&str> = hosts.map(|at| reports[*at].host.as_str()).collect();
            format!("{} has {history}", hosts.join(", "))
        };
        let all: Vec<String> = histories.iter().map(|history| of(history)).collect();
        doubts.push(format!(
            "the nodes have data of {} clusters, of which --uuid chooses one: {}",
            histories.len(),
            all.join("; ")
        ));
    }
    if !doubts.is_empty() {
        return Outlook::Undecided(doubts);
    }
    let counts = |at: &&usize| histories.len() < 2 || uuid(at) == chosen;
    let seqno = |at: usize| reports[at].good_position().map_or(-1, |position| position.seqno);
    // Of equal ones that which is said to be safe, then the first.
    let is_safe = |at: usize| {
        let saved = reports[at].saved.as_ref();
        reports[at].running.is_some() || saved.is_some_and(|saved| saved.safe_to_bootstrap)
    };
    let mut candidates: Vec<usize> = good.iter().filter(counts).copied().collect();
    candidates.sort_by_key(|at| (std::cmp::Reverse(seqno(*at)), !is_safe(*at), *at));
    match candidates.first() {
        None => Outlook::Lost,
        Some(best) if reports[*best].running.is_some() => Outlook::NoQuorum(*best),
        Some(best) => Outlook::Begin(*best),
    }
}

fn alive(reports: &[NodeReport]) -> Outlook {
    Outlook::Alive((0..reports.len()).filter(|at| !reports[*at].has_quorum()).collect())
}

/// Names the members that did not report and are not said to be lost, and reports that are no use.
fn missing(reports: &[NodeReport], known: &Knowledge) -> Vec<String> {
    let mut doubts = Vec::new();
    let mut named = BTreeSet::new();
    for name in reports.iter().flat_map(|report| &report.members) {
        let host = name.split(':').next().unwrap_or(name);
        let is_it = |own: &str| own == name || own == host;
        let has_reported =
            reports.iter().any(|report| report.is_named(name) || report.is_named(host));
        let is_lost = known.lost.iter().any(|lost| is_it(lost));
        if !has_reported && !is_lost && named.insert(name) {
            doubts.push(format!(
                "{name} did not report and may have the newest data: run haulout rescue inspect \
                 there, or give --lost {name} if its data are gone"
            ));
        }
    }
    for report in reports {
        let is_lost = known.lost.iter().any(|lost| report.is_named(lost));
        let has_data = report.good_position().is_some()
            || report.causes.iter().any(|cause| cause.kind.is_about_data());
        if !has_data && !is_lost {
            let why = report.causes.first();
            let why = why.map_or("nothing says why".to_owned(), |cause| {
                format!("{}: {}", cause.kind.words(), cause.seen)
            });
            let host = &report.host;
            doubts.push(format!(
                "the position of {host} is not known ({why}): mend it and inspect {host} again, \
                 or give --lost {host}"
            ));
        }
    }
    doubts
}

/// Returns what stands against a set of reports: two of one host, of different clusters, or too old
/// to be compared.
pub(crate) fn objections(reports: &[NodeReport]) -> Vec<String> {
    let mut out = Vec::new();
    for (at, report) in reports.iter().enumerate() {
        if reports[..at].iter().any(|other| other.host == report.host) {
            out.push(format!("two reports are of the host {}", report.host));
        }
        let other = reports[..at].iter().find(|other| {
            let names = [&other.cluster_name, &report.cluster_name];
            names.iter().all(|name| !name.is_empty()) && names[0] != names[1]
        });
        if let Some(other) = other {
            out.push(format!(
                "{} belongs to the cluster '{}', and {} to '{}'",
                other.host, other.cluster_name, report.host, report.cluster_name
            ));
        }
    }
    out
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::rescue::node::Running;
    use crate::rescue::node::ServiceCommands;
    use crate::rescue::node::VERSION;
    use haulout::server::saved_state::Position;
    use haulout::server::saved_state::SavedState;
    use haulout::server::startup_log::Cause;
    use haulout::server::startup_log::CauseKind;

    pub(crate) const HISTORY: &str = "92f7e289-eb94-11f1-96f8-ee18e288f3c2";
    const OTHER: &str = "a0000000-eb94-11f1-96f8-ee18e288f3c2";

    /// A node of a cluster of three that has stopped at a position.
    pub(crate) fn node(number: u8, seqno: i64) -> NodeReport {
        let position = Position { uuid: HISTORY.to_owned(), seqno };
        NodeReport {
            version: VERSION,
            host: format!("db{number}"),
            time: 1_800_000_000,
            server: Some("10.11.19".to_owned()),
            defaults_file: None,
            socket: "/run/mysqld/mysqld.sock".into(),
            data_directory: "/var/lib/mysql".into(),
            is_mount_point: false,
            owner: "mysql:mysql".to_owned(),
            bytes: 1 << 30,
            free_bytes: 1 << 40,
            newest_write: Some(1_799_999_000),
            cluster_name: "test".to_owned(),
            members: (1..=3).map(|number| format!("10.0.0.{number}")).collect(),
            node_address: format!("10.0.0.{number}"),
            client_port: 3306,
            running: None,
            saved: Some(SavedState { position: position.clone(), safe_to_bootstrap: false }),
            position: Some(position),
            causes: Vec::new(),
            isolation: Vec::new(),
            commands: ServiceCommands {
                start: "systemctl start mariadb".to_owned(),
                bootstrap: "galera_new_cluster".to_owned(),
                stop: "systemctl stop mariadb".to_owned(),
            },
        }
    }

    /// The same node with data that can't be trusted.
    pub(crate) fn broken(number: u8) -> NodeReport {
        let cause = Cause { kind: CauseKind::CorruptData, seen: "page 7".to_owned() };
        NodeReport { causes: vec![cause], ..node(number, 1_000) }
    }

    fn running(number: u8, seqno: i64, status: &str) -> NodeReport {
        let running = Running { status: status.to_owned(), state: "Synced".to_owned(), size: 1 };
        NodeReport { running: Some(running), ..node(number, seqno) }
    }

    fn outlook(reports: &[NodeReport]) -> Outlook {
        judge(reports, &Knowledge::default())
    }

    #[test]
    fn the_newest_data_begin() {
        assert_eq!(outlook(&[node(1, 5), node(2, 9), node(3, 7)]), Outlook::Begin(1));
        assert_eq!(outlook(&[node(1, 5), node(2, 5), node(3, 5)]), Outlook::Begin(0));
        let mut safe = node(3, 5);
        safe.saved.as_mut().unwrap().safe_to_bootstrap = true;
        assert_eq!(outlook(&[node(1, 5), node(2, 5), safe]), Outlook::Begin(2));
        assert_eq!(outlook(&[broken(1), broken(2), node(3, 1)]), Outlook::Begin(2));
        assert_eq!(outlook(&[broken(1), broken(2), broken(3)]), Outlook::Lost);
    }

    #[test]
    fn servers_that_run_come_first() {
        let reports = [running(1, 9, "Primary"), node(2, 99), broken(3)];
        assert_eq!(outlook(&reports), Outlook::Alive(vec![1, 2]));
        let reports = [running(1, 9, "non-Primary"), node(2, 8), broken(3)];
        assert_eq!(outlook(&reports), Outlook::NoQuorum(0));
        let reports = [running(1, 9, "non-Primary"), node(2, 10), broken(3)];
        assert_eq!(outlook(&reports), Outlook::Begin(1));
    }

    #[test]
    fn a_member_that_is_silent_may_have_the_newest_data() {
        let reports = [node(1, 5), broken(2)];
        let Outlook::Undecided(doubts) = outlook(&reports) else { panic!("decided") };
        assert!(doubts.len() == 1 && doubts[0].contains("--lost 10.0.0.3"), "{doubts:?}");
        let known = Knowledge { lost: vec!["10.0.0.3".to_owned()], uuid: None };
        assert_eq!(judge(&reports, &known), Outlook::Begin(0));
        // It has reported, but its position is not known.
        let mut dark = node(3, -1);
        dark.causes = vec![Cause { kind: CauseKind::Rights, seen: "ibdata1".to_owned() }];
        let reports = [node(1, 5), broken(2), dark];
        let Outlook::Undecided(doubts) = outlook(&reports) else { panic!("decided") };
        assert!(doubts[0].contains("access rights: ibdata1"), "{doubts:?}");
        let known = Knowledge { lost: vec!["db3".to_owned()], uuid: None };
        assert_eq!(judge(&reports, &known), Outlook::Begin(0));
    }

    #[test]
    fn of_two_histories_one_is_chosen() {
        let mut other = node(2, 99);
        other.position = Some(Position { uuid: OTHER.to_owned(), seqno: 99 });
        let reports = [node(1, 5), other, broken(3)];
        let Outlook::Undecided(doubts) = outlook(&reports) else { panic!("decided") };
        assert!(doubts[0].contains("db1 has 92f7") && doubts[0].contains("--uuid"), "{doubts:?}");
        for (uuid, at) in [(HISTORY, 0), (OTHER, 1)] {
            let known = Knowledge { lost: Vec::new(), uuid: Some(uuid.to_owned()) };
            assert_eq!(judge(&reports, &known), Outlook::Begin(at));
        }
        let known = Knowledge { lost: Vec::new(), uuid: Some("neither".to_owned()) };
        assert!(matches!(judge(&reports, &known), Outlook::Undecided(_)));
    }

    #[test]
    fn reports_must_belong_together() {
        assert_eq!(objections(&[node(1, 5), node(2, 5)]), Vec::<String>::new());
        assert_eq!(objections(&[node(1, 5), node(1, 5)]).len(), 1);
        let other = NodeReport { cluster_name: "else".to_owned(), ..node(2, 5) };
        assert!(objections(&[node(1, 5), other])[0].contains("'else'"));
    }
}
