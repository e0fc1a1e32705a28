//! The application, as far as authentication depends on how it is set up.

use url::Url;

use super::organization::OrganizationSync;
use crate::key::{InstanceKind, PublishableKey};
use crate::token::CookieNames;

/// Hosts on which Clerk's SDK reaches the Frontend API through the application itself.
const AUTO_PROXY_HOSTS: &str = ".vercel.app";
const AUTO_PROXY_PATH: &str = "/__clerk";

/// How an application is set up at Clerk.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct Site {
    key: PublishableKey,
    names: CookieNames,
    domain: Option<String>,
    satellite: bool,
    auto_sync: bool,
    auto_proxy: bool,
    nonces: bool,
    proxy: Option<Proxy>,
    sign_in: Option<Url>,
    organizations: OrganizationSync,
}

/// Where the Frontend API is reached instead of its own host.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Proxy {
    /// At an address.
    Address(Url),
    /// Below a path of the application itself, as `/__clerk`.
    Path(String),
}

impl Proxy {
    /// Reads an absolute `http` or `https` address, or a path that begins with a slash.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with('/') {
            return Some(Self::Path(text.to_owned()));
        }
        let address = Url::parse(text).ok()?;
        matches!(address.scheme(), "http" | "https").then_some(Self::Address(address))
    }

    fn at(&self, address: &Url) -> String {
        match self {
            Self::Address(address) => address.to_string(),
            Self::Path(path) => format!("{}{path}", address.origin().ascii_serialization()),
        }
    }
}

/// What is wrong with a site.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
// Closed on purpose: each caller decides about every case.
pub enum SiteError {
    /// A satellite with neither.
    #[error("a satellite application needs a domain or a proxy address")]
    SatelliteWithoutDomain,
    /// A satellite of a development instance without it.
    #[error(
        "a satellite application of a development instance needs its primary's sign-in address"
    )]
    SatelliteWithoutSignIn,
    /// A satellite cannot sign anybody in.
    #[error("a satellite application's visitors sign in at the primary one, not on its own domain")]
    SignInAtSatellite,
    /// An organisation pattern that cannot be read, and so would never match.
    #[error(
        "an organisation pattern cannot be read; write a path in which :id or :slug stands for one segment and (.*) for any rest"
    )]
    OrganizationPattern,
}

impl Site {
    /// An application on the instance's primary domain.
    #[must_use]
    pub fn new(key: PublishableKey) -> Self {
        Self {
            names: CookieNames::of(&key),
            key,
            domain: None,
            satellite: false,
            auto_sync: false,
            auto_proxy: false,
            nonces: true,
            proxy: None,
            sign_in: None,
            organizations: OrganizationSync::default(),
        }
    }

    /// The domain of this application, when it is not the instance's own.
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// This application shares the sessions of a primary application on another domain.
    #[must_use]
    pub fn satellite(mut self, satellite: bool) -> Self {
        self.satellite = satellite;
        self
    }

    /// A satellite asks its primary application at the first visit, not only after a sign-in.
    #[must_use]
    pub fn auto_sync(mut self, auto_sync: bool) -> Self {
        self.auto_sync = auto_sync;
        self
    }

    /// On a host of Vercel's own, reach the Frontend API through `/__clerk` of that host, as Clerk's
    /// SDK does by default. Off unless asked for: it takes an address from a header field.
    #[must_use]
    pub fn auto_proxy(mut self, auto_proxy: bool) -> Self {
        self.auto_proxy = auto_proxy;
        self
    }

    /// Ask for the result of a handshake by a nonce, which takes a secret key to look up, and not as
    /// a token in the address. Default: yes, as in Clerk's SDK.
    #[must_use]
    pub fn nonces(mut self, nonces: bool) -> Self {
        self.nonces = nonces;
        self
    }

    /// Reach the Frontend API through a proxy.
    #[must_use]
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// The page of the primary application where visitors sign in.
    #[must_use]
    pub fn sign_in(mut self, address: Url) -> Self {
        self.sign_in = Some(address);
        self
    }

    /// Activate the organisation that an address names.
    #[must_use]
    pub fn organizations(mut self, organizations: OrganizationSync) -> Self {
        self.organizations = organizations;
        self
    }

    /// Whether the parts fit together.
    ///
    /// # Errors
    ///
    /// [`SiteError`] says what a satellite lacks, or that an organisation pattern cannot be read.
    pub fn check(&self) -> Result<(), SiteError> {
        if self.satellite && self.is_development() && self.sign_in.is_none() {
            return Err(SiteError::SatelliteWithoutSignIn);
        }
        if self.satellite && self.domain.is_none() && self.proxy.is_none() {
            return Err(SiteError::SatelliteWithoutDomain);
        }
        let sign_in = self.sign_in.as_ref().and_then(authority);
        if self.satellite && sign_in.is_some() && sign_in == self.domain {
            return Err(SiteError::SignInAtSatellite);
        }
        if !self.organizations.is_readable() {
            return Err(SiteError::OrganizationPattern);
        }
        Ok(())
    }

