//! Tickets: proof, stored in the browser, that this application saw a session valid.
//!
//! A ticket holds what this application would record in memory for the session, authenticated by a
//! MAC (HMAC-SHA256). The MAC binds the ticket to the issuer, user, session, organization and host.
//! A ticket is therefore useless with another token or at another application.
//!
//! A ticket grants no access by itself. It is evidence for one condition of grace, and the request
//! must also carry the expired token.

use std::fmt;

use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use clerk_verify::clock::Timestamp;
use clerk_verify::token::Session;

/// Name of the ticket cookie. For the `__Host-` prefix, browsers require `Secure`, `Path=/` and no
/// `Domain` (RFC 6265bis), so no other host can set the cookie.
pub const COOKIE: &str = "__Host-clerk_ticket";
/// The purpose of the MAC, and the version of the format.
const LABEL: &[u8] = b"clerk-resilience ticket 1";
/// Minimum key length: the length of the MAC (RFC 2104 §3).
const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 32;
const TIME_BYTES: usize = 8;

/// The content of a ticket: when the session was last seen valid, and the age of its claims.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ticket {
    /// When the session was last seen with an unexpired token.
    pub last_valid: Timestamp,
    /// The newest [`Session::claims_as_of`] among the tokens of the session.
    pub claims_as_of: Timestamp,
}

/// The values to which a ticket is bound.
#[derive(Clone, Copy, Debug)]
pub struct TicketBinding<'a> {
    /// The issuer of the instance's tokens.
    pub issuer: &'a str,
    /// The session of the token that accompanies the ticket.
    pub session: &'a Session,
    /// The host of the request.
    pub host: &'a str,
}

/// The keys of tickets. The first key signs; every key verifies.
///
/// To rotate, put a new key first, and remove the old key 24 hours later.
///
/// ```
/// use clerk_resilience::TicketKeys;
///
/// let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="; // openssl rand -base64 32
/// assert!(TicketKeys::parse(key).is_ok());
/// assert!(TicketKeys::parse("short").is_err());
/// ```
#[derive(Clone)]
pub struct TicketKeys(Vec<Key>);

impl TicketKeys {
    /// Parses keys from text: base64 of at least 32 random bytes each, newest first, separated by
    /// commas.
    ///
    /// `openssl rand -base64 32` generates a key. All instances of an application need the same
    /// keys.
    ///
    /// # Errors
    ///
    /// [`TicketKeyError`] names the position of the first invalid key.
    pub fn parse(text: &str) -> Result<Self, TicketKeyError> {
        let keys = text.split(',').map(str::trim).enumerate().map(|(at, text)| {
            let bytes = STANDARD.decode(text).ok().filter(|bytes| bytes.len() >= KEY_BYTES);
            bytes.map(|bytes| Key::new(HMAC_SHA256, &bytes)).ok_or(TicketKeyError { at: at + 1 })
        });
        keys.collect::<Result<_, _>>().map(Self)
    }

    /// Derives one key for another purpose from each of these keys.
    pub(crate) fn derived(&self, purpose: &[u8]) -> Vec<[u8; 32]> {
        let derive = |key: &Key| hmac::sign(key, purpose).as_ref().try_into().expect("32 bytes");
        self.0.iter().map(derive).collect()
    }

    /// The number of keys.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Signs a ticket with the first key, and encodes it as URL-safe base64 without padding.
    #[must_use]
    pub fn seal(&self, ticket: Ticket, bound: TicketBinding<'_>) -> String {
        let [first, ..] = self.0.as_slice() else { return String::new() };
        let times = [ticket.last_valid, ticket.claims_as_of].map(|at| at.as_millis().to_be_bytes());
        let tag = hmac::sign(first, &message(&times, bound));
        URL_SAFE_NO_PAD.encode([&times.concat(), tag.as_ref()].concat())
    }

    /// Decodes and verifies a ticket. Returns `None` if none of these keys signed it, or if it is
    /// bound to other values.
    #[must_use]
    pub fn open(&self, text: &str, bound: TicketBinding<'_>) -> Option<Ticket> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (first, rest) = bytes.split_first_chunk::<TIME_BYTES>()?;
        let (second, tag) = rest.split_first_chunk::<TIME_BYTES>()?;
        let message = message(&[*first, *second], bound);
        let good = |key: &Key| hmac::verify(key, &message, tag).is_ok();
        let time = |bytes: &[u8; TIME_BYTES]| Timestamp::from_millis(i64::from_be_bytes(*bytes));
        let opened = tag.len() == TAG_BYTES && self.0.iter().any(good);
        opened.then(|| Ticket { last_valid: time(first), claims_as_of: time(second) })
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys").field("keys", &self.0.len()).finish_non_exhaustive()
    }
}

