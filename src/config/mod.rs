//! Configuration of an application's Clerk instance: keys, addresses, grace and webhooks.
//!
//! [`ClerkConfig`] holds what the operator sets: keys, addresses, and the bounds of grace.
//! [`Builder`](crate::Builder) holds what the developer sets in code, and takes precedence. Nothing
//! here contacts Clerk: `clerk-resilience doctor` does, and reports what does not fit together.

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

/// Configuration of an application's Clerk instance: its keys and its addresses.
///
/// [`from_env`](Self::from_env) reads the environment variables that Clerk's own SDKs use, and
/// those of this crate:
///
/// | variable | meaning | without it |
/// |---|---|---|
/// | `CLERK_PUBLISHABLE_KEY` * | identifies the instance | an error |
/// | `CLERK_SECRET_KEY` | the layer needs it to probe the Backend API, load keys from there as a fallback, renew expired sessions, exchange handshake nonces, verify opaque machine tokens, and end sessions at Clerk | the layer does none of these |
/// | `CLERK_JWT_KEY` | PEM public key that verifies tokens without contact to Clerk and never counts as stale | keys come from Clerk and from the state directory |
/// | `CLERK_AUTHORIZED_PARTIES` | comma-separated origins that tokens may be issued to; an empty value is an error | any origin |
/// | `CLERK_SIGN_IN_URL` * | sign-in page for visitors who are not signed in; the layer adds the requested page as `redirect_url` | visitors get a 401 page |
/// | `CLERK_PROXY_URL` * | where browsers reach the Frontend API: a URL, or a path of this application such as `/__clerk`. This process uses a URL too, but not a path | the host in the publishable key |
/// | `CLERK_FRONTEND_API_URL` or `CLERK_FAPI` | where this process reaches the Frontend API; browsers use it too if no proxy is set | the host in the publishable key |
/// | `CLERK_IS_SATELLITE` * | `true` for an application that shares the sessions of a primary application on another domain; requires `CLERK_DOMAIN` or `CLERK_PROXY_URL`, and in development the primary's absolute `CLERK_SIGN_IN_URL` | the application is the primary |
/// | `CLERK_DOMAIN` * | the satellite's domain, such as `app.example.org`; its Frontend API is at `clerk.app.example.org` | |
/// | `CLERK_API_URL` | URL of the Backend API | `https://api.clerk.com` |
/// | `CLERK_RESILIENCE_STATE_DIR` | private directory for state that survives a restart; see [`state_dir`](Self::state_dir) | no state survives in files |
/// | `CLERK_WEBHOOK_SIGNING_SECRET` | signing secret of Clerk's webhooks; list several with commas during a rotation. An empty value is an error | the layer receives no webhooks |
/// | `CLERK_RESILIENCE_STATUS_URL` | URL of the status page's JSON document; `off` disables the probe | Clerk's status page |
/// | `CLERK_RESILIENCE_EGRESS_CANARIES` | comma-separated URLs of other hosts that show whether this application's own network works | none |
/// | `CLERK_RESILIENCE_GRACE` | `off`, `report-only` (the bounds of `balanced`, evaluated and logged, with no effect), `balanced` or `available`; see [`GracePolicy`] | `off` |
/// | `CLERK_RESILIENCE_MAX_GRACE` | how long after its `exp` a token may be accepted, such as `60min`; `0` accepts none, the maximum is 24 hours | the preset's value |
/// | `CLERK_RESILIENCE_GRACE_BUDGET` | maximum outage time with grace per episode, such as `2h` | the preset's value |
/// | `CLERK_RESILIENCE_GRACE_DAY_BUDGET` | maximum outage time with grace in any 24 hours | the preset's value |
/// | `CLERK_RESILIENCE_TICKET_KEYS` | comma-separated ticket keys, the newest first, in the format of `openssl rand -base64 32`; see [`Builder::tickets`](crate::Builder::tickets) | no tickets |
///
/// [`Builder::grace`](crate::Builder::grace) and [`Builder::tickets`](crate::Builder::tickets)
/// override the variables. A grace bound without a preset is an error.
///
/// An empty variable counts as unset. Exceptions are the grace bounds, the signing secret and the
/// authorized parties: there an empty value is an error. Variables with an asterisk are also read
/// with the prefixes `NEXT_PUBLIC_`, `VITE_`, `PUBLIC_`, `REACT_APP_` and `EXPO_PUBLIC_`.
///
/// # Examples
///
/// From the environment, as `main` does it:
///
/// ```no_run
/// use clerk_resilience::{ClerkConfig, ClerkResilience, ConfigError};
///
/// # #[tokio::main] async fn main() -> Result<(), ConfigError> {
/// let clerk = ClerkResilience::builder(ClerkConfig::from_env()?).build()?;
/// # drop(clerk); Ok(())
/// # }
/// ```
///
/// From a secret store, which hands out values by name:
///
/// ```
/// use std::collections::HashMap;
///
/// use clerk_resilience::ClerkConfig;
///
/// let secrets = HashMap::from([
///     ("CLERK_PUBLISHABLE_KEY", "pk_test_Y2xlcmsuY2xlcmsuZGV2JA"),
///     ("CLERK_AUTHORIZED_PARTIES", "https://app.example.com,https://admin.example.com"),
///     ("CLERK_RESILIENCE_GRACE", "balanced"),
///     ("CLERK_RESILIENCE_MAX_GRACE", "30min"),
/// ]);
/// let config = ClerkConfig::from_vars(|name| secrets.get(name).map(|text| text.to_string()));
/// assert!(config.is_ok());
/// ```
///
/// In code, without any variable:
///
/// ```
/// use clerk_resilience::ClerkConfig;
/// use clerk_resilience::key::PublishableKey;
///
/// let key = PublishableKey::parse("pk_test_Y2xlcmsuY2xlcmsuZGV2JA")?;
/// let config = ClerkConfig::new(key)
///     .authorized_parties(["https://app.example.com"])
///     .sign_in_url("/sign-in")
///     .state_dir("/var/lib/example/clerk");
/// # let _ = config;
/// # Ok::<(), clerk_resilience::key::KeyError>(())
/// ```
///
/// # Errors
///
/// [`ConfigError`] names the variable or option and the fix. Single values are checked when they
/// are read, and their combination when the layer is built. Plain `http` addresses are accepted for
/// `127.0.0.1` and `localhost` only, because `http` does not authenticate the server.
#[derive(Clone, Debug)]
pub struct ClerkConfig {
    pub(crate) publishable_key: PublishableKey,
    pub(crate) secret_key: Option<SecretKey>,
    pub(crate) pinned: KeySet,
    /// Frontend API URL of this process, if it differs from the site's.
    frontend_api: Option<Url>,
    site: Site,
    pub(crate) backend_api: Url,
    pub(crate) status_page: Option<Url>,
    pub(crate) canaries: Vec<Url>,
    /// `None` accepts any origin.
    authorized_parties: Option<Vec<String>>,
    public_origins: Vec<String>,
    pub(crate) sign_in_url: Option<String>,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) grace: GracePolicy,
    pub(crate) tickets: Option<TicketKeys>,
    pub(crate) webhook_secrets: Vec<WebhookSecret>,
}

