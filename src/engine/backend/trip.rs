//! Which browser was sent to Clerk's handshake: a random state in the address to come back to, and a
//! cookie that is bound to it by a signature.
//!
//! A result of a handshake is believed only if its address carries a state, the browser has the cookie
//! of this state, both were made here at most five minutes ago, and the state has not served before.
//! Otherwise a link could lead its reader into the sender's session.
//!
//! The cookie also says what is known of the browser, because each nonce costs a call: *renewing* is a
//! browser that showed a session token which Clerk had signed, *sent* is any other. Each has a bucket of
//! its own. A cookie is good for ten nonces in each process; cookies of one session count together, so
//! that only more sessions, not more requests, make more of the standing that a flood cannot reach.
//!
//! What remains: cookies of *sent* browsers can be had for one request each, so that a flood of both
//! kinds keeps those out who have no session yet. Only a limit on requests before this layer helps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clerk_verify::clock::Timestamp;
use clerk_verify::token::{cookie, pairs};
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

use super::super::cache::Cache;
use super::super::keyed_hasher::{Digest, KeyedHasher};
use crate::state::seal::CookieSigner;

/// What the names of the cookies begin with, in production and in development. The prefix `__Host-`
/// makes browsers refuse one that a sibling domain sets.
const PREFIXES: [&str; 2] = ["__Host-clerk_resilience_trip_", "__clerk_resilience_trip_"];
/// How long a state is good, in seconds.
const SECONDS: i64 = 300;
/// Instances of one application may differ in their clocks by so many seconds.
const SKEW: i64 = 5;
/// So many nonces may come with the cookies of one state, or of one session: several pages may come
/// back at once, each at most three times.
const USES: u32 = 10;
/// A browser keeps the cookies of at most so many handshakes; the oldest give way.
const AT_ONCE: usize = 12;
/// A request that waits is judged twice; a state serves for so many seconds after its first use.
const SERVES: i64 = 10;
const RANDOM_BYTES: usize = 15;
/// A browser that keeps some cookies and loses these is sent so often.
const HOPS: u8 = 3;
/// The random bytes, the hops and the time, in letters.
const BODY_LETTERS: usize = 32;
/// So many letters of a state name its cookie.
const NAME_LETTERS: usize = 16;

/// What is known of a browser that brings a nonce.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NonceTrust {
    /// It was not sent, or is not known any more.
    Stranger,
    /// It was sent.
    Sent,
    /// It was sent, and had a session.
    Renewing,
}

/// Whether a request comes back from a handshake that was begun for its browser.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum TripReturn {
    /// It does not, as far as can be shown. Whatever handshake it carries is not believed.
    None,
    /// It does.
    Bound(BoundTrip),
    /// It comes back, but nothing ties the state to this browser: the browser keeps no cookies, somebody
    /// else's link led here, or another instance made the cookie and shares no key with this one.
    Unbound {
        /// The page may be shown this once, with no cookie set.
        shown: bool,
        /// The browser may be sent again, as so many were before; `None` if it may not.
        again: Option<u8>,
    },
}

/// A handshake that was begun for this browser.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct BoundTrip {
    kind: &'static str,
    id: String,
    name: String,
}

/// A handshake that begins.
pub(crate) struct Departure {
    /// The state for the address to come back to.
    pub(crate) state: String,
    /// The cookie that binds it, and the removal of cookies that are too many.
    pub(crate) cookies: Vec<HeaderValue>,
}

/// Makes states, and knows them again.
#[derive(Debug)]
pub(crate) struct HandshakeTrips {
    signer: Arc<CookieSigner>,
    production: bool,
    random: SystemRandom,
    namer: KeyedHasher,
    used: Cache<Used>,
    returned: Cache<Returned>,
}

/// When a state was made, and how often its browser was sent before without a cookie to show for it.
#[derive(Clone, Copy)]
struct Made {
    at: i64,
    hops: u8,
}

/// How often the cookies of one state or session were brought.
#[derive(Debug)]
struct Used {
    trip: Digest,
    count: AtomicU32,
}

/// When a state came back first.
#[derive(Debug)]
struct Returned {
    state: Digest,
    at: i64,
}

impl HandshakeTrips {
    pub(crate) fn new(signer: Arc<CookieSigner>, production: bool) -> Self {
        Self {
            signer,
            production,
            random: SystemRandom::new(),
            namer: KeyedHasher::random(),
            used: Cache::new(4 * 1024),
            returned: Cache::new(4 * 1024),
        }
    }

