//! What is judged: the credential, the request's facts, the configuration.

use std::sync::Arc;
use std::time::Duration;

use clerk_verify::machine::MachineToken;
use clerk_verify::token::{InvalidToken, Timing, TokenKind, UnknownKey};
use clerk_verify::verify::Verified;

use super::{Sighting, Unavailable, Usage};
use crate::decide::policy::GracePolicy;

/// What a request offers as proof of who sends it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Credential<'a> {
    /// No token.
    Absent,
    /// A token that is bad whatever the time.
    Invalid(InvalidToken),
    /// A token whose key is not known.
    UnknownKey {
        /// What it claims.
        token: &'a UnknownKey,
        /// The times that it claims against the present.
        timing: Timing,
    },
    /// A token with a good signature and good claims. `sighting` is what the ledger has of its
    /// session, and `usage` how it used grace; they are only needed when the token is expired.
    Verified {
        /// The token.
        token: &'a Verified,
        /// Its times against the present.
        timing: Timing,
        /// What the ledger has of its session.
        sighting: Option<Sighting>,
        /// How its session used grace lately.
        usage: Usage,
    },
    /// A machine's token, and what it stands for.
    Machine {
        /// What it stands for.
        token: &'a Arc<MachineToken>,
        /// It is a JWT, good and within its time by the keys that are known. Of any other, Clerk's
        /// Backend API has told.
        signed: bool,
    },
    /// A machine's token of which only Clerk's Backend API can tell what it stands for.
    Opaque {
        /// Its kind.
        kind: TokenKind,
        /// Why the Backend API has not told, when asking is no longer an option.
        untold: Option<Unavailable>,
    },
}

/// The facts of a request that matter to the judgement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct RequestFacts {
    /// Who reads the answer.
    pub reader: ClientKind,
    /// `GET`, `HEAD` or `OPTIONS`, and no upgrade: a WebSocket is no mere reading.
    pub safe: bool,
    /// The request comes from a page of the same origin, by `Sec-Fetch-Site` or `Origin`.
    pub same_origin: bool,
    /// A CORS preflight. It never carries credentials, so it never reaches a protected route.
    pub preflight: bool,
    /// The path is one of those that were named public.
    pub public: bool,
    /// There is a page to sign in on, it is not the one that is asked for, and the visitor was not
    /// sent there again and again.
    pub may_sign_in: bool,
    /// A page that can be sent to Clerk for a fresh session.
    pub visit: bool,
    /// Waiting for fresh keys is no longer an option: it was tried.
    pub settled: bool,
}

/// Who reads the answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientKind {
    /// A program.
    Api,
    /// A person, in a browser, by navigating to a page.
    Document,
}

/// The configuration of the judgement.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The bounds of grace.
    pub grace: GracePolicy,
    /// Keys that Clerk last confirmed longer ago verify nothing. Default 7 days.
    pub max_key_age: Duration,
    /// Keys that Clerk last confirmed longer ago give no grace. Default 24 hours.
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
