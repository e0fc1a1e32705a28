//! Builds every response of the layer; no other module does.
//!
//! Programs get problem details (RFC 9457), and browsers get a self-contained page. If the layer
//! cannot verify a credential, it answers 503 with `Retry-After` (RFC 9110, section 10.2.3) and
//! without a challenge, so that no client treats it as a sign-out.
//!
//! ```text
//! HTTP/1.1 503 Service Unavailable
//! content-type: application/problem+json
//! retry-after: 17
//! cache-control: no-store
//!
//! {"type":"about:blank","title":"Service Unavailable","status":503,
//!  "code":"authentication_unavailable","detail":"Authentication is currently unavailable. …",
//!  "retry_after":17}
//! ```
//!
//! `code` is stable; `detail` is for people. A response of class 4xx also has `reason`, a stable
//! detail for logs. A 503 has none, so that it does not show the holder of a stolen token which
//! condition of grace failed.

mod counts;
mod page;
mod problem;
mod sign_in;

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use clerk_verify::authenticate::clean_address;
use http::header::{
    ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, LOCATION, RETRY_AFTER, SET_COOKIE, VARY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use url::Url;

pub(crate) use counts::{LIMIT, PageCounts};
pub(crate) use page::escape;
pub use page::{ErrorPage, PageText};
pub(crate) use sign_in::SignIn;

use crate::decide::{ClientKind, Rejection, Unavailable};
use crate::http::origin::{Origins, RequestTarget, original};
use crate::state::seal::CookieSigner;

const HX_REQUEST: HeaderName = HeaderName::from_static("hx-request");
const HX_RESWAP: HeaderName = HeaderName::from_static("hx-reswap");
const HX_TRIGGER: HeaderName = HeaderName::from_static("hx-trigger");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Header fields by which browsers mark a prefetch.
static PURPOSES: [HeaderName; 3] = [
    HeaderName::from_static("sec-purpose"),
    HeaderName::from_static("purpose"),
    HeaderName::from_static("x-moz"),
];

/// The configuration of rejection responses. The application can replace the texts and the page.
#[derive(Clone, Debug)]
pub(crate) struct Responder {
    pub(crate) text: PageText,
    pub(crate) renderer: Option<Renderer>,
    pub(crate) sign_in: Option<SignIn>,
    /// True if responses in grace get the header field `Clerk-Grace`.
    pub(crate) names_grace: bool,
    /// The origins of the application.
    pub(crate) origins: Arc<Origins>,
    /// Counts the redirects of a visitor from a page to the sign-in page.
    sent: PageCounts,
}

impl Default for Responder {
    fn default() -> Self {
        Self {
            text: PageText::default(),
            renderer: None,
            sign_in: None,
            names_grace: false,
            origins: Arc::default(),
            sent: PageCounts { signer: Arc::default(), prefix: "__clerk_resilience_sent" },
        }
    }
}

/// The application's own renderer of the page.
#[derive(Clone)]
pub(crate) struct Renderer(pub(crate) Arc<dyn Fn(&ErrorPage<'_>) -> String + Send + Sync>);

impl std::fmt::Debug for Renderer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Renderer")
    }
}

/// The properties of a request that determine the form of its response.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) reader: ClientKind,
    pub(crate) head: bool,
    pub(crate) htmx: bool,
    /// True if a browser prefetches the page.
    prefetch: bool,
    /// Number of redirects of this visitor from this page to the sign-in page, including this one.
    sent: u8,
    /// The page to return to after the sign-in.
    page: Option<Url>,
}

/// Returns true for a prefetch (`Sec-Purpose`, or the older fields `Purpose` and `X-Moz`). Such a
/// request is never redirected and never counted.
pub(crate) fn is_prefetch(headers: &HeaderMap) -> bool {
    let is = |part: &str| {
        ["prefetch", "prerender"].iter().any(|name| part.trim().eq_ignore_ascii_case(name))
    };
    PURPOSES.iter().any(|name| {
        let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.any(|value| value.split([';', ',']).any(is))
    })
}

/// Returns true if no page led here: a person opened the page, or the browser restored its tabs.
fn is_opened_by_hand(headers: &HeaderMap) -> bool {
    headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "none")
}

/// Returns the kind of client. `Sec-Fetch-Dest` marks a navigation; without it, `Accept` decides.
pub(crate) fn reader(method: &Method, headers: &HeaderMap) -> ClientKind {
    let navigates = method == Method::GET || method == Method::HEAD;
    if !navigates || headers.contains_key(HX_REQUEST) {
        return ClientKind::Api;
    }
    let document = match headers.get(SEC_FETCH_DEST) {
        Some(dest) => dest == "document" || dest == "iframe",
        None => headers
            .get(http::header::ACCEPT)
            .is_some_and(|accept| accept.as_bytes().starts_with(b"text/html")),
    };
    if document { ClientKind::Document } else { ClientKind::Api }
}

