//! Renewal of expired sessions with a refresh token.

use http::StatusCode;
use serde_json::json;

use super::answer::SimAnswer;
use super::ask::Ask;
use super::handshake::directives;
use super::state::SimState;

/// Answers a request for fresh cookies. The request must contain a token of the session, expired or
/// not, and the session's refresh token.
pub(super) fn answer(state: &SimState, id: &str, ask: &Ask) -> SimAnswer {
    let shown = ask.member("expired_token").and_then(|token| state.open(&token));
    let of_session = shown.is_some_and(|claims| claims["sid"] == id);
    let refresh = ask.member("refresh_token");
    let live = state.sessions().get(id).cloned();
    let live = live.filter(|live| of_session && refresh.as_ref() == Some(&live.refresh_token));
    let Some(live) = live else {
        let message = "The session cannot be refreshed.";
        return SimAnswer::error(StatusCode::UNAUTHORIZED, "session_refresh_invalid", message);
    };
    let secure = ask.member("request_origin").is_some_and(|origin| origin.starts_with("https:"));
    let cookies = directives(state, ask, secure, Some(live));
    SimAnswer::ok(&json!({ "object": "cookies", "cookies": cookies }))
}
