//! [`Rejection`], the reason why a request does not pass, and its status, codes and text.

use clerk_verify::access::Reverification;
use clerk_verify::token::InvalidToken;
use http::StatusCode;

use super::grace::GraceDenial;

/// The reason why a request does not pass: a status, a stable code and a sentence for users.
///
/// The layer inserts the rejection into the extensions of its response. Outer layers can read it
/// there to count and log.
///
/// | rejection | status | [`code`](Self::code) | `Retry-After` |
/// |---|---|---|---|
/// | [`Missing`](Self::Missing) | 401 | `authentication_required` | |
/// | [`SignIn`](Self::SignIn) | 307 | `authentication_required` | |
/// | [`Invalid`](Self::Invalid), [`Revoked`](Self::Revoked), [`NoMember`](Self::NoMember), [`Pending`](Self::Pending) | 401 | `invalid_token` | |
/// | [`HandshakeLoop`](Self::HandshakeLoop) | 401 | `sign_in_loop` | |
/// | [`Forbidden`](Self::Forbidden) | 403 | `insufficient_permission` | |
/// | [`Reverify`](Self::Reverify) | 403 | `reverification_required` | |
/// | [`Unavailable`](Self::Unavailable) | 503 | `authentication_unavailable` | 10–30 s; 5–8 s if uncertain |
/// | [`FreshRequired`](Self::FreshRequired) | 503 | `step_up_unavailable` | 10–30 s |
/// | [`ProfileUnavailable`](Self::ProfileUnavailable) | 503 | `profile_unavailable` | 5–8 s |
/// | [`LayerMissing`](Self::LayerMissing) | 500 | `authentication_layer_missing` | |
///
/// Codes and [reasons](Self::reason) are stable: clients and dashboards may compare them. A 401 or
/// 403 has a `WWW-Authenticate` challenge (RFC 6750; RFC 9470 for `Reverify`). A 503 has none, so
/// that no client treats it as a sign-out.
///
/// # Examples
///
/// A layer outside of this one that counts rejections by reason:
///
/// ```
/// use axum::response::Response;
/// use clerk_resilience::Rejection;
///
/// async fn count(response: Response) -> Response {
///     if let Some(rejection) = response.extensions().get::<Rejection>() {
///         println!("rejected: {} ({})", rejection.reason(), rejection.status());
///     }
///     response
/// }
/// # let _ = axum::Router::<()>::new().layer(axum::middleware::map_response(count));
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Rejection {
    /// The request has no token.
    Missing,
    /// The request has no token, and the browser is redirected to the sign-in page.
    SignIn,
    /// The token is invalid.
    Invalid(InvalidToken),
    /// The session is revoked in this application.
    Revoked,
    /// The token's organisation, or the user's membership in it, has ended.
    NoMember,
    /// The session is pending: Clerk requires tasks before the session is active.
    Pending,
    /// The session lacks a role, permission, feature or plan.
    Forbidden,
    /// The user must verify again, at this level.
    Reverify(Reverification),
    /// The layer cannot verify the request now.
    Unavailable(Unavailable),
    /// The handler requires a session that is not in grace or has newer claims, and Clerk cannot
    /// renew it now.
    FreshRequired,
    /// The browser returned from Clerk several times without a session.
    HandshakeLoop(LoopCause),
    /// The handler requires the user's profile, and the look-up failed.
    ProfileUnavailable,
    /// The route has no authentication layer: a mistake in the application.
    LayerMissing,
}

/// What prevents a browser from returning from Clerk with a session. After three returns without
/// success within five minutes, the page names this cause instead of redirecting again.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum LoopCause {
    /// Fresh tokens look expired or not yet valid to this host's clock. Synchronize it (NTP); the
    /// leeway is 5 s by default.
    Clock,
    /// Tokens from Clerk were signed for another instance. Copy publishable and secret key from the
    /// same page of the Clerk dashboard.
    Keys,
    /// Fresh tokens do not name an authorized party of this application.
    Party,
    /// The browser does not send the cookies that Clerk sets: it blocks them, or the application
    /// runs on another domain than Clerk expects.
    Cookies,
}

/// Why the layer cannot verify a request. Each case is a 503, because the credential may be valid.
/// The client keeps its session and repeats the request after `Retry-After`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Unavailable {
    /// Clerk is down, and the request has no session.
    Outage,
    /// Clerk is down, the session's token has expired, and a condition of grace is not met.
    GraceDenied(GraceDenial),
    /// Clerk fails, or its state is not known yet. The state is usually known within seconds.
    Uncertain,
    /// The token's key is unknown, and the key refresh failed.
    UnknownKey,
    /// No usable keys are loaded: Clerk was never reached and no key was saved or pinned, or Clerk
    /// confirmed the keys more than 7 days ago.
    NoKeys,
    /// Clerk's Backend API did not verify an opaque token: it is down, it timed out, or the rate
    /// limit of this application's calls is reached.
    BackendApi,
    /// Clerk rejects the secret key of this application.
    SecretKeyRefused,
    /// No secret key is configured, so the layer cannot call Clerk's Backend API.
    NoSecretKey,
    /// Clerk read the token's claims (`oiat`) before a revocation, or longer ago than the route
    /// allows, and signed them later. Only newer claims can show the current state.
    StaleClaims,
    /// A browser prefetches a page, and the response would be a redirect.
    Prefetch,
}

