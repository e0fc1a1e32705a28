//! A cache of tokens whose signature this process has verified.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clerk_verify::jwks::KeySet;
use clerk_verify::verify::Verified;

use super::cache::Cache;
use super::seen_sessions::SessionDigest;

/// The number of bytes hashed for the cache index, from the token's end: the signature varies most.
const DIGESTED: usize = 32;

/// A bounded cache of verified tokens.
///
/// A look-up finds a token only if all bytes are equal and the verifying key is still in the set.
#[derive(Debug)]
pub(crate) struct VerifiedTokens {
    cache: Cache<CachedToken>,
    hasher: RandomState,
}

/// A verified token with its parsed claims.
pub(crate) struct CachedToken {
    token: Box<str>,
    pub(crate) verified: Verified,
    /// The session's key in the table of seen sessions; `None` for a token without a session.
    pub(crate) session: Option<SessionDigest>,
    witnessed: AtomicBool,
}

impl fmt::Debug for CachedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedToken").field("verified", &self.verified).finish_non_exhaustive()
    }
}

impl CachedToken {
    pub(crate) fn new(token: &str, verified: Verified) -> Self {
        let session = SessionDigest::of(verified.session());
        Self { token: token.into(), verified, session, witnessed: AtomicBool::new(false) }
    }

    /// Returns true until a request with this token is accepted before the token expires.
    pub(crate) fn is_new(&self) -> bool {
        !self.witnessed.load(Ordering::Relaxed)
    }

    /// Returns true once: for the first request accepted with this token before the token expires.
    pub(crate) fn witness(&self) -> bool {
        self.is_new() && !self.witnessed.swap(true, Ordering::Relaxed)
    }
}

impl VerifiedTokens {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { cache: Cache::new(capacity), hasher: RandomState::new() }
    }

    pub(crate) fn find(&self, digest: u64, token: &str, keys: &KeySet) -> Option<Arc<CachedToken>> {
        let same = |held: &CachedToken| *held.token == *token && keys.holds(held.verified.key());
        self.cache.find(digest, same)
    }

    /// Stores a token. Two requests that verify the same token concurrently get the same entry.
    pub(crate) fn insert(&self, digest: u64, known: &Arc<CachedToken>) -> Arc<CachedToken> {
        let worth = known.verified.session().expires_at.as_millis();
        let same = |held: &CachedToken| held.token == known.token;
        self.cache.update(digest, same, |held| {
            let equal = held.filter(|held| Arc::ptr_eq(held.verified.key(), known.verified.key()));
            (Arc::clone(equal.unwrap_or(known)), worth)
        })
    }

    /// Drops the tokens whose verifying key is no longer in the set.
    pub(crate) fn keep_only(&self, keys: &KeySet) {
        self.cache.retain(|known| keys.holds(known.verified.key()));
    }

    /// Returns the cache index of a token.
    pub(crate) fn digest(&self, token: &str) -> u64 {
        let bytes = token.as_bytes();
        self.hasher.hash_one(&bytes[bytes.len().saturating_sub(DIGESTED)..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clerk_sim::SimClerk;
    use clerk_verify::token::Expectations;
    use clerk_verify::verify::verify;

    #[test]
    fn a_cached_token_matches_exactly_and_needs_its_key() {
        let sim = SimClerk::in_memory();
        let keys =
            |sim: &SimClerk| KeySet::parse(sim.jwks().to_string().as_bytes()).expect("a key set");
        let (token, held) = (sim.mint(&sim.sign_in("user_1")), keys(&sim));
        let verified = verify(&token, &held, &Expectations::any()).expect("a good token");
        let tokens = VerifiedTokens::new(16);
        tokens.insert(tokens.digest(&token), &Arc::new(CachedToken::new(&token, verified)));
        let find = |token: &str, keys: &KeySet| tokens.find(tokens.digest(token), token, keys);
        assert!(find(&token, &held).is_some());

        let mut other = token.clone().into_bytes();
        other[0] ^= 1;
        let other = String::from_utf8(other).expect("still text");
        assert!(find(&other, &held).is_none(), "the signature alone is not enough");
        assert!(find(&token, &keys(&sim)).is_none(), "an equal key is not the same key");
        assert!(find(&token, &held.replaced_by(&keys(&sim))).is_some());
        tokens.keep_only(&KeySet::default());
        assert!(find(&token, &held).is_none());
    }
}
