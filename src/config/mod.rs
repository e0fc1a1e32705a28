//! What must be known of an application's Clerk instance.

mod address;
mod env;
mod error;
mod grace;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use clerk_verify::authenticate::{Proxy, Site};
use clerk_verify::jwks::{KeySet, PemError};
use clerk_verify::key::{InstanceKind, PublishableKey, SecretKey};
use clerk_verify::webhook_signature::WebhookSecret;
use url::Url;

pub use error::ConfigError;

use self::address::{check_address, check_domain, check_party};
use self::error::invalid;
use crate::decide::policy::GracePolicy;
use crate::probe::Targets;
use crate::state::ticket::TicketKeys;

const DEFAULT_API: &str = "https://api.clerk.com/";
const DEFAULT_STATUS: &str = "https://status.clerk.com/api/v2/summary.json";

/// An application's Clerk instance: its keys and addresses.
///
/// [`from_env`](Self::from_env) reads the variables that Clerk users already have:
///
/// | variable | meaning | without it |
/// |---|---|---|
/// | `CLERK_PUBLISHABLE_KEY` * | names the instance | an error |
/// | `CLERK_SECRET_KEY` | lets the Backend API be watched and be a second source of keys, expired sessions be renewed, handshakes come back by nonce, opaque machine tokens be asked about, and sign-outs reach Clerk | none of these |
/// | `CLERK_JWT_KEY` | a PEM public key that never grows old | keys come from Clerk and from the state directory |
/// | `CLERK_AUTHORIZED_PARTIES` | comma-separated origins that tokens may be issued to. Empty is an error | any |
/// | `CLERK_SIGN_IN_URL` * | where to send people who are not signed in, with the way back as `redirect_url` | they get a 401 page |
/// | `CLERK_PROXY_URL` * | where browsers reach the Frontend API: an address, or a path of this application, as `/__clerk`. An address is asked by this process too | its own host |
/// | `CLERK_FRONTEND_API_URL` or `CLERK_FAPI` | where this process reaches the Frontend API, and browsers too if there is no proxy | its own host |
/// | `CLERK_IS_SATELLITE` * | `true` for an application that shares the sessions of a primary one on another domain; takes `CLERK_DOMAIN` or `CLERK_PROXY_URL`, and in development the primary's whole `CLERK_SIGN_IN_URL` | it is the primary |
/// | `CLERK_DOMAIN` * | the satellite's domain, as `app.example.org`; its Frontend API is at `clerk.app.example.org` | |
/// | `CLERK_API_URL` | the Backend API's address | `https://api.clerk.com` |
/// | `CLERK_RESILIENCE_STATE_DIR` | a private directory for what must survive a restart | nothing survives |
/// | `CLERK_WEBHOOK_SIGNING_SECRET` | signs Clerk's webhooks; several with commas while it is being replaced. Empty is an error | webhooks are not received |
/// | `CLERK_RESILIENCE_STATUS_URL` | the status page's JSON document; `off` to leave it alone | Clerk's |
/// | `CLERK_RESILIENCE_EGRESS_CANARIES` | comma-separated addresses that tell whether *we* are cut off | none |
/// | `CLERK_RESILIENCE_GRACE` | `off`, `report-only` (the bounds of `balanced`, evaluated and logged, with no effect), `balanced` or `available`; see [`GracePolicy`] | off |
/// | `CLERK_RESILIENCE_MAX_GRACE` | how long after its `exp` a token may be honoured, as `60min`; `0` for not at all, at most 24 hours | the preset's |
/// | `CLERK_RESILIENCE_GRACE_BUDGET` | outage time with grace, per episode, as `2h` | the preset's |
/// | `CLERK_RESILIENCE_GRACE_DAY_BUDGET` | outage time with grace, in any 24 hours | the preset's |
/// | `CLERK_RESILIENCE_TICKET_KEYS` | comma-separated keys of tickets, the newest first, as `openssl rand -base64 32` makes them; see [`Builder::tickets`](crate::Builder::tickets) | no tickets |
///
/// What [`Builder::grace`](crate::Builder::grace) and [`Builder::tickets`](crate::Builder::tickets) choose
/// counts, whatever the variables say. A bound without a preset is an error.
///
/// A variable that is empty counts as not set, but for the bounds of grace, the signing secret and the authorized parties: there it is an error. Those with an asterisk are also read with the prefixes
/// `NEXT_PUBLIC_`, `VITE_`, `PUBLIC_`, `REACT_APP_` and `EXPO_PUBLIC_`.
#[derive(Clone, Debug)]
pub struct ClerkConfig {
    pub(crate) publishable_key: PublishableKey,
    pub(crate) secret_key: Option<SecretKey>,
    pub(crate) pinned: KeySet,
    /// Where this process asks, if it is to be somewhere else than the site says.
    frontend_api: Option<Url>,
    site: Site,
    pub(crate) backend_api: Url,
    pub(crate) status_page: Option<Url>,
    pub(crate) canaries: Vec<Url>,
    /// `None` accepts any.
    authorized_parties: Option<Vec<String>>,
    public_origins: Vec<String>,
    pub(crate) sign_in_url: Option<String>,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) grace: GracePolicy,
    pub(crate) tickets: Option<TicketKeys>,
    pub(crate) webhook_secrets: Vec<WebhookSecret>,
}

