//! Fresh session tokens for sessions that live.

use http::StatusCode;
use serde_json::json;

use crate::clock::Timestamp;
use crate::id::{SessionId, UserId};

use super::answer::Answer;
use super::session::{Live, SimSession};
use super::state::{State, random_text};
use super::token::TokenBuilder;

/// The answer to a request for a session's token; `origin` becomes its `azp`.
pub(super) fn answer(state: &State, id: &str, origin: Option<&str>) -> Answer {
    let live = state.sessions().get(id).cloned();
    match live {
        Some(live) => {
            Answer::ok(&json!({ "object": "token", "jwt": mint(state, live, origin).sign() }))
        }
        None => no_session(state, id),
    }
}

/// The ordinary token of a session.
pub(super) fn mint<'a>(state: &'a State, live: Live, origin: Option<&str>) -> TokenBuilder<'a> {
    let mut token = TokenBuilder::new(state, live.session);
    if let Some(origin) = origin {
        token = token.authorized_party(origin);
    }
    match live.organization {
        Some(organization) => token.organization(organization),
        None => token,
    }
}

/// 401 for a session that has ended, 404 for one that never was.
pub(super) fn no_session(state: &State, id: &str) -> Answer {
    if state.sessions().has_ended(id) {
        let message = "The session has ended.";
        return Answer::error(StatusCode::UNAUTHORIZED, "authentication_invalid", message);
    }
    Answer::error(StatusCode::NOT_FOUND, "resource_not_found", "There is no such session.")
}

impl State {
    /// Begins a session.
    pub(super) fn sign_in(&self, user: UserId) -> SimSession {
        let id = SessionId::new(random_text("sess_", 27));
        let since = Timestamp::from_secs(self.now().wall.as_secs());
        let session = SimSession { id, user, since };
        self.sessions().add(session.clone());
        session
    }
}
