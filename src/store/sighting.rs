//! Sightings of sessions: evidence for grace that survives the process and reaches other instances.

use clerk_verify::clock::Timestamp;

use super::fleet::FeedMark;

/// Maximum number of sessions with a sighting. Beyond it, stores delete the oldest sightings.
pub(crate) const SESSIONS: usize = 250_000;

/// Evidence that an instance saw a session with a token that had not expired (condition G6).
///
/// The session is a digest, half of SHA-256 over user id and session id, so a store holds no ids.
/// With a secret key, a sighting counts only with a MAC, so a writer of the store cannot make a
/// stolen token pass in grace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredSighting {
    /// The session as a digest, in hexadecimal digits.
    pub session: String,
    /// The date of the newest claims among the session's tokens.
    pub claims_as_of: Timestamp,
    /// When the session was last seen with a token that had not expired.
    pub last_valid: Timestamp,
    /// The MAC of the instance that saw the session, over the fields above. Stores hold the MAC and
    /// cannot compute it. Empty if the store is trusted without a MAC.
    pub mark: Vec<u8>,
}

impl StoredSighting {
    /// Orders two sightings of one session: newer claims win, and with equal claims the later
    /// sighting. No sighting thus makes an older token valid again.
    pub(crate) fn rank(&self) -> (Timestamp, Timestamp) {
        (self.claims_as_of, self.last_valid)
    }
}

/// The result of reading sightings.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sightings {
    /// At most one sighting for each session.
    pub sighted: Vec<StoredSighting>,
    /// The position after these sightings.
    pub mark: FeedMark,
    /// Whether these are all stored sightings, not only those since a mark.
    pub whole: bool,
}
