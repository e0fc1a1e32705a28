//! Machine tokens: API keys, machine-to-machine tokens and OAuth access tokens.
//!
//! The kind is told by [`TokenKind::of`]. A JWT is verified here and now, with [`verify`]; what an
//! opaque token stands for only Clerk's Backend API knows: [`Question`] is what to ask it, and
//! [`Question::answer`] reads what it says. Nothing here decides who may do what.

mod jwt;
mod remote;

use serde_json::{Map, Value};

pub use jwt::{unknown_key, verify};
pub use remote::Question;

use crate::clock::{ClaimsTime, Timestamp};
use crate::id::KeyId;
use crate::token::{InvalidToken, TokenKind};

/// What a machine token stands for.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MachineToken {
    /// Which kind.
    pub kind: TokenKind,
    /// The token's id, as `mt_…`; empty for a JWT without `jti`.
    pub id: String,
    /// Whom it stands for: a user, an organisation or a machine.
    pub subject: String,
    /// The OAuth client it was issued to.
    pub client_id: Option<String>,
    /// The name that an API key was given.
    pub name: Option<String>,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// The claims that are its issuer's own.
    pub claims: Option<Map<String, Value>>,
    /// True when it was revoked. A JWT cannot tell.
    pub revoked: bool,
    /// True when its time is over.
    pub expired: bool,
    /// Until when it is good; `None` for ever.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// The time that dates what it says.
    pub claims_as_of: ClaimsTime,
    /// The fingerprint of the key that signed it. `None` for an opaque token.
    pub signed_by: Option<KeyId>,
}

impl MachineToken {
    /// True when it is neither revoked nor expired. Ask this of every answer of the Backend API.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.revoked && !self.expired
    }
}

/// Why a machine token is not accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// Not a machine token, or none that Clerk knows.
    #[error("the machine token is not valid")]
    Invalid,
    /// A JWT that does not verify.
    #[error("the machine token does not verify: {0}")]
    Unverified(InvalidToken),
    /// Clerk refuses the secret key that the question was asked with.
    #[error("Clerk refuses the secret key; copy it again from the API keys page of the dashboard")]
    SecretKey,
    /// Clerk did not answer the question. It says nothing about the token.
    #[error("Clerk could not tell whether the machine token is valid")]
    Unanswered,
}

impl MachineError {
    /// A stable name, equal to the code that Clerk's own SDK gives.
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