impl ClerkConfig {
    /// Creates the configuration of a publishable key's instance, with Clerk's own addresses and
    /// the defaults above.
    ///
    /// No environment variable is read. Use this in tests, or where another program hands the
    /// configuration over.
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

    /// Sets the secret key. Without one, the layer does not use the Backend API.
    ///
    /// The key is `sk_live_…` or `sk_test_…`, from the API keys page of the Clerk dashboard. Its
    /// mode must be that of the publishable key: a difference is a warning at build, and an error
    /// for a satellite. `Debug` prints `[redacted]`.
    #[must_use]
    pub fn secret_key(mut self, key: SecretKey) -> Self {
        self.secret_key = Some(key);
        self
    }

    /// Pins a PEM public key, in the format of `CLERK_JWT_KEY`. The layer verifies tokens with it
    /// without any contact to Clerk. A pinned key does not follow Clerk's key rotation.
    ///
    /// A PEM has no key id. A token whose `kid` is unknown and whose signature the pinned key did
    /// not make is therefore not invalid at once: the layer loads Clerk's current keys first. Clerk
    /// describes the key under [manual JWT
    /// verification](https://clerk.com/docs/guides/sessions/manual-jwt-verification). Pin a key
    /// where a process must start during an outage without a state directory.
    ///
    /// # Errors
    ///
    /// [`PemError`] if the text is not a usable public key.
    pub fn jwt_key(mut self, pem: &str) -> Result<Self, PemError> {
        self.pinned = KeySet::from_pem(pem)?;
        Ok(self)
    }

