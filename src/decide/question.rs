//! The input of [`decide`](super::decide): the credential, the request's facts, the configuration.

use std::sync::Arc;
use std::time::Duration;

use clerk_verify::machine::MachineToken;
use clerk_verify::token::{InvalidToken, Timing, TokenKind, UnknownKey};
use clerk_verify::verify::Verified;

use super::{Sighting, Unavailable, Usage};
use crate::decide::policy::GracePolicy;

/// The credential of a request, as the layer examined it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Credential<'a> {
    /// The request has no token.
    Absent,
    /// A token that is invalid at any time.
    Invalid(InvalidToken),
    /// A token that an unknown key signed.
    UnknownKey {
        /// The unverified claims.
        token: &'a UnknownKey,
        /// The claimed times, compared with the current time.
        timing: Timing,
    },
    /// A token with a valid signature and valid claims. `sighting` and `usage` matter only if the
    /// token has expired.
    Verified {
        /// The verified token.
        token: &'a Verified,
        /// The token's times, compared with the current time.
        timing: Timing,
        /// The stored record of when this application last saw the session valid.
        sighting: Option<Sighting>,
        /// Recent use of grace by the session.
        usage: Usage,
    },
    /// A verified machine token.
    Machine {
        /// The machine that the token represents.
        token: &'a Arc<MachineToken>,
        /// True for a JWT that the known keys verify. False for an opaque token, which Clerk's
        /// Backend API verified.
        signed: bool,
    },
    /// An opaque machine token, which only Clerk's Backend API can verify.
    Opaque {
        /// The kind of the token.
        kind: TokenKind,
        /// Why the Backend API did not verify the token; `None` before the layer asks.
        untold: Option<Unavailable>,
    },
}

/// Facts of a request that the decision depends on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct RequestFacts {
    /// The kind of client that receives the response.
    pub reader: ClientKind,
    /// True for `GET`, `HEAD` and `OPTIONS` that are no upgrade. A WebSocket is not a safe request.
    pub safe: bool,
    /// True if a page of the same origin sent the request, by `Sec-Fetch-Site` or `Origin`.
    pub same_origin: bool,
    /// True for a CORS preflight. A preflight carries no credentials, so it never reaches a
    /// protected route.
    pub preflight: bool,
    /// True if the path is configured as public.
    pub public: bool,
    /// True if a redirect to the sign-in page is allowed. A sign-in page is configured, the request
    /// is not for it, and the number of redirects is below the limit.
    pub may_sign_in: bool,
    /// True for a page request that the layer may redirect to Clerk's handshake.
    pub visit: bool,
    /// True after the request has waited for fresh keys; it does not wait for them again.
    pub settled: bool,
}

/// The kind of client that receives a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientKind {
    /// A program, a form or a script in a page. It gets problem details (RFC 9457) and is never
    /// redirected.
    Api,
    /// A browser that navigates to a page, by `Sec-Fetch-Dest`, else by an `Accept` that begins
    /// with `text/html`. It gets a page, or a redirect.
    Document,
}

/// The configuration of the decision.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The conditions of grace.
    pub grace: GracePolicy,
    /// Maximum time since Clerk last confirmed the keys, for any verification. Default 7 days.
    pub max_key_age: Duration,
    /// Maximum time since Clerk last confirmed the keys, for grace. Default 24 hours.
    pub max_grace_key_age: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            grace: GracePolicy::disabled(),
            max_key_age: Duration::from_secs(7 * 24 * 60 * 60),
            max_grace_key_age: Duration::from_secs(24 * 60 * 60),
        }
    }
}
