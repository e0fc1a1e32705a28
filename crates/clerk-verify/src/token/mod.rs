//! Clerk's tokens: where one is found in a request, what it says, and whether to believe it.
//!
//! A token goes through three hands. [`locate`] finds it in the header fields,
//! [`verify`](crate::verify::verify) checks its signature and every claim that does not depend on the
//! time, and [`Verified::timing`](crate::verify::Verified::timing) compares its times with the
//! present. The parts are kept apart because the first two have the same result for
//! as long as the token lives, so they are done once, and only the third is done for each request.

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

/// Why a token is refused. [`code`](Self::code) is stable, and equal to the reason that Clerk's own
/// SDK gives.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidToken {
    /// Not three parts of base64url with JSON in the first two; or not a token for this use.
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
    /// The key that the `kid` names is published, but cannot verify RS256: another type of key
    /// (EC, OKP, symmetric), another use. No refresh of the keys makes such a token good.
    #[error("the token names a key that cannot verify it")]
    UnfitKey,
    /// The `azp` is not among the authorized parties.
    #[error("the token was issued to another application")]
    AuthorizedParty,
    /// The `iss` is not this instance.
    #[error("the token was issued by another instance")]
    Issuer,
    /// A required claim is missing or has the wrong type, or the audience is another.
    #[error("a claim of the token is missing or wrong")]
    Claim,
    /// The token's time is over.
    #[error("the token has expired")]
    Expired,
    /// The token's time has not come.
    #[error("the token is not valid yet")]
    NotYet,
    /// The token claims to have been issued later than now.
    #[error("the token was issued in the future")]
    IssuedInFuture,
    /// A machine token, a JWT template or another kind of token where a session token belongs.
    #[error("the token is not a session token")]
    Kind,
}

impl InvalidToken {
    /// A stable name for logs, metrics and clients, as `token-invalid-signature`.
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
