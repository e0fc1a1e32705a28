//! Machine tokens: API keys, machine-to-machine tokens and OAuth access tokens.
//!
//! [`TokenKind::of`] determines the kind. [`verify`] verifies a JWT locally. Only Clerk's Backend
//! API can resolve an opaque token: [`MachineQuestion`] is the request to send, and [`MachineQuestion::answer`]
//! parses the response. This module makes no authorization decision.

mod jwt;
mod remote;

use serde_json::{Map, Value};

pub use jwt::{unknown_key, verify};
pub use remote::MachineQuestion;

use crate::clock::{ClaimsTime, Timestamp};
use crate::id::KeyId;
use crate::token::{InvalidToken, TokenKind};

/// The facts about a machine token, from its claims or from the Backend API.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MachineToken {
    /// The kind of the token.
    pub kind: TokenKind,
    /// The token's id, such as `mt_…`; empty for a JWT without `jti`.
    pub id: String,
    /// The id of the user, organisation or machine that the token represents.
    pub subject: String,
    /// The id of the OAuth client that received the token.
    pub client_id: Option<String>,
    /// The name of an API key.
    pub name: Option<String>,
    /// The scopes that the token grants.
    pub scopes: Vec<String>,
    /// Custom claims of the token's issuer.
    pub claims: Option<Map<String, Value>>,
    /// True when the token is revoked. Always false for a JWT, which does not contain this fact.
    pub revoked: bool,
    /// True when the token has expired.
    pub expired: bool,
    /// When the token expires; `None` for a token that never expires.
    pub expires_at: Option<Timestamp>,
    /// When the token was created.
    pub created_at: Option<Timestamp>,
    /// The time that dates the token's facts.
    pub claims_as_of: ClaimsTime,
    /// The fingerprint of the key that signed the token; `None` for an opaque token.
    pub signed_by: Option<KeyId>,
}

impl MachineToken {
    /// Returns true when the token is neither revoked nor expired. Check this after every
    /// [`MachineQuestion::answer`].
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.revoked && !self.expired
    }
}

/// Why a machine token is not accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// The text is not a machine token, or Clerk does not accept the token.
    #[error("the machine token is not valid")]
    Invalid,
    /// The JWT fails verification.
    #[error("the machine token does not verify: {0}")]
    Unverified(InvalidToken),
    /// Clerk rejected the secret key that authorizes the request.
    #[error("Clerk refuses the secret key; copy it again from the API keys page of the dashboard")]
    SecretKey,
    /// The Backend API gave no usable response. The validity of the token is unknown.
    #[error("Clerk did not confirm whether the machine token is valid")]
    Unanswered,
}

impl MachineError {
    /// Returns a stable code, equal to the code of Clerk's backend SDK.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Invalid => "token-invalid",
            Self::Unverified(_) => "token-verification-failed",
            Self::SecretKey => "secret-key-invalid",
            Self::Unanswered => "unexpected-error",
        }
    }
}
