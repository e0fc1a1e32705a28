//! Reasons why a request is signed out or needs a handshake.

use std::borrow::Cow;

use crate::machine::MachineError;
use crate::token::{InvalidToken, TokenKind};

/// Why a request is not signed in. [`code`](Self::code) is the string that Clerk's SDK uses for the
/// same case.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// `__client_uat` indicates a signed-in client, but there is no session token.
    ClientUatWithoutToken,
    /// The instance is for development, and the browser has no development token yet.
    DevBrowserMissing,
    /// The instance is for development, and the address contains a development token.
    DevBrowserSync,
    /// The primary application of a development instance redirects back to a satellite.
    PrimaryRespondsToSyncing,
    /// The referrer of a page of this primary application is another origin.
    CrossOriginSync,
    /// The satellite has not asked its primary application yet.
    SatelliteNeedsSyncing,
    /// There is neither a session token nor a sign of a signed-in client.
    NoTokenAndNoUat,
    /// The handshake result contains no session token.
    TokenMissing,
    /// The session token has expired and was not renewed, for the contained reason.
    TokenExpired(RefreshDenial),
    /// The session token is older than the client's last change.
    TokenBeforeClientUat,
    /// The session token is not valid yet.
    TokenNotYet,
    /// The session token's `iat` is in the future.
    TokenFromFuture,
    /// There is a session token, but `__client_uat` is missing or zero.
    TokenWithoutClientUat,
    /// The address names another organisation than the session.
    OrganizationMismatch,
    /// The session's claims are older than a change that affects them. Clerk's SDK has no such
    /// case.
    StaleClaims,
    /// The request to a satellite comes from the origin of the sign-in page, which must be another
    /// one. Clerk's SDK throws an error here.
    SignInAtSatellite,
    /// The token is invalid.
    Token(InvalidToken),
    /// The token could not be verified because keys are missing.
    Keys(KeyFailure),
    /// Only tokens of this kind are accepted, and the `Authorization` field contains none.
    NoTokenInHeader(TokenKind),
    /// The token is not of the one accepted kind; `None` when several kinds are accepted.
    OtherKind(Option<TokenKind>),
    /// A machine token of this kind is not accepted, or could not be verified.
    Machine(TokenKind, MachineError),
}

impl Reason {
    /// Returns the reason as Clerk's SDK spells it.
    #[must_use]
    pub fn code(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::ClientUatWithoutToken => "client-uat-but-no-session-token",
            Self::DevBrowserMissing => "dev-browser-missing",
            Self::DevBrowserSync => "dev-browser-sync",
            Self::PrimaryRespondsToSyncing => "primary-responds-to-syncing",
            Self::CrossOriginSync => "primary-domain-cross-origin-sync",
            Self::SatelliteNeedsSyncing => "satellite-needs-syncing",
            Self::NoTokenAndNoUat => "session-token-and-uat-missing",
            Self::TokenMissing => "session-token-missing",
            Self::TokenExpired(denial) => {
                return Cow::Owned(format!("session-token-expired-refresh-{}", denial.code()));
            }
            Self::TokenBeforeClientUat => "session-token-iat-before-client-uat",
            Self::TokenNotYet => "session-token-nbf",
            Self::TokenFromFuture => "session-token-iat-in-the-future",
            Self::TokenWithoutClientUat => "session-token-but-no-client-uat",
            Self::OrganizationMismatch => "active-organization-mismatch",
            Self::StaleClaims => "session-token-outdated",
            Self::SignInAtSatellite => "sign-in-url-at-satellite",
            Self::Token(reason) => reason.code(),
            Self::Keys(failure) => failure.code(),
            Self::NoTokenInHeader(_) => "No token in header",
            Self::OtherKind(_) => InvalidToken::Kind.code(),
            Self::Machine(_, error) => error.code(),
        })
    }

    /// Returns the kind of token that the reason concerns; `None` when the token is of a kind that
    /// is not accepted.
    #[must_use]
    pub const fn kind(&self) -> Option<TokenKind> {
        match self {
            Self::NoTokenInHeader(kind) | Self::Machine(kind, _) => Some(*kind),
            Self::OtherKind(kind) => *kind,
            _ => Some(TokenKind::Session),
        }
    }
}

/// Why no keys are available to verify a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum KeyFailure {
    /// Clerk responded, but not with keys.
    NotLoaded,
    /// Clerk rejected the secret key.
    SecretKeyInvalid,
    /// Clerk was unreachable, or its response could not be parsed.
    Unreachable,
}

impl KeyFailure {
    const fn code(self) -> &'static str {
        match self {
            Self::NotLoaded => "jwk-remote-failed-to-load",
            Self::SecretKeyInvalid => "secret-key-invalid",
            Self::Unreachable => "unexpected-error",
        }
    }
}

/// Why an expired session token was not renewed.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RefreshDenial {
    /// Only `GET` requests are renewed.
    NotGet,
    /// There is no refresh cookie.
    NoCookie,
    /// The Backend API is not configured.
    NoBackendApi,
    /// The expired token does not name its session.
    NoSessionId,
    /// The Backend API could not be reached.
    Unreachable,
    /// The Backend API rejected the request with this error code.
    Refused(String),
    /// The Backend API returned neither cookies nor an error code.
    Unexpected,
    /// The response contained no cookies.
    Empty,
    /// The new token does not verify.
    InvalidToken,
    /// The new token was signed with an unknown key.
    UnknownKey,
}

impl RefreshDenial {
    /// Maximum length of an error code in bytes.
    const MAX_CODE: usize = 64;

    /// Creates the denial for an error code of the Backend API. The code becomes part of an
    /// address, so a text that does not have the form of a code is replaced.
    #[must_use]
    pub fn of_api_error(code: &str) -> Self {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        match code {
            "unexpected_error" => Self::Unreachable,
            _ if code.is_empty() || code.len() > Self::MAX_CODE => Self::Unexpected,
            _ if code.bytes().all(plain) => Self::Refused(code.to_owned()),
            _ => Self::Unexpected,
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::NotGet => "non-eligible-non-get",
            Self::NoCookie => "non-eligible-no-refresh-cookie",
            Self::NoBackendApi => "missing-api-client",
            Self::NoSessionId => "expired-session-token-missing-sid-claim",
            Self::Unreachable => "fetch-error",
            Self::Refused(code) => code,
            Self::Unexpected => "unexpected-bapi-error",
            Self::Empty => "unexpected-sdk-error",
            Self::InvalidToken | Self::UnknownKey => "invalid-session-token",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_valid_error_codes_are_passed_on() {
        let code = |code: &str| Reason::TokenExpired(RefreshDenial::of_api_error(code)).code();
        assert_eq!(code("a_b"), "session-token-expired-refresh-a_b");
        let other = "session-token-expired-refresh-unexpected-bapi-error";
        for odd in ["", "a b", "a\r\nb", "\u{e9}", &"a".repeat(65)] {
            assert_eq!(code(odd), other, "{odd:?}");
        }
    }
}
