//! The statements of a report's lists, and the objects that they are about.
//!
//! Owns what is the same for every kind of object: of two statements with one key the first stands, an object may get a new
//! key, and each statement is used once. Must never know what a statement says beside its keys.

use jackfield_plugin_api::report;
use smallvec::SmallVec;

use crate::{ChannelNode, ConversationNode, DiagnosticKind, Diagnostics, InteractionNode, keys::KeyIndex, limits};

/// A statement about an object.
pub(crate) trait Statement {
    fn key(&self) -> &str;
    fn was(&self) -> Option<&str> {
        None
    }
}

/// An object of the tree.
pub(crate) trait KeyedNode {
    fn key(&self) -> &str;
    fn take_key(&mut self, key: &str);
    /// Its new key is another object's: it is gone.
    fn vanish(&mut self);
}

macro_rules! stated {
    ($($kind:ident $(, $was:ident)?;)*) => {$(
        impl Statement for report::$kind {
            fn key(&self) -> &str {
                &self.key
            }
            $(fn was(&self) -> Option<&str> {
                self.$was.as_deref()
            })?
        }
    )*};
}
stated! { Group; Channel, was; Interaction, was; Conversation, was; Member; }

macro_rules! known {
    ($($kind:ty => |$known:ident| $vanish:expr;)*) => {$(
        impl KeyedNode for $kind {
            fn key(&self) -> &str {
                &self.key
            }
            fn take_key(&mut self, key: &str) {
                self.key = key.into();
            }
            fn vanish(&mut self) {
                let $known = self;
                $vanish;
            }
        }
    )*};
}
known! {
    ChannelNode => |channel| channel.vanished = true;
    InteractionNode => |interaction| interaction.vanished = true;
    ConversationNode => |_conversation| {}; // it is not named any more, so it ends
}

/// What a report mostly has one of: up to two need no allocation.
pub(crate) type SmallList<T> = SmallVec<[T; 2]>;

/// The first statement of each key; at most so many.
pub(crate) fn firsts<'r, S: Statement>(list: &'r [S], most: usize, diagnostics: &mut Diagnostics) -> SmallList<&'r S> {
    let mut firsts: SmallList<&S> = SmallList::new();
    let mut keys = KeyIndex::new();
    for stated in list.iter().take(limits::LIST) {
        if stated.key().len() > limits::KEY {
            diagnostics.add(DiagnosticKind::TooLong, || format!("key {}…", limits::cut(stated.key())));
        } else if keys.find(stated.key()).is_some() {
            diagnostics.add(DiagnosticKind::NamedTwice, || format!("key {}", stated.key()));
        } else if firsts.len() == most {
            diagnostics.add(DiagnosticKind::TooMany, || format!("key {}", stated.key()));
        } else {
            keys.add(stated.key());
            firsts.push(stated);
        }
    }
    if list.len() > limits::LIST {
        diagnostics.add(DiagnosticKind::TooMany, || format!("{} items in one list", list.len()));
    }
    firsts
}

/// Gives objects the new keys that statements with a former key give them. A former key that is not known, or that is
/// still in use in this report, is ignored: it is a repetition. If the new key is known too, the old object is gone.
pub(crate) fn rekey<K: KeyedNode, S: Statement>(known: &mut [K], stated: &[&S]) {
    let mut rekeyed = stated.iter().filter_map(|one| Some((one.was()?, one.key()))).filter(|(was, key)| was != key);
    let Some(first) = rekeyed.next() else { return };
    let named: KeyIndex<&str> = stated.iter().map(|one| one.key()).collect();
    let places: KeyIndex<&str> = known.iter().map(KeyedNode::key).collect();
    // Of two statements with the same former key the first has it.
    let mut former = KeyIndex::new();
    let new = std::iter::once(first).chain(rekeyed).filter(|&(was, _)| named.find(was).is_none() && former.add(was));
    let new = new.filter_map(|(was, key)| Some((places.find(was)?, key, places.find(key).is_some())));
    let new: Vec<(usize, &str, bool)> = new.collect();
    drop(places);
    for (at, key, is_known) in new {
        if is_known {
            known[at].vanish();
        } else {
            known[at].take_key(key);
        }
    }
}

/// The statements of a report that have not been used yet.
pub(crate) struct UnusedStatements<'r, T> {
    stated: SmallList<Option<&'r T>>,
    places: KeyIndex<&'r str>,
}

impl<'r, T: Statement> UnusedStatements<'r, T> {
    /// Statements of different keys.
    pub(crate) fn of(stated: SmallList<&'r T>) -> Self {
        let places = stated.iter().map(|stated| stated.key()).collect();
        Self { stated: stated.into_iter().map(Some).collect(), places }
    }

    pub(crate) fn find(&self, key: &str) -> Option<&'r T> {
        self.stated[self.places.find(key)?]
    }

    pub(crate) fn take(&mut self, key: &str) -> Option<&'r T> {
        self.stated[self.places.find(key)?].take()
    }

    /// Those that are left and fit, in their order.
    pub(crate) fn take_all(&mut self, fits: impl Fn(&T) -> bool) -> Vec<&'r T> {
        self.stated.iter_mut().filter_map(|slot| slot.take_if(|stated| fits(stated))).collect()
    }
}
