//! Authenticates a whole request by its `Authorization` field, Clerk's cookies, the handshake
//! result in the address, and the referrer.
//!
//! The rules and their order are those of `authenticateRequest` in Clerk's backend SDK
//! (`@clerk/backend` 3.25). Comments mark deliberate differences. This module performs no I/O: the
//! caller supplies what only Clerk can answer, and [`NeedsBackend`] requests it.
//!
//! [`Accepts`] selects the accepted kinds of tokens. Machine tokens are read only from the
//! `Authorization` field.
//!
//! | # | request without a token in `Authorization` | state |
//! |---|---|---|
//! | 1 | a handshake token or nonce that can be resolved | signed in or out, with its cookies |
//! | 2 | a page of a satellite that has not asked its primary application | handshake `satellite-needs-syncing`, once it is due |
//! | 3 | development, primary application, `__clerk_redirect_url` | redirect to that address, `primary-responds-to-syncing` |
//! | 4 | development, a browser token in the address | handshake `dev-browser-sync` |
//! | 5 | development, no browser token | handshake `dev-browser-missing` |
//! | 6 | no `__client_uat`, no session | signed out |
//! | 7 | no `__client_uat`, a session | handshake `session-token-but-no-client-uat` |
//! | 8 | `__client_uat`, no session | handshake `client-uat-but-no-session-token` |
//! | 9 | a session that cannot be decoded or is of another kind | signed out |
//! | 10 | a session issued before `__client_uat` | handshake `session-token-iat-before-client-uat` |
//! | 11 | an expired session | renewed with the refresh cookie, else handshake |
//! | 12 | a session that is not valid yet | handshake |
//! | 13 | a session that is invalid in another way | signed out |
//! | 14 | a valid session, but the referrer is another origin and not Clerk's | handshake `primary-domain-cross-origin-sync` |
//! | 15 | a valid session of another organisation than the address names | handshake `active-organization-mismatch` |
//! | 16 | a valid session | signed in |
//!
//! A satellite whose request comes from the origin of its sign-in page is set up wrongly: signed
//! out, before all rows. Clerk's SDK throws an error there.
//!
//! A handshake requires a `GET` that navigates; any other request is signed out. A browser is also
//! signed out after three handshakes without success.

mod accepts;
mod address;
mod context;
mod debug;
mod evidence;
mod flow;
mod organization;
mod pattern;
mod reason;
mod redirect;
mod referrer;
mod refresh;
mod resolve;
mod site;

use http::HeaderMap;
use http::header::ORIGIN;
use url::Url;

pub use accepts::Accepts;
pub use address::public_address;
pub use address::{clean_address, synced_anew};
pub use context::{Context, HandshakeSource, Head};
pub use evidence::Evidence;
pub use organization::OrganizationSync;
pub use reason::{KeyFailure, Reason, RefreshDenial};
pub use redirect::with_state;
pub use refresh::RefreshCall;
pub use site::{Proxy, Site, SiteError};

use crate::machine::{MachineError, MachineToken};
use crate::token::{TokenKind, bearer};
use crate::verify::Verified;

/// The authentication status of a request.
#[derive(Clone)]
#[non_exhaustive]
pub enum AuthStatus {
    /// A user is signed in.
    SignedIn {
        /// The verified token.
        token: String,
        /// The result of its verification.
        verified: Box<Verified>,
    },
    /// A machine or another application is authenticated.
    Machine {
        /// The verified token.
        token: String,
        /// The facts about the machine token.
        machine: Box<MachineToken>,
    },
    /// The request is signed out.
    SignedOut {
        /// Why the request is signed out.
        reason: Reason,
    },
    /// The browser must be redirected to Clerk to determine the status.
    Handshake {
        /// Why the redirect is needed.
        reason: Reason,
        /// The address to redirect to.
        location: Url,
    },
}

