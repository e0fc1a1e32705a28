//! Verifies a session token against a key set and returns a [`Verified`] token.
//!
//! The checks and their order are those of `verifyToken` in Clerk's backend SDK (`@clerk/backend`
//! 3.25).

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::jwks::{KeySet, NoSigner, VerifyingKey};
pub use crate::token::UnknownKey;
use crate::token::{
    Claims, Expectations, Header, InvalidToken, Jws, Session, Timing, check_category, check_claims,
    check_header, object, timing,
};

/// A token whose signature and claims are valid. [`timing`](Self::timing) compares its times with
/// the present; callers check them at each use.
#[derive(Clone, Debug)]
pub struct Verified {
    session: Arc<Session>,
    key: Arc<VerifyingKey>,
}

impl Verified {
    /// Returns the session that the token describes.
    #[must_use]
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Returns the key that verified the token.
    #[must_use]
    pub fn key(&self) -> &Arc<VerifyingKey> {
        &self.key
    }

    /// Compares the token's `exp`, `nbf` and `iat` with `now`. `leeway` is the allowed difference
    /// between the clocks.
    #[must_use]
    pub fn timing(&self, now: Timestamp, leeway: Duration) -> Timing {
        timing(
            self.session.expires_at,
            self.session.not_before,
            self.session.issued_at,
            now,
            leeway,
        )
    }
}

/// Why [`verify`] did not accept a token.
#[derive(Clone, Debug, Eq, PartialEq)]
// Exhaustive on purpose: every caller must handle every variant.
pub enum Unverified {
    /// The token is invalid, and new keys cannot change that.
    Invalid(InvalidToken),
    /// The key set lacks the token's key. The signature is unchecked; the claims would pass.
    UnknownKey(UnknownKey),
}

impl From<InvalidToken> for Unverified {
    fn from(reason: InvalidToken) -> Self {
        Self::Invalid(reason)
    }
}

/// Verifies a token except for its time. The checks run in this order: form, category, key, `typ`,
/// `alg`, signature, `sub`, `aud`, `azp`, `iss`, the types of the dates, the form of the
/// organization claims.
///
/// The signature check precedes the checks of these claims, so that a forged token does not reveal
/// which claims are accepted.
///
/// # Errors
///
/// [`Unverified::Invalid`] with the first check that fails. [`Unverified::UnknownKey`] when the set
/// lacks the token's key and the unverified claims would pass.
pub fn verify(token: &str, keys: &KeySet, expect: &Expectations) -> Result<Verified, Unverified> {
    let jws = Jws::parse(token)?;
    let header = jws.header()?;
    let claims: Claims<'_> = object(&jws.payload)?;
    check_category(&header, &claims, expect)?;
    if !keys.knows(header.kid()) {
        return Err(unknown(&header, &claims, expect));
    }
    check_header(&header, expect)?;
    let key = keys.signer(header.kid(), jws.signed, &jws.signature).map_err(|none| match none {
        NoSigner::UnknownKey => unknown(&header, &claims, expect),
        NoSigner::Unnamed => UnknownKey::of(&header, &claims, expect)
            .map_or(InvalidToken::Signature.into(), |it| Unverified::UnknownKey(it.after_a_try())),
        NoSigner::UnfitKey | NoSigner::Forged => InvalidToken::from(none).into(),
    })?;
    let times = check_claims(&claims, expect)?;
    let session = Session::new(&claims, &header, &jws.payload, times)?;
    Ok(Verified { session: Arc::new(session), key: Arc::clone(key) })
}

/// Classifies a token whose key is missing. A token that no key could make valid is invalid.
fn unknown(header: &Header<'_>, claims: &Claims<'_>, expect: &Expectations) -> Unverified {
    let unknown = UnknownKey::of(header, claims, expect);
    unknown.map_or(InvalidToken::UnknownKey.into(), Unverified::UnknownKey)
}

/// Returns the key that signed a token. The claims and the times are not checked.
///
/// # Errors
///
/// [`InvalidToken`] when the token is malformed, or when no key of the set signed it with RS256.
pub fn signer(token: &str, keys: &KeySet) -> Result<Arc<VerifyingKey>, InvalidToken> {
    let jws = Jws::parse(token)?;
    keys.signer(jws.header()?.kid(), jws.signed, &jws.signature)
        .cloned()
        .map_err(InvalidToken::from)
}

impl From<NoSigner> for InvalidToken {
    fn from(reason: NoSigner) -> Self {
        match reason {
            NoSigner::UnknownKey | NoSigner::Unnamed => Self::UnknownKey,
            NoSigner::UnfitKey => Self::UnfitKey,
            NoSigner::Forged => Self::Signature,
        }
    }
}
