//! The setup of an application, as far as authentication depends on it.

use http::HeaderValue;
use url::Url;

use super::organization::OrganizationSync;
use crate::key::{InstanceKind, PublishableKey};
use crate::token::CookieNames;

/// Host suffix on which Clerk's SDK reaches the Frontend API through the application itself.
const AUTO_PROXY_HOSTS: &str = ".vercel.app";
const AUTO_PROXY_PATH: &str = "/__clerk";

/// The setup of an application at Clerk.
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

/// Where browsers reach the Frontend API instead of its own host.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Proxy {
    /// At an address.
    Address(Url),
    /// Below a path of the application itself, such as `/__clerk`.
    Path(String),
}

impl Proxy {
    /// Parses an absolute `http` or `https` address, or a path that begins with a slash. `None` for
    /// any other text.
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

/// What is wrong with the setup of a site.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
// Exhaustive on purpose: every caller must handle every variant.
pub enum SiteError {
    /// A satellite has neither a domain nor a proxy.
    #[error("a satellite application needs a domain or a proxy address")]
    SatelliteWithoutDomain,
    /// A satellite of a development instance has no sign-in address.
    #[error(
        "a satellite application of a development instance needs its primary's sign-in address"
    )]
    SatelliteWithoutSignIn,
    /// The sign-in address of a satellite is on its own domain.
    #[error("a satellite application's visitors sign in at the primary one, not on its own domain")]
    SignInAtSatellite,
    /// An organisation pattern cannot be parsed, so it would never match.
    #[error(
        "an organisation pattern cannot be read; write a path in which :id or :slug stands for one segment and (.*) for any rest"
    )]
    OrganizationPattern,
}

impl Site {
    /// Creates a site for an application on the instance's primary domain.
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

    /// Sets the domain of this application, when it differs from the instance's domain.
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Sets whether this application shares the sessions of a primary application on another
    /// domain. Default: false.
    #[must_use]
    pub fn satellite(mut self, satellite: bool) -> Self {
        self.satellite = satellite;
        self
    }

    /// Sets whether a satellite asks its primary application at the first visit, not only after a
    /// sign-in. Default: false.
    #[must_use]
    pub fn auto_sync(mut self, auto_sync: bool) -> Self {
        self.auto_sync = auto_sync;
        self
    }

    /// Sets whether hosts below `.vercel.app` reach the Frontend API through their path `/__clerk`,
    /// as in Clerk's SDK. Default: false, because the host comes from a header field.
    #[must_use]
    pub fn auto_proxy(mut self, auto_proxy: bool) -> Self {
        self.auto_proxy = auto_proxy;
        self
    }

    /// Sets whether a handshake returns a nonce, which takes a secret key to look up, instead of a
    /// token in the address. Default: true, as in Clerk's SDK.
    #[must_use]
    pub fn nonces(mut self, nonces: bool) -> Self {
        self.nonces = nonces;
        self
    }

    /// Sets the proxy through which the Frontend API is reached.
    #[must_use]
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Sets the page of the primary application where visitors sign in.
    #[must_use]
    pub fn sign_in(mut self, address: Url) -> Self {
        self.sign_in = Some(address);
        self
    }

    /// Sets the path patterns that select the active organisation.
    #[must_use]
    pub fn organizations(mut self, organizations: OrganizationSync) -> Self {
        self.organizations = organizations;
        self
    }

    /// Checks that the settings are consistent.
    ///
    /// # Errors
    ///
    /// [`SiteError`] names the missing setting of a satellite, or an organisation pattern that
    /// cannot be parsed.
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

    /// Returns the address where a server reaches the Frontend API. A proxy on a path of the
    /// application serves only browsers, so it is not used.
    ///
    /// # Panics
    ///
    /// Never: the publishable key contains a validated host.
    #[must_use]
    pub fn server_address(&self) -> Url {
        match &self.proxy {
            Some(Proxy::Address(address)) => address.clone(),
            _ => Url::parse(&format!("https://{}/", self.issuing_host()))
                .or_else(|_| Url::parse(&self.key.issuer()))
                .expect("the publishable key contains a validated host"),
        }
    }

