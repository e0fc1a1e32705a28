//! A set-associative cache without locks: a fixed table of `ArcSwap` slots.
//!
//! A key's digest picks a set of four slots; a look-up reads them, an insertion replaces the least
//! worthy of them. Memory is bounded by construction, readers never wait for writers, and a lost
//! race costs one entry, which is found missing and made again.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

const WAYS: usize = 4;

pub(crate) struct Cache<T> {
    slots: Box<[ArcSwapOption<T>]>,
    sets: usize,
}

impl<T> Cache<T> {
    /// A cache of about `capacity` entries, rounded up to a power of two.
    pub(crate) fn new(capacity: usize) -> Self {
        let sets = (capacity.max(1) / WAYS).max(1).next_power_of_two();
        Self { slots: (0..sets * WAYS).map(|_| ArcSwapOption::empty()).collect(), sets }
    }

    #[expect(clippy::cast_possible_truncation, reason = "any bits of the digest will do")]
    fn set(&self, digest: u64) -> &[ArcSwapOption<T>] {
        let set = digest as usize & (self.sets - 1);
        &self.slots[set * WAYS..][..WAYS]
    }

    /// The entry of this digest that `is` the one.
    pub(crate) fn find(&self, digest: u64, is: impl Fn(&T) -> bool) -> Option<Arc<T>> {
        self.set(digest).iter().find_map(|slot| {
            let held = slot.load();
            held.as_ref().filter(|held| is(held)).map(Arc::clone)
        })
    }

    /// Puts an entry in the place of the one that it `replaces`, of none, or of the least worthy.
    pub(crate) fn insert<W: Ord>(
        &self,
        digest: u64,
        entry: Arc<T>,
        replaces: impl Fn(&T) -> bool,
        worth: impl Fn(&T) -> W,
    ) {
        let rank = |slot: &&ArcSwapOption<T>| match &*slot.load() {
            Some(held) if replaces(held) => (0, None),
            None => (1, None),
            Some(held) => (2, Some(worth(held))),
        };
        if let Some(slot) = self.set(digest).iter().min_by_key(rank) {
            slot.store(Some(entry));
        }
    }

    /// Drops the entries that are not worth keeping.
    pub(crate) fn retain(&self, keep: impl Fn(&T) -> bool) {
        for slot in &self.slots {
            if slot.load().as_ref().is_some_and(|held| !keep(held)) {
                slot.store(None);
            }
        }
    }

    /// All entries.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Arc<T>> {
        self.slots.iter().filter_map(ArcSwapOption::load_full)
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

    fn insert(cache: &Cache<(u64, u32)>, digest: u64, worth: u32) {
        let same = |held: &(u64, u32)| held.0 == digest;
        cache.insert(digest, Arc::new((digest, worth)), same, |held| held.1);
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
