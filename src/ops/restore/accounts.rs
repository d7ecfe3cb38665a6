//! The owners of restored files: users and groups by name, as far as this host knows them, and
//! access control lists, which name them too.
//!
//! An archive has a name and a number of each owner. Accounts of services have other numbers on
//! other hosts, so GNU tar goes by the name if the host knows it, and by the number if not or if
//! asked to; so does this.
//!
//! - A list that names an account which the host does not know, or has a form that is not
//!   understood, is not set at all: one entry less may mean one right more.
//!
//! It does not ask directory services: accounts are those of `/etc/passwd` and
//! `/etc/group`.

use std::collections::HashMap;
use std::fs;

/// The version of a list as Linux keeps it in an extended attribute.
const LIST_VERSION: u32 = 2;
/// The number that stands where none belongs.
const NO_ID: u32 = u32::MAX;

/// A user and a group by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ownership {
    /// Number of the user.
    pub user: u32,
    /// The group, if it is to be changed.
    pub group: Option<u32>,
}

/// The accounts of this host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    users: HashMap<Vec<u8>, u32>,
    groups: HashMap<Vec<u8>, u32>,
    /// The users whose own group it is.
    own_groups: HashMap<u32, Vec<u32>>,
    /// The names that a group lists.
    members: HashMap<u32, Vec<Vec<u8>>>,
}

/// The way in which the owners of a tar are found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Owners {
    /// The number in the archive decides.
    #[default]
    ByNumber,
    /// The name decides where these accounts have it, else the number.
    ByName(Accounts),
}

impl Accounts {
    /// Reads the accounts of this host; of one that has no such files, no name is known.
    pub fn of_this_host() -> Self {
        let read = |path| fs::read(path).unwrap_or_default();
        Self::parse(&read("/etc/passwd"), &read("/etc/group"))
    }

    /// Parses the texts of `/etc/passwd` and `/etc/group`; of equal names the first counts.
    pub fn parse(passwd: &[u8], group: &[u8]) -> Self {
        let mut own_groups: HashMap<u32, Vec<u32>> = HashMap::new();
        for fields in lines(passwd) {
            let numbers = (fields.get(2).copied().and_then(decimal), fields.get(3).copied());
            if let (Some(user), Some(group)) = (numbers.0, numbers.1.and_then(decimal)) {
                own_groups.entry(group).or_default().push(user);
            }
        }
        let mut members: HashMap<u32, Vec<Vec<u8>>> = HashMap::new();
        for fields in lines(group) {
            let Some(number) = fields.get(2).copied().and_then(decimal) else { continue };
            let names = fields.get(3).copied().unwrap_or_default();
            let names = names.split(|byte| *byte == b',').filter(|name| !name.is_empty());
            members.entry(number).or_default().extend(names.map(<[u8]>::to_vec));
        }
        Self { users: ids(passwd), groups: ids(group), own_groups, members }
    }

    /// Finds the owner that `USER` or `USER:GROUP` names; says in words what is unknown. Without a
    /// group it is the user's own, if that is known.
    pub fn owner(&self, text: &str) -> Result<Ownership, String> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let id = |known: &HashMap<Vec<u8>, u32>, name: &str| {
            known.get(name.as_bytes()).copied().or_else(|| decimal(name.as_bytes()))
        };
        let user_id = id(&self.users, user).filter(|id| *id != NO_ID);
        let user_id = user_id.ok_or_else(|| format!("there is no user {user}"))?;
        let group = match group {
            None => self.own_group_of(user_id),
            Some(group) => {
                let found = id(&self.groups, group).filter(|id| *id != NO_ID);
                Some(found.ok_or_else(|| format!("there is no group {group}"))?)
            }
        };
        Ok(Ownership { user: user_id, group })
    }

    fn own_group_of(&self, user: u32) -> Option<u32> {
        let has = |(_, users): &(&u32, &Vec<u32>)| users.contains(&user);
        self.own_groups.iter().find(has).map(|(group, _)| *group)
    }

    /// Tells whether a group is known and has no members but these users.
    pub(super) fn group_is_within(&self, group: u32, users: &[u32]) -> bool {
        let Some(members) = self.members.get(&group) else { return false };
        let listed = members.iter().map(|name| self.users.get(name));
        let own = self.own_groups.get(&group).into_iter().flatten().map(Some);
        listed.chain(own).all(|user| user.is_some_and(|user| users.contains(user)))
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let lines = text.split(|byte| *byte == b'\n');
    lines.map(|line| line.split(|byte| *byte == b':').collect())
}

fn ids(text: &[u8]) -> HashMap<Vec<u8>, u32> {
    let mut found = HashMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b':');
        let (name, id) = (fields.next().unwrap_or_default(), fields.nth(1).and_then(decimal));
        if let Some(id) = id.filter(|_| !name.is_empty()) {
            found.entry(name.to_vec()).or_insert(id);
        }
    }
    found
}