impl ClerkConfig {
    /// The instance of a publishable key, with Clerk's own addresses and nothing else.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "the addresses are constants")]
    pub fn new(publishable_key: PublishableKey) -> Self {
        let parse = |url: &str| Url::parse(url).expect("a constant address");
        Self {
            site: Site::new(publishable_key.clone()),
            publishable_key,
            secret_key: None,
            pinned: KeySet::default(),
            frontend_api: None,
            backend_api: parse(DEFAULT_API),
            status_page: Some(parse(DEFAULT_STATUS)),
            canaries: Vec::new(),
            authorized_parties: None,
            public_origins: Vec::new(),
            sign_in_url: None,
            state_dir: None,
            grace: GracePolicy::disabled(),
            tickets: None,
            webhook_secrets: Vec::new(),
        }
    }

    /// The secret key.
    #[must_use]
    pub fn secret_key(mut self, key: SecretKey) -> Self {
        self.secret_key = Some(key);
        self
    }

    /// A PEM public key, as in `CLERK_JWT_KEY`. It verifies without any contact to Clerk, but does
    /// not follow when Clerk's key changes.
    ///
    /// # Errors
    ///
    /// [`PemError`] says what the text is instead.
    pub fn jwt_key(mut self, pem: &str) -> Result<Self, PemError> {
        self.pinned = KeySet::from_pem(pem)?;
        Ok(self)
    }

    /// The Frontend API's address. Tokens are still expected from the issuer that the publishable
    /// key, or the site, names.
    #[must_use]
    pub fn frontend_api(mut self, url: Url) -> Self {
        self.frontend_api = Some(url);
        self
    }

    /// Whom to ask how Clerk is.
    pub(crate) fn targets(&self, deadline: Duration) -> Targets {
        Targets {
            frontend_api: self.frontend_api_url(),
            backend_api: self.backend_api.clone(),
            secret_key: self.secret_key.clone(),
            status_page: self.status_page.clone(),
            canaries: self.canaries.clone(),
            deadline,
        }
    }

    /// How the application is set up at Clerk: a satellite, a proxy, organisations in addresses. The
    /// change is made to what the variables say.
    ///
    /// ```
    /// use clerk_resilience::ClerkConfig;
    /// use clerk_resilience::authenticate::OrganizationSync;
    ///
    /// # let key = clerk_resilience::key::PublishableKey::parse("pk_test_Y2xlcmsuY2xlcmsuZGV2JA")?;
    /// let sync = OrganizationSync::new(["/orgs/:slug", "/orgs/:slug/(.*)"], ["/me"]);
    /// let config = ClerkConfig::new(key).site(|site| site.organizations(sync));
    /// # let _ = config;
    /// # Ok::<(), clerk_resilience::key::KeyError>(())
    /// ```
    #[must_use]
    pub fn site(mut self, change: impl FnOnce(Site) -> Site) -> Self {
        self.site = change(self.site);
        self
    }

    /// The Backend API's address.
    #[must_use]
    pub fn backend_api(mut self, url: Url) -> Self {
        self.backend_api = url;
        self
    }

    /// The status page's JSON document, of any common vendor's form; `None` to leave it alone.
    #[must_use]
    pub fn status_page(mut self, url: Option<Url>) -> Self {
        self.status_page = url;
        self
    }

    /// One more address that should always answer. When Clerk does not answer at all, and these do
    /// not either, it is this application that is cut off.
    #[must_use]
    pub fn egress_canary(mut self, url: Url) -> Self {
        self.canaries.push(url);
        self
    }

    /// The origins that tokens may be issued to, as `https://app.example.com`. Default: any. A list
    /// without an origin, or with an entry that is none, is an error when the layer is built.
    #[must_use]
    pub fn authorized_parties<I: IntoIterator<Item: Into<String>>>(mut self, parties: I) -> Self {
        self.authorized_parties = Some(parties.into_iter().map(Into::into).collect());
        self
    }

