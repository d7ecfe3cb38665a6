//! Waits for a node to be in step with its cluster, and tries what clients and balancers need.
//!
//! Accounts are those of the night of the backup: the account of the operator, that of state
//! transfers and that of the health check may have had other passwords since. What fails is told
//! with the statement that mends it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use haulout::server::galera::Node;
use haulout::server::login::Address;
use haulout::server::login::Login;
use haulout::server::option_file::Options;
use haulout::server::session::Session;
use haulout::world::Clock;
use zeroize::Zeroizing;

use haulout::server::settings::ServerSettings;

/// The interval between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// Files in which the health check of a balancer keeps its account.
const CLUSTERCHECK_FILES: [&str; 3] =
    ["/etc/sysconfig/clustercheck", "/etc/default/clustercheck", "/etc/clustercheck.cnf"];

/// What is expected of a node.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    /// The socket of the server.
    pub(crate) socket: PathBuf,
    /// The account of the operator.
    pub(crate) login_file: Option<PathBuf>,
    /// Members of the cluster.
    pub(crate) size: u64,
    /// How long it may take.
    pub(crate) within: Duration,
}

/// Connects as the operator.
fn operator(expected: &Expected) -> Result<Session, String> {
    let login = match &expected.login_file {
        None => Login::of_user("root"),
        Some(path) => {
            let options = Options::read(path, &["client", "mysql", "mariadb"]);
            Login::from_options(&options.map_err(|error| error.with_causes())?, "root")
        }
    };
    let address = Address::Socket(expected.socket.clone());
    Session::connect(&address, &login).map_err(|error| error.with_causes())
}

/// Waits until the node is synced in a cluster of at least the expected size. Returns how the node
/// is, or why it is not as expected.
pub(crate) fn wait(expected: &Expected, clock: &dyn Clock) -> Result<Node, String> {
    let began = clock.elapsed();
    loop {
        let asked = operator(expected)
            .and_then(|mut session| Node::ask(&mut session).map_err(|error| error.with_causes()));
        let why = match asked {
            Ok(None) => return Err("the server is no node of a cluster".to_owned()),
            Ok(Some(node)) => match shortcoming(&node, expected.size) {
                None => return Ok(node),
                Some(why) => why,
            },
            Err(why) => why,
        };
        if clock.elapsed().saturating_sub(began) >= expected.within {
            return Err(why);
        }
        sleep(LOOK);
    }
}

/// Returns what a node lacks.
fn shortcoming(node: &Node, size: u64) -> Option<String> {
    if node.status != "Primary" {
        return Some(format!("its part of the cluster is {}, without a quorum", node.status));
    }
    if !node.is_synced() || !node.is_ready {
        return Some(format!("it is {}, not synced", node.state_words));
    }
    (node.size < size).then(|| format!("its cluster has {} of {size} members", node.size))
}

/// An account that something needs.
#[derive(Debug)]
pub(crate) struct Needed {
    /// What it is for.
    pub(crate) purpose: &'static str,
    /// The account with its password.
    pub(crate) login: Login,
    /// The rights that it needs.
    rights: &'static str,
}

/// What became of trying an account.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Tried {
    /// What the account is for.
    pub(crate) purpose: &'static str,
    /// The name of the account.
    pub(crate) user: String,
    /// Why it does not work.
    pub(crate) problem: Option<String>,
    /// The statement that mends it.
    pub(crate) mended_by: Option<String>,
}

/// Returns the accounts of state transfers and of the health check, as far as files name them.
pub(crate) fn needed(settings: &ServerSettings) -> Vec<Needed> {
    let mut found = Vec::new();
    let by_tool = settings
        .value("wsrep-sst-method")
        .is_some_and(|method| ["mariabackup", "mariadb-backup", "mysqldump"].contains(&method));
    let account = settings.value("wsrep-sst-auth").and_then(|auth| auth.split_once(':'));
    if let (true, Some((user, password))) = (by_tool, account) {
        found.push(Needed {
            purpose: "state transfers",
            login: login(user, password),
            rights: "RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR",
        });
    }
    let files = CLUSTERCHECK_FILES.into_iter().map(Path::new);
    let mut of_check = files.filter_map(|path| fs::read_to_string(path).ok());
    if let Some((user, password)) = of_check.find_map(|text| of_environment(&text)) {
        let login = login(&user, &password);
        found.push(Needed { purpose: "health checks", login, rights: "PROCESS" });
    }
    found
}