impl Responder {
    /// Returns the configuration completed with the sign-in page, the origins and the cookie
    /// signer.
    pub(crate) fn at(
        mut self,
        sign_in: Option<SignIn>,
        origins: Arc<Origins>,
        signer: Arc<CookieSigner>,
    ) -> Self {
        self.sign_in = sign_in;
        self.origins = origins;
        self.sent.signer = signer;
        self
    }

    /// Returns the properties of a request that determine the form of its response.
    pub(crate) fn shape<B>(&self, request: &Request<B>) -> Shape {
        self.shape_of(request.method(), request.headers(), RequestTarget::of(request))
    }

    /// Returns the same properties for the head of a request.
    pub(crate) fn shape_of_parts(&self, parts: &Parts) -> Shape {
        let asked = RequestTarget::new(&parts.uri, &parts.headers, &parts.extensions);
        self.shape_of(&parts.method, &parts.headers, asked)
    }

    fn shape_of(&self, method: &Method, headers: &HeaderMap, asked: RequestTarget<'_>) -> Shape {
        let reader = reader(method, headers);
        let comes_back = self.sign_in.is_some() && reader == ClientKind::Document;
        let page = comes_back.then(|| self.page_of(asked)).flatten();
        let before = page.as_ref().map_or(0, |page| self.sent.read(headers, page));
        Shape {
            reader,
            head: method == Method::HEAD,
            htmx: headers.contains_key(HX_REQUEST),
            prefetch: is_prefetch(headers),
            sent: before + u8::from(!is_opened_by_hand(headers)),
            page,
        }
    }

    /// Returns the requested page's address as the browser sees it, without Clerk's parameters.
    fn page_of(&self, asked: RequestTarget<'_>) -> Option<Url> {
        self.origins.address(asked).map(|address| clean_address(&address))
    }

    /// Builds the response for a rejection.
    pub(crate) fn reject(&self, rejection: Rejection, shape: &Shape) -> Response {
        let rejection = match rejection {
            Rejection::SignIn if shape.prefetch => Rejection::Unavailable(Unavailable::Prefetch),
            rejection => rejection,
        };
        let wait = rejection.retry_after().map(|(from, to)| fastrand::u32(from..=to));
        let mut response = match rejection {
            Rejection::SignIn => self.redirect(shape),
            _ if shape.reader == ClientKind::Document => self.page(rejection, wait, shape),
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

    /// Returns true if a visitor of this page may be redirected to the sign-in page.
    pub(crate) fn may_sign_in<B>(&self, request: &Request<B>) -> bool {
        let Some(sign_in) = &self.sign_in else { return false };
        let path = original(request.uri(), request.extensions()).path();
        !sign_in.is_at(path) && self.times_sent(request).is_none_or(|(_, sent)| sent < LIMIT)
    }

    /// Returns the cookie that removes the redirect count of a page shown with a session.
    pub(crate) fn arrived<B>(&self, request: &Request<B>) -> Option<HeaderValue> {
        let counts = self.sign_in.is_some()
            && reader(request.method(), request.headers()) == ClientKind::Document;
        let (page, sent) = counts.then(|| self.times_sent(request)).flatten()?;
        (sent > 0).then(|| self.sent.remove(&page)).flatten()
    }

    /// Returns the requested page, and how often its visitor was redirected to the sign-in page.
    fn times_sent<B>(&self, request: &Request<B>) -> Option<(Url, u8)> {
        if !self.sent.are_kept(request.headers()) {
            return None;
        }
        let page = self.page_of(RequestTarget::of(request))?;
        let sent = self.sent.read(request.headers(), &page);
        Some((page, sent))
    }

    fn redirect(&self, shape: &Shape) -> Response {
        let mut response = Response::new(Body::empty());
        let counted = shape.page.as_ref().filter(|_| shape.sent > 0);
        if let Some(cookie) = counted.and_then(|page| self.sent.store(page, shape.sent)) {
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
        let page = ErrorPage::new(&self.text, rejection, wait, sign_in.as_deref());
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

/// Redirects a browser temporarily (307), without caching.
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

/// The request header fields that a response depends on.
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

/// Returns the challenge. Without a token it has no error code (RFC 6750 §3). A required
/// verification gets `insufficient_user_authentication` (RFC 9470).
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

/// Returns the name of the event that HTMX triggers on the page.
fn event(rejection: Rejection) -> &'static str {
    match rejection.status() {
        StatusCode::UNAUTHORIZED | StatusCode::TEMPORARY_REDIRECT => "auth-required",
        StatusCode::FORBIDDEN => "auth-forbidden",
        _ => "auth-unavailable",
    }
}