    /// Where a server reaches the Frontend API. A path of the application is a way for browsers only.
    ///
    /// # Panics
    ///
    /// Never: the publishable key has checked its host.
    #[must_use]
    pub fn server_address(&self) -> Url {
        match &self.proxy {
            Some(Proxy::Address(address)) => address.clone(),
            _ => Url::parse(&format!("https://{}/", self.issuing_host()))
                .or_else(|_| Url::parse(&self.key.issuer()))
                .expect("the key has checked its host"),
        }
    }

    /// The `iss` values of this application's tokens. Behind a proxy its address may be one, as in
    /// Clerk's Go SDK; a proxy on a path is below each of these origins.
    #[must_use]
    pub fn issuers(&self, origins: &[String]) -> Vec<String> {
        let mut issuers = vec![format!("https://{}", self.issuing_host())];
        match &self.proxy {
            None => {}
            Some(Proxy::Address(address)) => issuers.push(address.to_string()),
            Some(Proxy::Path(path)) => {
                issuers.extend(origins.iter().map(|origin| format!("{origin}{path}")));
            }
        }
        issuers.iter().map(|issuer| issuer.trim_end_matches('/').to_owned()).collect()
    }

    /// The key that a primary application with this one's issuer would have.
    #[must_use]
    pub fn issuing_key(&self) -> PublishableKey {
        PublishableKey::for_host(&self.issuing_host(), self.kind()).unwrap_or(self.key.clone())
    }

    /// The application's own domain, when it is set: a satellite's, or the one a proxy serves.
    #[must_use]
    pub fn own_domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// True when browsers reach the Frontend API through a proxy.
    #[must_use]
    pub fn has_proxy(&self) -> bool {
        self.proxy.is_some()
    }

    /// The publishable key of this application.
    pub fn publishable_key(&self) -> &PublishableKey {
        &self.key
    }

    /// Where a browser on a page of this application reaches the Frontend API: an address, or a path.
    pub fn browser_address(&self) -> String {
        match &self.proxy {
            Some(Proxy::Address(address)) => address.to_string(),
            Some(Proxy::Path(path)) => path.clone(),
            None => format!("https://{}", self.issuing_host()),
        }
    }

    /// The proxy's address, when it is a whole address and not a path of the application.
    #[must_use]
    pub fn proxy_address(&self) -> Option<&Url> {
        match &self.proxy {
            Some(Proxy::Address(address)) => Some(address),
            _ => None,
        }
    }

    /// Whether the application cannot do without a secret key: the nonce that a handshake answers with
    /// is looked up with one. Unless [`nonces`](Self::nonces) says otherwise it cannot, as in Clerk's
    /// SDK.
    #[must_use]
    pub fn needs_secret_key(&self) -> bool {
        self.nonces
    }

    pub(super) fn kind(&self) -> InstanceKind {
        self.key.kind()
    }

    pub(super) fn is_development(&self) -> bool {
        self.key.kind() != InstanceKind::Production
    }

    /// Whether the application shares the sessions of a primary one.
    #[must_use]
    pub fn is_satellite(&self) -> bool {
        self.satellite
    }

    /// The proxy is on this machine, and speaks plain `http`.
    pub(super) fn is_local_proxy(&self) -> bool {
        let Some(Proxy::Address(address)) = &self.proxy else { return false };
        let local = match address.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        local && address.scheme() == "http"
    }

    pub(super) fn syncs_at_first(&self) -> bool {
        self.auto_sync
    }

    pub(super) fn sign_in_address(&self) -> Option<&Url> {
        self.sign_in.as_ref()
    }

    pub(super) fn organization_sync(&self) -> &OrganizationSync {
        &self.organizations
    }

    pub(super) fn names(&self) -> &CookieNames {
        &self.names
    }

    /// The host in the `iss` of this instance's tokens: no proxy changes it, a satellite's domain
    /// does.
    pub(super) fn issuing_host(&self) -> String {
        match &self.domain {
            Some(domain) if self.satellite && !self.is_development() => format!("clerk.{domain}"),
            _ => self.key.frontend_api().to_owned(),
        }
    }

    /// The Frontend API for a request: an address when there is a proxy, else a host.
    pub(super) fn frontend_api(&self, address: &Url) -> String {
        let auto = self.auto_proxy && !self.is_development() && self.domain.is_none();
        let on_proxied_host =
            || address.host_str().is_some_and(|host| host.ends_with(AUTO_PROXY_HOSTS));
        match &self.proxy {
            Some(proxy) => proxy.at(address),
            None if auto && on_proxied_host() => {
                format!("{}{AUTO_PROXY_PATH}", address.origin().ascii_serialization())
            }
            None => self.issuing_host(),
        }
    }
}

/// Host and port, as a domain is written.
fn authority(url: &Url) -> Option<String> {
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    Some(format!("{}{port}", url.host_str()?))
}
