//! The parts of a request that authentication uses, parsed once.

use std::borrow::Cow;

use http::header::{ACCEPT, HeaderName, HeaderValue, ORIGIN, REFERER};
use http::{HeaderMap, Method};
use url::Url;

use super::RequestState;
use super::address::{STATE, SYNCED, clean_address, param, public_address, without};
use super::reason::Reason;
use super::redirect::handshake;
use super::site::Site;
use crate::clock::Timestamp;
use crate::token::{CookieJar, Located, bearer, leading_number};

const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// The head of a request.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The request method.
    pub method: &'a Method,
    /// The absolute address, as this process receives it.
    pub address: &'a Url,
    /// The header fields.
    pub headers: &'a HeaderMap,
}

/// A parsed request. It borrows header values from the request.
#[derive(Clone)]
pub struct Context<'a> {
    pub(super) site: &'a Site,
    pub(super) get: bool,
    /// The address as the browser sees it.
    pub address: Url,
    /// The token in the `Authorization` field. It takes precedence over every cookie.
    pub header_token: Option<String>,
    /// The token in the session cookie that counts, suffixed or plain.
    pub cookie_token: Option<String>,
    /// When the client last changed, in Unix seconds; zero when no user is signed in.
    pub client_uat: f64,
    /// The token of a development browser, from the address or a cookie.
    pub dev_browser: Option<String>,
    /// Number of recent redirects of this browser to Clerk, from a cookie.
    pub redirects: f64,
    /// True when the cookies with this instance's suffix count.
    pub suffixed: bool,
    /// True when a handshake must return a nonce instead of a token; see [`Site::nonces`].
    pub nonce: bool,
    /// The origin that sends the request.
    pub(super) origin: Option<&'a HeaderValue>,
    pub(super) refresh_token: Option<String>,
    pub(super) handshake_token: Option<String>,
    pub(super) handshake_nonce: Option<String>,
    pub(super) referrer: Option<&'a str>,
    fetch_dest: Option<&'a str>,
    accept: Option<&'a str>,
}

impl<'a> Context<'a> {
    /// Parses a request and derives the browser's address with [`public_address`].
    #[must_use]
    pub fn new(site: &'a Site, head: Head<'a>, now: Timestamp) -> Self {
        Self::read(site, head, public_address(head.address, head.headers), now)
    }

    /// Parses a request whose address is already the address that the browser uses.
    #[must_use]
    pub fn at(site: &'a Site, head: Head<'a>, now: Timestamp) -> Self {
        Self::read(site, head, head.address.clone(), now)
    }

