//! Every response that this crate invents, made here and nowhere else.
//!
//! Programs get problem details (RFC 9457), people get a page that needs nothing but itself. What
//! cannot be told is a 503 with `Retry-After` and without a challenge, so that no client takes it
//! for a sign-out.

mod page;
mod problem;
mod sign_in;

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, LOCATION, RETRY_AFTER, SET_COOKIE, VARY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use url::Url;

pub(crate) use page::escape;
pub use page::{Page, PageText};
pub(crate) use sign_in::{SignIn, asked, original};

use crate::decide::{Reader, Rejection};

const HX_REQUEST: HeaderName = HeaderName::from_static("hx-request");
const HX_RESWAP: HeaderName = HeaderName::from_static("hx-reswap");
const HX_TRIGGER: HeaderName = HeaderName::from_static("hx-trigger");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// How rejections look. Part of the configuration; the words and the page can be replaced.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    pub(crate) text: PageText,
    pub(crate) renderer: Option<Renderer>,
    pub(crate) sign_in: Option<SignIn>,
    /// A response in grace says so.
    pub(crate) names_grace: bool,
    /// Of the application's addresses, where a request does not say.
    pub(crate) scheme: &'static str,
}

/// Counts how often a visitor was sent to sign in. It lives long enough to hold however slow the
/// hops are.
const LOOP_COOKIE: &str = "__clerk_resilience_sent";
const LOOP_SECONDS: u32 = 300;
/// A visitor who comes back without a session this often is told so instead.
const LOOP_LIMIT: u8 = 3;
const FORGET_SENT: HeaderValue =
    HeaderValue::from_static("__clerk_resilience_sent=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");

/// The application's own page.
#[derive(Clone)]
pub(crate) struct Renderer(pub(crate) Arc<dyn Fn(&Page<'_>) -> String + Send + Sync>);

impl std::fmt::Debug for Renderer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Renderer")
    }
}

/// What of a request shapes the answer to it.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) reader: Reader,
    pub(crate) head: bool,
    pub(crate) htmx: bool,
    /// How often this visitor was sent to sign in lately.
    pub(crate) sent: u8,
    /// The page to come back to after a sign-in.
    page: Option<Url>,
}

fn times_sent(headers: &HeaderMap) -> u8 {
    let count = crate::token::cookie(headers, LOOP_COOKIE);
    count.and_then(|count| std::str::from_utf8(count).ok()?.parse().ok()).unwrap_or(0)
}

/// A document is what a browser navigates to. Where the browser does not say, `Accept` decides.
pub(crate) fn reader(method: &Method, headers: &HeaderMap) -> Reader {
    let navigates = method == Method::GET || method == Method::HEAD;
    if !navigates || headers.contains_key(HX_REQUEST) {
        return Reader::Api;
    }
    let document = match headers.get(SEC_FETCH_DEST) {
        Some(dest) => dest == "document" || dest == "iframe",
        None => headers
            .get(http::header::ACCEPT)
            .is_some_and(|accept| accept.as_bytes().starts_with(b"text/html")),
    };
    if document { Reader::Document } else { Reader::Api }
}

impl Answers {
    /// What of a request shapes the answer to it.
    pub(crate) fn shape<B>(&self, request: &Request<B>) -> Shape {
        let (method, uri) = (request.method(), request.uri());
        self.shape_of(method, uri, request.headers(), request.extensions())
    }

    /// The same, of a request without its body.
    pub(crate) fn shape_of_parts(&self, parts: &Parts) -> Shape {
        self.shape_of(&parts.method, &parts.uri, &parts.headers, &parts.extensions)
    }

