//! Seen sessions: sessions recently seen with a valid token, as evidence for grace.
//!
//! The table has a fixed number of entries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use clerk_verify::clock::Timestamp;
use clerk_verify::token::Session;

use super::cache::Cache;
use crate::decide::Sighting;
use crate::decide::policy::MAX_GRACE;
use crate::state::health::CLOCK_TOLERANCE;
use crate::store::SightingRecord;

/// A session's key in the table: the first half of SHA-256 over user id and session id.
///
/// With digests, neither the state file nor the store reveals user or session ids.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SessionDigest([u8; 16]);

impl SessionDigest {
    /// Returns the digest of a token's session, or `None` for a token without a session id.
    pub(crate) fn of(session: &Session) -> Option<Self> {
        let id = session.session_id.as_ref()?;
        Some(Self::named(session.user_id.as_str(), id.as_str()))
    }

    pub(super) fn named(user: &str, session: &str) -> Self {
        let parts = [user, session].map(str::as_bytes);
        let lengths = parts.map(|part| (part.len() as u64).to_be_bytes());
        let named = [&lengths[0], parts[0], &lengths[1], parts[1]].concat();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &named);
        let (half, _) = digest.as_ref().split_first_chunk().expect("SHA-256 has 32 bytes");
        Self(*half)
    }

    pub(super) fn index(self) -> u64 {
        let (first, _) = self.0.split_first_chunk().expect("16 bytes");
        u64::from_be_bytes(*first)
    }

    pub(crate) fn to_hex(self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }

    pub(crate) fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let number = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32)?;
        Some(Self(number.to_be_bytes()))
    }
}

#[derive(Debug)]
struct SeenEntry {
    session: SessionDigest,
    sighting: Sighting,
}

/// A table of sightings. A full set of the table evicts the session seen longest ago.
///
/// Eviction makes grace stricter, never looser.
#[derive(Debug)]
pub(crate) struct SeenSessions {
    cache: Cache<SeenEntry>,
    /// The writers, as bits, that have not yet written the last change.
    news_for: AtomicU8,
}

/// A component that persists sightings.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum Writer {
    File = 1,
    Store = 2,
}

const ALL_WRITERS: u8 = Writer::File as u8 | Writer::Store as u8;

