//! What a user sees: a request, and every redirect that a browser follows.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use clerk_resilience::transport::{ApiRequest, Transport};
use demo_support::outcome::Outcome;
use http::header::{COOKIE, LOCATION};
use tower::ServiceExt as _;
use url::Url;

use crate::jar::Jar;
use crate::stage::{API, FORM, PAGE, SIGN_IN};

pub(crate) const ORIGIN: &str = "https://app.example";
/// How long a person looks at an empty page of the application, and of Clerk.
const PATIENCE: Duration = Duration::from_secs(10);
const CLERKS_PATIENCE: Duration = Duration::from_secs(20);
/// A browser that was sent so often is in a loop.
const HOPS: u32 = 12;

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

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) outcome: Outcome,
    /// How often the browser was sent to Clerk.
    pub(crate) sent: u32,
    /// It ended there, on an error of Clerk's.
    pub(crate) stranded: bool,
    /// It went in circles.
    pub(crate) looped: bool,
}

impl Seen {
    fn at_once(outcome: Outcome) -> Self {
        Self { outcome, sent: 0, stranded: false, looped: false }
    }
}

/// Asks once, with cookies, and follows no redirect.
pub(crate) async fn ask(app: Router, kind: Kind, jar: &Jar) -> Seen {
    let path = match kind {
        Kind::Page => PAGE,
        Kind::Api => API,
        Kind::Form => FORM,
    };
    Seen::at_once(outcome(answer(app, request(kind, path, &jar.header())).await.as_ref()))
}

/// Asks once, as a program that has a token and no cookies.
pub(crate) async fn ask_with_bearer(app: Router, token: &str) -> Seen {
    let request = Request::get(API)
        .header("host", "app.example")
        .header("accept", "application/json")
        .header("authorization", format!("Bearer {token}"));
    let request = request.body(Body::empty()).expect("a token has no control characters");
    Seen::at_once(outcome(answer(app, request).await.as_ref()))
}

/// Opens the page, wherever that leads.
pub(crate) async fn open(app: Router, jar: &mut Jar, clerk: &dyn Transport) -> Seen {
    let mut seen = Seen::at_once(Outcome::Silence);
    let mut path = PAGE.to_owned();
    for _ in 0..HOPS {
        let response = answer(app.clone(), request(Kind::Page, &path, &jar.header())).await;
        if let Some(response) = &response {
            jar.take(response.headers());
        }
        seen.outcome = outcome(response.as_ref());
        let Some(target) = response.as_ref().and_then(target) else { return seen };
        if target.as_str().starts_with(SIGN_IN) {
            return seen;
        }
        path = if target.origin().ascii_serialization() == ORIGIN {
            path_of(&target)
        } else {
            seen.sent += 1;
            match back_from(clerk, target).await {
                Some(back) => path_of(&back),
                None => return Seen { stranded: true, ..seen },
            }
        };
    }
    Seen { looped: true, ..seen }
}

/// Where Clerk sends a browser back to, if it does.
async fn back_from(clerk: &dyn Transport, handshake: Url) -> Option<Url> {
    let call = ApiRequest::get(handshake).deadline(CLERKS_PATIENCE);
    let reply = clerk.call(call).await.ok()?;
    let location = reply.header(&LOCATION).filter(|_| reply.status.is_redirection())?;
    Url::parse(location).ok().filter(|back| back.origin().ascii_serialization() == ORIGIN)
}

async fn answer(app: Router, request: Request) -> Option<Response> {
    let response = tokio::time::timeout(PATIENCE, app.oneshot(request)).await.ok()?;
    let Ok(response) = response;
    Some(response)
}

fn outcome(response: Option<&Response>) -> Outcome {
    response.map_or(Outcome::Silence, Outcome::of)
}

fn target(response: &Response) -> Option<Url> {
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let base = Url::parse(ORIGIN).expect("a good address");
    base.join(location).ok().filter(|_| response.status().is_redirection())
}

fn path_of(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

fn request(kind: Kind, path: &str, cookies: &str) -> Request {
    let (method, dest, mode, accept) = match kind {
        Kind::Page => ("GET", "document", "navigate", "text/html,*/*;q=0.8"),
        Kind::Api => ("GET", "empty", "cors", "*/*"),
        Kind::Form => ("POST", "document", "navigate", "text/html,*/*;q=0.8"),
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "app.example")
        .header("x-forwarded-proto", "https")
        .header("accept", accept)
        .header("sec-fetch-dest", dest)
        .header("sec-fetch-mode", mode)
        .header("sec-fetch-site", "same-origin")
        .header(COOKIE, cookies);
    request.body(Body::empty()).expect("every part is well-formed")
}
