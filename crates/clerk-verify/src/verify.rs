//! A token against a key set: the ordered checks that make a [`Verified`] token.
//!
//! The checks and their order are those of `verifyToken` in Clerk's own backend SDK
//! (`@clerk/backend` 3.25).

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::jwks::{KeySet, NoSigner, VerifyingKey};
pub use crate::token::UnknownKey;
use crate::token::{
    Claims, Expectations, Header, InvalidToken, Jws, Session, Timing, check_category, check_claims,
    check_header, object, timing,
};

/// A token whose signature and claims are good. Whether its *time* is good is asked at each use, of
/// [`timing`](Self::timing).
#[derive(Clone, Debug)]
pub struct Verified {
    session: Arc<Session>,
    key: Arc<VerifyingKey>,
}

impl Verified {
    /// What the token says.
    #[must_use]
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// The key that verified it.
    #[must_use]
    pub fn key(&self) -> &Arc<VerifyingKey> {
        &self.key
    }

    /// How the token's times compare with the present.
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

/// Why [`verify`] could not vouch for a token.
#[derive(Clone, Debug, Eq, PartialEq)]
// Closed on purpose: each caller decides about every case.
pub enum Unverified {
    /// The token is bad, whatever else may become known.
    Invalid(InvalidToken),
    /// Its key is not known here. Nothing the token says is certain, but nothing it says is wrong.
    UnknownKey(UnknownKey),
}

impl From<InvalidToken> for Unverified {
    fn from(reason: InvalidToken) -> Self {
        Self::Invalid(reason)
    }
}

/// Checks everything about a token but its time: form, category, key, `typ`, `alg`, signature,
/// `sub`, `aud`, `azp`, `iss`, the types of its dates and the form of its organization claims, in
/// this order.
///
/// The signature comes before all claims, so that the reason never tells a forger more than that.
///
/// # Errors
///
/// [`Unverified::Invalid`] with the first check that fails, or [`Unverified::UnknownKey`] when there
/// is no key to check with and the claims, taken at their word, would pass.
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

/// A token whose key is not here. One that no key could make good is bad.
fn unknown(header: &Header<'_>, claims: &Claims<'_>, expect: &Expectations) -> Unverified {
    let unknown = UnknownKey::of(header, claims, expect);
    unknown.map_or(InvalidToken::UnknownKey.into(), Unverified::UnknownKey)
}

/// The key that signed a token, whatever else the token says and whether or not it is still good.
///
/// # Errors
///
/// [`InvalidToken`], when the token has no form, or none of the keys signed it with RS256.
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
