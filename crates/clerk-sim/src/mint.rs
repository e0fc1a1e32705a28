//! Issues session tokens for active sessions.

use http::StatusCode;
use http::header::ORIGIN;
use serde_json::json;

use clerk_verify::clock::Timestamp;
use clerk_verify::id::{SessionId, UserId};

use super::answer::{SimAnswer, text};
use super::ask::Ask;
use super::session::{Live, SimSession};
use super::state::{SimState, random_text};
use super::surface::Host;
use super::token::TokenBuilder;

/// Answers a request for a session's token.
pub(super) fn answer(state: &SimState, ask: &Ask, id: &str) -> SimAnswer {
    let live = state.sessions().get(id).cloned();
    match live {
        Some(live) => {
            SimAnswer::ok(&json!({ "object": "token", "jwt": mint(state, ask, live).sign() }))
        }
        None => no_session(state, id),
    }
}

/// Builds the token for a request: a browser's `Origin` becomes `azp`, and the satellite domain of
/// the Frontend API's host becomes the issuer.
pub(super) fn mint<'a>(state: &'a SimState, ask: &Ask, live: Live) -> TokenBuilder<'a> {
    let mut token = ordinary(state, live);
    if let Some(origin) = text(&ask.headers, &ORIGIN).filter(|_| ask.host == Host::Frontend) {
        token = token.authorized_party(origin);
    }
    match &ask.satellite {
        Some(domain) => token.claim("iss", format!("https://clerk.{domain}")),
        None => token,
    }
}

/// Builds the ordinary token of a session.
pub(super) fn ordinary(state: &SimState, live: Live) -> TokenBuilder<'_> {
    let token = TokenBuilder::new(state, live.session);
    match live.organization {
        Some(organization) => token.organization(organization),
        None => token,
    }
}

/// Creates the error for a session that is not active: 401 if it has ended, 404 if it never
/// existed.
pub(super) fn no_session(state: &SimState, id: &str) -> SimAnswer {
    if state.sessions().has_ended(id) {
        let message = "The session has ended.";
        return SimAnswer::error(StatusCode::UNAUTHORIZED, "authentication_invalid", message);
    }
    SimAnswer::error(StatusCode::NOT_FOUND, "resource_not_found", "There is no such session.")
}

impl SimState {
    /// Starts a session of a user, and creates the user if necessary.
    pub(super) fn sign_in(&self, user: UserId) -> SimSession {
        let id = SessionId::new(random_text("sess_", 27));
        let since = Timestamp::from_secs(self.now().wall.as_secs());
        self.users().enter(&user, since);
        let session = SimSession { id, user, since };
        self.sessions().add(session.clone());
        session
    }
}