    fn read(site: &'a Site, head: Head<'a>, address: Url, now: Timestamp) -> Self {
        let jar = CookieJar::read(head.headers, site.names());
        let suffixed = jar.prefers_own(&site.issuing_host(), site.kind(), now);
        let chosen = if suffixed { &jar.own } else { &jar.plain };
        let field = |name: HeaderName| {
            head.headers.get(name)?.to_str().ok().filter(|value| !value.is_empty())
        };
        let number = |value: Option<Cow<'_, str>>, read: fn(&str) -> f64| {
            value.map_or(0.0, |value| read(&value))
        };
        let owned = |value: Option<Cow<'_, str>>| value.map(Cow::into_owned);
        let either = |name: &str, cookie: Option<Cow<'_, str>>| {
            param(&address, name).or_else(|| owned(cookie))
        };
        Self {
            site,
            get: *head.method == Method::GET,
            header_token: owned(bearer(head.headers)),
            cookie_token: owned(chosen.session.text()),
            client_uat: number(chosen.client_uat.text(), leading_number),
            dev_browser: either("__clerk_db_jwt", chosen.dev_browser.text()),
            redirects: number(jar.plain.redirects.text(), count),
            refresh_token: owned(jar.own.refresh.text()),
            handshake_token: either("__clerk_handshake", jar.plain.handshake.text()),
            handshake_nonce: either("__clerk_handshake_nonce", jar.plain.handshake_nonce.text()),
            referrer: field(REFERER),
            fetch_dest: field(SEC_FETCH_DEST),
            accept: field(ACCEPT),
            origin: head.headers.get(ORIGIN),
            suffixed,
            nonce: site.needs_secret_key(),
            address,
        }
    }

    /// Replaces the tokens of the request with this token, or with none.
    #[must_use]
    pub fn with_token(mut self, token: &Located<'_>) -> Self {
        let text = token.token().map(str::to_owned);
        let in_header = matches!(token, Located::Header(_));
        (self.header_token, self.cookie_token) =
            if in_header { (text, None) } else { (None, text) };
        self
    }

    /// Returns the token of the `Authorization` field, or else of the session cookie.
    pub(super) fn token(&self) -> Option<&str> {
        self.header_token.as_deref().or(self.cookie_token.as_deref())
    }

    /// Returns the Frontend API of this request: an address when there is a proxy, else a host.
    #[must_use]
    pub fn frontend_api(&self) -> String {
        self.site.frontend_api(&self.address)
    }

    /// Returns true for a top-level navigation by `GET`.
    pub(super) fn is_page_visit(&self) -> bool {
        self.get && self.is_document()
    }

    pub(super) fn is_document(&self) -> bool {
        self.fetch_dest == Some("document")
    }

    /// Returns the address without handshake parameters.
    #[must_use]
    pub fn clean_address(&self) -> Url {
        clean_address(&self.address)
    }

    /// Returns the address to redirect to after a handshake. A satellite's address then gets
    /// `__clerk_synced=true`, so that the satellite does not ask again. A signed-in satellite
    /// without that parameter does not need it.
    #[must_use]
    pub fn settled_address(&self, signed_in: bool) -> Url {
        let clean = self.clean_address();
        let marked = param(&clean, SYNCED).is_some();
        if !self.site.is_satellite() || (signed_in && !marked) {
            return clean;
        }
        let mut settled = without(&clean, &[SYNCED]);
        settled.query_pairs_mut().append_pair(SYNCED, "true");
        settled
    }

    /// Returns where the handshake result of this request is; `None` when there is none.
    #[must_use]
    pub fn returns(&self) -> Option<HandshakeSource> {
        let marked = |name: &str| param(&self.address, name).is_some();
        if marked("__clerk_handshake") || marked("__clerk_handshake_nonce") {
            return Some(HandshakeSource::Address);
        }
        let cookie = self.handshake_token.is_some() || self.handshake_nonce.is_some();
        cookie.then_some(HandshakeSource::Cookie)
    }

    /// Removes everything that a handshake added to the request.
    pub fn forget_return(&mut self) {
        self.address = self.clean_address();
        self.handshake_token = None;
        self.handshake_nonce = None;
    }

    /// Removes the result of a handshake and retains everything else.
    pub fn ignore_handshake(&mut self) {
        let marks = ["__clerk_handshake", "__clerk_handshake_nonce", STATE];
        self.address = without(&self.address, &marks);
        self.handshake_token = None;
        self.handshake_nonce = None;
    }

    /// Returns the state that the layer added to the return address when it redirected the browser
    /// to Clerk.
    #[must_use]
    pub fn state(&self) -> Option<String> {
        param(&self.address, STATE)
    }

    /// Returns the page's address without the parameters of a handshake or of satellite
    /// synchronization.
    #[must_use]
    pub fn page(&self) -> Url {
        without(&self.clean_address(), &[SYNCED])
    }

    /// Returns true when a browser follows a redirect to Clerk and shows the result.
    pub(super) fn is_navigation(&self) -> bool {
        let html = || self.accept.is_some_and(|accept| accept.starts_with("text/html"));
        self.get
            && match self.fetch_dest {
                Some(dest) => matches!(dest, "document" | "iframe"),
                None => html(),
            }
    }

    /// Redirects a valid session to Clerk to fetch newer claims.
    #[must_use]
    pub fn for_newer_claims(&self) -> RequestState {
        handshake(self, Reason::StaleClaims)
    }

    /// Returns true when the referrer has another origin than the address.
    #[must_use]
    pub fn is_cross_origin_referrer(&self) -> bool {
        let referrer = self.referrer.and_then(|text| Url::parse(text).ok());
        referrer.is_some_and(|url| super::referrer::is_cross_origin(&url, &self.address))
    }

    /// Returns true when the referrer is a page of Clerk.
    #[must_use]
    pub fn is_known_clerk_referrer(&self) -> bool {
        let referrer = self.referrer.and_then(|text| Url::parse(text).ok());
        referrer.is_some_and(|url| super::referrer::is_clerk(&url, &self.address, self.site))
    }
}

/// Where a request contains the result of a handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum HandshakeSource {
    /// In the address.
    Address,
    /// In a cookie.
    Cookie,
}

/// Parses a finite number; zero when the text is none.
fn count(value: &str) -> f64 {
    value.trim().parse::<f64>().ok().filter(|count| count.is_finite()).unwrap_or(0.0)
}
