//! A set-associative cache without locks: a fixed table of `ArcSwap` sets.
//!
//! A key's digest selects a set of at most four entries. A look-up reads one set. Each change
//! replaces a whole set in one compare-and-swap, so concurrent writers never lose an update. The
//! number of entries is fixed, and readers never wait for writers.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

const WAYS: usize = 4;

pub(crate) struct Cache<T> {
    sets: Box<[ArcSwapOption<Set<T>>]>,
}

/// The entries of one set. A set is immutable; a change replaces the whole set.
type Set<T> = Vec<Way<T>>;

/// An entry with its digest and worth stored inline, because the entry's own memory may be cold.
struct Way<T> {
    digest: u64,
    worth: i64,
    entry: Arc<T>,
}

impl<T> Clone for Way<T> {
    fn clone(&self) -> Self {
        Self { entry: Arc::clone(&self.entry), ..*self }
    }
}

impl<T> Way<T> {
    fn holds(&self, digest: u64, is: impl Fn(&T) -> bool) -> bool {
        self.digest == digest && is(&self.entry)
    }
}

impl<T> Cache<T> {
    /// Creates a cache of about `capacity` entries. The number of sets is a power of two.
    pub(crate) fn new(capacity: usize) -> Self {
        let sets = (capacity.max(1) / WAYS).max(1).next_power_of_two();
        Self { sets: (0..sets).map(|_| ArcSwapOption::empty()).collect() }
    }

    /// Returns the maximum number of entries.
    pub(crate) fn capacity(&self) -> usize {
        self.sets.len() * WAYS
    }

    #[expect(clippy::cast_possible_truncation, reason = "any bits of the digest will do")]
    fn set(&self, digest: u64) -> &ArcSwapOption<Set<T>> {
        &self.sets[digest as usize & (self.sets.len() - 1)]
    }

    /// Returns the entry with this digest for which `is` returns true.
    pub(crate) fn find(&self, digest: u64, is: impl Fn(&T) -> bool) -> Option<Arc<T>> {
        let set = self.set(digest).load();
        let way = set.as_ref()?.iter().find(|way| way.holds(digest, &is))?;
        Some(Arc::clone(&way.entry))
    }

    /// Stores an entry in place of the entry for which `replaces` returns true.
    ///
    /// Without such an entry, a full set evicts its entry with the lowest `worth`.
    pub(crate) fn insert(
        &self,
        digest: u64,
        entry: &Arc<T>,
        worth: i64,
        replaces: impl Fn(&T) -> bool,
    ) {
        self.update(digest, replaces, |_| (Arc::clone(entry), worth));
    }

    /// Replaces the entry for which `is` returns true with the result of `change`, atomically.
    ///
    /// `change` receives the present entry, or `None`, and returns the new entry and its worth. If
    /// another writer changes the set first, `change` runs again. Returns the entry now stored.
    pub(crate) fn update(
        &self,
        digest: u64,
        is: impl Fn(&T) -> bool,
        change: impl Fn(Option<&Arc<T>>) -> (Arc<T>, i64),
    ) -> Arc<T> {
        let slot = self.set(digest);
        let mut present = slot.load_full();
        loop {
            let ways = present.as_deref().map_or(&[][..], Vec::as_slice);
            let place = ways.iter().position(|way| way.holds(digest, &is));
            let held = place.map(|place| &ways[place].entry);
            let (entry, worth) = change(held);
            if held.is_some_and(|held| Arc::ptr_eq(held, &entry)) {
                return entry;
            }
            let mut set = ways.to_vec();
            put(&mut set, place, Way { digest, worth, entry: Arc::clone(&entry) });
            let before = slot.compare_and_swap(&present, Some(Arc::new(set)));
            if is_same(before.as_ref(), present.as_ref()) {
                return entry;
            }
            present = arc_swap::Guard::into_inner(before);
        }
    }

    /// Drops the entries for which `keep` returns false.
    pub(crate) fn retain(&self, keep: impl Fn(&T) -> bool) {
        for slot in &self.sets {
            let drops = |set: &Arc<Set<T>>| set.iter().any(|way| !keep(&way.entry));
            if slot.load().as_ref().is_some_and(drops) {
                slot.rcu(|set| {
                    let kept = set.iter().flat_map(|set| set.iter()).filter(|way| keep(&way.entry));
                    Some(Arc::new(kept.cloned().collect::<Set<T>>()))
                });
            }
        }
    }

    /// Returns all entries. Concurrent writers may change sets during the iteration.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Arc<T>> {
        let sets = self.sets.iter().filter_map(ArcSwapOption::load_full);
        sets.flat_map(|set| set.iter().map(|way| Arc::clone(&way.entry)).collect::<Vec<_>>())
    }
}

/// Stores a way at `place`, or at the end, or, in a full set, in place of the lowest worth.
fn put<T>(set: &mut Set<T>, place: Option<usize>, way: Way<T>) {
    let full = set.len() >= WAYS;
    let least = || (0..set.len()).min_by_key(|place| set[*place].worth);
    match place.or_else(|| full.then(least).flatten()) {
        Some(place) => set[place] = way,
        None => set.push(way),
    }
}

fn is_same<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

impl<T> fmt::Debug for Cache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("sets", &self.sets.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(cache: &Cache<(u64, i64)>, digest: u64, worth: i64) {
        let same = |held: &(u64, i64)| held.0 == digest;
        cache.insert(digest, &Arc::new((digest, worth)), worth, same);
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

    /// Eight writers count up the same four entries, all in one set.
    #[test]
    fn no_update_is_lost_when_many_write_at_once() {
        let cache: Cache<(u64, i64)> = Cache::new(WAYS);
        let count = |digest: u64| {
            cache.update(
                digest,
                |held| held.0 == digest,
                |held| {
                    let counted = held.map_or(1, |held| held.1 + 1);
                    (Arc::new((digest, counted)), counted)
                },
            );
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..4_000).for_each(|n| count(n % 4)));
            }
        });
        for digest in 0..4 {
            let held = cache.find(digest, |held| held.0 == digest);
            assert_eq!(held.as_deref(), Some(&(digest, 8_000)), "{digest}");
        }
    }

    #[test]
    fn an_update_returning_the_same_entry_changes_nothing() {
        let cache = Cache::new(64);
        insert(&cache, 7, 1);
        let held = cache.find(7, |held| held.0 == 7).expect("there");
        let kept = cache.update(
            7,
            |held| held.0 == 7,
            |held| (held.map_or_else(|| Arc::new((7, 9)), Arc::clone), 9),
        );
        assert!(Arc::ptr_eq(&held, &kept));
    }
}
