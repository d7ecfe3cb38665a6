//! Global transaction ids of MariaDB, and the state of a server's history by them.
//!
//! A state holds the last sequence number of each pair of domain and server, as the server writes
//! it at the head of each binary log.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::Serialize;

/// A global transaction id: `DOMAIN-SERVER-SEQUENCE`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Gtid {
    /// The number of the replication domain.
    pub domain: u32,
    /// The `server_id` of the server that wrote the transaction.
    pub server: u32,
    /// The number of the transaction in its domain.
    pub sequence: u64,
}

impl fmt::Display for Gtid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain, server, sequence } = self;
        write!(out, "{domain}-{server}-{sequence}")
    }
}

impl From<Gtid> for String {
    fn from(gtid: Gtid) -> Self {
        gtid.to_string()
    }
}

impl TryFrom<String> for Gtid {
    type Error = NoGtid;

    fn try_from(text: String) -> Result<Self, NoGtid> {
        text.parse()
    }
}

/// The text is no global transaction id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoGtid;

impl fmt::Display for NoGtid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("it is no list of GTIDs, each DOMAIN-SERVER-SEQUENCE")
    }
}

impl FromStr for Gtid {
    type Err = NoGtid;

    fn from_str(text: &str) -> Result<Self, NoGtid> {
        let mut parts = text.split('-');
        let (Some(domain), Some(server), Some(sequence), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NoGtid);
        };
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if ![domain, server, sequence].into_iter().all(is_number) {
            return Err(NoGtid);
        }
        Ok(Self {
            domain: domain.parse().map_err(|_| NoGtid)?,
            server: server.parse().map_err(|_| NoGtid)?,
            sequence: sequence.parse().map_err(|_| NoGtid)?,
        })
    }
}

/// The last sequence number of each domain and server.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct GtidState(BTreeMap<(u32, u32), u64>);

impl GtidState {
    /// Enters a transaction as the last one of its domain and server.
    pub fn enter(&mut self, gtid: Gtid) {
        self.0.insert((gtid.domain, gtid.server), gtid.sequence);
    }

    /// Tells whether nothing was ever written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of pairs of domain and server.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the last transactions, sorted by domain and server.
    pub fn gtids(&self) -> impl Iterator<Item = Gtid> {
        self.0.iter().map(|((domain, server), sequence)| Gtid {
            domain: *domain,
            server: *server,
            sequence: *sequence,
        })
    }

    /// Returns the last transaction of each domain: the one with the highest number.
    pub fn position(&self) -> Vec<Gtid> {
        let mut newest: BTreeMap<u32, Gtid> = BTreeMap::new();
        for gtid in self.gtids() {
            let known = newest.entry(gtid.domain).or_insert(gtid);
            if gtid.sequence > known.sequence {
                *known = gtid;
            }
        }
        newest.into_values().collect()
    }

    /// Tells whether everything up to another state is in this one: in each domain of the other,
    /// the highest number here is no lower.
    pub fn reaches(&self, other: &Self) -> bool {
        let own = self.position();
        other.position().iter().all(|wanted| {
            let same = own.iter().find(|gtid| gtid.domain == wanted.domain);
            same.is_some_and(|gtid| gtid.sequence >= wanted.sequence)
        })
    }

    /// Tells whether a history that begins with this state goes on where `before` ends: they are
    /// equal, but for whole domains that this one lacks.
    pub fn continues(&self, before: &Self) -> bool {
        let domains: Vec<u32> = self.0.keys().map(|(domain, _)| *domain).collect();
        let is_new = |pair: &(u32, u32)| !before.0.contains_key(pair);
        if self.0.keys().any(is_new) || (self.is_empty() && !before.is_empty()) {
            return false;
        }
        let kept = before.0.iter().filter(|((domain, _), _)| domains.contains(domain));
        kept.eq(self.0.iter())
    }
}

impl fmt::Display for GtidState {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, gtid) in self.gtids().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(out, "{comma}{gtid}")?;
        }
        Ok(())
    }
}

impl FromStr for GtidState {
    type Err = NoGtid;

    fn from_str(text: &str) -> Result<Self, NoGtid> {
        let mut state = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            state.enter(part.parse()?);
        }
        Ok(state)
    }
}

impl From<GtidState> for Vec<String> {
    fn from(state: GtidState) -> Self {
        state.gtids().map(|gtid| gtid.to_string()).collect()
    }
}

impl TryFrom<Vec<String>> for GtidState {
    type Error = NoGtid;

    fn try_from(texts: Vec<String>) -> Result<Self, NoGtid> {
        let mut state = Self::default();
        for text in texts {
            state.enter(text.parse()?);
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(text: &str) -> GtidState {
        text.parse().unwrap()
    }

    #[test]
    fn gtids_are_read_and_written() {
        let gtid = Gtid { domain: 3, server: 11, sequence: 4277 };
        assert_eq!("3-11-4277".parse(), Ok(gtid));
        assert_eq!(gtid.to_string(), "3-11-4277");
        for text in ["", "3-11", "3-11-x", "3-11-1-2", "-1-2-3", "+3-1-1", "5000000000-1-1"] {
            assert_eq!(text.parse::<Gtid>(), Err(NoGtid), "{text}");
        }
        assert_eq!(state("3-12-9, 3-11-7,0-1-5").to_string(), "0-1-5,3-11-7,3-12-9");
        assert_eq!(state("3-12-9,3-11-7").position(), [Gtid { server: 12, sequence: 9, ..gtid }]);
        let json = serde_json::to_string(&state("0-1-5,3-11-7")).unwrap();
        assert_eq!(json, r#"["0-1-5","3-11-7"]"#);
        assert_eq!(serde_json::from_str::<GtidState>(&json).unwrap(), state("3-11-7,0-1-5"));
        assert!(serde_json::from_str::<GtidState>(r#"["x"]"#).is_err());
    }

    #[test]
    fn a_history_goes_on_where_the_one_before_ends_but_for_domains_that_were_forgotten() {
        for (after, before, continues) in [
            ("", "", true),
            ("3-11-7", "3-11-7", true),
            ("3-11-7", "3-11-7,4-1-1", true),
            ("", "3-11-7", false),
            ("3-11-8", "3-11-7", false),
            ("3-11-6", "3-11-7", false),
            ("3-11-7,3-12-1", "3-11-7", false),
            ("3-11-7", "3-11-7,3-12-1", false),
            ("3-11-7", "", false),
        ] {
            assert_eq!(state(after).continues(&state(before)), continues, "{after} on {before}");
        }
    }
}
