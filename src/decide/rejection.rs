//! Why a request does not pass.

use clerk_verify::access::Reverification;
use clerk_verify::token::InvalidToken;
use http::StatusCode;

use super::grace::GraceDenial;

/// Why a request does not pass: a status, a stable code, and a sentence for the public.
///
/// The layer puts it into the extensions of the response it makes, so that outer layers can count
/// and log it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Rejection {
    /// There is no token.
    Missing,
    /// There is no token, and there is a page to get one on.
    SignIn,
    /// The token is bad.
    Invalid(InvalidToken),
    /// The session was revoked here.
    Revoked,
    /// The token's organisation is over, or its user's membership in it.
    NoMember,
    /// The session has tasks to do before it counts as signed in.
    Pending,
    /// The session lacks a role or permission.
    Forbidden,
    /// The user must prove again who they are, in this way.
    Reverify(Reverification),
    /// It cannot be told whether the request should pass.
    Unavailable(Unavailable),
    /// The handler wants a session that was renewed, and Clerk cannot renew it now.
    FreshRequired,
    /// The visitor came back from Clerk again and again without a session.
    HandshakeLoop(LoopCause),
    /// The handler wants to know who the user is, and that cannot be told now.
    ProfileUnavailable,
    /// The route is not behind the layer: a fault of the application.
    LayerMissing,
}

/// What keeps a browser from coming back from Clerk with a session.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum LoopCause {
    /// Fresh tokens are out of their time here.
    Clock,
    /// What Clerk sends was not signed for this instance.
    Keys,
    /// Fresh tokens are not made for this application.
    Party,
    /// The cookies that Clerk sets do not come back.
    Cookies,
}

/// Why it cannot be told whether a request should pass.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Unavailable {
    /// Clerk is down, and there is no session.
    Outage,
    /// Clerk is down, the session's token has expired, and a condition of grace fails.
    GraceDenied(GraceDenial),
    /// Clerk fails, or nothing is known of it yet; soon more will be.
    Uncertain,
    /// The token's key is not known, and the keys could not be refreshed.
    UnknownKey,
    /// There are no usable keys.
    NoKeys,
    /// Clerk's Backend API did not tell what an opaque token stands for: it is down, it took too
    /// long, or it was asked too much already.
    BackendApi,
    /// Clerk refuses the secret key of this application.
    SecretKeyRefused,
    /// There is no secret key to ask Clerk's Backend API with.
    NoSecretKey,
    /// Clerk read the token's claims (`oiat`) before a revocation, or longer ago than the route
    /// allows, and signed them later. Only newer claims can show what holds now.
    StaleClaims,
    /// A browser loads the page ahead of a visit, and the page would be a redirect.
    Prefetch,
}

impl Rejection {
    /// The status of the answer.
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

    /// A stable code for programs, as `invalid_token`.
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

    /// The detailed reason, for logs and metrics, as `token-expired`.
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

    /// A sentence for the public. It names no host, no key and no session.
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

    /// Within how many seconds it makes sense to ask again, from and to.
    #[must_use]
    pub const fn retry_after(self) -> Option<(u32, u32)> {
        match self {
            Self::Unavailable(Unavailable::Uncertain) | Self::ProfileUnavailable => Some((5, 8)),
            Self::Unavailable(_) | Self::FreshRequired => Some((10, 30)),
            _ => None,
        }
    }
}