fn decimal(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

impl Owners {
    /// Returns the number of a user who is called so in the archive.
    pub(super) fn user(&self, name: &[u8], number: Option<u32>) -> Option<u32> {
        self.accounts().and_then(|known| known.users.get(name).copied()).or(number)
    }

    /// Returns the number of a group that is called so in the archive.
    pub(super) fn group(&self, name: &[u8], number: Option<u32>) -> Option<u32> {
        self.accounts().and_then(|known| known.groups.get(name).copied()).or(number)
    }

    fn accounts(&self) -> Option<&Accounts> {
        match self {
            Self::ByNumber => None,
            Self::ByName(accounts) => Some(accounts),
        }
    }

    /// Returns an access control list as Linux takes it, from the text of an archive: entries as
    /// `user:anna:r-x`, of star with the number after it.
    pub fn access_list(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut entries = Vec::new();
        for entry in text.split(|byte| matches!(byte, b'\n' | b',')) {
            let comment = entry.iter().position(|byte| *byte == b'#').unwrap_or(entry.len());
            let entry = entry[..comment].trim_ascii();
            if !entry.is_empty() {
                entries.push(self.list_entry(entry)?);
            }
        }
        // The kernel wants them in this order.
        entries.sort_unstable();
        let mut out = LIST_VERSION.to_le_bytes().to_vec();
        for (tag, id, rights) in entries {
            out.extend_from_slice(&tag.to_le_bytes());
            out.extend_from_slice(&rights.to_le_bytes());
            out.extend_from_slice(&id.to_le_bytes());
        }
        (out.len() > size_of_val(&LIST_VERSION)).then_some(out)
    }

    fn list_entry(&self, entry: &[u8]) -> Option<(u16, u32, u16)> {
        let fields: Vec<&[u8]> = entry.split(|byte| *byte == b':').collect();
        let (tag, who, rights, number) = match fields.as_slice() {
            // Mask and others may be written without the empty field.
            [tag @ (b"mask" | b"m" | b"other" | b"o"), rights] => (*tag, &b""[..], *rights, None),
            [tag, who, rights] => (*tag, *who, *rights, None),
            [tag, who, rights, number] => (*tag, *who, *rights, Some(decimal(number)?)),
            _ => return None,
        };
        // A name that is a number is one that had no name.
        let number = number.or_else(|| decimal(who));
        let (tag, id) = match (tag, who.is_empty()) {
            (b"user" | b"u", true) => (1, NO_ID),
            (b"user" | b"u", false) => (2, self.user(who, number)?),
            (b"group" | b"g", true) => (4, NO_ID),
            (b"group" | b"g", false) => (8, self.group(who, number)?),
            (b"mask" | b"m", true) => (16, NO_ID),
            (b"other" | b"o", true) => (32, NO_ID),
            _ => return None,
        };
        Some((tag, id, rights_of(rights)?))
    }
}

fn rights_of(text: &[u8]) -> Option<u16> {
    let [read, write, execute] = text else { return None };
    let bit = |byte: &u8, letter: u8, value: u16| match *byte {
        b'-' => Some(0),
        byte if byte == letter => Some(value),
        _ => None,
    };
    Some(bit(read, b'r', 4)? | bit(write, b'w', 2)? | bit(execute, b'x', 1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners() -> Owners {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\nnova:x:162:163::/:\nbroken\nnova:x:9:9::/:\n";
        Owners::ByName(Accounts::parse(passwd, b"root:x:0:\nnova:x:163:anna,otto\n"))
    }

    #[test]
    fn an_owner_is_named_or_numbered() {
        let Owners::ByName(accounts) = owners() else { panic!("they are by name") };
        let is = |text: &str, user, group| {
            assert_eq!(accounts.owner(text), Ok(Ownership { user, group }), "{text}");
        };
        is("nova", 162, Some(163));
        is("nova:root", 162, Some(0));
        is("162:7", 162, Some(7));
        is("4711", 4711, None);
        for wrong in ["", "stranger", "nova:strangers", "nova:", "-1", "4294967295"] {
            assert!(accounts.owner(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_win_where_the_host_knows_them() {
        assert_eq!(owners().user(b"nova", Some(42_436)), Some(162));
        assert_eq!(owners().group(b"nova", Some(42_436)), Some(163));
        assert_eq!(owners().user(b"glance", Some(42_415)), Some(42_415));
        assert_eq!(owners().user(b"", None), None);
        assert_eq!(Owners::ByNumber.user(b"nova", Some(42_436)), Some(42_436));
    }

    #[test]
    fn lists_are_those_of_the_kernel() {
        let text = b"user::rw-\nuser:nova:r-x\t#effective:r--\ngroup::r--\nmask::r--\nother::---\n";
        let mut expected = 2u32.to_le_bytes().to_vec();
        for (tag, rights, id) in [
            (1u16, 6u16, u32::MAX),
            (2, 5, 162),
            (4, 4, u32::MAX),
            (16, 4, u32::MAX),
            (32, 0, u32::MAX),
        ] {
            expected.extend_from_slice(&tag.to_le_bytes());
            expected.extend_from_slice(&rights.to_le_bytes());
            expected.extend_from_slice(&id.to_le_bytes());
        }
        assert_eq!(owners().access_list(text), Some(expected.clone()));
        // As star writes it, in any order.
        let star = b"group::r--,user:gone:r-x:162,mask::r--,other:---,user::rw-";
        assert_eq!(owners().access_list(star), Some(expected));
    }

    #[test]
    fn a_list_that_is_not_understood_is_none() {
        for text in [
            &b""[..],
            b"user::rw",
            b"user:stranger:rw-",
            b"everyone:rwx",
            b"mask:x:rwx",
            b"user::rwz",
            b"user:a:b:c:d",
        ] {
            assert_eq!(owners().access_list(text), None, "{}", text.escape_ascii());
        }
    }
}
