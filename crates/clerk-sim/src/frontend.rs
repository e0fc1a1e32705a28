//! The Frontend API: endpoints for browsers.

use clerk_verify::key::InstanceKind;
use http::header::SET_COOKIE;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::answer::SimAnswer;
use super::ask::Ask;
use super::handshake;
use super::mint;
use super::session::Live;
use super::sign_in;
use super::state::SimState;

/// The cookie that identifies a browser at the Frontend API; its value is the session's id.
pub(super) const CLIENT_COOKIE: &str = "__client";

pub(super) fn answer(state: &SimState, ask: &Ask) -> SimAnswer {
    let get = ask.method == Method::GET || ask.method == Method::HEAD;
    let post = ask.method == Method::POST;
    match ask.segments().as_slice() {
        [".well-known", "jwks.json"] if get => SimAnswer::ok(&state.jwks()),
        ["v1", "health"] if get => SimAnswer::ok(&json!({ "status": "ok" })),
        ["v1", "environment"] if get => SimAnswer::ok(&environment(state)),
        ["v1", "client"] if get => SimAnswer::ok(&client(state, ask)),
        ["v1", "client", "handshake"] if get => handshake::answer(state, ask),
        ["v1", "client", "sessions", id, "tokens"] if post => mint::answer(state, ask, id),
        ["v1", "client", "sessions", id, "touch"] if post => touch(state, id),
        ["v1", "client", "sessions", id, "end" | "remove"] if post => end(state, id),
        ["v1", "client", "sign_ins"] if post => sign_in(state, ask),
        ["sign-in"] if get || post => sign_in::answer(state, ask),
        _ => SimAnswer::not_found(),
    }
}

fn touch(state: &SimState, id: &str) -> SimAnswer {
    let session = state.sessions().get(id).map(session_resource);
    session
        .map_or_else(|| mint::no_session(state, id), |session| SimAnswer::ok(&response(&session)))
}

fn end(state: &SimState, id: &str) -> SimAnswer {
    if state.sessions().end(id) {
        SimAnswer::ok(&response(&json!({ "object": "session", "id": id, "status": "ended" })))
    } else {
        mint::no_session(state, id)
    }
}

/// Signs in the user that `identifier` names, without a password.
fn sign_in(state: &SimState, ask: &Ask) -> SimAnswer {
    let Some(user) = ask.param("identifier").filter(|user| !user.is_empty()) else {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return SimAnswer::error(status, "form_param_missing", "identifier is missing");
    };
    let session = state.sign_in(user.into());
    state.sessions().set_browser(Some(session.id.clone()));
    let cookie = sign_in::client_cookie(&session);
    let attempt = json!({
        "object": "sign_in_attempt",
        "status": "complete",
        "created_session_id": session.id.as_str(),
    });
    SimAnswer::ok(&response(&attempt)).header(SET_COOKIE, &cookie)
}

/// Returns the session of the requesting browser: from its client cookie, else the configured one.
pub(super) fn browser(state: &SimState, ask: &Ask) -> Option<Live> {
    let sessions = state.sessions();
    let named = ask.cookie(CLIENT_COOKIE).and_then(|id| sessions.get(id));
    named.or_else(|| sessions.browser()).cloned()
}

fn client(state: &SimState, ask: &Ask) -> Value {
    let live = browser(state, ask);
    let id = live.as_ref().map(|live| live.session.id.as_str().to_owned());
    let sessions: Vec<Value> = live.iter().map(session_resource).collect();
    response(&json!({
        "object": "client",
        "id": "client_sim",
        "sessions": sessions,
        "last_active_session_id": id,
        "sign_in": null,
        "sign_up": null,
    }))
}

fn environment(state: &SimState) -> Value {
    json!({
        "object": "environment",
        "auth_config": { "object": "auth_config", "single_session_mode": true },
        "display_config": {
            "object": "display_config",
            "application_name": "Simulated",
            "instance_environment_type": match state.publishable_key().kind() {
                InstanceKind::Development => "development",
                InstanceKind::Production => "production",
            },
        },
        "user_settings": { "attributes": {}, "social": {} },
        "maintenance_mode": false,
    })
}

fn session_resource(live: &Live) -> Value {
    let created = live.session.since.as_millis();
    json!({
        "object": "session",
        "id": live.session.id.as_str(),
        "status": "active",
        "created_at": created,
        "last_active_organization_id": live.organization.as_ref().map(|o| o.id.as_str()),
        "user": { "object": "user", "id": live.session.user.as_str() },
    })
}

fn response(body: &Value) -> Value {
    json!({ "response": body, "client": null })
}
