//! The repository as it will be after a repair: what the plan will put is there already, under its
//! name and with its bytes, and nothing can be changed.
//!
//! The plan reads through it what can't be read yet: a pack table of which a node is lost here, the
//! maps of a snapshot whose object is. A verification of it tells what the repair will not bring
//! back, in the words in which the one at the end will tell it.
//!
//! It believes nothing of the other side: what is read there is opened and hashed like everything.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::store::Store;
use crate::store::error::Category;
use crate::store::error::StoreError;
use crate::store::error::Verb;
use crate::store::name::ObjectMeta;
use crate::store::name::ObjectName;

/// The store from which an object comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Another copy of it is here.
    Near,
    /// The other repository has it.
    Far,
}

/// An object that the repair will put.
#[derive(Debug, Clone)]
struct Expected {
    side: Side,
    /// Its name on that side.
    from: ObjectName,
    bytes: u64,
}

/// A store and what will be put into it.
#[derive(Debug)]
pub(super) struct Preview {
    near: Arc<dyn Store>,
    far: Option<Arc<dyn Store>>,
    expected: BTreeMap<ObjectName, Expected>,
    removed: BTreeSet<ObjectName>,
}

impl Preview {
    /// Creates a preview in which nothing is changed yet.
    pub(super) fn new(near: &Arc<dyn Store>, far: Option<&Arc<dyn Store>>) -> Self {
        let (near, far) = (Arc::clone(near), far.map(Arc::clone));
        Self { near, far, expected: BTreeMap::new(), removed: BTreeSet::new() }
    }

    /// Shows an object as if it had been put.
    pub(super) fn expect(&mut self, name: ObjectName, side: Side, from: ObjectName, bytes: u64) {
        self.expected.insert(name, Expected { side, from, bytes });
    }

    /// Shows that an object is gone.
    pub(super) fn remove(&mut self, name: ObjectName) {
        self.removed.insert(name);
    }

    /// Returns the store that has an object, and its name there.
    fn place<'p>(
        &'p self,
        verb: Verb,
        name: &'p ObjectName,
    ) -> Result<(&'p dyn Store, &'p ObjectName), StoreError> {
        match self.expected.get(name) {
            Some(Expected { side: Side::Near, from, .. }) => Ok((&*self.near, from)),
            Some(Expected { side: Side::Far, from, .. }) => {
                let far = self.far.as_deref();
                let far = far.ok_or_else(|| StoreError::new(verb, name, Category::NotFound))?;
                Ok((far, from))
            }
            None if self.removed.contains(name) => {
                Err(StoreError::new(verb, name, Category::NotFound))
            }
            None => Ok((&*self.near, name)),
        }
    }
}

impl Store for Preview {
    fn put(&self, _: &ObjectName, _: &[Bytes]) -> Result<(), StoreError> {
        Ok(())
    }

    fn replace(&self, _: &ObjectName, _: &[Bytes]) -> Result<(), StoreError> {
        Ok(())
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Bytes, StoreError> {
        let (store, name) = self.place(Verb::Get, name)?;
        store.get(name, bytes_max)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Bytes, StoreError> {
        let (store, name) = self.place(Verb::GetRange, name)?;
        store.get_range(name, range)
    }

    fn size(&self, name: &ObjectName) -> Result<Option<u64>, StoreError> {
        match self.expected.get(name) {
            Some(expected) => Ok(Some(expected.bytes)),
            None if self.removed.contains(name) => Ok(None),
            None => self.near.size(name),
        }
    }

    fn list(&self, prefix: &str, each: &mut dyn FnMut(ObjectMeta)) -> Result<(), StoreError> {
        self.near.list(prefix, &mut |meta| {
            if !self.expected.contains_key(&meta.name) && !self.removed.contains(&meta.name) {
                each(meta);
            }
        })?;
        let below = self.expected.iter().filter(|(name, _)| name.as_str().starts_with(prefix));
        below.for_each(|(name, expected)| {
            each(ObjectMeta { name: name.clone(), size: expected.bytes });
        });
        Ok(())
    }

    fn delete(&self, _: &ObjectName) -> Result<(), StoreError> {
        Ok(())
    }

    fn will_read(&self, name: &ObjectName) {
        if let Ok((store, name)) = self.place(Verb::Get, name) {
            store.will_read(name);
        }
    }

    fn is_at_hand(&self, name: &ObjectName) -> bool {
        self.place(Verb::Get, name).is_ok_and(|(store, name)| store.is_at_hand(name))
    }

    fn read_bytes_best(&self) -> usize {
        self.near.read_bytes_best()
    }

    fn location(&self) -> String {
        self.near.location()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    fn name(text: &str) -> ObjectName {
        ObjectName::new(text).unwrap()
    }

    #[test]
    fn it_shows_what_will_be_there_and_changes_nothing() {
        let store = |objects: &[(&str, &'static str)]| -> Arc<dyn Store> {
            let store = MemoryStore::new();
            for (name, text) in objects {
                let bytes = Bytes::from_static(text.as_bytes());
                store.put(&ObjectName::new(name).unwrap(), &[bytes]).unwrap();
            }
            Arc::new(store)
        };
        let near = store(&[("a/1", "bad"), ("a/2", "good"), ("b/2", "bad"), ("c", "old")]);
        let far = store(&[("a/1", "right"), ("b/9", "lost")]);
        let mut preview = Preview::new(&near, Some(&far));
        preview.expect(name("a/1"), Side::Far, name("a/1"), 5);
        preview.expect(name("a/3"), Side::Far, name("b/9"), 4);
        preview.expect(name("b/2"), Side::Near, name("a/2"), 4);
        preview.remove(name("c"));
        let text = |of: &str| preview.get(&name(of), 99).map(|bytes| bytes.to_vec());
        assert_eq!(text("a/1").unwrap(), b"right");
        assert_eq!(text("a/3").unwrap(), b"lost");
        assert_eq!(text("b/2").unwrap(), b"good");
        assert_eq!(&*preview.get_range(&name("a/1"), 1..3).unwrap(), b"ig");
        assert_eq!(text("c").unwrap_err().category(), Category::NotFound);
        assert_eq!(preview.size(&name("a/3")).unwrap(), Some(4));
        assert_eq!(preview.size(&name("c")).unwrap(), None);
        let mut listed = Vec::new();
        preview.list("a/", &mut |meta| listed.push((meta.name.to_string(), meta.size))).unwrap();
        listed.sort();
        let expected = [("a/1", 5), ("a/2", 4), ("a/3", 4)];
        assert_eq!(listed, expected.map(|(name, size)| (name.to_owned(), size)));
        preview.put(&name("d"), &[]).unwrap();
        preview.replace(&name("d"), &[]).unwrap();
        preview.delete(&name("a/2")).unwrap();
        assert_eq!(
            (near.size(&name("d")).unwrap(), near.size(&name("a/2")).unwrap()),
            (None, Some(4))
        );
    }
}