impl SeenSessions {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { cache: Cache::new(capacity), news_for: AtomicU8::new(0) }
    }

    /// Creates an empty table of the same capacity.
    pub(super) fn alike(&self) -> Self {
        Self::new(self.cache.capacity())
    }

    /// Records that a session was seen with a token that had not expired.
    pub(crate) fn note(&self, digest: SessionDigest, session: &Session, now: Timestamp) {
        self.merge(digest, Sighting::now(now, session));
        self.news_for.store(ALL_WRITERS, Ordering::Relaxed);
    }

    pub(crate) fn find(&self, digest: SessionDigest) -> Option<Sighting> {
        let same = |entry: &SeenEntry| entry.session == digest;
        self.cache.find(digest.index(), same).map(|entry| entry.sighting)
    }

    /// Merges a sighting into the table, atomically. An older sighting never replaces a newer one.
    pub(super) fn merge(&self, digest: SessionDigest, seen: Sighting) {
        let same = |held: &SeenEntry| held.session == digest;
        self.cache.update(digest.index(), same, |held| {
            let known = held.map_or(seen, |held| held.sighting);
            let sighting = Sighting {
                last_valid: known.last_valid.max(seen.last_valid),
                claims_as_of: known.claims_as_of.max(seen.claims_as_of),
            };
            let worth = sighting.last_valid.as_millis();
            match held {
                Some(held) if held.sighting == sighting => (Arc::clone(held), worth),
                _ => (Arc::new(SeenEntry { session: digest, sighting }), worth),
            }
        });
    }

    /// Returns true if a sighting was recorded since this writer's last call.
    pub(super) fn take_news(&self, writer: Writer) -> bool {
        let writer = writer as u8;
        self.news_for.fetch_and(!writer, Ordering::Relaxed) & writer != 0
    }

    /// Returns the sightings of the last 24 hours. Older ones cannot justify grace.
    pub(crate) fn records(&self, now: Timestamp) -> Vec<SightingRecord> {
        let horizon = now.minus(MAX_GRACE);
        let recent = self.cache.entries().filter(|entry| entry.sighting.last_valid >= horizon);
        recent
            .map(|entry| {
                let Sighting { last_valid, claims_as_of } = entry.sighting;
                let name = entry.session.to_hex();
                SightingRecord(name, last_valid.as_millis(), claims_as_of.as_millis())
            })
            .collect()
    }

    /// Returns the sightings that `other` lacks, or that are newer than in `other` by `newer`.
    ///
    /// Sightings older than 24 hours are left out.
    pub(super) fn beyond(
        &self,
        other: &Self,
        newer: Duration,
        now: Timestamp,
    ) -> Vec<(SessionDigest, Sighting)> {
        let horizon = now.minus(MAX_GRACE);
        let is_news = |seen: Sighting, told: Sighting| {
            let later = seen.last_valid > told.last_valid || seen.claims_as_of > told.claims_as_of;
            later && seen.last_valid >= told.last_valid.plus(newer)
        };
        let entries = self.cache.entries().map(|entry| (entry.session, entry.sighting));
        let recent = entries.filter(|(_, seen)| (horizon..=now).contains(&seen.last_valid));
        recent
            .filter(|(session, seen)| other.find(*session).is_none_or(|told| is_news(*seen, told)))
            .collect()
    }

    /// Merges a sighting of another process.
    ///
    /// The other clock may be ahead by the clock tolerance. Sightings further in the future are
    /// ignored.
    pub(super) fn adopt(&self, digest: SessionDigest, seen: Sighting, now: Timestamp) {
        if seen.last_valid <= now.plus(CLOCK_TOLERANCE) {
            let last_valid = seen.last_valid.min(now);
            self.merge(digest, Sighting { last_valid, ..seen });
        }
    }

    /// Restores the sightings of an earlier process. Sightings in the future are ignored.
    pub(crate) fn restore(&self, records: &[SightingRecord], now: Timestamp) {
        for SightingRecord(name, last_valid, claims_as_of) in records {
            let last_valid = Timestamp::from_millis(*last_valid);
            if let Some(digest) = SessionDigest::from_hex(name)
                && last_valid <= now
            {
                let claims_as_of = Timestamp::from_millis(*claims_as_of);
                self.merge(digest, Sighting { last_valid, claims_as_of });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: u8) -> SessionDigest {
        SessionDigest([n; 16])
    }

    fn seen(secs: i64) -> Sighting {
        Sighting {
            last_valid: Timestamp::from_secs(secs),
            claims_as_of: Timestamp::from_secs(secs),
        }
    }

    #[test]
    fn an_older_sighting_never_replaces_a_newer_one() {
        let seen_sessions = SeenSessions::new(64);
        seen_sessions.merge(digest(1), seen(100));
        seen_sessions.merge(digest(1), seen(50));
        assert_eq!(seen_sessions.find(digest(1)), Some(seen(100)));
        assert_eq!(seen_sessions.find(digest(2)), None);
    }

    #[test]
    fn records_round_trip() {
        let seen_sessions = SeenSessions::new(64);
        seen_sessions.merge(digest(0xab), seen(100));
        let records = seen_sessions.records(Timestamp::from_secs(200));
        let next = SeenSessions::new(64);
        next.restore(&records, Timestamp::from_secs(200));
        assert_eq!(next.find(digest(0xab)), Some(seen(100)));
    }

    #[test]
    fn sightings_from_the_future_or_of_yesterday_are_not_taken_up() {
        let seen_sessions = SeenSessions::new(64);
        let bad = [
            SightingRecord("ab".repeat(16), 10_000, 0),
            SightingRecord("zz".repeat(16), 1_000, 0),
            SightingRecord("ab".into(), 1_000, 0),
        ];
        seen_sessions.restore(&bad, Timestamp::from_secs(5));
        assert_eq!(seen_sessions.cache.entries().count(), 0);
        seen_sessions.merge(digest(1), seen(0));
        assert!(seen_sessions.records(Timestamp::from_secs(24 * 60 * 60 + 1)).is_empty());
    }

    /// One writer brings ever newer claims, the other ever later sightings.
    #[test]
    fn two_concurrent_writers_keep_the_newest() {
        let (seen_sessions, last) = (SeenSessions::new(64), 20_000);
        let seen = |last_valid: i64, claims_as_of: i64| Sighting {
            last_valid: Timestamp::from_secs(last_valid),
            claims_as_of: Timestamp::from_secs(claims_as_of),
        };
        for session in 0..4 {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    (0..=last).for_each(|n| seen_sessions.merge(digest(session), seen(n, 0)));
                });
                scope.spawn(|| {
                    (0..=last).for_each(|n| seen_sessions.merge(digest(session), seen(0, n)));
                });
            });
            assert_eq!(seen_sessions.find(digest(session)), Some(seen(last, last)));
        }
    }
}
