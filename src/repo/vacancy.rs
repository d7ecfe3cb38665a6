//! The contents of a place before a repository is made in it.
//!
//! The names of what is there decide, in whatever order they are listed: a repository, what an
//! interrupted attempt left of one, or something else, with which a repository is not mixed.

use crate::format::layout::Folder;

/// A directory that every new file system has.
const LOST_AND_FOUND: &str = "lost+found";
/// The prefix of the names of files that a killed writer leaves in a directory.
const TEMPORARY: &str = ".tmp-";
const CONFIG: &str = "config";

/// The kind of content found at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Occupant {
    /// Nothing, or what an interrupted `init` or `replicate` left.
    Nothing,
    /// A repository: the place has a config.
    Repository,
    /// Something other than a repository; the value is the first foreign name found.
    Foreign(String),
}

/// Classifies a place by the names of all its objects or of all entries of its directory.
pub fn occupant<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Occupant {
    let mut foreign: Option<String> = None;
    for name in names {
        let name = name.as_ref();
        if name == CONFIG {
            return Occupant::Repository;
        }
        let first = name.split('/').next().unwrap_or(name);
        let is_own = Folder::ALL.iter().any(|folder| folder.word() == first);
        if !is_own && first != LOST_AND_FOUND && !first.starts_with(TEMPORARY) {
            foreign.get_or_insert_with(|| name.to_owned());
        }
    }
    foreign.map_or(Occupant::Nothing, Occupant::Foreign)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::layout::Object;

    /// Calls `each` with every order of `names`, by Heap's algorithm.
    fn orders(names: &mut Vec<&'static str>, length: usize, each: &mut dyn FnMut(&[&str])) {
        if length < 2 {
            return each(names);
        }
        for at in 0..length {
            orders(names, length - 1, each);
            let with = if length.is_multiple_of(2) { at } else { 0 };
            names.swap(with, length - 1);
        }
    }

    #[test]
    fn a_repository_is_recognised_in_whatever_order_its_folders_are_listed() {
        assert_eq!(Object::Config.name().as_str(), CONFIG);
        // Every folder takes part in some set, each set in all of its orders.
        for folders in Folder::ALL.chunks(4) {
            let mut names: Vec<&str> = folders.iter().map(|folder| folder.word()).collect();
            names.extend([LOST_AND_FOUND, ".tmp-1-2"]);
            let length = names.len();
            orders(&mut names.clone(), length, &mut |order| {
                assert_eq!(occupant(order), Occupant::Nothing, "{order:?}");
            });
            names.push(CONFIG);
            orders(&mut names, length + 1, &mut |order| {
                assert_eq!(occupant(order), Occupant::Repository, "{order:?}");
            });
        }
    }

    #[test]
    fn a_place_with_something_else_is_never_vacant() {
        orders(&mut vec!["packs", "holiday.jpg", "keys", "lost+found"], 4, &mut |order| {
            assert_eq!(occupant(order), Occupant::Foreign("holiday.jpg".to_owned()), "{order:?}");
        });
        assert_eq!(occupant(["packs/ab/cd"]), Occupant::Nothing);
        assert_eq!(occupant(["packs-of/x"]), Occupant::Foreign("packs-of/x".to_owned()));
        assert_eq!(occupant(["config", "holiday.jpg"]), Occupant::Repository);
        assert_eq!(occupant(["holiday.jpg", "config"]), Occupant::Repository);
        assert_eq!(occupant::<&str>([]), Occupant::Nothing);
    }
}