impl AuthStatus {
    /// Returns the name of the status: `signed-in`, `signed-out` or `handshake`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SignedIn { .. } | Self::Machine { .. } => "signed-in",
            Self::SignedOut { .. } => "signed-out",
            Self::Handshake { .. } => "handshake",
        }
    }

    /// Returns the reason why the request is not signed in; `None` when it is.
    #[must_use]
    pub const fn reason(&self) -> Option<&Reason> {
        match self {
            Self::SignedIn { .. } | Self::Machine { .. } => None,
            Self::SignedOut { reason } | Self::Handshake { reason, .. } => Some(reason),
        }
    }

    /// Returns the kind of token that the status concerns; `None` when the token is of a kind that
    /// is not accepted.
    #[must_use]
    pub fn kind(&self) -> Option<TokenKind> {
        match self {
            Self::Machine { machine, .. } => Some(machine.kind),
            state => state.reason().map_or(Some(TokenKind::Session), Reason::kind),
        }
    }
}

/// An authentication status and the header fields that the response must contain.
#[derive(Clone)]
pub struct RequestState {
    /// The authentication status.
    pub state: AuthStatus,
    /// Header fields for the response, mainly `Set-Cookie`.
    pub headers: HeaderMap,
    /// The address without handshake parameters. A browser of a development instance must be
    /// redirected to it.
    pub clean: Option<Url>,
    /// The result of the handshake that the request returns from.
    pub arrival: HandshakeResult,
    /// True when the browser is not sent to Clerk only because of earlier redirects.
    pub exhausted: bool,
}

/// The result of a handshake, if the request returns from one.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum HandshakeResult {
    /// The request does not return from a handshake.
    #[default]
    None,
    /// The handshake determined the status. Its cookies are among the header fields.
    Resolved,
    /// The handshake result was rejected.
    Failed(Reason),
}

impl From<AuthStatus> for RequestState {
    fn from(state: AuthStatus) -> Self {
        Self {
            state,
            headers: HeaderMap::new(),
            clean: None,
            arrival: HandshakeResult::None,
            exhausted: false,
        }
    }
}

/// The responses of Clerk's Backend API so far.
#[derive(Clone, Default)]
pub struct BackendResponses {
    /// True when the caller can send requests to the Backend API.
    pub backend_api: bool,
    /// The cookies for an expired session token, or why there are none.
    pub refreshed: Option<Result<Vec<String>, RefreshDenial>>,
    /// The cookies behind a handshake's nonce; the inner `None` means that they could not be
    /// fetched.
    pub payload: Option<Option<Vec<String>>>,
    /// The facts about an opaque machine token, or why it is not accepted.
    pub machine: Option<Result<MachineToken, MachineError>>,
}

/// A request that the caller must send to the Backend API before the status is known.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum NeedsBackend {
    /// Send `POST /v1/sessions/{id}/refresh` and store the result in
    /// [`BackendResponses::refreshed`].
    Refresh(RefreshCall),
    /// Send `GET /v1/clients/handshake_payload?nonce=…` and store the result in
    /// [`BackendResponses::payload`].
    Payload(String),
    /// Send the [`Question`](crate::machine::MachineQuestion) about this token and store the result in
    /// [`BackendResponses::machine`].
    Machine(String),
}

/// Authenticates a request that may contain tokens of the accepted kinds.
///
/// # Errors
///
/// [`NeedsBackend`] names the request to send first. Send it, add the response to `answers` and
/// call again.
pub fn authenticate(
    site: &Site,
    head: Head<'_>,
    accepts: &Accepts,
    evidence: &Evidence<'_>,
    answers: &BackendResponses,
) -> Result<RequestState, NeedsBackend> {
    let uses_site = *accepts != Accepts::Only(TokenKind::MachineToMachine);
    if uses_site && site.signs_in_on(head.headers.get(ORIGIN)) {
        return Ok(AuthStatus::SignedOut { reason: Reason::SignInAtSatellite }.into());
    }
    match accepts.take(bearer(head.headers).as_deref()) {
        accepts::Taken::Session => {
            Context::new(site, head, evidence.now).authenticate(evidence, answers)
        }
        accepts::Taken::Machine(token) => accepts::machine(token, evidence, answers),
        accepts::Taken::Refused(reason) => Ok(AuthStatus::SignedOut { reason }.into()),
    }
}

impl Context<'_> {
    /// Authenticates a request by its session; machine tokens are not considered.
    ///
    /// # Errors
    ///
    /// Same as [`authenticate`].
    pub fn authenticate(
        &self,
        evidence: &Evidence<'_>,
        answers: &BackendResponses,
    ) -> Result<RequestState, NeedsBackend> {
        flow::run(self, evidence, answers)
    }
}
