//! Everything about a request that matters, read once.

use http::header::{ACCEPT, HeaderName, REFERER};
use http::{HeaderMap, Method};
use url::Url;

use super::address::{param, public_address};
use super::cookies::{Cookies, uses_suffixed};
use super::site::Site;
use crate::clock::Timestamp;
use crate::token::{bearer, leading_number};

const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// The head of a request.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a Method,
    /// The absolute address, as this process sees it.
    pub address: &'a Url,
    /// The header fields.
    pub headers: &'a HeaderMap,
}

/// A request as authentication sees it.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    pub(super) site: &'a Site,
    pub(super) get: bool,
    /// The address as the browser sees it.
    pub address: Url,
    /// The token in the `Authorization` field. It beats every cookie.
    pub header_token: Option<String>,
    /// The token in the session cookie that counts.
    pub cookie_token: Option<String>,
    /// When the client last changed, in Unix seconds; zero when nobody is signed in.
    pub client_uat: f64,
    /// The token of a development browser, from the address or a cookie.
    pub dev_browser: Option<String>,
    /// How often this browser was sent to Clerk lately.
    pub redirects: f64,
    /// Whether the cookies with this instance's suffix count.
    pub suffixed: bool,
    /// Whether the result of a handshake is asked for by a nonce.
    pub(crate) nonce: bool,
    pub(super) refresh_token: Option<String>,
    pub(super) handshake_token: Option<String>,
    pub(super) handshake_nonce: Option<String>,
    pub(super) referrer: Option<&'a str>,
    fetch_dest: Option<&'a str>,
    accept: Option<&'a str>,
}

impl<'a> Context<'a> {
    /// Reads a request.
    #[must_use]
    pub fn new(site: &'a Site, head: Head<'a>, now: Timestamp) -> Self {
        let address = public_address(head.address, head.headers);
        let cookies = Cookies::read(head.headers);
        let host = site.issuing_host();
        let suffixed = uses_suffixed(&cookies, site.suffix(), &host, site.kind(), now);
        let chosen = |name: &str| {
            if suffixed { cookies.suffixed(name, site.suffix()) } else { cookies.get(name) }
        };
        let field = |name: HeaderName| {
            head.headers.get(name)?.to_str().ok().filter(|value| !value.is_empty())
        };
        let owned = |value: Option<&str>| value.map(str::to_owned);
        let either = |name: &str| param(&address, name).or_else(|| owned(cookies.get(name)));
        Self {
            site,
            get: *head.method == Method::GET,
            header_token: bearer(head.headers).map(std::borrow::Cow::into_owned),
            cookie_token: owned(chosen("__session")),
            client_uat: chosen("__client_uat").map_or(0.0, leading_number),
            dev_browser: param(&address, "__clerk_db_jwt")
                .or_else(|| owned(chosen("__clerk_db_jwt"))),
            redirects: cookies.get("__clerk_redirect_count").map_or(0.0, count),
            refresh_token: owned(cookies.suffixed("__refresh", site.suffix())),
            handshake_token: either("__clerk_handshake"),
            handshake_nonce: either("__clerk_handshake_nonce"),
            referrer: field(REFERER),
            fetch_dest: field(SEC_FETCH_DEST),
            accept: field(ACCEPT),
            suffixed,
            nonce: site.takes_nonces(),
            address,
        }
    }

    /// The token that is offered, in the field or in a cookie.
    pub(super) fn token(&self) -> Option<&str> {
        self.header_token.as_deref().or(self.cookie_token.as_deref())
    }

    /// The Frontend API of this request: an address when there is a proxy, else a host.
    #[must_use]
    pub fn frontend_api(&self) -> String {
        self.site.frontend_api(&self.address)
    }

    /// A top-level navigation that only reads.
    pub(super) fn is_page_visit(&self) -> bool {
        self.get && self.is_document()
    }

    pub(super) fn is_document(&self) -> bool {
        self.fetch_dest == Some("document")
    }

    /// The address without what a handshake left in it.
    #[must_use]
    pub fn clean_address(&self) -> Url {
        super::address::without(&self.address, &super::resolve::MARKS)
    }

    /// The request comes back from a handshake: by its address, or by a cookie.
    #[must_use]
    pub fn returns(&self) -> Option<Carrier> {
        let marked = |name: &str| param(&self.address, name).is_some();
        if marked("__clerk_handshake") || marked("__clerk_handshake_nonce") {
            return Some(Carrier::Address);
        }
        let cookie = self.handshake_token.is_some() || self.handshake_nonce.is_some();
        cookie.then_some(Carrier::Cookie)
    }

    /// Looks at the request as if it did not come back from a handshake.
    pub fn forget_return(&mut self) {
        self.address = self.clean_address();
        self.handshake_token = None;
        self.handshake_nonce = None;
    }

    /// Whether a redirect to Clerk would be followed by a browser that shows the result.
    pub(super) fn is_navigation(&self) -> bool {
        let html = || self.accept.is_some_and(|accept| accept.starts_with("text/html"));
        self.get
            && match self.fetch_dest {
                Some(dest) => matches!(dest, "document" | "iframe"),
                None => html(),
            }
    }

    /// The page before this one is of another origin.
    #[must_use]
    pub fn is_cross_origin_referrer(&self) -> bool {
        let referrer = self.referrer.and_then(|text| Url::parse(text).ok());
        referrer.is_some_and(|url| super::referrer::is_cross_origin(&url, &self.address))
    }

    /// The page before this one is Clerk's own.
    #[must_use]
    pub fn is_known_clerk_referrer(&self) -> bool {
        let referrer = self.referrer.and_then(|text| Url::parse(text).ok());
        referrer.is_some_and(|url| super::referrer::is_clerk(&url, &self.address, self.site))
    }
}

/// How the result of a handshake is carried.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Carrier {
    /// In the address.
    Address,
    /// In a cookie.
    Cookie,
}

/// A count, zero when it is none.
fn count(value: &str) -> f64 {
    value.trim().parse::<f64>().ok().filter(|count| count.is_finite()).unwrap_or(0.0)
}
