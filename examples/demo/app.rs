//! The application: a page of notes, a form to add one, and who-am-I as JSON.
//!
//! It is the same application twice. Who verified the session is all that differs, and [`Visitor`]
//! is where the two meet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Form, FromRequestParts, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use clerk_resilience::{Auth, AuthRejection, ClerkResilience, GraceAccess, RoutePolicy};
use http::request::Parts;
use serde::Deserialize;
use serde_json::json;

use crate::outcome::SESSION_FIELD;
use crate::plain::{Plain, PlainUser, verify_session};

const PAGE: &str = include_str!("app.html");
/// Notes beyond this are forgotten, oldest first.
const KEPT: usize = 20;

/// The application behind the layer, with the health endpoints beside it.
pub(crate) fn protected(clerk: &ClerkResilience, notes: Notes) -> Router {
    let form = clerk.policy(RoutePolicy::required().grace(GraceAccess::Full));
    let routes = reading().route_layer(clerk.clone()).merge(writing().route_layer(form));
    routes.with_state(notes).merge(clerk.routes())
}

/// The application behind plain verification.
pub(crate) fn plain(plain: Arc<Plain>, notes: Notes) -> Router {
    let routes = reading().merge(writing()).with_state(notes);
    routes.route_layer(middleware::from_fn_with_state(plain, verify_session))
}

fn reading() -> Router<Notes> {
    Router::new().route("/", get(page)).route("/api/me", get(me))
}

fn writing() -> Router<Notes> {
    Router::new().route("/form", post(add))
}

/// Each user's notes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Arc<Mutex<HashMap<String, Vec<String>>>>);

impl Notes {
    fn with<T>(&self, user: &str, change: impl FnOnce(&mut Vec<String>) -> T) -> T {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(notes.entry(user.to_owned()).or_default())
    }
}

/// The signed-in user, whoever verified that.
pub(crate) struct Visitor {
    user: String,
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
            return Ok(Self { user: user.to_string(), grace: None });
        }
        let auth = <Auth as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        let grace = auth.grace().map(|grace| grace.reason.name());
        Ok(Self { user: auth.user_id().to_string(), grace })
    }
}

async fn me(visitor: Visitor) -> Response {
    let json = json!({ "user": visitor.user, "session": visitor.session() });
    ([(SESSION_FIELD, visitor.session())], Json(json)).into_response()
}

async fn page(visitor: Visitor, State(notes): State<Notes>) -> Response {
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
        .replace("{notes}", &list);
    ([(SESSION_FIELD, visitor.session())], Html(html)).into_response()
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
