//! Numbers for the keys of series: each key is kept once, end to end with the others.

use hashbrown::HashTable;
use rustc_hash::FxHasher;
use std::hash::Hasher;

/// Keys of series, numbered in the order in which they came.
///
/// Cost: a hash and a comparison per look-up; a new key is copied once and never allocates by itself.
#[derive(Debug, Default)]
pub(crate) struct SeriesTable {
    slots: HashTable<Slot>,
    keys: Vec<u8>,
    ends: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: u32,
    number: u32,
}

impl SeriesTable {
    /// Number of keys.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Number of `key`, or its hash, with which it can be inserted.
    #[inline]
    pub(crate) fn find(&self, key: &[u8]) -> Result<usize, KeyHash> {
        let hash = KeyHash::of(key);
        let same = |slot: &Slot| slot.hash == hash.0 && self.key(slot.number as usize) == key;
        self.slots.find(hash.wide(), same).map(|slot| slot.number as usize).ok_or(hash)
    }

    /// Adds a key that is not there yet; its number is the number of keys before.
    pub(crate) fn insert(&mut self, hash: KeyHash, key: &[u8]) {
        let slot = Slot { hash: hash.0, number: self.ends.len() as u32 };
        self.slots.insert_unique(hash.wide(), slot, |slot| KeyHash(slot.hash).wide());
        self.keys.extend_from_slice(key);
        self.ends.push(self.keys.len());
    }

    /// The key of a number.
    #[inline]
    pub(crate) fn key(&self, number: usize) -> &[u8] {
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.keys[start..self.ends[number]]
    }

    /// Bytes of memory held, about.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.slots.capacity() * (size_of::<Slot>() + 1) + self.keys.capacity() + self.ends.capacity() * size_of::<usize>()
    }
}

/// Hash of a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyHash(u32);

impl KeyHash {
    #[inline]
    fn of(key: &[u8]) -> Self {
        let mut hasher = FxHasher::default();
        hasher.write(key);
        KeyHash((hasher.finish() >> 32) as u32)
    }

    /// As many bits as the table looks at, at both ends.
    fn wide(self) -> u64 {
        u64::from(self.0) << 32 | u64::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #![proptest_config(skald_testkit::property(32))]

        #[test]
        fn finds_what_was_inserted_and_nothing_else(keys in proptest::collection::vec(proptest::collection::vec(0u8..3, 0..5), 0..300)) {
            let (mut table, mut want) = (SeriesTable::default(), HashMap::new());
            for key in &keys {
                let next = want.len();
                let number = *want.entry(key.clone()).or_insert(next);
                match table.find(key) {
                    Ok(found) => prop_assert_eq!(found, number),
                    Err(hash) => {
                        prop_assert_eq!(number, table.len());
                        table.insert(hash, key);
                    }
                }
            }
            for (key, number) in want {
                prop_assert_eq!(table.find(&key).ok(), Some(number));
                prop_assert_eq!(table.key(number), key.as_slice());
            }
        }
    }
}
