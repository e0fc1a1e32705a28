//! A bounded cache of users that were looked up recently.
//!
//! Reads take no lock. While a look-up reads a user from the store, a webhook may report a newer
//! state. Each look-up therefore draws a [`Turn`] first, and its result is cached only if no change
//! was reported since.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clerk_verify::id::UserId;
use tokio::time::Instant;

use crate::engine::cache::Cache;
use crate::state::profile::{Change, Person};

/// Number of change counters; users share them.
const COUNTERS: usize = 4096;
/// How long it is cached that a user does not exist.
const NOBODY: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Memory {
    cache: Cache<ProfileEntry>,
    /// Change counters. A thread that changes the cache holds this lock.
    told: Mutex<Box<[u64]>>,
    hasher: RandomState,
    /// How long an entry is valid. `None` if this process learns of every change in the store.
    good: Option<Duration>,
    began: Instant,
}

/// A cached user.
#[derive(Debug)]
pub(super) struct ProfileEntry {
    id: UserId,
    pub(super) person: Person,
    read: Instant,
}

/// The user's change counter when a look-up began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn(u64);

impl Memory {
    pub(super) fn new(capacity: usize, good: Option<Duration>) -> Self {
        Self {
            cache: Cache::new(capacity),
            told: Mutex::new(vec![0; COUNTERS].into_boxed_slice()),
            hasher: RandomState::new(),
            good,
            began: Instant::now(),
        }
    }

    pub(super) fn find(&self, id: &UserId) -> Option<Arc<ProfileEntry>> {
        self.find_at(self.digest(id), id)
    }

    /// Whether a cached entry is still valid.
    pub(super) fn answers(&self, entry: &ProfileEntry) -> bool {
        let nobody = entry.person.profile().is_none() && entry.person.deleted().is_none();
        let good = if nobody { Some(NOBODY) } else { self.good };
        good.is_none_or(|good| entry.read.elapsed() < good)
    }

    pub(super) fn turn(&self, id: &UserId) -> Turn {
        Turn(self.told()[counter(self.digest(id))])
    }

    /// Caches a user that was read, unless a change was reported since `turn`.
    pub(super) fn remember(&self, id: &UserId, person: &Person, turn: Turn) {
        let digest = self.digest(id);
        let told = self.told();
        if told[counter(digest)] == turn.0 {
            self.put(digest, id, person.clone(), Instant::now());
        }
    }

    /// Applies changes to cached users, and invalidates look-ups in progress.
    pub(super) fn hear(&self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        let mut told = self.told();
        for change in changes {
            let digest = self.digest(change.user());
            told[counter(digest)] += 1;
            let Some(entry) = self.find_at(digest, change.user()) else { continue };
            let mut person = entry.person.clone();
            if person.take(change) {
                self.put(digest, &entry.id, person, entry.read);
            }
        }
    }

    fn find_at(&self, digest: u64, id: &UserId) -> Option<Arc<ProfileEntry>> {
        self.cache.find(digest, |entry| entry.id == *id)
    }

    fn put(&self, digest: u64, id: &UserId, person: Person, read: Instant) {
        let worth = i64::try_from((read - self.began).as_millis()).unwrap_or(i64::MAX);
        let entry = Arc::new(ProfileEntry { id: id.clone(), person, read });
        self.cache.insert(digest, &entry, worth, |held| held.id == *id);
    }

    fn digest(&self, id: &UserId) -> u64 {
        self.hasher.hash_one(id.as_str())
    }

    fn told(&self) -> MutexGuard<'_, Box<[u64]>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn counter(digest: u64) -> usize {
    (digest >> 32) as usize % COUNTERS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::profile::Profile;
    use clerk_verify::clock::Timestamp;

    fn named(id: &UserId, name: &str, at: i64) -> Change {
        let mut profile = Profile::new(id.clone(), Timestamp::from_secs(at));
        profile.first_name = Some(name.to_owned());
        Change::User(Box::new(profile))
    }

    fn person(change: &Change) -> Person {
        let mut person = Person::default();
        person.take(change);
        person
    }

    fn name(memory: &Memory, id: &UserId) -> Option<String> {
        memory.find(id)?.person.profile()?.first_name.clone()
    }

    #[tokio::test]
    async fn a_read_before_an_update_is_not_cached() {
        let (memory, id) = (Memory::new(64, None), UserId::new("user_1"));
        let turn = memory.turn(&id);
        memory.hear(&[named(&id, "New", 2)]);
        memory.remember(&id, &person(&named(&id, "Old", 1)), turn);
        assert_eq!(name(&memory, &id), None);
        memory.remember(&id, &person(&named(&id, "New", 2)), memory.turn(&id));
        assert_eq!(name(&memory, &id).as_deref(), Some("New"));
    }

    #[tokio::test]
    async fn cached_users_receive_newer_updates_only() {
        let (memory, id) = (Memory::new(64, None), UserId::new("user_1"));
        memory.remember(&id, &person(&named(&id, "Ada", 2)), memory.turn(&id));
        memory.hear(&[named(&id, "Old", 1), named(&UserId::new("user_2"), "Ben", 9)]);
        assert_eq!(name(&memory, &id).as_deref(), Some("Ada"));
        memory.hear(&[named(&id, "Adaeze", 3)]);
        assert_eq!(name(&memory, &id).as_deref(), Some("Adaeze"));
        assert!(memory.find(&UserId::new("user_2")).is_none(), "nobody asked for them");
    }

    #[tokio::test]
    async fn no_more_are_remembered_than_there_is_room_for() {
        let memory = Memory::new(64, None);
        for n in 0..1000 {
            let id = UserId::new(format!("user_{n}"));
            memory.remember(&id, &person(&named(&id, "Ada", 1)), memory.turn(&id));
            assert!(memory.find(&id).is_some(), "the newest is");
        }
        assert_eq!(memory.cache.entries().count(), 64);
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_lives_its_time_and_an_empty_one_briefly() {
        let (memory, id) = (Memory::new(64, Some(Duration::from_secs(60))), UserId::new("user_1"));
        let empty = UserId::new("user_2");
        memory.remember(&id, &person(&named(&id, "Ada", 1)), memory.turn(&id));
        memory.remember(&empty, &Person::default(), memory.turn(&empty));
        let answers = |id: &UserId| memory.answers(&memory.find(id).expect("remembered"));
        tokio::time::advance(Duration::from_millis(9_999)).await;
        assert_eq!((answers(&id), answers(&empty)), (true, true));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!((answers(&id), answers(&empty)), (true, false));
        memory.hear(&[named(&id, "Adaeze", 2)]);
        tokio::time::advance(Duration::from_secs(50)).await;
        assert!(!answers(&id), "what one tells does not make the rest fresh");
    }
}
