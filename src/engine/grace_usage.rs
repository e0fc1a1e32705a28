//! Grace usage: requests per minute and the last accepted request of each session.
//!
//! The table has a fixed number of entries and takes no locks.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use clerk_verify::clock::Timestamp;

use super::cache::Cache;
use super::seen_sessions::SessionDigest;
use crate::decide::Usage;

/// Marks a session without an accepted request.
const NEVER: i64 = i64::MIN;

#[derive(Debug)]
struct UsageEntry {
    session: SessionDigest,
    /// The minute in the upper 32 bits, the requests within that minute in the lower 32 bits.
    requests: AtomicU64,
    /// The last request accepted in grace, in milliseconds since the Unix epoch, or [`NEVER`].
    last_passed: AtomicI64,
}

impl UsageEntry {
    fn new(session: SessionDigest) -> Self {
        Self { session, requests: AtomicU64::new(0), last_passed: AtomicI64::new(NEVER) }
    }

    /// Returns the number of requests counted in this minute.
    fn in_minute(&self, minute: u64) -> u32 {
        count_of(self.requests.load(Ordering::Relaxed), minute)
    }

    /// Counts one request in this minute, and returns the new number.
    fn count(&self, minute: u64) -> u32 {
        let more = |held: u64| {
            let same = held >> 32 == minute;
            if same { held.saturating_add(1) } else { minute << 32 | 1 }
        };
        let advance = |held| Some(more(held));
        let before = self.requests.fetch_update(Ordering::Relaxed, Ordering::Relaxed, advance);
        count_of(more(before.unwrap_or_default()), minute)
    }

    /// Subtracts one request of this minute.
    fn take_back(&self, minute: u64) {
        let less = |held: u64| (count_of(held, minute) > 0).then(|| held - 1);
        // An error means that no request was counted in this minute.
        let _ = self.requests.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

fn count_of(held: u64, minute: u64) -> u32 {
    let same = held >> 32 == minute;
    if same { u32::try_from(held & u64::from(u32::MAX)).unwrap_or(u32::MAX) } else { 0 }
}

fn minute(now: Timestamp) -> u64 {
    u64::try_from(now.as_secs() / 60).unwrap_or_default() & u64::from(u32::MAX)
}

/// The usage of all sessions. A full set of the table evicts its session with the oldest entry.
///
/// The count of an evicted session restarts at zero.
#[derive(Debug)]
pub(crate) struct GraceUsage(Cache<UsageEntry>);

impl GraceUsage {
    pub(crate) fn new(capacity: usize) -> Self {
        Self(Cache::new(capacity))
    }

    /// Returns the usage of a session without counting a request.
    pub(crate) fn usage(&self, session: SessionDigest, now: Timestamp) -> Usage {
        let Some(entry) = self.find(session) else { return Usage::default() };
        let last = entry.last_passed.load(Ordering::Relaxed);
        Usage {
            last_passed: (last != NEVER).then(|| Timestamp::from_millis(last)),
            in_minute: entry.in_minute(minute(now)),
        }
    }

    /// Counts a request of a session, and returns the new number of this minute.
    pub(crate) fn count(&self, session: SessionDigest, now: Timestamp) -> u32 {
        self.entry(session, now).count(minute(now))
    }

    /// Records a request accepted in grace.
    pub(crate) fn passed(&self, session: SessionDigest, now: Timestamp) {
        let entry = self.entry(session, now);
        entry.count(minute(now));
        entry.last_passed.fetch_max(now.as_millis(), Ordering::Relaxed);
    }

    /// Subtracts a counted request that was rejected afterwards.
    pub(crate) fn take_back(&self, session: SessionDigest, now: Timestamp) {
        if let Some(entry) = self.find(session) {
            entry.take_back(minute(now));
        }
    }

    fn find(&self, session: SessionDigest) -> Option<Arc<UsageEntry>> {
        self.0.find(session.index(), |entry| entry.session == session)
    }

    /// Returns the entry of a session, created on demand. Concurrent callers get the same entry.
    fn entry(&self, session: SessionDigest, now: Timestamp) -> Arc<UsageEntry> {
        self.find(session).unwrap_or_else(|| {
            let same = |entry: &UsageEntry| entry.session == session;
            self.0.update(session.index(), same, |held| {
                let entry = held.map_or_else(|| Arc::new(UsageEntry::new(session)), Arc::clone);
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
        let grace_usage = GraceUsage::new(64);
        let count = |secs| grace_usage.count(session(), at(secs));
        assert_eq!([count(60), count(119), count(120), count(60)], [1, 2, 1, 1]);
        assert_eq!(grace_usage.count(SessionDigest::named("user_1", "sess_2"), at(60)), 1);
    }

    #[test]
    fn reading_the_usage_counts_nothing() {
        let grace_usage = GraceUsage::new(64);
        assert_eq!(grace_usage.usage(session(), at(60)), Usage::default());
        grace_usage.passed(session(), at(62));
        grace_usage.passed(session(), at(61));
        let usage = Usage { last_passed: Some(at(62)), in_minute: 2 };
        assert_eq!(
            [grace_usage.usage(session(), at(63)), grace_usage.usage(session(), at(63))],
            [usage; 2]
        );
        assert_eq!(grace_usage.usage(session(), at(120)), Usage { in_minute: 0, ..usage });
    }

    #[test]
    fn a_request_is_taken_back_within_its_minute() {
        let grace_usage = GraceUsage::new(64);
        let in_minute = |secs| grace_usage.usage(session(), at(secs)).in_minute;
        grace_usage.take_back(session(), at(60));
        grace_usage.passed(session(), at(60));
        grace_usage.take_back(session(), at(120));
        assert_eq!(in_minute(60), 1);
        grace_usage.take_back(session(), at(60));
        grace_usage.take_back(session(), at(60));
        assert_eq!(in_minute(60), 0);
    }

    #[test]
    fn requests_at_once_are_all_counted() {
        for _ in 0..200 {
            let (grace_usage, start) = (GraceUsage::new(64), std::sync::Barrier::new(4));
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        start.wait();
                        for _ in 0..10 {
                            grace_usage.count(session(), at(60));
                        }
                    });
                }
            });
            assert_eq!(grace_usage.count(session(), at(60)), 41);
        }
    }
}