    /// Sets the URL at which this process reaches the Frontend API. The expected issuer of tokens
    /// stays the one that the publishable key or the site names.
    ///
    /// Default: the host in the publishable key, or the proxy's URL if the site has one. Set it
    /// where this process reaches Clerk by another way than browsers do, such as an egress proxy
    /// with its own name.
    #[must_use]
    pub fn frontend_api(mut self, url: Url) -> Self {
        self.frontend_api = Some(url);
        self
    }

    /// Returns the addresses that probes use, and their deadline.
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

    /// Changes the site: satellite, proxy, organizations in URLs. `change` receives the site as the
    /// variables describe it.
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
    ///
    /// A satellite shares the sessions of a primary application on another domain. In production
    /// its tokens have the issuer `https://clerk.` plus its own domain:
    ///
    /// ```
    /// use clerk_resilience::ClerkConfig;
    ///
    /// # let key = clerk_resilience::key::PublishableKey::parse("pk_test_Y2xlcmsuY2xlcmsuZGV2JA")?;
    /// let config = ClerkConfig::new(key)
    ///     .site(|site| {
    ///         site.satellite(true)
    ///             .domain("app.example.org")
    ///             .sign_in("https://example.com/sign-in".parse().expect("a constant address"))
    ///     });
    /// # let _ = config;
    /// # Ok::<(), clerk_resilience::key::KeyError>(())
    /// ```
    ///
    /// [`Builder::build`](crate::Builder::build) rejects a satellite without a domain or proxy, a
    /// sign-in page on the satellite's own domain, and an organization pattern that cannot be read.
    #[must_use]
    pub fn site(mut self, change: impl FnOnce(Site) -> Site) -> Self {
        self.site = change(self.site);
        self
    }

    /// Sets the URL of the Backend API. Default: `https://api.clerk.com/`.
    ///
    /// The layer sends the secret key to this address, so it must be Clerk's, or a proxy that the
    /// operator trusts as much.
    #[must_use]
    pub fn backend_api(mut self, url: Url) -> Self {
        self.backend_api = url;
        self
    }

    /// Sets the URL of the status page's JSON document, in any common vendor's format. `None`
    /// disables the probe. Default: Clerk's status page.
    ///
    /// The page is advisory. A red page alone proves no outage, and a green page ends none; it is
    /// the second signal where Clerk only falls silent. Default URL:
    /// `https://status.clerk.com/api/v2/summary.json`.
    #[must_use]
    pub fn status_page(mut self, url: Option<Url>) -> Self {
        self.status_page = url;
        self
    }

