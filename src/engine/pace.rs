//! How sessions use grace: how often in this minute, and when last. In bounded memory, without locks.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::cache::Cache;
use super::ledger::SessionDigest;
use crate::clock::Timestamp;
use crate::decide::Usage;

/// A session that never passed.
const NEVER: i64 = i64::MIN;

#[derive(Debug)]
struct Entry {
    session: SessionDigest,
    /// The minute in the upper half, the requests within it in the lower.
    requests: AtomicU64,
    /// Milliseconds.
    last_passed: AtomicI64,
}

impl Entry {
    fn new(session: SessionDigest) -> Self {
        Self { session, requests: AtomicU64::new(0), last_passed: AtomicI64::new(NEVER) }
    }

    /// One more request in this minute; how many that makes.
    fn count(&self, minute: u64) -> u32 {
        let more = |held: u64| {
            let same = held >> 32 == minute;
            if same { held.saturating_add(1) } else { minute << 32 | 1 }
        };
        let advance = |held| Some(more(held));
        let before = self.requests.fetch_update(Ordering::Relaxed, Ordering::Relaxed, advance);
        u32::try_from(more(before.unwrap_or_default()) & u64::from(u32::MAX)).unwrap_or(u32::MAX)
    }
}

/// The table. When it is full, the session unused longest gives way and is counted anew.
#[derive(Debug)]
pub(crate) struct Pace(Cache<Entry>);

impl Pace {
    pub(crate) fn new(capacity: usize) -> Self {
        Self(Cache::new(capacity))
    }

    /// Counts a request with an expired token, and tells how its session used grace so far.
    pub(crate) fn count(&self, session: SessionDigest, now: Timestamp) -> Usage {
        let entry = self.entry(session, now);
        let minute = u64::try_from(now.as_secs() / 60).unwrap_or_default() & u64::from(u32::MAX);
        let last = entry.last_passed.load(Ordering::Relaxed);
        Usage {
            last_passed: (last != NEVER).then(|| Timestamp::from_millis(last)),
            in_minute: entry.count(minute),
        }
    }

    /// The session passed in grace.
    pub(crate) fn passed(&self, session: SessionDigest, now: Timestamp) {
        self.entry(session, now).last_passed.fetch_max(now.as_millis(), Ordering::Relaxed);
    }

    /// The one entry of a session, however many requests ask for it at once.
    fn entry(&self, session: SessionDigest, now: Timestamp) -> Arc<Entry> {
        let same = |entry: &Entry| entry.session == session;
        self.0.find(session.index(), same).unwrap_or_else(|| {
            self.0.update(session.index(), same, |held| {
                let entry = held.map_or_else(|| Arc::new(Entry::new(session)), Arc::clone);
                (entry, now.as_millis())
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> SessionDigest {
        SessionDigest::named("user_1", "sess_1")
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn requests_are_counted_by_the_minute_and_by_the_session() {
        let pace = Pace::new(64);
        let count = |secs| pace.count(session(), at(secs)).in_minute;
        assert_eq!([count(60), count(119), count(120), count(60)], [1, 2, 1, 1]);
        assert_eq!(pace.count(SessionDigest::named("user_1", "sess_2"), at(60)).in_minute, 1);
    }

    #[test]
    fn only_a_request_that_passed_counts_as_use() {
        let pace = Pace::new(64);
        pace.count(session(), at(60));
        assert_eq!(pace.count(session(), at(61)).last_passed, None);
        pace.passed(session(), at(62));
        pace.passed(session(), at(10));
        assert_eq!(pace.count(session(), at(63)).last_passed, Some(at(62)));
    }

    #[test]
    fn requests_at_once_are_all_counted() {
        for _ in 0..200 {
            let (pace, start) = (Pace::new(64), std::sync::Barrier::new(4));
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        start.wait();
                        for _ in 0..10 {
                            pace.count(session(), at(60));
                        }
                    });
                }
            });
            assert_eq!(pace.count(session(), at(60)).in_minute, 41);
        }
    }
}
