//! A set-associative cache without locks: a fixed table of `ArcSwap` slots.
//!
//! A key's digest picks a set of four slots; a look-up reads them, an insertion replaces the least
//! worthy of them. Memory is bounded by construction, readers never wait for writers, and a lost
//! race costs one entry, which is made again at its next use.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

const WAYS: usize = 4;

pub(crate) struct Cache<T> {
    slots: Box<[Slot<T>]>,
    sets: usize,
}

/// An entry, and beside it what tells whether it is worth a look: the memory behind the pointer was
/// perhaps not touched for long. Digest and worth are hints; a race may leave those of another entry.
struct Slot<T> {
    digest: AtomicU64,
    worth: AtomicI64,
    entry: ArcSwapOption<T>,
}

impl<T> Slot<T> {
    fn empty() -> Self {
        Self { digest: AtomicU64::new(0), worth: AtomicI64::new(0), entry: ArcSwapOption::empty() }
    }

    fn find(&self, digest: u64, is: impl Fn(&T) -> bool) -> Option<Arc<T>> {
        if self.digest.load(Ordering::Relaxed) != digest {
            return None;
        }
        self.entry.load().as_ref().filter(|held| is(held)).map(Arc::clone)
    }
}

impl<T> Cache<T> {
    /// A cache of about `capacity` entries, rounded up to a power of two.
    pub(crate) fn new(capacity: usize) -> Self {
        let sets = (capacity.max(1) / WAYS).max(1).next_power_of_two();
        Self { slots: (0..sets * WAYS).map(|_| Slot::empty()).collect(), sets }
    }

    /// How many entries there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    #[expect(clippy::cast_possible_truncation, reason = "any bits of the digest will do")]
    fn set(&self, digest: u64) -> &[Slot<T>] {
        let set = digest as usize & (self.sets - 1);
        &self.slots[set * WAYS..][..WAYS]
    }

    /// The entry of this digest that `is` the one.
    pub(crate) fn find(&self, digest: u64, is: impl Fn(&T) -> bool) -> Option<Arc<T>> {
        self.set(digest).iter().find_map(|slot| slot.find(digest, &is))
    }

    /// Puts an entry in the place of the one that it `replaces`, of none, or of the least worthy.
    pub(crate) fn insert(
        &self,
        digest: u64,
        entry: Arc<T>,
        worth: i64,
        replaces: impl Fn(&T) -> bool,
    ) {
        let rank = |slot: &&Slot<T>| {
            if slot.find(digest, &replaces).is_some() {
                (0, 0)
            } else if slot.entry.load().is_none() {
                (1, 0)
            } else {
                (2, slot.worth.load(Ordering::Relaxed))
            }
        };
        if let Some(slot) = self.set(digest).iter().min_by_key(rank) {
            slot.entry.store(Some(entry));
            slot.digest.store(digest, Ordering::Relaxed);
            slot.worth.store(worth, Ordering::Relaxed);
        }
    }

    /// Drops the entries that are not worth keeping.
    pub(crate) fn retain(&self, keep: impl Fn(&T) -> bool) {
        for slot in &self.slots {
            if slot.entry.load().as_ref().is_some_and(|held| !keep(held)) {
                slot.entry.store(None);
            }
        }
    }

    /// All entries.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Arc<T>> {
        self.slots.iter().filter_map(|slot| slot.entry.load_full())
    }
}

impl<T> fmt::Debug for Cache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("slots", &self.slots.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(cache: &Cache<(u64, i64)>, digest: u64, worth: i64) {
        let same = |held: &(u64, i64)| held.0 == digest;
        cache.insert(digest, Arc::new((digest, worth)), worth, same);
    }

    #[test]
    fn an_entry_is_found_by_digest_and_content() {
        let cache = Cache::new(64);
        insert(&cache, 7, 1);
        assert_eq!(cache.find(7, |held| held.0 == 7).as_deref(), Some(&(7, 1)));
        assert!(cache.find(7, |held| held.0 == 8).is_none());
        insert(&cache, 7, 2);
        assert_eq!(cache.find(7, |held| held.0 == 7).as_deref(), Some(&(7, 2)));
        assert_eq!(cache.entries().count(), 1);
    }

    #[test]
    fn a_full_set_gives_up_its_least_worthy_entry_and_never_grows() {
        let cache = Cache::new(4);
        for (digest, worth) in [(1, 10), (2, 5), (3, 20), (4, 30), (5, 40)] {
            insert(&cache, digest, worth);
        }
        let mut held: Vec<u64> = cache.entries().map(|entry| entry.0).collect();
        held.sort_unstable();
        assert_eq!(held, [1, 3, 4, 5]);
    }

    #[test]
    fn entries_that_are_not_worth_keeping_are_dropped() {
        let cache = Cache::new(64);
        (0..16).for_each(|n| insert(&cache, n, 0));
        cache.retain(|held| held.0 % 2 == 0);
        assert_eq!(cache.entries().count(), 8);
    }
}
