//! What matters of the desync of a node: what an earlier run has left, and the account.

use std::path::Path;

use haulout::world::Clock;
use haulout::world::Monitor;

use crate::doctor::finding::Finding;
use crate::fail::failure::Failure;
use crate::jobs::desync::leftover;
use crate::jobs::desync::leftover::AtWork;
use crate::jobs::desync::leftover::Left;
use crate::jobs::desync::wishes::Wishes;
use crate::jobs::donor::Cluster;
use crate::jobs::server;
use haulout::server::grants::Grants;

const CHECK: &str = "desync";

/// The right that a server wants.
const RIGHT: &str = "SUPER";

/// Puts a node back that was left desynced, and looks at the account that desyncs.
pub(crate) fn judge(state_dir: &Path, cluster: &Cluster, clock: &dyn Clock) -> Vec<Finding> {
    let left =
        match leftover::end(state_dir, cluster, clock, AtWork::LeftAlone, &Monitor::default()) {
            Ok(Left::Nothing) => None,
            Ok(Left::Ended(what)) => {
                let hint = "look why the run has died; nothing else is left to do";
                Some(Finding::warning(CHECK, what, hint))
            }
            Ok(Left::Watched) => {
                let what = "a run is under way, or its watchdog still puts the node back";
                Some(Finding::good(CHECK, what))
            }
            Err(failure) => Some(failed(&failure)),
        };
    let account = Wishes::of(&cluster.table).map(|_| judge_account(cluster));
    left.into_iter().chain(account).collect()
}

fn judge_account(cluster: &Cluster) -> Finding {
    let server = server::to_desync(&cluster.table, &cluster.source);
    match server.and_then(|mut server| server.grants()) {
        Ok(lines) if Grants::read(&lines).has(RIGHT, None) => {
            Finding::good("account that desyncs", format!("it has {RIGHT}"))
        }
        Ok(_) => Finding::warning(
            "account that desyncs",
            format!("it has no {RIGHT}, so the node is backed up without a desync"),
            format!("GRANT {RIGHT} ON *.* TO the account of desync_defaults_file"),
        ),
        Err(error) => failed(&Failure::from(error)),
    }
}

fn failed(failure: &Failure) -> Finding {
    Finding::failed(CHECK, failure.line(), failure.hint())
}
