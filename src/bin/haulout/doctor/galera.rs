//! What matters of a node of a Galera cluster, besides what matters of any server.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use haulout::server::choice::Ranking;
use haulout::server::galera::Health;
use haulout::server::galera::Node;

use crate::doctor::finding::Finding;
use crate::doctor::server::is_on;
use crate::doctor::tool::Version;

/// A member of the cluster, as far as it can be compared with the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its place, as the configuration names it.
    pub(crate) place: String,
    /// Its variables, or why it did not answer.
    pub(crate) answer: Result<BTreeMap<String, String>, String>,
}

/// Judges the state of a node.
pub(crate) fn judge_state(node: &Node) -> Finding {
    const CHECK: &str = "state of the node";
    let found = format!("{}, {}, {} members", node.state_words, node.status, node.size);
    match node.health() {
        Health::Good => Finding::good(CHECK, found),
        Health::Lagging => Finding::warning(
            CHECK,
            format!("{found}; {} write sets wait to be applied", node.queue),
            "look again; a node that lags for long slows the cluster down",
        ),
        Health::Unusable(why) => Finding::failed(
            CHECK,
            format!("{found}; {}", why.words()),
            "bring the node back into the cluster; it is not backed up before",
        ),
    }
}

/// Judges how the node writes its binary log.
pub(crate) fn judge_gtids(variables: &BTreeMap<String, String>) -> Finding {
    const CHECK: &str = "GTIDs";
    if !is_on(variables, "log_bin") {
        return Finding::good(CHECK, "there is no binary log");
    }
    let missing: Vec<&str> = ["log_slave_updates", "wsrep_gtid_mode"]
        .into_iter()
        .filter(|name| !is_on(variables, name))
        .collect();
    if missing.is_empty() {
        let domain = variables.get("wsrep_gtid_domain_id").cloned().unwrap_or_default();
        return Finding::good(CHECK, format!("those of the cluster, domain {domain}"));
    }
    Finding::warning(
        CHECK,
        format!("off: {}", missing.join(", ")),
        format!(
            "set {} on all nodes: binary logs of nodes are compared by GTID",
            missing.join(", ")
        ),
    )
}

/// Judges how a node that joins gets all of the data.
pub(crate) fn judge_transfer(variables: &BTreeMap<String, String>) -> Finding {
    const CHECK: &str = "state transfer";
    let method = variables.get("wsrep_sst_method").cloned().unwrap_or_default();
    let has_account = variables.get("wsrep_sst_auth").is_some_and(|auth| !auth.is_empty());
    match method.as_str() {
        "mariabackup" | "xtrabackup-v2" if !has_account => Finding::warning(
            CHECK,
            format!("{method}, and wsrep_sst_auth is empty"),
            "set wsrep_sst_auth to an account for it, unless that is in an option file of the node",
        ),
        "rsync" | "mysqldump" => Finding::warning(
            CHECK,
            format!("{method}, which makes writes on the donor wait"),
            "set wsrep_sst_method = mariabackup",
        ),
        _ => Finding::good(CHECK, method),
    }
}

/// Compares the members of a cluster with each other.
pub(crate) fn judge_members(members: &[Member]) -> Vec<Finding> {
    const CHECK: &str = "members";
    let mut findings = Vec::new();
    for Member { place, answer } in members {
        if let Err(why) = answer {
            findings.push(Finding::warning(
                CHECK,
                format!("{place} did not answer: {why}"),
                "start it, or correct members and the account of the cluster",
            ));
        }
    }
    let of = |name: &str| -> BTreeSet<String> {
        let answers = members.iter().filter_map(|member| member.answer.as_ref().ok());
        answers.filter_map(|variables| variables.get(name).cloned()).collect()
    };
    let list = |values: BTreeSet<String>| values.into_iter().collect::<Vec<_>>().join(", ");
    let series: BTreeSet<_> =
        of("version").iter().filter_map(|text| Version::find(text)).map(Version::series).collect();
    if series.len() > 1 {
        findings.push(Finding::warning(
            CHECK,
            format!("versions differ: {}", list(of("version"))),
            "bring all members to one release series: a backup of one must fit the others",
        ));
    }
    for name in ["server_id", "wsrep_gtid_domain_id"] {
        if of(name).len() > 1 {
            findings.push(Finding::warning(
                CHECK,
                format!("{name} differs: {}", list(of(name))),
                format!("set the same {name} on all nodes, or GTIDs differ from node to node"),
            ));
        }
    }
    if findings.is_empty() {
        let versions = list(of("version"));
        findings.push(Finding::good(CHECK, format!("{} alike, {versions}", members.len())));
    }
    findings
}

/// Judges the ranking of the nodes by a run of now.
pub(crate) fn judge_choice(ranking: &Ranking) -> Finding {
    const CHECK: &str = "choice";
    let names: Vec<&str> = ranking.candidates.iter().map(|one| one.name.as_str()).collect();
    let found = format!("{}, after the node of the last backup", names.join(", "));
    if ranking.warnings.is_empty() {
        return Finding::good(CHECK, found);
    }
    Finding::warning(
        CHECK,
        format!("{found}; {}", ranking.warnings.join("; ")),
        "the backup runs; look at the cluster",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::State;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_node_out_of_its_cluster_is_a_failure() {
        let good = Node {
            status: "Primary".to_owned(),
            is_ready: true,
            is_connected: true,
            state: 4,
            ..Node::default()
        };
        assert_eq!(judge_state(&good).state, State::Good);
        assert_eq!(judge_state(&Node { queue: 200, ..good.clone() }).state, State::Warning);
        assert_eq!(judge_state(&Node { state: 2, ..good }).state, State::Failed);
    }

    #[test]
    fn binary_logs_have_the_ids_of_the_cluster() {
        let mut on = variables(&[("log_bin", "ON"), ("log_slave_updates", "ON")]);
        let found = judge_gtids(&on);
        assert_eq!((found.state, found.found.as_str()), (State::Warning, "off: wsrep_gtid_mode"));
        on.insert("wsrep_gtid_mode".to_owned(), "ON".to_owned());
        assert_eq!(judge_gtids(&on).state, State::Good);
        assert_eq!(judge_gtids(&variables(&[])).state, State::Good);
    }

    #[test]
    fn a_state_transfer_that_blocks_its_donor_is_worth_a_look() {
        for (method, auth, state) in [
            ("rsync", "", State::Warning),
            ("mariabackup", "", State::Warning),
            ("mariabackup", "********", State::Good),
        ] {
            let found = judge_transfer(&variables(&[
                ("wsrep_sst_method", method),
                ("wsrep_sst_auth", auth),
            ]));
            assert_eq!(found.state, state, "{method}");
        }
    }

    #[test]
    fn members_are_compared() {
        let member = |place: &str, version, id| Member {
            place: place.to_owned(),
            answer: Ok(variables(&[("version", version), ("server_id", id)])),
        };
        let mut members =
            [member("a", "10.11.19-MariaDB", "7"), member("b", "10.11.8-MariaDB-log", "7")];
        assert_eq!(judge_members(&members)[0].state, State::Good);
        members[1] = member("b", "10.6.8-MariaDB", "8");
        let found = judge_members(&members);
        assert_eq!(found.len(), 2);
        assert!(found[0].found.contains("10.6.8"), "{found:?}");
        assert!(found[1].found.contains("server_id differs: 7, 8"), "{found:?}");
        members[1].answer = Err("connection refused".to_owned());
        let found = judge_members(&members);
        assert_eq!((found.len(), found[0].state), (1, State::Warning));
    }
}
