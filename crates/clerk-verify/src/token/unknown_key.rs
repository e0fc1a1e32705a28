//! A token whose key is unknown.

use std::time::Duration;

use super::InvalidToken;
use super::claims::Claims;
use super::expectations::{Expectations, Timing, check_claims, check_header, timing};
use super::jws::Header;
use crate::clock::Timestamp;
use crate::id::KeyId;

/// The unverified claims of a token whose key is missing from the key set.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct UnknownKey {
    /// The unknown `kid`.
    pub key_id: Option<KeyId>,
    /// The unverified `iat`.
    pub issued_at: Option<Timestamp>,
    not_before: Option<Timestamp>,
    expires_at: Timestamp,
    /// True when a key without a `kid` was tried and did not make the signature.
    tried: bool,
}

impl UnknownKey {
    /// Reads the times of a token; `None` when no key could make it valid.
    pub(crate) fn of(
        header: &Header<'_>,
        claims: &Claims<'_>,
        expect: &Expectations,
    ) -> Option<Self> {
        // A token without a `kid` needs a key from the configuration; a refresh never adds one.
        let kid = header.kid()?;
        check_header(header, expect).ok()?;
        let times = check_claims(claims, expect).ok()?;
        Some(Self {
            key_id: Some(KeyId::from(kid)),
            issued_at: times.issued_at,
            not_before: times.not_before,
            expires_at: times.expires_at,
            tried: false,
        })
    }

    /// Marks that a key without a `kid` was tried.
    pub(crate) fn after_a_try(self) -> Self {
        Self { tried: true, ..self }
    }

    /// Returns the reason of Clerk's SDK for rejecting the token, when its key stays unknown.
    #[must_use]
    pub fn reason(&self) -> InvalidToken {
        if self.tried { InvalidToken::Signature } else { InvalidToken::UnknownKey }
    }

    /// Compares the unverified times with `now`. `leeway` is the allowed difference between the
    /// clocks.
    #[must_use]
    pub fn timing(&self, now: Timestamp, leeway: Duration) -> Timing {
        timing(self.expires_at, self.not_before, self.issued_at, now, leeway)
    }
}