    fn shape_of(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Shape {
        let reader = reader(method, headers);
        let comes_back = self.sign_in.is_some() && reader == Reader::Document;
        let asked = || asked(uri, headers, extensions, self.scheme);
        Shape {
            reader,
            head: method == Method::HEAD,
            htmx: headers.contains_key(HX_REQUEST),
            sent: times_sent(headers),
            page: comes_back.then(asked).flatten().map(|url| sign_in::page(&url, headers)),
        }
    }

    /// The response for a rejection.
    pub(crate) fn reject(&self, rejection: Rejection, shape: &Shape) -> Response {
        let wait = rejection.retry_after().map(|(from, to)| fastrand::u32(from..=to));
        let mut response = match rejection {
            Rejection::SignIn => self.redirect(shape),
            _ if shape.reader == Reader::Document => self.page(rejection, wait, shape),
            _ => problem::respond(rejection, wait),
        };
        *response.status_mut() = match rejection {
            Rejection::SignIn if self.sign_in.is_none() => StatusCode::UNAUTHORIZED,
            _ => rejection.status(),
        };
        dress(&mut response, rejection, shape, wait);
        if shape.head {
            *response.body_mut() = Body::empty();
        }
        response.extensions_mut().insert(rejection);
        response
    }

    /// Whether somebody who asks for this path may be sent to sign in.
    pub(crate) fn may_sign_in(&self, path: &str, headers: &HeaderMap) -> bool {
        let Some(sign_in) = &self.sign_in else { return false };
        !sign_in.is_at(path) && times_sent(headers) < LOOP_LIMIT
    }

    /// Whoever sees a page with a session did not come back in vain: the count begins anew.
    pub(crate) fn arrived(&self, method: &Method, headers: &HeaderMap) -> Option<HeaderValue> {
        let counts = self.sign_in.is_some() && reader(method, headers) == Reader::Document;
        (counts && times_sent(headers) > 0).then_some(FORGET_SENT)
    }

    fn redirect(&self, shape: &Shape) -> Response {
        let mut response = Response::new(Body::empty());
        let count = shape.sent.saturating_add(1);
        let cookie = format!(
            "{LOOP_COOKIE}={count}; Path=/; Max-Age={LOOP_SECONDS}; HttpOnly; SameSite=Lax"
        );
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        let location = self.way_to_sign_in(shape).and_then(|way| HeaderValue::try_from(&*way).ok());
        if let Some(location) = location {
            response.headers_mut().insert(LOCATION, location);
        }
        response
    }

    fn way_to_sign_in(&self, shape: &Shape) -> Option<Cow<'_, str>> {
        self.sign_in.as_ref().map(|sign_in| sign_in.with_way_back(shape.page.as_ref()))
    }

    fn page(&self, rejection: Rejection, wait: Option<u32>, shape: &Shape) -> Response {
        let sign_in = self.way_to_sign_in(shape);
        let page = Page::new(&self.text, rejection, wait, sign_in.as_deref());
        let html = match &self.renderer {
            Some(Renderer(render)) => render(&page),
            None => page.render(),
        };
        let mut response = Response::new(Body::from(html));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        if self.renderer.is_none() {
            headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(page::POLICY));
        }
        response
    }
}

/// Sends a browser elsewhere, for this one time.
pub(crate) fn detour(location: HeaderValue) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    let headers = response.headers_mut();
    headers.insert(LOCATION, location);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static(VARIES));
    headers.insert(CONTENT_LENGTH, 0.into());
    response
}

/// What an answer depends on.
const VARIES: &str = "Accept, Authorization, Cookie, HX-Request, Origin, Sec-Fetch-Dest";

fn dress(response: &mut Response, rejection: Rejection, shape: &Shape, wait: Option<u32>) {
    let length = axum::body::HttpBody::size_hint(response.body()).exact();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(VARY, HeaderValue::from_static(VARIES));
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    if let Some(wait) = wait {
        headers.insert(RETRY_AFTER, wait.into());
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After"));
    }
    if let Some(challenge) = challenge(rejection) {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if shape.htmx {
        headers.insert(HX_RESWAP, HeaderValue::from_static("none"));
        headers.insert(HX_TRIGGER, HeaderValue::from_static(event(rejection)));
    }
}

/// RFC 6750 §3: no error code when there was no token. RFC 9470 names what a new proof of who the
/// user is would help.
fn challenge(rejection: Rejection) -> Option<&'static str> {
    match rejection.status() {
        StatusCode::UNAUTHORIZED if rejection == Rejection::Missing => Some("Bearer"),
        StatusCode::UNAUTHORIZED => Some("Bearer error=\"invalid_token\""),
        StatusCode::FORBIDDEN if matches!(rejection, Rejection::Reverify(_)) => {
            Some("Bearer error=\"insufficient_user_authentication\"")
        }
        StatusCode::FORBIDDEN => Some("Bearer error=\"insufficient_scope\""),
        _ => None,
    }
}

/// What an HTMX page can listen for.
fn event(rejection: Rejection) -> &'static str {
    match rejection.status() {
        StatusCode::UNAUTHORIZED | StatusCode::TEMPORARY_REDIRECT => "auth-required",
        StatusCode::FORBIDDEN => "auth-forbidden",
        _ => "auth-unavailable",
    }
}