    /// The origins that tokens may be issued to; empty when any may be.
    pub(crate) fn parties(&self) -> &[String] {
        self.authorized_parties.as_deref().unwrap_or_default()
    }

    /// The origins at which browsers see this application, as `https://app.example.com`. Clerk sends a
    /// browser back only to one of these, of the authorized parties, or of the site's own domain.
    /// Default: none; if there is no authorized party either, Clerk sends a browser back to the host that
    /// `Host` names.
    #[must_use]
    pub fn public_origins<I: IntoIterator<Item: Into<String>>>(mut self, origins: I) -> Self {
        self.public_origins = origins.into_iter().map(Into::into).collect();
        self
    }

    /// Where to send people who are not signed in: an address, or a path of the application. The page
    /// that they asked for goes along as `redirect_url`, unless the address names one itself.
    #[must_use]
    pub fn sign_in_url(mut self, url: impl Into<String>) -> Self {
        self.sign_in_url = Some(url.into());
        self
    }

    /// A private directory for what must survive a restart: the last good keys, the record of
    /// outages, the sessions seen. It decides who gets in, so nobody else may write it.
    #[must_use]
    pub fn state_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(path.into());
        self
    }

    /// A secret that signs Clerk's webhooks, from the endpoint's page in the dashboard; with it
    /// `clerk.routes()` receives them. While secrets are being replaced there may be several.
    #[must_use]
    pub fn webhook_secret(mut self, secret: WebhookSecret) -> Self {
        self.webhook_secrets.push(secret);
        self
    }

    /// Where this process reaches the Frontend API.
    pub(crate) fn frontend_api_url(&self) -> Url {
        self.frontend_api.clone().unwrap_or_else(|| self.site.server_address())
    }

    /// The site, for browsers: they too go to a Frontend API that is somewhere else.
    pub(crate) fn browsers_site(&self) -> Site {
        match &self.frontend_api {
            Some(url) if !self.site.has_proxy() && *url != self.site.server_address() => {
                self.site.clone().proxy(Proxy::Address(url.clone()))
            }
            _ => self.site.clone(),
        }
    }

    /// The `iss` values of this application's tokens.
    pub(crate) fn issuers(&self) -> Vec<String> {
        self.site.issuers(self.parties())
    }

    /// The publishable key and the secret key are of different modes, live and test.
    pub(crate) fn has_mixed_modes(&self) -> bool {
        self.secret_key.as_ref().is_some_and(|secret| secret.kind() != self.publishable_key.kind())
    }

    /// The origins of this application, as far as they are configured.
    pub(crate) fn own_origins(&self) -> Vec<Url> {
        let named = self.public_origins.iter().chain(self.parties()).cloned();
        let production = self.publishable_key.kind() == InstanceKind::Production;
        let schemes: &[&str] = if production { &["https"] } else { &["https", "http"] };
        let domain = self.site.own_domain();
        let domains = domain
            .iter()
            .flat_map(|domain| schemes.iter().map(move |scheme| format!("{scheme}://{domain}")));
        named.chain(domains).filter_map(|origin| Url::parse(&origin).ok()).collect()
    }

    /// What only shows when everything is put together.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.authorized_parties.as_ref().is_some_and(Vec::is_empty) {
            return Err(invalid(
                "the authorized parties",
                &"the list is empty; name this application's origins, or do not give a list",
            ));
        }
        for party in self.parties() {
            check_party("the authorized party", party)?;
        }
        for origin in &self.public_origins {
            check_party("the public origin", origin)?;
        }
        let addresses = [
            ("the Frontend API's address", self.frontend_api.as_ref()),
            ("the proxy's address", self.site.proxy_address()),
            ("the Backend API's address", Some(&self.backend_api)),
            ("the status page's address", self.status_page.as_ref()),
        ];
        for (name, url) in addresses {
            url.map_or(Ok(()), |url| check_address(name, url))?;
        }
        if let Some(domain) = self.site.own_domain() {
            check_domain("the site's domain", domain)?;
        }
        self.site.check().map_err(|error| invalid("site", &error))?;
        if self.site.is_satellite() && self.has_mixed_modes() {
            return Err(invalid(
                "CLERK_SECRET_KEY",
                &"it is of another mode (live or test) than the publishable key, and a satellite's settings depend on the mode; copy both keys from the same page of the Clerk dashboard",
            ));
        }
        self.canaries.iter().try_for_each(|url| check_address("an egress canary", url))
    }
}
