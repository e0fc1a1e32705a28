//! The Backend API: endpoints for servers, with the secret key.

use clerk_verify::token::TokenKind;
use http::header::AUTHORIZATION;
use http::{Method, StatusCode};
use serde_json::json;

use super::answer::{SimAnswer, text};
use super::ask::Ask;
use super::machine;
use super::member;
use super::mint;
use super::refresh;
use super::state::SimState;
use super::user;

pub(super) fn answer(state: &SimState, ask: &Ask) -> SimAnswer {
    if !authorized(state, ask) {
        let message = "The secret key is not valid.";
        return SimAnswer::error(StatusCode::UNAUTHORIZED, "clerk_key_invalid", message);
    }
    let get = ask.method == Method::GET || ask.method == Method::HEAD;
    let post = ask.method == Method::POST;
    match ask.segments().as_slice() {
        ["v1", "jwks"] if get => SimAnswer::ok(&state.jwks()),
        ["v1", "users", "count"] if get => {
            let count = state.users().count();
            SimAnswer::ok(&json!({ "object": "total_count", "total_count": count }))
        }
        ["v1", "users"] if get => user::list(state, ask),
        ["v1", "users", id] if get => user::one(state, id),
        ["v1", "users", id, "organization_memberships"] if get => member::of_user(state, ask, id),
        ["v1", "organization_memberships"] if get => member::list(state, ask),
        ["v1", "organization_roles"] if get => member::roles(state, ask),
        ["v1", "organization_permissions"] if get => member::permissions(state, ask),
        ["v1", "clients", "handshake_payload"] if get => handshake_payload(state, ask),
        ["v1", "sessions", id, "tokens"] if post => mint::answer(state, ask, id),
        ["v1", "sessions", id, "refresh"] if post => refresh::answer(state, id, ask),
        ["v1", "sessions", id, "revoke"] if post => revoke(state, id),
        ["api_keys", "verify"] if post => machine::verify(state, ask, TokenKind::ApiKey, "secret"),
        ["m2m_tokens", "verify"] if post => {
            machine::verify(state, ask, TokenKind::MachineToMachine, "token")
        }
        ["oauth_applications", "access_tokens", "verify"] if post => {
            machine::verify(state, ask, TokenKind::OAuth, "access_token")
        }
        _ => SimAnswer::not_found(),
    }
}

fn authorized(state: &SimState, ask: &Ask) -> bool {
    text(&ask.headers, &AUTHORIZATION)
        .and_then(|value| value.strip_prefix("Bearer "))
        .is_some_and(|key| key == state.secret_key().expose())
}

fn handshake_payload(state: &SimState, ask: &Ask) -> SimAnswer {
    match ask.param("nonce").and_then(|nonce| state.take_handshake(&nonce)) {
        Some(directives) => SimAnswer::ok(&json!({ "directives": directives })),
        None => SimAnswer::not_found(),
    }
}

fn revoke(state: &SimState, id: &str) -> SimAnswer {
    if state.sessions().end(id) {
        SimAnswer::ok(&json!({ "object": "session", "id": id, "status": "revoked" }))
    } else {
        SimAnswer::not_found()
    }
}