/// Prefixes each part with its length, so that different parts never produce the same message.
fn message(times: &[[u8; TIME_BYTES]; 2], bound: TicketBinding<'_>) -> Vec<u8> {
    let session = bound.session;
    let organization = session.organization.as_ref().map_or("", |active| active.id.as_str());
    let id = session.session_id.as_ref().map_or("", |id| id.as_str());
    let names = [bound.issuer, session.user_id.as_str(), id, organization, bound.host];
    let parts = [LABEL, &times[0], &times[1]].into_iter().chain(names.map(str::as_bytes));
    parts.flat_map(|part| [&(part.len() as u64).to_be_bytes()[..], part].concat()).collect()
}

/// An invalid ticket key. The error never shows the text of the key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "key {at} is not base64 of at least 32 bytes; make one with `openssl rand -base64 32`, and put commas between several"
)]
pub struct TicketKeyError {
    at: usize,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use clerk_sim::{SimClerk, TokenBuilder};
    use clerk_verify::jwks::KeySet;
    use clerk_verify::token::Expectations;
    use clerk_verify::verify::verify;

    use super::*;

    const OLD: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    const NEW: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    fn keys(text: &str) -> TicketKeys {
        TicketKeys::parse(text).expect("keys")
    }

    fn session(change: impl FnOnce(TokenBuilder<'_>) -> TokenBuilder<'_>) -> Session {
        let clerk = SimClerk::in_memory();
        let signed = change(clerk.token(&clerk.sign_in("user_1")).claim("sid", "sess_1")).sign();
        let keys = KeySet::parse(clerk.jwks().to_string().as_bytes()).expect("its own keys");
        let verified = verify(&signed, &keys, &Expectations::any()).expect("a good token");
        verified.session().as_ref().clone()
    }

    fn bound(session: &Session) -> TicketBinding<'_> {
        TicketBinding { issuer: "https://clerk.example.com", session, host: "app.example.com" }
    }

    fn ticket() -> Ticket {
        let at = Timestamp::from_secs;
        Ticket { last_valid: at(1_780_000_000), claims_as_of: at(1_779_999_000) }
    }

    #[test]
    fn a_ticket_round_trips() {
        let session = session(|token| token);
        let sealed = keys(NEW).seal(ticket(), bound(&session));
        assert_eq!(keys(NEW).open(&sealed, bound(&session)), Some(ticket()));
    }

    #[test]
    fn a_ticket_is_bound_to_user_session_issuer_and_host() {
        let own = session(|token| token);
        let sealed = keys(NEW).seal(ticket(), bound(&own));
        for other in [
            session(|token| token.claim("sub", "user_2")),
            session(|token| token.claim("sid", "sess_2")),
            session(|token| token.claim("o", json!({"id": "org_1", "rol": "admin"}))),
        ] {
            assert_eq!(keys(NEW).open(&sealed, bound(&other)), None);
        }
        let issuer = TicketBinding { issuer: "https://clerk.example.net", ..bound(&own) };
        assert_eq!(keys(NEW).open(&sealed, issuer), None);
        let host = TicketBinding { host: "other.example.com", ..bound(&own) };
        assert_eq!(keys(NEW).open(&sealed, host), None);
    }

    #[test]
    fn a_changed_or_truncated_ticket_is_rejected() {
        let session = session(|token| token);
        let sealed = keys(NEW).seal(ticket(), bound(&session));
        let bytes = URL_SAFE_NO_PAD.decode(&sealed).expect("base64");
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let text = URL_SAFE_NO_PAD.encode(changed);
            assert_eq!(keys(NEW).open(&text, bound(&session)), None, "bit {bit}");
        }
        for end in 0..sealed.len() {
            assert_eq!(keys(NEW).open(&sealed[..end], bound(&session)), None, "{end} letters");
        }
        assert_eq!(keys(NEW).open(&format!("{sealed}A"), bound(&session)), None);
    }

    #[test]
    fn an_old_key_opens_and_never_seals() {
        let session = session(|token| token);
        let old = keys(OLD).seal(ticket(), bound(&session));
        let both = keys(&format!("{NEW},{OLD}"));
        assert_eq!(both.open(&old, bound(&session)), Some(ticket()));
        assert_eq!(keys(NEW).open(&old, bound(&session)), None, "rotated away");
        let new = both.seal(ticket(), bound(&session));
        assert_eq!(keys(NEW).open(&new, bound(&session)), Some(ticket()));
    }

    #[test]
    fn a_key_that_is_none_is_named_by_its_place_and_not_shown() {
        for (text, place) in [("", "key 1"), ("c2VjcmV0", "key 1"), (&format!("{NEW},"), "key 2")] {
            let error = TicketKeys::parse(text).expect_err("refused").to_string();
            assert!(error.starts_with(place) && error.contains("openssl"), "{error}");
            assert!(!error.contains("c2VjcmV0"), "{error}");
        }
        assert!(!format!("{:?}", keys(NEW)).contains("1, 1"));
    }
}
