//! The application: a page of notes, a form to add one, and who-am-I as JSON.
//!
//! The demo runs it twice, behind the layer and behind plain verification. [`Visitor`] reads the
//! user from either.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Extension, Form, FromRequestParts, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clerk_resilience::id::SessionId;
use clerk_resilience::{Auth, AuthRejection, ClerkResilience, GraceAccess, RoutePolicy};
use http::StatusCode;
use http::request::Parts;
use serde::Deserialize;
use serde_json::json;

use crate::account::{self, Doors};
use crate::outcome::SESSION_FIELD;
use crate::user::PlainUser;

const PAGE: &str = include_str!("app.html");
/// The notes kept for each user. The oldest are dropped first.
const KEPT: usize = 20;

/// The application behind the layer, with the health endpoints beside it.
pub fn protected(clerk: &ClerkResilience, notes: Notes) -> Router {
    let form = clerk.policy(RoutePolicy::required().grace(GraceAccess::Full));
    let acting = writing().route("/sign-out", post(sign_out));
    let acting = acting.layer(Extension(clerk.clone()));
    let routes = reading().route_layer(clerk.clone()).merge(acting.route_layer(form));
    let open = Router::new().route("/signed-out", get(account::signed_out));
    routes.with_state(notes).merge(open).merge(clerk.routes())
}

pub fn reading() -> Router<Notes> {
    Router::new().route("/", get(page)).route("/api/me", get(me))
}

pub fn writing() -> Router<Notes> {
    Router::new().route("/form", post(add))
}

/// Each user's notes.
#[derive(Clone, Debug, Default)]
pub struct Notes(Arc<Mutex<HashMap<String, Vec<String>>>>);

impl Notes {
    fn with<T>(&self, user: &str, change: impl FnOnce(&mut Vec<String>) -> T) -> T {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(notes.entry(user.to_owned()).or_default())
    }
}

/// The signed-in user, verified by the layer or by plain verification.
#[derive(Debug)]
pub struct Visitor {
    user: String,
    session: Option<SessionId>,
    /// Why an expired token was honoured.
    grace: Option<&'static str>,
}

impl Visitor {
    fn session(&self) -> &'static str {
        self.grace.unwrap_or("fresh")
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = AuthRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AuthRejection> {
        if let Some(PlainUser(user)) = parts.extensions.get() {
            return Ok(Self { user: user.to_string(), session: None, grace: None });
        }
        let auth = <Auth as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        let grace = auth.grace().map(|grace| grace.reason.name());
        let (user, session) = (auth.user_id().to_string(), auth.session_id().cloned());
        Ok(Self { user, session, grace })
    }
}

async fn me(visitor: Visitor) -> Response {
    let json = json!({ "user": visitor.user, "session": visitor.session() });
    ([(SESSION_FIELD, visitor.session())], Json(json)).into_response()
}

async fn page(
    visitor: Visitor,
    doors: Option<Extension<Doors>>,
    State(notes): State<Notes>,
) -> Response {
    let item = |note: &String| format!("<li>{}</li>", escape(note));
    let items = notes
        .with(&visitor.user, |notes| notes.iter().rev().map(item).collect::<Vec<_>>().concat());
    let list =
        if items.is_empty() { "<li class=\"none\">No notes yet.</li>".into() } else { items };
    let notice = match visitor.grace {
        Some(_) => {
            "<p class=\"notice\">Clerk is not answering at the moment. You stay signed in.</p>"
        }
        None => "",
    };
    let html = PAGE
        .replace("{notice}", notice)
        .replace("{user}", &escape(&visitor.user))
        .replace("{account}", &controls(&visitor, doors.as_deref()))
        .replace("{notes}", &list);
    ([(SESSION_FIELD, visitor.session())], Html(html)).into_response()
}

/// The sign-out button and the script that renews the token, for browsers with a session.
fn controls(visitor: &Visitor, doors: Option<&Doors>) -> String {
    let (Some(doors), Some(session)) = (doors, &visitor.session) else { return String::new() };
    include_str!("controls.html").replace("{tokens}", &escape(doors.tokens(session).as_str()))
}

/// Ends the session here from the next request on, and at Clerk as soon as it answers. In an outage
/// Clerk would otherwise take the browser back in afterwards.
async fn sign_out(
    auth: Auth,
    doors: Option<Extension<Doors>>,
    Extension(clerk): Extension<ClerkResilience>,
) -> Response {
    match doors {
        Some(_) => (clerk.sign_out(&auth), Redirect::to("./signed-out")).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[derive(Deserialize)]
struct NewNote {
    note: String,
}

async fn add(visitor: Visitor, State(notes): State<Notes>, Form(new): Form<NewNote>) -> Response {
    let text: String = new.note.trim().chars().take(200).collect();
    notes.with(&visitor.user, |notes| {
        if !text.is_empty() && !notes.contains(&text) {
            notes.push(text);
        }
        let excess = notes.len().saturating_sub(KEPT);
        notes.drain(..excess);
    });
    ([(SESSION_FIELD, visitor.session())], Redirect::to("./")).into_response()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