impl Rejection {
    /// Returns the HTTP status of the response: 401, 403, 500 or 503, or 307 for the redirect to
    /// the sign-in page.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Missing
            | Self::Invalid(_)
            | Self::Revoked
            | Self::NoMember
            | Self::Pending
            | Self::HandshakeLoop(_) => StatusCode::UNAUTHORIZED,
            Self::SignIn => StatusCode::TEMPORARY_REDIRECT,
            Self::Forbidden | Self::Reverify(_) => StatusCode::FORBIDDEN,
            Self::Unavailable(_) | Self::FreshRequired | Self::ProfileUnavailable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::LayerMissing => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns a stable code for programs, such as `invalid_token`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Missing | Self::SignIn => "authentication_required",
            Self::Invalid(_) | Self::Revoked | Self::NoMember | Self::Pending => "invalid_token",
            Self::HandshakeLoop(_) => "sign_in_loop",
            Self::Forbidden => "insufficient_permission",
            Self::Reverify(_) => "reverification_required",
            Self::Unavailable(_) => "authentication_unavailable",
            Self::FreshRequired => "step_up_unavailable",
            Self::ProfileUnavailable => "profile_unavailable",
            Self::LayerMissing => "authentication_layer_missing",
        }
    }

    /// Returns the stable detailed reason for logs and metrics, such as `token-expired`.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Missing | Self::SignIn => "session-token-missing",
            Self::Invalid(reason) => reason.code(),
            Self::Revoked => "session-revoked",
            Self::NoMember => "no-member",
            Self::Pending => "session-pending",
            Self::Forbidden => "insufficient-permission",
            Self::Reverify(_) => "reverification-required",
            Self::Unavailable(Unavailable::Outage) => "outage",
            Self::Unavailable(Unavailable::GraceDenied(denial)) => denial.code(),
            Self::Unavailable(Unavailable::Uncertain) => "uncertain",
            Self::Unavailable(Unavailable::UnknownKey) => "unknown-key",
            Self::Unavailable(Unavailable::NoKeys) => "no-keys",
            Self::Unavailable(Unavailable::BackendApi) => "backend-api",
            Self::Unavailable(Unavailable::SecretKeyRefused) => "secret-key-invalid",
            Self::Unavailable(Unavailable::NoSecretKey) => "secret-key-missing",
            Self::Unavailable(Unavailable::StaleClaims) => "stale-claims",
            Self::Unavailable(Unavailable::Prefetch) => "prefetch",
            Self::FreshRequired => "fresh-required",
            Self::HandshakeLoop(LoopCause::Clock) => "handshake-loop-clock",
            Self::HandshakeLoop(LoopCause::Keys) => "handshake-loop-keys",
            Self::HandshakeLoop(LoopCause::Party) => "handshake-loop-party",
            Self::HandshakeLoop(LoopCause::Cookies) => "handshake-loop-cookies",
            Self::ProfileUnavailable => "profile-unavailable",
            Self::LayerMissing => "layer-missing",
        }
    }

    /// Returns a sentence for users. The sentence names no host, key or session.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Missing | Self::SignIn => "Sign in to use this.",
            Self::Invalid(InvalidToken::Expired) => "The session token has expired; get a new one.",
            Self::Invalid(_) => "The session token is not valid here.",
            Self::Revoked => "The session has ended; sign in again.",
            Self::NoMember => {
                "The session token is for an organisation that its user does not belong to any more; get a new one."
            }
            Self::Pending => "The session has tasks to complete first.",
            Self::Forbidden => "The session lacks a role or permission that this needs.",
            Self::Reverify(_) => "This needs a recent proof of who you are; verify again.",
            Self::Unavailable(_) => {
                "Authentication is currently unavailable. You are not signed out; try again shortly."
            }
            Self::FreshRequired => {
                "This needs a freshly renewed session, which is currently unavailable. You are not signed out; try again shortly."
            }
            Self::ProfileUnavailable => {
                "Who you are cannot be looked up at the moment. You are not signed out; try again shortly."
            }
            Self::HandshakeLoop(LoopCause::Clock) => {
                "The clock of this server does not agree with that of the sign-in service, so every new session looks expired or not yet valid. Whoever runs this site has to set the clock right."
            }
            Self::HandshakeLoop(LoopCause::Keys) => {
                "This server is configured with keys of another instance than the one that signs visitors in. Whoever runs this site has to set that right."
            }
            Self::HandshakeLoop(LoopCause::Party) => {
                "Signing in did not work, several times in a row: the sign-in service does not say that the session is for this server, and the server is configured to insist on it (authorized parties)."
            }
            Self::HandshakeLoop(LoopCause::Cookies) => {
                "The cookies that keep you signed in do not reach this server. Allow cookies for this site in your browser, then try again. If they are allowed, the site may be set up for another domain, and whoever runs it has to set that right."
            }
            Self::LayerMissing => {
                "The server is misconfigured: this route is not behind its authentication layer."
            }
        }
    }

    /// Returns the range of `Retry-After` in seconds, or `None` if a retry does not help.
    #[must_use]
    pub const fn retry_after(self) -> Option<(u32, u32)> {
        match self {
            Self::Unavailable(Unavailable::Uncertain) | Self::ProfileUnavailable => Some((5, 8)),
            Self::Unavailable(_) | Self::FreshRequired => Some((10, 30)),
            _ => None,
        }
    }
}
