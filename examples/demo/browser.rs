//! A signed-in browser: it renews its token as clerk-js does, and keeps the last one when that fails.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clerk_resilience::clock::Timestamp;
use clerk_resilience::sim::SimSession;
use clerk_resilience::transport::{ApiRequest, Transport};
use demo_support::address::Address;
use demo_support::outcome::Outcome;
use demo_support::renewal::Renewal;
use serde_json::Value;
use tower::ServiceExt as _;
use url::Url;

/// How long a person looks at an empty page.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a browser asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Navigates to the page.
    Page,
    /// Fetches JSON.
    Api,
    /// Posts the form.
    Form,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Page, Self::Api, Self::Form];
}

/// A browser with a session.
#[derive(Debug)]
pub(crate) struct Browser {
    pub(crate) session: SimSession,
    token: Mutex<String>,
    transport: Arc<dyn Transport>,
    tokens: Url,
}

impl Browser {
    /// A browser whose user has just signed in, with the token from that.
    pub(crate) fn new(
        session: SimSession,
        token: String,
        address: &Address,
        transport: Arc<dyn Transport>,
    ) -> Self {
        let tokens = address.at(&format!("v1/client/sessions/{}/tokens", session.id));
        Self { session, token: Mutex::new(token), transport, tokens }
    }

    pub(crate) fn token(&self) -> String {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When the token in hand expires.
    pub(crate) fn expires(&self) -> Option<Timestamp> {
        let token = self.token();
        let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        let claims: Value = serde_json::from_slice(&payload).ok()?;
        claims["exp"].as_i64().map(Timestamp::from_secs)
    }

    /// Renews the token for ever; the first time after `wait`.
    pub(crate) async fn keep_renewing(self: Arc<Self>, mut wait: Duration) {
        let mut renewal = Renewal::default();
        loop {
            tokio::time::sleep(wait).await;
            wait = renewal.pause_after(self.renew().await.is_some());
        }
    }

    /// Asks for a new token, once.
    pub(crate) async fn renew(&self) -> Option<()> {
        let call = ApiRequest::get(self.tokens.clone()).post().deadline(Duration::from_secs(30));
        let reply = self.transport.call(call).await.ok()?;
        let body: Value = serde_json::from_slice(&reply.body).ok()?;
        let jwt = body["jwt"].as_str().filter(|_| reply.status.is_success())?;
        jwt.clone_into(&mut self.token.lock().unwrap_or_else(PoisonError::into_inner));
        Some(())
    }
}

/// What a signed-in browser of a development instance shows.
pub(crate) fn cookies(token: &str) -> String {
    format!("__clerk_db_jwt=dvb_ada; __client_uat=1; __session={token}")
}

/// A request as a browser sends it, with its session cookie if it has one.
pub(crate) fn request(kind: Kind, token: Option<&str>) -> Request {
    let (method, path, dest, mode, accept) = match kind {
        Kind::Page => ("GET", "/", "document", "navigate", "text/html,*/*;q=0.8"),
        Kind::Api => ("GET", "/api/me", "empty", "cors", "*/*"),
        Kind::Form => ("POST", "/form", "document", "navigate", "text/html,*/*;q=0.8"),
    };
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("accept", accept)
        .header("sec-fetch-dest", dest)
        .header("sec-fetch-mode", mode)
        .header("sec-fetch-site", "same-origin");
    if let Some(token) = token {
        request = request.header("cookie", cookies(token));
    }
    if kind == Kind::Form {
        request = request.header("content-type", "application/x-www-form-urlencoded");
    }
    let body = if kind == Kind::Form { Body::from("note=Water+the+plants") } else { Body::empty() };
    request.body(body).expect("every part is well-formed")
}

/// Sends a request to an application and waits as long as a person would.
pub(crate) async fn ask(app: Router, request: Request) -> Outcome {
    match tokio::time::timeout(PATIENCE, app.oneshot(request)).await {
        Ok(Ok(response)) => Outcome::of(&response),
        Err(_) => Outcome::Silence,
    }
}
