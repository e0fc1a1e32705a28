//! Machine tokens: verified locally if signed, or by a Backend API response if opaque.

use std::sync::Arc;

use clerk_verify::clock::Moment;
use clerk_verify::machine::{self, MachineError};
use clerk_verify::token::{InvalidToken, Timing, TokenKind};

use super::backend::MachineLookup;
use super::shared::{Examined, Shared};
use crate::decide::Unavailable;
use crate::state::snapshot::Snapshot;

impl Shared {
    /// Examines a machine token of a kind that the route accepts.
    ///
    /// `told` is the Backend API's response obtained for this request, if any.
    pub(crate) fn examine_machine(
        &self,
        token: &str,
        told: Option<&MachineLookup>,
        known: &Snapshot,
        now: Moment,
    ) -> Examined {
        match TokenKind::of_opaque(token) {
            Some(kind) => self.examine_opaque(token, kind, told),
            None => self.examine_signed(token, known, now),
        }
    }

    fn examine_opaque(
        &self,
        token: &str,
        kind: TokenKind,
        told: Option<&MachineLookup>,
    ) -> Examined {
        let Some(backend) = &self.backend else {
            return Examined::Opaque { kind, untold: Some(Unavailable::NoSecretKey) };
        };
        match told.cloned().or_else(|| backend.told(token)) {
            Some(MachineLookup::Known(token)) => Examined::Machine { token, signed: false },
            Some(MachineLookup::NotAToken) => Examined::Invalid(InvalidToken::Malformed),
            Some(MachineLookup::Unavailable(reason)) => {
                Examined::Opaque { kind, untold: Some(reason) }
            }
            None => Examined::Opaque { kind, untold: None },
        }
    }

    fn examine_signed(&self, token: &str, known: &Snapshot, now: Moment) -> Examined {
        let expect = self.expectations();
        match machine::verify(token, &known.keys.set, expect, now.wall) {
            Ok(token) => Examined::Machine { token: Arc::new(token), signed: true },
            Err(MachineError::Unverified(InvalidToken::UnknownKey)) => {
                self.without_its_key(token, now)
            }
            Err(MachineError::Unverified(reason)) => Examined::Invalid(reason),
            Err(_) => Examined::Invalid(InvalidToken::Malformed),
        }
    }

    /// Examines a token whose key is unknown.
    ///
    /// Only a token that could be valid with a fresh key set causes a key refresh.
    fn without_its_key(&self, token: &str, now: Moment) -> Examined {
        let expect = self.expectations();
        let Ok(unknown) = machine::unknown_key(token, expect) else {
            return Examined::Invalid(InvalidToken::UnknownKey);
        };
        match unknown.timing(now.wall, expect.leeway) {
            Timing::Current => Examined::UnknownKey(unknown, Timing::Current),
            Timing::Expired { .. } | Timing::ExpiredForGood => {
                Examined::Invalid(InvalidToken::Expired)
            }
            Timing::NotYet => Examined::Invalid(InvalidToken::NotYet),
            Timing::IssuedInFuture => Examined::Invalid(InvalidToken::IssuedInFuture),
        }
    }
}