fn login(user: &str, password: &str) -> Login {
    Login {
        password: Some(Zeroizing::new(password.to_owned())).filter(|text| !text.is_empty()),
        ..Login::of_user(user)
    }
}

/// Reads the account of a file that a shell reads: `MYSQL_USERNAME="x"`.
fn of_environment(text: &str) -> Option<(String, String)> {
    let pair = |line: &str| {
        let line = line.trim().strip_prefix("export ").unwrap_or(line.trim());
        let (name, value) = line.split_once('=')?;
        let value = value.trim().trim_matches(['"', '\'']);
        Some((name.trim().to_ascii_uppercase(), value.to_owned()))
    };
    let values: BTreeMap<String, String> = text.lines().filter_map(pair).collect();
    let first = |names: [&str; 2]| names.iter().find_map(|name| values.get(*name).cloned());
    let user = first(["MYSQL_USERNAME", "USER"])?;
    Some((user, first(["MYSQL_PASSWORD", "PASSWORD"]).unwrap_or_default()))
}

/// Tries to log in as each account.
pub(crate) fn try_accounts(expected: &Expected, needed: &[Needed]) -> Vec<Tried> {
    let address = Address::Socket(expected.socket.clone());
    let mut tried = vec![Tried {
        purpose: "operators",
        user: "root".to_owned(),
        problem: operator(expected).err(),
        mended_by: None,
    }];
    tried.extend(needed.iter().map(|account| {
        let problem = Session::connect(&address, &account.login).err();
        let user = &account.login.user;
        // The password is not said: it stands in the file that was read.
        let statement =
            format!("GRANT {} ON *.* TO '{user}'@'localhost' IDENTIFIED BY '...'", account.rights);
        Tried {
            purpose: account.purpose,
            user: user.clone(),
            mended_by: problem.is_some().then_some(statement),
            problem: problem.map(|error| error.with_causes()),
        }
    }));
    if let Some(root) = tried.first_mut().filter(|root| root.problem.is_some()) {
        let statement = "GRANT ALL PRIVILEGES ON *.* TO root@localhost IDENTIFIED VIA unix_socket \
            WITH GRANT OPTION";
        root.mended_by = Some(statement.to_owned());
    }
    tried
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_as_expected_when_it_is_synced_in_the_whole_cluster() {
        let good = Node {
            status: "Primary".to_owned(),
            state: 4,
            state_words: "Synced".to_owned(),
            is_ready: true,
            is_connected: true,
            size: 3,
            ..Node::default()
        };
        assert_eq!(shortcoming(&good, 3), None);
        for (node, size, words) in [
            (good.clone(), 4, "3 of 4 members"),
            (Node { status: "non-Primary".to_owned(), ..good.clone() }, 3, "without a quorum"),
            (Node { state: 3, state_words: "Joined".to_owned(), ..good.clone() }, 3, "Joined"),
            (Node { is_ready: false, ..good }, 3, "not synced"),
        ] {
            let why = shortcoming(&node, size).unwrap();
            assert!(why.contains(words), "{why}");
        }
    }

    #[test]
    fn accounts_are_read_where_programs_keep_them() {
        let text =
            "# for clustercheck\nMYSQL_USERNAME=\"clustercheck\"\nexport MYSQL_PASSWORD='a=b'\n";
        assert_eq!(of_environment(text), Some(("clustercheck".to_owned(), "a=b".to_owned())));
        assert_eq!(of_environment("MYSQL_PASSWORD=x"), None);
        let settings =
            ServerSettings::read("--wsrep_sst_method=mariabackup --wsrep_sst_auth=sst:a:b");
        let found = needed(&settings);
        let sst = found.iter().find(|account| account.purpose == "state transfers").unwrap();
        assert_eq!(sst.login.user, "sst");
        assert_eq!(sst.login.password.as_ref().unwrap().as_str(), "a:b");
        let by_rsync = ServerSettings::read("--wsrep_sst_method=rsync --wsrep_sst_auth=sst:a");
        assert!(!needed(&by_rsync).iter().any(|account| account.purpose == "state transfers"));
    }
}
