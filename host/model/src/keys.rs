//! Keys and where they stand in a list.
//!
//! Owns: finding a key, or its being there already, without looking through the list for each. An adapter's report and a
//! session may hold thousands of keys, and whoever sends them must not be able to make the host compare each with each.

use std::{borrow::Borrow, collections::HashMap, hash::Hash};

use smallvec::SmallVec;

/// So many keys are found faster by looking at each than by hashing.
const FEW: usize = 8;

/// The places of different keys, numbered in the order in which they were added.
pub(crate) enum KeyIndex<K> {
    Few(SmallVec<[K; FEW]>),
    Many(HashMap<K, usize>),
}

impl<K: Copy + Eq + Hash> KeyIndex<K> {
    pub(crate) fn new() -> Self {
        Self::Few(SmallVec::new())
    }

    /// Adds a key behind the others. False: it is there already, and stays where it is.
    pub(crate) fn add(&mut self, key: K) -> bool {
        if self.find(&key).is_some() {
            return false;
        }
        match self {
            Self::Few(keys) if keys.len() < FEW => keys.push(key),
            Self::Few(keys) => {
                let mut places: HashMap<K, usize> = keys.iter().copied().enumerate().map(|(n, key)| (key, n)).collect();
                places.insert(key, keys.len());
                *self = Self::Many(places);
            }
            Self::Many(places) => {
                let last = places.len();
                places.insert(key, last);
            }
        }
        true
    }

    pub(crate) fn find<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        match self {
            Self::Few(keys) => keys.iter().position(|own| own.borrow() == key),
            Self::Many(places) => places.get(key).copied(),
        }
    }
}

impl<K: Copy + Eq + Hash> FromIterator<K> for KeyIndex<K> {
    /// Of keys that are there twice the first stands, and the others take no place.
    fn from_iter<I: IntoIterator<Item = K>>(keys: I) -> Self {
        let mut places = Self::new();
        for key in keys {
            places.add(key);
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        hash::{Hash, Hasher},
    };

    use super::*;

    #[test]
    fn each_key_has_the_place_where_it_was_first_named() {
        for count in [0, 1, FEW, FEW + 1, 1000] {
            let keys: Vec<String> = (0..count).map(|n| n.to_string()).collect();
            let twice = keys.iter().chain(&keys).map(String::as_str);
            let places: KeyIndex<&str> = twice.collect();
            assert!(keys.iter().enumerate().all(|(n, key)| places.find(key.as_str()) == Some(n)));
            assert_eq!(places.find("other"), None);
        }
    }

    /// A key that counts how often it is looked at.
    #[derive(Clone, Copy)]
    struct Counted<'a>(u32, &'a Cell<usize>);

    impl PartialEq for Counted<'_> {
        fn eq(&self, other: &Self) -> bool {
            self.1.set(self.1.get() + 1);
            self.0 == other.0
        }
    }

    impl Eq for Counted<'_> {}

    impl Hash for Counted<'_> {
        fn hash<H: Hasher>(&self, state: &mut H) {
            self.1.set(self.1.get() + 1);
            self.0.hash(state);
        }
    }

    #[test]
    fn ten_times_as_many_keys_are_looked_at_about_ten_times_as_often() {
        let looks = |count: u32| {
            let looked_at = Cell::new(0);
            let places: KeyIndex<Counted<'_>> = (0..count).map(|n| Counted(n, &looked_at)).collect();
            assert!((0..count).all(|n| places.find(&Counted(n, &looked_at)) == Some(n as usize)));
            looked_at.get()
        };
        assert!(looks(10_000) < 12 * looks(1_000), "{} and {}", looks(10_000), looks(1_000));
    }
}
