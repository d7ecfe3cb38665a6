//! Tells the files of a script that are final when their members end.
//!
//! Nearly all are: nothing later in the script has their names. A first walk over the script notes
//! the names that are moved, removed or used again; in a second one every other file can be handed
//! over as soon as its member has ended, so that a [`Tree`] holds only files that are open and the
//! few that are moved about.
//!
//! Memory: a name for each rename, removal and name that is used again, and one for each directory.

use std::collections::HashSet;

use crate::parse::item::Item;
use crate::parse::item::Target;
use crate::parse::path::StreamPath;
use crate::parse::script::Op;
use crate::parse::tree::KEY_SEPARATOR;
use crate::parse::tree::PARTITION_GLOB;
use crate::parse::tree::Tree;
use crate::parse::tree::TreeFile;
use crate::parse::tree::find;
use crate::parse::tree::key_of;
use crate::parse::tree::release_file;

/// The names that are not final yet, and the directories seen.
#[derive(Debug, Default)]
pub struct Settled {
    /// Names, as keys, that are not settled, nor is anything below them.
    moved: HashSet<Box<[u8]>>,
    directories: HashSet<Box<[u8]>>,
    /// The directory of the previous file.
    last_directory: Box<[u8]>,
}

impl Settled {
    /// Takes the next op of the first walk.
    pub fn observe(&mut self, op: &Op<'_>) {
        let item = match op {
            Op::Item(item) => item,
            Op::CutPayload { payload, .. } => &Item::Payload(*payload),
            Op::Literal(_) => return,
        };
        match item {
            Item::Rename { from, to, .. } => {
                self.enter(&key_of(*to));
                self.moved.insert(key_of(*from));
                self.moved.insert(key_of(*to));
            }
            Item::Remove { path, .. } => {
                let key = key_of(*path);
                // A glob may name any file of its directory.
                let end = find(&key, PARTITION_GLOB).map_or(key.len(), |glob| {
                    let before = key.get(..glob).unwrap_or_default();
                    before.iter().rposition(|byte| *byte == KEY_SEPARATOR).unwrap_or(0)
                });
                self.moved.insert(key.get(..end).unwrap_or_default().into());
            }
            Item::Payload(_) | Item::Seek { .. } | Item::End { .. } => {
                if let Some(target) = item.target().filter(|target| target.opens) {
                    self.opened(target);
                }
            }
        }
    }

    fn opened(&mut self, target: Target<'_>) {
        let key = key_of(target.path);
        self.enter(&key);
        // A name may be spelled in several ways.
        if target.incarnation.get() > 0 || !target.path.is_canonical() {
            self.moved.insert(key);
        }
    }

    /// Notes the directories above a name.
    fn enter(&mut self, key: &[u8]) {
        let last = key.iter().rposition(|byte| *byte == KEY_SEPARATOR).unwrap_or(0);
        if key[..last] != *self.last_directory {
            self.last_directory = key[..last].into();
            self.directories.extend(ends_of_names(key).map(|end| Box::from(&key[..end])));
        }
    }

    /// Tells whether a file of this name is final when its member ends.
    fn is_final(&self, key: &[u8]) -> bool {
        if self.moved.is_empty() {
            return true;
        }
        let mut above = ends_of_names(key).chain([0, key.len()]);
        !above.any(|end| self.moved.contains(&key[..end]))
    }

    /// Tells whether a file has the name of a directory in which a member arrived.
    pub fn is_directory(&self, path: StreamPath<'_>) -> bool {
        self.directories.contains(&key_of(path))
    }
}

/// Iterates over the ends of the names of directories that a key begins with.
fn ends_of_names(key: &[u8]) -> impl Iterator<Item = usize> {
    key.iter().enumerate().filter(|(_, byte)| **byte == KEY_SEPARATOR).map(|(end, _)| end)
}

impl Tree {
    /// Takes out the file that an op, which was applied, has made final; of the second walk.
    pub fn take_final(&mut self, op: &Op<'_>, settled: &Settled) -> Option<TreeFile> {
        let Op::Item(Item::End { target, .. }) = op else { return None };
        let key = key_of(target.path);
        if !settled.is_final(&key) {
            return None;
        }
        let number = self.names.remove(&key)?;
        let file = release_file(&key, self.file_mut(number));
        self.file_mut(number).named = false;
        self.release(number);
        Some(file)
    }
}

#[cfg(test)]
mod tests {
    use crate::parse::frame::FrameFlags;
    use crate::parse::item::Incarnation;
    use crate::parse::item::MemberNo;

    use super::*;

    /// Makes the items of a script: `a` opens and ends a file, `a>b` renames, `-a` removes.
    fn items(script: &[&'static str]) -> Vec<Item<'static>> {
        let path = |text: &'static str| StreamPath::new(text.as_bytes()).unwrap();
        let flags = FrameFlags::from_byte(0);
        let mut items = Vec::new();
        let mut opened: Vec<&str> = Vec::new();
        for step in script {
            if let Some(name) = step.strip_prefix('-') {
                items.push(Item::Remove { flags, path: path(name) });
            } else if let Some((from, to)) = step.split_once('>') {
                items.push(Item::Rename { flags, from: path(from), to: path(to) });
            } else {
                let before = opened.iter().filter(|name| *name == step).count();
                let member = MemberNo::new(u64::try_from(opened.len()).unwrap());
                let incarnation = Incarnation::new(u32::try_from(before).unwrap());
                let target = Target { member, path: path(step), incarnation, opens: true };
                items.push(Item::Seek { target, flags, offset: 0 });
                items.push(Item::End { target: Target { opens: false, ..target }, flags });
                opened.push(step);
            }
        }
        items
    }

    #[test]
    fn what_is_handed_over_early_and_at_the_end_is_the_tree() {
        for (script, early) in [
            (&["a", "d/b", "d/c"][..], 3),
            (&["a", "b", "a"], 1),
            (&["a", "b", "a>c"], 1),
            (&["d/a", "e/a", "d>f", "f/b"], 1),
            (&["d/a", "-d", "e"], 1),
            (&["d/a", "d/a#P#1.ibd", "d/a#P#2.ibd", "e/a#P#1.ibd", "-d/a#P#*.ibd"], 1),
            (&["./a", "b", "a"], 1),
            (&["f/b", "a>f/b", "f/b>c/d", "a"], 0),
        ] {
            let items = items(script);
            let mut settled = Settled::default();
            items.iter().for_each(|item| settled.observe(&Op::Item(*item)));
            let (mut whole, mut tree) = (Tree::new(), Tree::new());
            let mut files = Vec::new();
            for item in &items {
                whole.apply_item(item).unwrap();
                tree.apply_item(item).unwrap();
                files.extend(tree.take_final(&Op::Item(*item), &settled));
            }
            assert_eq!(files.len(), early, "{script:?}");
            files.extend(tree.into_files());
            files.sort_by(|a, b| a.path.cmp(&b.path));
            let mut expected: Vec<TreeFile> = whole.into_files().collect();
            expected.sort_by(|a, b| a.path.cmp(&b.path));
            assert_eq!(files, expected, "{script:?}");
        }
    }

    #[test]
    fn names_of_directories_are_known() {
        let mut settled = Settled::default();
        items(&["a/b/c", "x>y/z"]).iter().for_each(|item| settled.observe(&Op::Item(*item)));
        let is_directory =
            |name: &str| settled.is_directory(StreamPath::new(name.as_bytes()).unwrap());
        assert!(is_directory("a") && is_directory("a/b") && is_directory("y"));
        assert!(!is_directory("a/b/c") && !is_directory("x"));
    }
}
