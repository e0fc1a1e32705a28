//! A token whose key is not known.

use std::time::Duration;

use super::InvalidToken;
use super::claims::Claims;
use super::expectations::{Expectations, Timing, check_claims, check_header, timing};
use super::jws::Header;
use crate::clock::Timestamp;
use crate::id::KeyId;

/// What a token that could not be verified for want of its key claims about itself.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct UnknownKey {
    /// The `kid` that is not known.
    pub key_id: Option<KeyId>,
    /// The claimed `iat`.
    pub issued_at: Option<Timestamp>,
    not_before: Option<Timestamp>,
    expires_at: Timestamp,
    /// A key without a name was tried, and did not make the signature.
    tried: bool,
}

impl UnknownKey {
    /// `None` when no key could make the token good.
    pub(crate) fn of(
        header: &Header<'_>,
        claims: &Claims<'_>,
        expect: &Expectations,
    ) -> Option<Self> {
        // Keys without a name come with the configuration; no refresh brings one.
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

    /// The same, after a key without a name was tried.
    pub(crate) fn after_a_try(self) -> Self {
        Self { tried: true, ..self }
    }

    /// What the token is refused for where nothing more can become known, as Clerk's SDK names it.
    #[must_use]
    pub fn reason(&self) -> InvalidToken {
        if self.tried { InvalidToken::Signature } else { InvalidToken::UnknownKey }
    }

    /// How the times that the token claims compare with the present.
    #[must_use]
    pub fn timing(&self, now: Timestamp, leeway: Duration) -> Timing {
        timing(self.expires_at, self.not_before, self.issued_at, now, leeway)
    }
}