    /// Begins a handshake for a browser, which showed this session and was sent so often without a
    /// cookie that shows it.
    pub(crate) fn depart(
        &self,
        headers: &HeaderMap,
        session: Option<&str>,
        hops: u8,
        now: Timestamp,
    ) -> Option<Departure> {
        let mut bytes = [0; RANDOM_BYTES + 9];
        self.random.fill(&mut bytes[..RANDOM_BYTES]).ok()?;
        bytes[RANDOM_BYTES] = hops;
        bytes[RANDOM_BYTES + 1..].copy_from_slice(&now.as_secs().to_be_bytes());
        let body = URL_SAFE_NO_PAD.encode(bytes);
        let state = format!("{body}{}", self.signer.name("state", &body));
        let held = match session {
            Some(session) => format!("r.{}", self.signer.name("session", session)),
            None => "s.".to_owned(),
        };
        let signature = self.signer.sign("trip", &bound_text(&state, &held));
        let name = self.name(&state)?;
        let mut cookies: Vec<_> = self.too_many(headers).collect();
        cookies.push(self.line(&name, &format!("{held}.{signature}"), SECONDS)?);
        Some(Departure { state, cookies })
    }

    /// Whether this request comes back from a handshake of its browser's. It may be asked again while
    /// the request waits.
    pub(crate) fn back(
        &self,
        state: Option<&str>,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> TripReturn {
        let Some(state) = state else { return TripReturn::None };
        let made = self.made(state);
        let hops = made.filter(|made| is_timely(made.at, now)).map(|made| made.hops);
        let name = self.name(state).unwrap_or_default();
        let held = cookie(headers, &name).and_then(|held| std::str::from_utf8(held).ok());
        let again = hops.map(|hops| hops + 1).filter(|hops| *hops < HOPS);
        match held {
            None if !headers.contains_key(COOKIE) => {
                TripReturn::Unbound { shown: hops.is_some(), again: None }
            }
            None if hops.is_some() => TripReturn::Unbound { shown: false, again },
            None => TripReturn::None,
            Some(held) => match self.bound(state, held, name) {
                Some(bound) if hops.is_some() && self.serves(state, now) => {
                    TripReturn::Bound(bound)
                }
                Some(_) => TripReturn::None,
                None => TripReturn::Unbound { shown: made.is_none(), again },
            },
        }
    }

    /// The cookie that ends a handshake.
    pub(crate) fn end(&self, bound: &BoundTrip) -> Option<HeaderValue> {
        self.line(&bound.name, "", 0)
    }

    /// What is known of a browser that comes back. Counts as one use.
    pub(crate) fn standing(&self, back: &TripReturn, now: Timestamp) -> NonceTrust {
        match back {
            TripReturn::Bound(bound) if self.use_up(bound.kind, &bound.id, now) => match bound.kind
            {
                "r" => NonceTrust::Renewing,
                _ => NonceTrust::Sent,
            },
            _ => NonceTrust::Stranger,
        }
    }

    fn bound(&self, state: &str, value: &str, name: String) -> Option<BoundTrip> {
        let (held, signature) = value.rsplit_once('.')?;
        if !self.signer.is_good("trip", &bound_text(state, held), signature) {
            return None;
        }
        Some(match held.split_once('.')? {
            ("r", session) => BoundTrip { kind: "r", id: session.to_owned(), name },
            _ => BoundTrip { kind: "s", id: state.to_owned(), name },
        })
    }

    /// What a state of this application says; `None` for any other text.
    fn made(&self, state: &str) -> Option<Made> {
        let (body, mark) = state.split_at_checked(BODY_LETTERS)?;
        if !self.signer.is_named("state", body, mark) {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(body).ok()?;
        let (hops, time) = bytes.get(RANDOM_BYTES..)?.split_first()?;
        Some(Made { at: i64::from_be_bytes(time.try_into().ok()?), hops: *hops })
    }

    /// A state serves once: for the requests of a few seconds, which are one visit.
    fn serves(&self, state: &str, now: Timestamp) -> bool {
        let state = self.namer.name("returned", &[state]);
        let same = |returned: &Returned| returned.state == state;
        let at = now.as_secs();
        let first = self.returned.update(state.index(), same, |held| {
            (held.map_or_else(|| Arc::new(Returned { state, at }), Arc::clone), at)
        });
        at.saturating_sub(first.at) <= SERVES
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

    /// Removals of the oldest cookies, so that no page can fill a browser with them. Browsers send
    /// the oldest first.
    fn too_many(&self, headers: &HeaderMap) -> impl Iterator<Item = HeaderValue> {
        let prefix = self.prefix().as_bytes();
        let held: Vec<_> =
            pairs(headers).map(|pair| pair.0).filter(|n| n.starts_with(prefix)).collect();
        let excess = (held.len() + 1).saturating_sub(AT_ONCE);
        let names = held.into_iter().take(excess).filter_map(|name| std::str::from_utf8(name).ok());
        names.filter_map(|name| self.line(name, "", 0))
    }

    fn prefix(&self) -> &'static str {
        PREFIXES[usize::from(!self.production)]
    }

    fn name(&self, state: &str) -> Option<String> {
        let letters = state.get(..NAME_LETTERS)?;
        let plain = letters.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        plain.then(|| format!("{}{letters}", self.prefix()))
    }

    fn line(&self, name: &str, value: &str, seconds: i64) -> Option<HeaderValue> {
        let secure = if self.production { "; Secure" } else { "" };
        HeaderValue::try_from(format!(
            "{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
        ))
        .ok()
    }
}

fn is_timely(made: i64, now: Timestamp) -> bool {
    now.as_secs().checked_sub(made).is_some_and(|age| (-SKEW..SECONDS).contains(&age))
}

/// A state has no space in it.
fn bound_text(state: &str, held: &str) -> String {
    format!("{state} {held}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clerk_verify::key::SecretKey;

    const NOW: Timestamp = Timestamp::from_secs(1_780_000_000);

    fn trips(secret: &str) -> HandshakeTrips {
        let secret = SecretKey::parse(secret).expect("a secret key");
        HandshakeTrips::new(Arc::new(CookieSigner::of_secret(&secret, "https://issuer")), true)
    }

    /// A browser that was sent: the state, and the cookies that it keeps.
    fn sent(trips: &HandshakeTrips, session: Option<&str>) -> (String, HeaderMap) {
        let departure = trips.depart(&HeaderMap::new(), session, 0, NOW).expect("a departure");
        let line = departure.cookies[0].to_str().expect("text").split(';').next();
        (departure.state, kept(line.expect("a pair")))
    }

    fn kept(pairs: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, pairs.parse().expect("a field"))])
    }

