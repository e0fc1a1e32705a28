//! Whom instances have seen: evidence for grace, which outlives the process and reaches the others.

use clerk_verify::clock::Timestamp;

use super::fleet::FeedMark;

/// So many sessions are remembered; of more, the oldest sightings are forgotten.
pub(crate) const SESSIONS: usize = 250_000;

/// That a session was seen with a token within its time, and who vouches for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredSighting {
    /// The session's name: a digest, in hexadecimal digits.
    pub session: String,
    /// How old the newest claims among its tokens are.
    pub claims_as_of: Timestamp,
    /// When it was seen.
    pub last_valid: Timestamp,
    /// The mark of whoever saw it, over all of the above. Stores keep it and cannot make it.
    pub mark: Vec<u8>,
}

impl StoredSighting {
    /// Of two sightings of one session the higher counts: the one with the newer claims, and of those the
    /// later. So no sighting makes an older token good again.
    pub(crate) fn rank(&self) -> (Timestamp, Timestamp) {
        (self.claims_as_of, self.last_valid)
    }
}

/// Sightings that were read.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sightings {
    /// One of each session.
    pub sighted: Vec<StoredSighting>,
    /// From here it goes on.
    pub mark: FeedMark,
    /// These are all that there are.
    pub whole: bool,
}
