//! Things by number.
//!
//! Owns: the place of each thing, so that it is found without a search. Must never: take what lies in a place now for
//! what lay there before. Numbers come from [`Switch::number`](super::Switch::number), which never gives one twice.

use std::ops::{Index, IndexMut};

/// Names a thing in a [`Table`]: its number, by which it is older or newer than another, and its place.
pub(super) trait Name: Copy {
    fn new(number: u64, place: usize) -> Self;
    fn number(self) -> u64;
    fn place(self) -> usize;
}

/// Declares a kind of name.
macro_rules! name {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) struct $name {
            number: u64,
            place: usize,
        }

        impl $crate::switch::table::Name for $name {
            fn new(number: u64, place: usize) -> Self {
                Self { number, place }
            }

            fn number(self) -> u64 {
                self.number
            }

            fn place(self) -> usize {
                self.place
            }
        }
    )*};
}
pub(super) use name;

/// Things, each in a place of its own until it is removed; the place is given to another one then. Indexing one that is
/// not there is a fault of the switch itself.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    /// What lies in each place, under its number.
    places: Vec<Option<(u64, V)>>,
    /// The last names of the places in which nothing lies.
    free: Vec<K>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<K: Name, V> Table<K, V> {
    /// Takes a thing under a number that none has had before.
    pub(super) fn insert(&mut self, number: u64, value: V) -> K {
        let thing = Some((number, value));
        let place = self.free.pop().map_or(self.places.len(), K::place);
        match self.places.get_mut(place) {
            Some(free) => *free = thing,
            None => self.places.push(thing),
        }
        K::new(number, place)
    }

    pub(super) fn get(&self, key: K) -> Option<&V> {
        match self.places.get(key.place()) {
            Some(Some((number, value))) if *number == key.number() => Some(value),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        match self.places.get_mut(key.place()) {
            Some(Some((number, value))) if *number == key.number() => Some(value),
            _ => None,
        }
    }

    pub(super) fn remove(&mut self, key: K) -> Option<V> {
        self.get(key)?;
        self.free.push(key);
        self.places[key.place()].take().map(|(_, value)| value)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.places.iter_mut().flatten().map(|(_, value)| value)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

impl<K: Name, V> Index<K> for Table<K, V> {
    type Output = V;

    fn index(&self, key: K) -> &V {
        self.get(key).expect("what is numbered is in its table until it is removed everywhere")
    }
}

impl<K: Name, V> IndexMut<K> for Table<K, V> {
    fn index_mut(&mut self, key: K) -> &mut V {
        self.get_mut(key).expect("what is numbered is in its table until it is removed everywhere")
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    name! { ThingNo }

    #[test]
    fn a_place_that_is_used_again_does_not_answer_to_the_name_of_what_lay_there_before() {
        let mut table: Table<ThingNo, &str> = Table::default();
        let (first, second) = (table.insert(1, "first"), table.insert(2, "second"));
        assert_eq!(table.remove(first), Some("first"));
        assert_eq!((table.remove(first), table.len()), (None, 1));
        let third = table.insert(3, "third");
        assert_eq!(table.get(first), None);
        assert_eq!(table.get_mut(first), None);
        assert_eq!(table.remove(first), None);
        assert_eq!((table[second], table[third], table.len()), ("second", "third", 2));
        assert!(third > second, "what is newer has the greater name, wherever it lies");
    }
}
