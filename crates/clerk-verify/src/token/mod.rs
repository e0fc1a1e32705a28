//! Clerk's session tokens: location in a request, parsing of claims, and checks.
//!
//! A token passes three steps. [`locate`] finds it in the header fields.
//! [`verify`](crate::verify::verify) checks its signature and every claim that does not depend on
//! the time. [`Verified::timing`](crate::verify::Verified::timing) compares its times with the
//! present. Verification has the same result while the token lives, so callers can cache it; the
//! timing must be compared for every request.

mod authorization;
mod claims;
mod cookie;
mod decode;
mod expectations;
mod jar;
mod json;
mod jws;
mod kind;
mod locate;
mod organization;
mod peek;
mod scope;
mod session;
mod uat;
mod unknown_key;

pub use cookie::{CookieNames, cookies};
pub use decode::{Decoded, decode};
pub use expectations::{AzpPolicy, EXPIRED_FOR_GOOD, Expectations, Timing};
pub use jws::MAX_TOKEN_BYTES;
pub use kind::{TokenKind, TokenKinds, is_jwt_shaped};
pub use locate::{Located, locate};
pub use organization::Organization;
pub use scope::Scoped;
pub use session::{Actor, ClaimsVersion, Session, SessionStatus};
pub use unknown_key::UnknownKey;

pub(crate) use claims::Claims;
pub use cookie::{cookie, pairs};
pub(crate) use expectations::{
    CATEGORY_MACHINE, check_category, check_claims, check_header, check_session_category, timing,
};
pub(crate) use jar::CookieJar;
pub use jar::refresh_token;
pub(crate) use jws::{Header, Jws, object};
pub(crate) use kind::OAUTH_TYPES;
pub use locate::{bearer, locate_with};
pub(crate) use peek::Peek;
pub(crate) use session::Times;
pub(crate) use uat::leading_number;

/// Why a token is rejected. [`code`](Self::code) is stable and equals the reason of Clerk's backend
/// SDK.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidToken {
    /// The token is not three parts of base64url with JSON in the first two, or is not meant for
    /// this use.
    #[error("the token is malformed")]
    Malformed,
    /// The `alg` is not RS256.
    #[error("the token's algorithm is not RS256")]
    Algorithm,
    /// No key of this instance made the signature.
    #[error("the token's signature is not valid")]
    Signature,
    /// No key of this instance has the token's `kid`.
    #[error("the token was signed with a key that is not this instance's")]
    UnknownKey,
    /// The `kid` names a published key that cannot verify RS256: another key type (EC, OKP,
    /// symmetric) or another use. A refresh of the keys does not make the token valid.
    #[error("the token names a key that cannot verify it")]
    UnfitKey,
    /// The `azp` is not among the authorized parties.
    #[error("the token was issued to another application")]
    AuthorizedParty,
    /// The `iss` does not name this instance.
    #[error("the token was issued by another instance")]
    Issuer,
    /// A required claim is missing or has the wrong type, or the audience does not match.
    #[error("a claim of the token is missing or wrong")]
    Claim,
    /// The token has expired.
    #[error("the token has expired")]
    Expired,
    /// The token is not valid yet, by its `nbf`.
    #[error("the token is not valid yet")]
    NotYet,
    /// The token's `iat` is in the future.
    #[error("the token was issued in the future")]
    IssuedInFuture,
    /// The token is a machine token, a JWT template or another kind where a session token is
    /// required.
    #[error("the token is not a session token")]
    Kind,
}

impl InvalidToken {
    /// Returns a stable code for logs, metrics and clients, such as `token-invalid-signature`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "token-invalid",
            Self::Algorithm => "token-invalid-algorithm",
            Self::Signature => "token-invalid-signature",
            Self::UnknownKey => "jwk-kid-mismatch",
            Self::AuthorizedParty => "token-invalid-authorized-parties",
            Self::Issuer => "token-invalid-issuer",
            Self::Claim | Self::UnfitKey => "token-verification-failed",
            Self::Expired => "token-expired",
            Self::NotYet => "token-not-active-yet",
            Self::IssuedInFuture => "token-iat-in-the-future",
            Self::Kind => "token-type-mismatch",
        }
    }
}