    /// Returns the `iss` values of this application's tokens. The address of a proxy is one of
    /// them, as in Clerk's Go SDK. A proxy on a path adds one value for each of `origins`.
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

    /// Returns the publishable key that a primary application with the same issuer has.
    #[must_use]
    pub fn issuing_key(&self) -> PublishableKey {
        PublishableKey::for_host(&self.issuing_host(), self.kind()).unwrap_or(self.key.clone())
    }

    /// Returns the application's own domain, when it is set: a satellite's, or the one that a proxy
    /// serves.
    #[must_use]
    pub fn own_domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// Returns true when browsers reach the Frontend API through a proxy.
    #[must_use]
    pub fn has_proxy(&self) -> bool {
        self.proxy.is_some()
    }

    /// Returns the publishable key of this application.
    #[must_use]
    pub fn publishable_key(&self) -> &PublishableKey {
        &self.key
    }

    /// Returns where a browser on a page of this application reaches the Frontend API: an address,
    /// or a path.
    #[must_use]
    pub fn browser_address(&self) -> String {
        match &self.proxy {
            Some(Proxy::Address(address)) => address.to_string(),
            Some(Proxy::Path(path)) => path.clone(),
            None => format!("https://{}", self.issuing_host()),
        }
    }

    /// Returns the proxy's address; `None` without a proxy, or for a proxy on a path of the
    /// application.
    #[must_use]
    pub fn proxy_address(&self) -> Option<&Url> {
        match &self.proxy {
            Some(Proxy::Address(address)) => Some(address),
            _ => None,
        }
    }

    /// Returns whether the application needs a secret key to look up the nonce of a handshake. True
    /// unless [`nonces`](Self::nonces) is set to false.
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

    /// Returns whether the application shares the sessions of a primary application.
    #[must_use]
    pub fn is_satellite(&self) -> bool {
        self.satellite
    }

    /// Returns true when the proxy is on this machine and uses plain `http`.
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

    /// Returns the host in the `iss` of this instance's tokens. A satellite's domain changes it in
    /// production; a proxy does not.
    pub(super) fn issuing_host(&self) -> String {
        match &self.domain {
            Some(domain) if self.satellite && !self.is_development() => format!("clerk.{domain}"),
            _ => self.key.frontend_api().to_owned(),
        }
    }

    /// Returns the Frontend API for a request: an address when there is a proxy, else a host.
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

/// Returns host and port in the form of a domain setting.
fn authority(url: &Url) -> Option<String> {
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    Some(format!("{}{port}", url.host_str()?))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};

    use super::*;
    use crate::authenticate::{
        Accepts, AuthStatus, BackendResponses, Context, Evidence, Head, NeedsBackend, Reason,
        authenticate,
    };
    use crate::clock::Timestamp;
    use crate::jwks::KeySet;
    use crate::token::{Expectations, TokenKind};
    use clerk_sim::SimClerk;

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
    fn a_token_from_the_satellites_own_sign_in_is_rejected() {
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
                authenticate(
                    &site,
                    head,
                    &Accepts::default(),
                    &evidence,
                    &BackendResponses::default(),
                ),
                context.authenticate(&evidence, &BackendResponses::default()),
            ] {
                let state = answer.expect("an answer").state;
                assert_eq!(matches!(state, AuthStatus::SignedIn { .. }), inside, "{origin:?}");
                let reason = (!inside).then_some(&Reason::SignInAtSatellite);
                assert_eq!(state.reason(), reason, "{origin:?}");
            }
        }
    }

    #[test]
    fn the_sign_in_origin_matters_except_for_machine_tokens() {
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
            let answer =
                authenticate(&satellite(), head, &accepts, &evidence, &BackendResponses::default());
            let asked = matches!(answer, Err(NeedsBackend::Machine(_)));
            assert_eq!(asked, !refused, "{kind:?}");
        }
    }
}