    fn after(secs: i64) -> Timestamp {
        Timestamp::from_secs(NOW.as_secs() + secs)
    }

    fn is_bound(back: &TripReturn) -> bool {
        matches!(back, TripReturn::Bound(_))
    }

    #[test]
    fn instances_with_one_secret_key_share_handshake_states() {
        for (session, expected) in [(None, NonceTrust::Sent), (Some("s"), NonceTrust::Renewing)] {
            let (state, headers) = sent(&trips("sk_test_one"), session);
            let same = trips("sk_test_one");
            let back = same.back(Some(&state), &headers, NOW);
            assert!(is_bound(&back));
            assert_eq!(same.standing(&back, NOW), expected);
            let other = trips("sk_test_two");
            let back = other.back(Some(&state), &headers, NOW);
            assert_eq!(back, TripReturn::Unbound { shown: true, again: None });
            assert_eq!(other.standing(&back, NOW), NonceTrust::Stranger);
        }
    }

    #[test]
    fn a_state_is_bound_to_its_own_cookie() {
        let trips = trips("sk_test_one");
        let (one, cookie_of_one) = sent(&trips, None);
        let (two, _) = sent(&trips, None);
        assert!(is_bound(&trips.back(Some(&one), &cookie_of_one, NOW)));
        let foreign = trips.back(Some(&two), &cookie_of_one, NOW);
        let again = |hops| TripReturn::Unbound { shown: false, again: hops };
        assert_eq!(foreign, again(Some(1)));
        assert_eq!(trips.back(None, &cookie_of_one, NOW), TripReturn::None);
        assert_eq!(trips.back(Some("made-up"), &cookie_of_one, NOW), TripReturn::None);
        // The cookie of one state under the name of another.
        let value =
            cookie_of_one[COOKIE].to_str().expect("text").split_once('=').expect("a pair").1;
        let planted = kept(&format!("{}={value}", trips.name(&two).expect("a name")));
        assert_eq!(trips.back(Some(&two), &planted, NOW), again(Some(1)));
    }

