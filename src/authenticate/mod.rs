//! Who sends a request, judged from all of it: the `Authorization` field, Clerk's cookies, what a
//! handshake left in the address, and where the visitor came from.
//!
//! The rules and their order are those of `authenticateRequest` in Clerk's own backend SDK
//! (`@clerk/backend` 3.25). Where they differ on purpose, the place says why. Nothing here waits: what
//! only Clerk can answer is either handed in or asked for by [`Need`].
//!
//! [`Accepts`] says which kinds of tokens are welcome. Machines have theirs in the `Authorization` field.
//!
//! | # | cookies, in a request without a token in `Authorization` | state |
//! |---|---|---|
//! | 1 | a handshake's token or nonce that can be resolved | signed in or out, with its cookies |
//! | 2 | a page of a satellite that has not asked its primary application | handshake `satellite-needs-syncing`, once it is due |
//! | 3 | development, primary, `__clerk_redirect_url` | back there, `primary-responds-to-syncing` |
//! | 4 | development, a browser token in the address | handshake `dev-browser-sync` |
//! | 5 | development, no browser token | handshake `dev-browser-missing` |
//! | 6 | no `__client_uat`, no session | signed out |
//! | 7 | no `__client_uat`, a session | handshake `session-token-but-no-client-uat` |
//! | 8 | `__client_uat`, no session | handshake `client-uat-but-no-session-token` |
//! | 9 | a session that cannot be decoded or is of another kind | signed out |
//! | 10 | a session from before `__client_uat` | handshake `session-token-iat-before-client-uat` |
//! | 11 | expired | renewed with the refresh cookie, else handshake |
//! | 12 | too early | handshake |
//! | 13 | bad in another way | signed out |
//! | 14 | good, but led here by a page of another origin, not Clerk's | handshake `primary-domain-cross-origin-sync` |
//! | 15 | good, but of another organisation than the address names | handshake `active-organization-mismatch` |
//! | 16 | good | signed in |
//!
//! A satellite whose request comes from the origin of its sign-in page is set up wrongly: signed out,
//! before all rows. Clerk's SDK throws there.
//!
//! A handshake takes a `GET` that navigates; for any other request it means signed out, and so it
//! does after three handshakes without success.

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
pub(crate) use address::{clean_address, synced_anew};
pub use context::{Carrier, Context, Head};
pub use evidence::Evidence;
pub use organization::OrganizationSync;
pub use reason::{KeyFailure, Reason, RefreshDenial};
pub(crate) use redirect::with_state;
pub use refresh::RefreshCall;
pub use site::{Proxy, Site, SiteError};

use crate::machine::{MachineError, MachineToken};
use crate::token::{TokenKind, bearer};
use crate::verify::Verified;

/// Whether somebody is signed in.
#[derive(Clone)]
#[non_exhaustive]
pub enum State {
    /// Somebody is.
    SignedIn {
        /// The token that says so.
        token: String,
        /// What it says.
        verified: Box<Verified>,
    },
    /// A machine or another application is.
    Machine {
        /// The token that says so.
        token: String,
        /// What it stands for.
        machine: Box<MachineToken>,
    },
    /// Nobody is.
    SignedOut {
        /// Why not.
        reason: Reason,
    },
    /// The browser can find out at Clerk.
    Handshake {
        /// What is to be found out.
        reason: Reason,
        /// Where.
        location: Url,
    },
}

impl State {
    /// `signed-in`, `signed-out` or `handshake`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SignedIn { .. } | Self::Machine { .. } => "signed-in",
            Self::SignedOut { .. } => "signed-out",
            Self::Handshake { .. } => "handshake",
        }
    }

    /// Why nobody is signed in.
    #[must_use]
    pub const fn reason(&self) -> Option<&Reason> {
        match self {
            Self::SignedIn { .. } | Self::Machine { .. } => None,
            Self::SignedOut { reason } | Self::Handshake { reason, .. } => Some(reason),
        }
    }

    /// The kind of token that the state is about; `None` for one that nobody asked for.
    #[must_use]
    pub fn kind(&self) -> Option<TokenKind> {
        match self {
            Self::Machine { machine, .. } => Some(machine.kind),
            state => state.reason().map_or(Some(TokenKind::Session), Reason::kind),
        }
    }
}

/// A state, and what the response must carry.
#[derive(Clone)]
pub struct Answer {
    /// The state.
    pub state: State,
    /// Header fields for the response, `Set-Cookie` above all.
    pub headers: HeaderMap,
    /// The address without the marks of a handshake, to which a browser of a development instance
    /// is to be redirected.
    pub clean: Option<Url>,
    /// What became of a handshake that the request came back from.
    pub arrival: Arrival,
    /// Only the number of earlier redirects keeps the browser from being sent to Clerk.
    pub exhausted: bool,
}

/// A request that comes back from a handshake, or does not.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Arrival {
    /// It does not.
    #[default]
    None,
    /// What it brought decided the state; the cookies are among the header fields.
    Resolved,
    /// What it brought was not believed.
    Failed(Reason),
}

impl From<State> for Answer {
    fn from(state: State) -> Self {
        Self {
            state,
            headers: HeaderMap::new(),
            clean: None,
            arrival: Arrival::None,
            exhausted: false,
        }
    }
}

/// What Clerk's Backend API has answered so far.
#[derive(Clone, Default)]
pub struct Answers {
    /// There is a Backend API to ask.
    pub backend_api: bool,
    /// The cookies for an expired session token, or why there are none.
    pub refreshed: Option<Result<Vec<String>, RefreshDenial>>,
    /// The cookies behind a handshake's nonce; the inner `None` when they could not be fetched.
    pub payload: Option<Option<Vec<String>>>,
    /// What a machine's token stands for.
    pub machine: Option<Result<MachineToken, MachineError>>,
}

/// What must be asked of the Backend API before the state is known.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum Need {
    /// `POST /v1/sessions/{id}/refresh`, into [`Answers::refreshed`].
    Refresh(RefreshCall),
    /// `GET /v1/clients/handshake_payload?nonce=…`, into [`Answers::payload`].
    Payload(String),
    /// The [`Question`](crate::machine::Question) about this token, into [`Answers::machine`].
    Machine(String),
}

/// Judges a request that may carry tokens of these kinds.
///
/// # Errors
///
/// [`Need`] says what to ask first; ask, add the answer and call again.
pub fn authenticate(
    site: &Site,
    head: Head<'_>,
    accepts: &Accepts,
    evidence: &Evidence<'_>,
    answers: &Answers,
) -> Result<Answer, Need> {
    let uses_site = *accepts != Accepts::Only(TokenKind::MachineToMachine);
    if uses_site && site.signs_in_on(head.headers.get(ORIGIN)) {
        return Ok(State::SignedOut { reason: Reason::SignInAtSatellite }.into());
    }
    match accepts.take(bearer(head.headers).as_deref()) {
        accepts::Taken::Session => {
            Context::new(site, head, evidence.now).authenticate(evidence, answers)
        }
        accepts::Taken::Machine(token) => accepts::machine(token, evidence, answers),
        accepts::Taken::Refused(reason) => Ok(State::SignedOut { reason }.into()),
    }
}

impl Context<'_> {
    /// Judges a request that was read before, by its session.
    ///
    /// # Errors
    ///
    /// As [`authenticate`].
    pub fn authenticate(&self, evidence: &Evidence<'_>, answers: &Answers) -> Result<Answer, Need> {
        flow::run(self, evidence, answers)
    }
}
