//! The application, as far as authentication depends on how it is set up.

use http::HeaderValue;
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
#[non_exhaustive]
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
    pub(crate) fn server_address(&self) -> Url {
        match &self.proxy {
            Some(Proxy::Address(address)) => address.clone(),
            _ => Url::parse(&format!("https://{}/", self.issuing_host()))
                .or_else(|_| Url::parse(&self.key.issuer()))
                .expect("the key has checked its host"),
        }
    }

    /// The `iss` values of this application's tokens. Behind a proxy its address may be one, as in
    /// Clerk's Go SDK; a proxy on a path is below each of these origins.
    pub(crate) fn issuers(&self, origins: &[String]) -> Vec<String> {
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
    pub(crate) fn issuing_key(&self) -> PublishableKey {
        PublishableKey::for_host(&self.issuing_host(), self.kind()).unwrap_or(self.key.clone())
    }

    pub(crate) fn own_domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    pub(crate) fn has_proxy(&self) -> bool {
        self.proxy.is_some()
    }

    /// The publishable key of this application.
    pub(crate) fn publishable_key(&self) -> &PublishableKey {
        &self.key
    }

    /// Where a browser on a page of this application reaches the Frontend API: an address, or a path.
    pub(crate) fn browser_address(&self) -> String {
        match &self.proxy {
            Some(Proxy::Address(address)) => address.to_string(),
            Some(Proxy::Path(path)) => path.clone(),
            None => format!("https://{}", self.issuing_host()),
        }
    }

    pub(crate) fn proxy_address(&self) -> Option<&Url> {
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

    /// Whether `Origin` names the origin of a satellite's sign-in page. A satellite signs nobody in, so
    /// Clerk's SDK throws an error for such a request. The comparison is its own: letter by letter.
    pub(super) fn signs_in_on(&self, origin: Option<&HeaderValue>) -> bool {
        let Some(sign_in) = self.sign_in.as_ref().filter(|_| self.satellite) else { return false };
        let own = |origin: &HeaderValue| *origin == *sign_in.origin().ascii_serialization();
        origin.is_some_and(own)
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

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};

    use super::*;
    use crate::authenticate::{
        Accepts, Answers, Context, Evidence, Head, Need, Reason, State, authenticate,
    };
    use crate::clock::Timestamp;
    use crate::jwks::KeySet;
    use crate::sim::SimClerk;
    use crate::token::{Expectations, TokenKind};

    fn satellite() -> Site {
        let key = PublishableKey::for_host("clerk.example.com", InstanceKind::Production);
        let url = |text| Url::parse(text).expect("an address");
        Site::new(key.expect("a host"))
            .satellite(true)
            .proxy(Proxy::Address(url("https://satellite.example/__clerk")))
            .sign_in(url("https://satellite.example/sign-in"))
    }

    fn headers(origin: Option<&str>, token: &str) -> HeaderMap {
        let bearer = format!("Bearer {token}");
        let fields = [("origin", origin), ("authorization", Some(&bearer))];
        let fields = fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
        fields.map(|(n, v)| (n.parse().expect("a name"), v.parse().expect("a value"))).collect()
    }

    #[test]
    fn a_satellite_that_signs_in_on_its_own_origin_lets_nobody_in() {
        let sim = SimClerk::in_memory();
        let token = sim.mint(&sim.sign_in("user_1"));
        let keys = KeySet::parse(sim.jwks().to_string().as_bytes()).expect("a key set");
        let expect = Expectations::any();
        let verified = crate::verify::verify(&token, &keys, &expect).expect("a good token");
        let now = verified.session().issued_at.expect("a date");
        let evidence = Evidence { keys: Ok(&keys), expect: &expect, now, verified: None };
        let address = Url::parse("https://satellite.example/").expect("an address");
        let own = Some("https://satellite.example");
        for (site, origin, inside) in [
            (satellite(), None, true),
            (satellite(), Some("https://other.example"), true),
            (satellite(), Some("null"), true),
            (satellite().satellite(false), own, true),
            (satellite(), own, false),
            (satellite().domain("other.example"), own, false),
        ] {
            let headers = headers(origin, &token);
            let head = Head { method: &Method::GET, address: &address, headers: &headers };
            let context = Context::new(&site, head, now);
            for answer in [
                authenticate(&site, head, &Accepts::default(), &evidence, &Answers::default()),
                context.authenticate(&evidence, &Answers::default()),
            ] {
                let state = answer.expect("an answer").state;
                assert_eq!(matches!(state, State::SignedIn { .. }), inside, "{origin:?}");
                let reason = (!inside).then_some(&Reason::SignInAtSatellite);
                assert_eq!(state.reason(), reason, "{origin:?}");
            }
        }
    }

    #[test]
    fn the_origin_of_the_sign_in_page_matters_to_all_but_tokens_between_machines() {
        let (expect, address) = (Expectations::any(), Url::parse("https://satellite.example/"));
        let (keys, now) = (KeySet::default(), Timestamp::default());
        let evidence = Evidence { keys: Ok(&keys), expect: &expect, now, verified: None };
        let address = address.expect("an address");
        for (kind, token, refused) in
            [(TokenKind::ApiKey, "ak_1", true), (TokenKind::MachineToMachine, "mt_1", false)]
        {
            let headers = headers(Some("https://satellite.example"), token);
            let head = Head { method: &Method::GET, address: &address, headers: &headers };
            let accepts = Accepts::Only(kind);
            let answer = authenticate(&satellite(), head, &accepts, &evidence, &Answers::default());
            let asked = matches!(answer, Err(Need::Machine(_)));
            assert_eq!(asked, !refused, "{kind:?}");
        }
    }
}