    /// Adds a canary: the URL of another host that always answers. If neither Clerk nor any canary
    /// answers, the layer concludes that this application's own network is cut off.
    ///
    /// Default: none. Silence then proves nothing, because it has two possible causes. Choose hosts
    /// that are independent of Clerk and of each other, and that answer `GET` with any status, such
    /// as `https://www.gstatic.com/generate_204`.
    ///
    /// ```
    /// use clerk_resilience::ClerkConfig;
    /// # let key = clerk_resilience::key::PublishableKey::parse("pk_test_Y2xlcmsuY2xlcmsuZGV2JA")?;
    ///
    /// let config = ClerkConfig::new(key)
    ///     .egress_canary("https://www.gstatic.com/generate_204".parse()?)
    ///     .egress_canary("https://one.one.one.one/".parse()?);
    /// # let _ = config;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn egress_canary(mut self, url: Url) -> Self {
        self.canaries.push(url);
        self
    }

    /// Sets the origins that tokens may be issued to (`azp`), such as `https://app.example.com`.
    /// Default: any origin. [`Builder::build`](crate::Builder::build) rejects an empty list and
    /// entries that are not origins.
    ///
    /// An origin has a scheme, a host and perhaps a port, and no path or trailing slash. It is
    /// compared byte for byte, as in Clerk's SDK. Set it in production: otherwise a token that
    /// another application of the same instance obtained is accepted here. Clerk calls this check
    /// [`authorizedParties`](https://clerk.com/docs/reference/backend/authenticate-request).
    /// [`Builder::azp`](crate::Builder::azp) decides about tokens that name no party.
    #[must_use]
    pub fn authorized_parties<I: IntoIterator<Item: Into<String>>>(mut self, parties: I) -> Self {
        self.authorized_parties = Some(parties.into_iter().map(Into::into).collect());
        self
    }

    /// Returns the origins that tokens may be issued to; empty if any origin is accepted.
    pub(crate) fn parties(&self) -> &[String] {
        self.authorized_parties.as_deref().unwrap_or_default()
    }

    /// Sets the origins at which browsers see this application, such as `https://app.example.com`.
    /// Clerk redirects a browser back only to one of these, to an authorized party, or to the
    /// site's own domain.
    ///
    /// Default: none. Without public origins and authorized parties, Clerk redirects a browser back
    /// to the host in the `Host` header.
    ///
    /// Set it behind a proxy that changes `Host`, or where a sender could choose `Host` freely:
    /// Clerk's redirect carries a session token.
    #[must_use]
    pub fn public_origins<I: IntoIterator<Item: Into<String>>>(mut self, origins: I) -> Self {
        self.public_origins = origins.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the sign-in page for visitors who are not signed in: a URL, or a path of the
    /// application. The layer adds the requested page as `redirect_url`, unless the URL already has
    /// that parameter.
    ///
    /// Default: none; a page request without a session then gets a 401 page. Programs always get
    /// 401, because a redirect would hide the error from them.
    #[must_use]
    pub fn sign_in_url(mut self, url: impl Into<String>) -> Self {
        self.sign_in_url = Some(url.into());
        self
    }

    /// Sets a private directory for state that survives a restart: the last good keys, the outage
    /// history, the sessions seen. This state decides about access, so no other user may have write
    /// permission.
    ///
    /// The directory is created with mode 0700 if it is missing. It holds `keys.json`,
    /// `outages.json` and a lock file, all of mode 0600. [`StateDir`] lists the conditions. An
    /// unsafe directory does not stop the start: the layer logs `clerk.state.refused` and works
    /// without it. Default: none; a process that starts during an outage then has no keys and gives
    /// no grace.
    ///
    /// [`StateDir`]: crate::store::StateDir
    #[must_use]
    pub fn state_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(path.into());
        self
    }

    /// Adds a webhook signing secret, from the endpoint's page in the Clerk dashboard. With a
    /// secret, `clerk.routes()` receives webhooks. During a rotation several secrets may be set.
    ///
    /// A secret is `whsec_…`. [`WebhookService`](crate::WebhookService) shows each response. Clerk
    /// describes the endpoint under
    /// [webhooks](https://clerk.com/docs/guides/development/webhooks/overview).
    #[must_use]
    pub fn webhook_secret(mut self, secret: WebhookSecret) -> Self {
        self.webhook_secrets.push(secret);
        self
    }

    /// Returns the URL at which this process reaches the Frontend API.
    pub(crate) fn frontend_api_url(&self) -> Url {
        self.frontend_api.clone().unwrap_or_else(|| self.site.server_address())
    }

    /// Returns the site as browsers use it: a configured Frontend API URL becomes its proxy, unless
    /// a proxy is set.
    pub(crate) fn browsers_site(&self) -> Site {
        match &self.frontend_api {
            Some(url) if !self.site.has_proxy() && *url != self.site.server_address() => {
                self.site.clone().proxy(Proxy::Address(url.clone()))
            }
            _ => self.site.clone(),
        }
    }

    /// Returns the `iss` values of this application's tokens.
    pub(crate) fn issuers(&self) -> Vec<String> {
        self.site.issuers(self.parties())
    }

    /// Returns whether the publishable key and the secret key have different modes (live and test).
    pub(crate) fn has_mixed_modes(&self) -> bool {
        self.secret_key.as_ref().is_some_and(|secret| secret.kind() != self.publishable_key.kind())
    }

    /// Returns the configured origins of this application.
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

    /// Checks the finished configuration for contradictions and unusable addresses.
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
