//! A mark for browsers that are sent to Clerk, by which they are known when they come back.
//!
//! Anybody can make up a nonce, and each costs a call. The mark is a cookie, signed with a key that
//! follows from the secret key, so that all instances of an application agree on it. It tells two
//! standings apart, and each has a bucket of its own: *renewing* is a browser that showed a session
//! token which Clerk had signed, *sent* is any other that was sent, to sign in for one. A mark is good
//! for five minutes and ten nonces in each process; marks of one session count together, so that only
//! more sessions, not more requests, make more of the standing that a flood cannot reach.
//!
//! What remains: marks of *sent* browsers can be had for one request each, so that a flood of both
//! kinds keeps those out who have no session yet. Only a limit on requests before this layer helps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;

use super::super::cache::Cache;
use super::super::digest::{Digest, Namer};
use crate::clock::Timestamp;
use crate::key::SecretKey;

/// The mark.
pub(crate) const TRIP_COOKIE: &str = "__clerk_resilience_trip";
/// How long it is good, in seconds.
const SECONDS: i64 = 300;
/// Instances of one application may differ in their clocks by so many seconds.
const SKEW: i64 = 5;
/// So many nonces may come with the marks of one trip, or of one session: several pages may come
/// back at once, each at most three times.
const USES: u32 = 10;

/// What is known of a browser that brings a nonce.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// It was not sent, or is not known any more.
    Stranger,
    /// It was sent.
    Sent,
    /// It was sent, and had a session.
    Renewing,
}

/// Marks browsers, and knows the marks.
#[derive(Debug)]
pub(crate) struct Trips {
    namer: Namer,
    used: Cache<Used>,
}

/// How often the marks of one trip or session were brought.
#[derive(Debug)]
struct Used {
    trip: Digest,
    count: AtomicU32,
}

impl Trips {
    pub(super) fn new(secret: &SecretKey) -> Self {
        let derived = Namer::new(secret.expose().as_bytes()).name("clerk-resilience trip", &["1"]);
        Self { namer: Namer::new(derived.bytes()), used: Cache::new(4 * 1024) }
    }

    /// The cookie for a browser that is being sent, with the session that it showed.
    pub(crate) fn mark(&self, session: Option<&str>, now: Timestamp) -> Option<HeaderValue> {
        let (kind, id) = match session {
            Some(session) => ("renewing", self.namer.name("session", &[session]).index()),
            None => ("sent", fastrand::u64(..)),
        };
        let said = format!("{kind}.{}.{id:016x}", now.as_secs());
        let signature = self.signature(&said);
        HeaderValue::try_from(format!(
            "{TRIP_COOKIE}={said}.{signature}; Path=/; Max-Age={SECONDS}; HttpOnly; SameSite=Lax"
        ))
        .ok()
    }

    /// What a browser's mark says of it. Counts as one use.
    pub(crate) fn standing(&self, mark: Option<&[u8]>, now: Timestamp) -> Standing {
        let mark = mark.and_then(|mark| std::str::from_utf8(mark).ok());
        mark.and_then(|mark| self.read(mark, now)).unwrap_or(Standing::Stranger)
    }

    fn read(&self, mark: &str, now: Timestamp) -> Option<Standing> {
        let (said, signature) = mark.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        if !self.namer.is_name("mark", &[said], &signature) {
            return None;
        }
        let mut parts = said.split('.');
        let (kind, made, id) = (parts.next()?, parts.next()?, parts.next()?);
        let age = now.as_secs().checked_sub(made.parse().ok()?)?;
        let timely = (-SKEW..SECONDS).contains(&age);
        let standing = if kind == "renewing" { Standing::Renewing } else { Standing::Sent };
        (timely && self.use_up(kind, id, now)).then_some(standing)
    }

    fn use_up(&self, kind: &str, id: &str, now: Timestamp) -> bool {
        let window = now.as_secs() / SECONDS;
        let trip = self.namer.name("use", &[kind, id, &window.to_string()]);
        let same = |used: &Used| used.trip == trip;
        let used = self.used.update(trip.index(), same, |held| {
            let first = || Arc::new(Used { trip, count: AtomicU32::new(0) });
            (held.map_or_else(first, Arc::clone), window)
        });
        used.count.fetch_add(1, Ordering::Relaxed) < USES
    }

    fn signature(&self, said: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.namer.name("mark", &[said]).bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_780_000_000);

    fn trips(secret: &str) -> Trips {
        Trips::new(&SecretKey::parse(secret).expect("a secret key"))
    }

    fn mark(trips: &Trips, session: Option<&str>) -> String {
        let cookie = trips.mark(session, NOW).expect("a cookie");
        let pair = cookie.to_str().expect("text").split(';').next().expect("a pair");
        pair[TRIP_COOKIE.len() + 1..].to_owned()
    }

    fn standing(trips: &Trips, mark: &str, secs: i64) -> Standing {
        trips.standing(Some(mark.as_bytes()), Timestamp::from_secs(NOW.as_secs() + secs))
    }

    #[test]
    fn a_mark_is_known_to_every_instance_with_the_same_secret_key_and_to_no_other() {
        let trips = |secret| self::trips(secret);
        for (session, expected) in [(None, Standing::Sent), (Some("s"), Standing::Renewing)] {
            let mark = mark(&trips("sk_test_one"), session);
            assert_eq!(standing(&trips("sk_test_one"), &mark, 0), expected);
            assert_eq!(standing(&trips("sk_test_two"), &mark, 0), Standing::Stranger);
        }
    }

    #[test]
    fn a_mark_that_was_touched_is_none() {
        let trips = trips("sk_test_one");
        let mark = mark(&trips, None);
        for at in 0..mark.len() {
            let mut touched = mark.clone().into_bytes();
            touched[at] ^= 1;
            let standing = trips.standing(Some(&touched), NOW);
            // The last letter of 256 bits has two bits to spare.
            assert!(standing == Standing::Stranger || at == mark.len() - 1, "{at}");
        }
        assert_eq!(standing(&trips, &mark.replace("sent", "renewing"), 0), Standing::Stranger);
        for odd in ["", ".", "...", "sent.1.2.3"] {
            assert_eq!(standing(&trips, odd, 0), Standing::Stranger, "{odd}");
        }
    }

    #[test]
    fn a_mark_is_good_for_five_minutes() {
        let rows = [(-6, false), (-5, true), (299, true), (300, false), (i64::MAX / 2, false)];
        for (secs, good) in rows {
            let trips = trips("sk_test_one");
            let mark = mark(&trips, None);
            assert_eq!(standing(&trips, &mark, secs) == Standing::Sent, good, "{secs}");
        }
    }

    #[test]
    fn the_marks_of_one_session_are_good_for_ten_nonces_together() {
        let trips = trips("sk_test_one");
        let uses = |marks: &dyn Fn() -> String| {
            (0..50).filter(|_| standing(&trips, &marks(), 0) != Standing::Stranger).count()
        };
        assert_eq!(uses(&|| mark(&trips, Some("sess_1"))), 10);
        let one = mark(&trips, None);
        assert_eq!(uses(&|| one.clone()), 10);
    }
}
