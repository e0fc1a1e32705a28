//! What tokens are checked with, handed in from outside.

use std::time::Duration;

use super::reason::{KeyFailure, Reason};
use crate::clock::Timestamp;
use crate::handshake;
use crate::jwks::KeySet;
use crate::machine::{self, MachineError, MachineToken};
use crate::token::{Expectations, InvalidToken, Jws, Peek, Timing};
use crate::verify::{Unverified, Verified, verify};

/// Keys, rules and the time.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The instance's keys, or why there are none.
    pub keys: Result<&'a KeySet, KeyFailure>,
    /// What a session token must say.
    pub expect: &'a Expectations,
    /// The time.
    pub now: Timestamp,
    /// A token that was verified with these keys and rules before, and what came of it.
    pub verified: Option<(&'a str, &'a Verified)>,
}

impl Evidence<'_> {
    /// A session token that is good at this time.
    pub(super) fn session(&self, token: &str) -> Result<Verified, Refusal> {
        self.session_within(token, self.expect.leeway)
    }

    /// A session token that is good at this time, give or take.
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

    /// A machine's JWT that is good at this time.
    pub(super) fn machine(&self, token: &str) -> Result<MachineToken, MachineError> {
        machine::verify(token, self.keys.unwrap_or(&KeySet::default()), self.expect, self.now)
    }

    /// The `Set-Cookie` lines of a handshake token.
    pub(super) fn handshake(&self, token: &str) -> Result<Vec<String>, Refusal> {
        Ok(handshake::verify(token, self.keys?)?.directives)
    }
}

/// Why a token was not accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    Token(InvalidToken),
    /// Its key is not known; the reason is the one that Clerk's SDK gives.
    UnknownKey(InvalidToken),
    Keys(KeyFailure),
}

impl Refusal {
    /// The reason why a handshake was not believed.
    pub(super) fn of_handshake(self) -> Reason {
        match self {
            Self::UnknownKey(_) => Reason::Token(InvalidToken::UnknownKey),
            other => other.into(),
        }
    }

    /// The refusal of a token whose time alone is wrong, which a fresh token would cure.
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
