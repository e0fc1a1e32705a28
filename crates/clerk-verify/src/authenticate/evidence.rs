//! The inputs for verifying tokens, supplied by the caller.

use std::time::Duration;

use super::reason::{KeyFailure, Reason};
use crate::clock::Timestamp;
use crate::handshake;
use crate::jwks::KeySet;
use crate::machine::{self, MachineError, MachineToken};
use crate::token::{Expectations, InvalidToken, Jws, Peek, Timing};
use crate::verify::{Unverified, Verified, verify};

/// The keys, the expectations and the time.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The instance's keys, or why there are none.
    pub keys: Result<&'a KeySet, KeyFailure>,
    /// The claims that a session token must have.
    pub expect: &'a Expectations,
    /// The present time.
    pub now: Timestamp,
    /// A token that was verified earlier with these keys and expectations, and the result.
    pub verified: Option<(&'a str, &'a Verified)>,
}

impl Evidence<'_> {
    /// Verifies a session token, including its time.
    pub(super) fn session(&self, token: &str) -> Result<Verified, Refusal> {
        self.session_within(token, self.expect.leeway)
    }

    /// Verifies a session token, including its time, with this leeway.
    pub(super) fn session_within(
        &self,
        token: &str,
        leeway: Duration,
    ) -> Result<Verified, Refusal> {
        let verified = match self.verified.filter(|(known, _)| *known == token) {
            Some((_, verified)) => verified.clone(),
            None => self.verify(token)?,
        };
        match verified.timing(self.now, leeway) {
            Timing::Current => Ok(verified),
            Timing::Expired { .. } | Timing::ExpiredForGood => Err(InvalidToken::Expired.into()),
            Timing::NotYet => Err(InvalidToken::NotYet.into()),
            Timing::IssuedInFuture => Err(InvalidToken::IssuedInFuture.into()),
        }
    }

    fn verify(&self, token: &str) -> Result<Verified, Refusal> {
        if Peek::of(token).is_some_and(|peek| !peek.is_session()) {
            return Err(InvalidToken::Kind.into());
        }
        Jws::parse(token)?;
        Ok(verify(token, self.keys?, self.expect)?)
    }

    /// Verifies a machine's JWT, including its time.
    pub(super) fn machine(&self, token: &str) -> Result<MachineToken, MachineError> {
        machine::verify(token, self.keys.unwrap_or(&KeySet::default()), self.expect, self.now)
    }

    /// Verifies a handshake token and returns its `Set-Cookie` values.
    pub(super) fn handshake(&self, token: &str) -> Result<Vec<String>, Refusal> {
        Ok(handshake::verify(token, self.keys?)?.directives)
    }
}

/// Why a token was not accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    Token(InvalidToken),
    /// The token's key is unknown; the reason is the one of Clerk's SDK.
    UnknownKey(InvalidToken),
    Keys(KeyFailure),
}

impl Refusal {
    /// Returns the reason for rejecting a handshake.
    pub(super) fn of_handshake(self) -> Reason {
        match self {
            Self::UnknownKey(_) => Reason::Token(InvalidToken::UnknownKey),
            other => other.into(),
        }
    }

    /// Returns true when only the token's time is wrong, so that a fresh token would be accepted.
    pub(super) fn is_of_time(self) -> bool {
        use InvalidToken::{Expired, IssuedInFuture, NotYet};
        matches!(self, Self::Token(Expired | NotYet | IssuedInFuture))
    }
}

impl From<Refusal> for Reason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Token(reason) | Refusal::UnknownKey(reason) => Self::Token(reason),
            Refusal::Keys(failure) => Self::Keys(failure),
        }
    }
}

impl From<InvalidToken> for Refusal {
    fn from(reason: InvalidToken) -> Self {
        Self::Token(reason)
    }
}

impl From<KeyFailure> for Refusal {
    fn from(failure: KeyFailure) -> Self {
        Self::Keys(failure)
    }
}

impl From<Unverified> for Refusal {
    fn from(unverified: Unverified) -> Self {
        match unverified {
            Unverified::Invalid(reason) => Self::Token(reason),
            Unverified::UnknownKey(unknown) => Self::UnknownKey(unknown.reason()),
        }
    }
}