    #[test]
    fn a_browser_without_cookies_sees_its_page_once() {
        let trips = trips("sk_test_one");
        let (state, _) = sent(&trips, None);
        let none = HeaderMap::new();
        let unbound = |shown| TripReturn::Unbound { shown, again: None };
        assert_eq!(trips.back(Some(&state), &none, NOW), unbound(true));
        assert_eq!(trips.back(Some(&state), &none, after(300)), unbound(false));
        assert_eq!(trips.back(Some("made-up"), &none, NOW), unbound(false));
    }

    #[test]
    fn a_browser_that_loses_these_cookies_is_sent_three_times() {
        let (trips, others) = (trips("sk_test_one"), kept("theme=dark"));
        let mut hops = 0;
        for next in [Some(1), Some(2), None] {
            let state = trips.depart(&others, None, hops, NOW).expect("a departure").state;
            let back = trips.back(Some(&state), &others, NOW);
            assert_eq!(back, TripReturn::Unbound { shown: false, again: next });
            hops = next.unwrap_or_default();
        }
    }

    #[test]
    fn no_letter_of_a_state_or_a_cookie_can_be_changed() {
        let trips = trips("sk_test_one");
        let (state, headers) = sent(&trips, Some("s"));
        let value = headers[COOKIE].to_str().expect("text").to_owned();
        let touch = |text: &str, at: usize| {
            let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
            format!("{}{other}{}", &text[..at], &text[at + 1..])
        };
        for at in 0..state.len() {
            assert!(!is_bound(&trips.back(Some(&touch(&state, at)), &headers, NOW)), "{at}");
        }
        // The last letter of 256 bits has two bits to spare.
        for at in 0..value.len() - 1 {
            let touched = kept(&touch(&value, at));
            assert!(!is_bound(&trips.back(Some(&state), &touched, NOW)), "{at}");
        }
        for odd in ["", ".", "...", "\u{e9}", "AAAAAAAAAAAAAAA\u{e9}AAAAAAAAAAAAAAAAAAAAAAAA"] {
            assert!(!is_bound(&trips.back(Some(odd), &headers, NOW)), "{odd}");
        }
    }

    #[test]
    fn a_state_is_good_for_five_minutes() {
        let rows = [(-6, false), (-5, true), (299, true), (300, false), (i64::MAX / 2, false)];
        for (secs, good) in rows {
            let trips = trips("sk_test_one");
            let (state, headers) = sent(&trips, None);
            assert_eq!(is_bound(&trips.back(Some(&state), &headers, after(secs))), good, "{secs}");
        }
    }

    #[test]
    fn a_handshake_state_serves_one_visit() {
        let trips = trips("sk_test_one");
        let (state, headers) = sent(&trips, None);
        for (secs, good) in [(0, true), (3, true), (10, true), (11, false), (60, false)] {
            assert_eq!(is_bound(&trips.back(Some(&state), &headers, after(secs))), good, "{secs}");
        }
    }

    #[test]
    fn the_cookies_of_one_session_are_good_for_ten_nonces_together() {
        let trips = trips("sk_test_one");
        let uses = |sent: &dyn Fn() -> (String, HeaderMap)| {
            let standing = || {
                let (state, headers) = sent();
                trips.standing(&trips.back(Some(&state), &headers, NOW), NOW)
            };
            (0..50).filter(|_| standing() != NonceTrust::Stranger).count()
        };
        assert_eq!(uses(&|| sent(&trips, Some("sess_1"))), 10);
        let one = sent(&trips, None);
        assert_eq!(uses(&|| one.clone()), 10);
    }

    #[test]
    fn a_browser_keeps_the_cookies_of_twelve_handshakes() {
        let trips = trips("sk_test_one");
        let name = |n: usize| format!("{}{n:016}", trips.prefix());
        for (held, removed) in [(0, 0), (11, 0), (12, 1), (40, 29)] {
            let pairs: Vec<_> = (0..held).map(|n| format!("{}=x", name(n))).collect();
            let pairs = format!("theme=dark; {}", pairs.join("; "));
            let departure = trips.depart(&kept(&pairs), None, 0, NOW).expect("a departure");
            let gone = departure
                .cookies
                .iter()
                .filter(|line| line.to_str().expect("text").contains("Max-Age=0"));
            assert_eq!(gone.count(), removed, "{held}");
        }
    }
}
