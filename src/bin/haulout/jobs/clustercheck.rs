//! What `clustercheck` says of the nodes of a cluster: the port that balancers look at, 200 for a
//! node that is synced and 503 for any other. Where it does not say the same as SQL, applications
//! go to other nodes than this program believes.
//!
//! Each address is asked once at the same time as the others, for some seconds, without proxies and
//! redirections; of an answer only the number of the status counts, and at most 4 KiB are read.

use std::thread;
use std::time::Duration;

use haulout::server::choice::Member;
use haulout::server::galera::Node;
use haulout::server::login::Address;
use haulout::store::remote::RemoteOptions;
use haulout::store::remote::post::Poster;
use haulout::store::remote::post::Unanswered;

/// The time that one request may take.
const TIME_MAX: Duration = Duration::from_secs(5);

/// How often an address is asked: a script that does not read the request may lose its answer.
const TRIES: u32 = 3;

/// The answer of one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checked {
    /// The address that was asked.
    pub(crate) address: String,
    /// Whether the node is synced, or why that is not known.
    pub(crate) is_synced: Result<bool, String>,
}

/// Asks all addresses at the same time.
pub(crate) fn ask(addresses: &[String]) -> Vec<Checked> {
    thread::scope(|scope| {
        let start = |address: &String| {
            let address = address.clone();
            let asking = scope.spawn({
                let address = address.clone();
                move || ask_one(&address, TIME_MAX)
            });
            (address, asking)
        };
        let started: Vec<_> = addresses.iter().map(start).collect();
        let ended = started.into_iter().map(|(address, asking)| {
            let failed = |_| Err("the thread that asks it has panicked".to_owned());
            Checked { address, is_synced: asking.join().unwrap_or_else(failed) }
        });
        ended.collect()
    })
}

fn ask_one(address: &str, time_max: Duration) -> Result<bool, String> {
    let poster = Poster::new(&RemoteOptions::default()).map_err(|error| error.to_string())?;
    let mut tries = 1;
    loop {
        match poster.get(address, time_max) {
            Ok(answer) => return meaning(answer.status),
            Err(Unanswered::NoConnection(_)) if tries < TRIES => tries += 1,
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn meaning(status: u16) -> Result<bool, String> {
    match status {
        200 => Ok(true),
        503 => Ok(false),
        other => Err(format!("its HTTP status is {other}, neither 200 nor 503")),
    }
}

/// Compares the answers with those of the members to SQL, and says where they differ.
pub(crate) fn compare(checked: &[Checked], members: &[Member]) -> Vec<String> {
    let problem = |(place, one): (usize, &Checked)| {
        let at_place = members.get(place).filter(|_| checked.len() == members.len());
        one.problem(member_of(&one.address, members).or(at_place))
    };
    checked.iter().enumerate().filter_map(problem).collect()
}

impl Checked {
    /// Says what is wrong with an answer about a member, if anything is.
    fn problem(&self, member: Option<&Member>) -> Option<String> {
        let address = &self.address;
        let says = match &self.is_synced {
            Ok(is_synced) => *is_synced,
            Err(why) => return Some(format!("clustercheck {address} does not answer: {why}")),
        };
        let Some(member) = member else {
            return Some(format!("clustercheck {address} is on the host of no member"));
        };
        let (is_synced, sql) = match &member.answer {
            Ok(node) => (is_synced(node), format!("says {}", node.state_words)),
            Err(_) => (false, "does not answer".to_owned()),
        };
        let status = if says { 200 } else { 503 };
        let place = &member.place;
        (says != is_synced)
            .then(|| format!("clustercheck {address} says {status}, and the server {place} {sql}"))
    }
}

fn is_synced(node: &Node) -> bool {
    node.is_synced() && node.status == "Primary" && node.is_ready
}

/// Returns the only member on the host of an address.
fn member_of<'m>(address: &str, members: &'m [Member]) -> Option<&'m Member> {
    let authority = address.trim_start_matches("http://").split(['/', '?']).next()?;
    let host = host_of(authority)?;
    let mut on_host =
        members.iter().filter(|member| host_of(&member.place).as_ref() == Some(&host));
    let first = on_host.next();
    first.filter(|_| on_host.next().is_none())
}

fn host_of(place: &str) -> Option<String> {
    match place.parse::<Address>().ok()? {
        Address::Tcp { host, .. } => Some(host),
        Address::Socket(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    /// The state of a node that is in step with its cluster.
    const SYNCED: u64 = 4;

    /// Answers each connection with these bytes, and then with more zeros than anyone reads if that
    /// is wanted; returns the address.
    fn server(answer: &'static [u8], zeros: usize) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _read = stream.read(&mut [0; 512]);
                let _written = stream.write_all(answer);
                for _ in 0..zeros {
                    if stream.write_all(&[0; 4096]).is_err() {
                        break;
                    }
                }
            }
        });
        address
    }

    #[test]
    fn a_status_is_an_answer_and_anything_else_ends_as_none() {
        let good = server(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nsynced\r\n", 0);
        let bad = server(b"HTTP/1.1 503 No\r\nConnection: close\r\n\r\nnot synced\r\n", 0);
        let endless = server(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", usize::MAX);
        assert_eq!(ask_one(&good, TIME_MAX), Ok(true));
        assert_eq!(ask_one(&bad, TIME_MAX), Ok(false));
        assert_eq!(ask_one(&endless, TIME_MAX), Ok(true));
        let other = ask_one(&server(b"HTTP/1.1 404 Not\r\n\r\n", 0), TIME_MAX);
        assert!(other.as_ref().unwrap_err().contains("404"), "{other:?}");
        for nonsense in [server(b"220 smtp\r\n", 0), server(b"", usize::MAX)] {
            assert!(ask_one(&nonsense, TIME_MAX).is_err(), "{nonsense}");
        }
        // It takes a connection, and says nothing.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", silent.local_addr().unwrap());
        let late = ask_one(&address, Duration::from_millis(50));
        assert!(late.as_ref().unwrap_err().contains("no answer in"), "{late:?}");
        let asked = ask(&[good.clone(), bad.clone()]);
        let states: Vec<_> = asked.iter().map(|one| one.is_synced.clone()).collect();
        assert_eq!(states, [Ok(true), Ok(false)]);
        assert_eq!([&asked[0].address, &asked[1].address], [&good, &bad]);
    }

    #[test]
    fn what_differs_from_sql_is_said() {
        let node = |state| Node {
            state,
            state_words: if state == SYNCED { "Synced" } else { "Donor/Desynced" }.to_owned(),
            status: "Primary".to_owned(),
            is_ready: true,
            ..Node::default()
        };
        let member = |place: &str, answer: Result<Node, String>| Member {
            place: place.to_owned(),
            answer,
            growth: 0,
        };
        let members = [
            member("db1", Ok(node(SYNCED))),
            member("db2:3307", Ok(node(2))),
            member("db3", Err("refused".to_owned())),
        ];
        let found = |list: &[(&str, Result<bool, String>)], members: &[Member]| {
            let checked = |(address, is_synced): &(&str, Result<bool, String>)| Checked {
                address: (*address).to_owned(),
                is_synced: is_synced.clone(),
            };
            compare(&list.iter().map(checked).collect::<Vec<_>>(), members)
        };
        let alike = [
            ("http://db1:9200", Ok(true)),
            ("http://db2:9200/x", Ok(false)),
            ("http://db3", Ok(false)),
        ];
        assert_eq!(found(&alike, &members), Vec::<String>::new());
        let different = [
            ("http://db1:9200", Ok(false)),
            ("http://db2:9200", Ok(true)),
            ("http://db3:9200", Ok(true)),
            ("http://db9:9200", Ok(true)),
            ("http://db1:9201", Err("refused".to_owned())),
        ];
        assert_eq!(
            found(&different, &members),
            [
                "clustercheck http://db1:9200 says 503, and the server db1 says Synced",
                "clustercheck http://db2:9200 says 200, and the server db2:3307 says \
                 Donor/Desynced",
                "clustercheck http://db3:9200 says 200, and the server db3 does not answer",
                "clustercheck http://db9:9200 is on the host of no member",
                "clustercheck http://db1:9201 does not answer: refused",
            ]
        );
        // On one host the order tells them apart.
        let local = [member("h:1", Ok(node(SYNCED))), member("h:2", Ok(node(2)))];
        let same = [("http://h:91", Ok(true)), ("http://h:92", Ok(false))];
        assert_eq!(found(&same, &local), Vec::<String>::new());
    }
}
