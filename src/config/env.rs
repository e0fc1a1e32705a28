//! Configuration from the environment variables that Clerk's own SDKs use, and from this crate's
//! own.
//!
//! An empty variable counts as unset, except where an empty value would switch a check off: the
//! authorized parties, the signing secrets and the bounds of grace.

use std::path::PathBuf;

use clerk_verify::authenticate::{Site, SiteError};
use clerk_verify::key::{PublishableKey, SecretKey};
use clerk_verify::webhook_signature::WebhookSecret;
use url::Url;

use super::ClerkConfig;
use super::address::{address, check_domain, proxy, with_scheme};
use super::error::{ConfigError, invalid};

/// Prefixes that front-end tools put before variables that browsers may read.
const PREFIXES: [&str; 6] = ["", "NEXT_PUBLIC_", "VITE_", "PUBLIC_", "REACT_APP_", "EXPO_PUBLIC_"];

impl ClerkConfig {
    /// Loads the configuration from the process environment. See [`ClerkConfig`] for the variables.
    ///
    /// The environment is read once; a later change has no effect. The first problem ends the call;
    /// [`doctor::examine_vars`](crate::doctor::examine_vars) lists all problems at once.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the missing or malformed variable and the fix.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_vars(|name| std::env::var(name).ok())
    }

    /// Loads the configuration through `read`, which returns the value of a variable. Use it with a
    /// secret store, or in tests.
    ///
    /// `read` is called with each name once or more, with and without the prefixes of front-end
    /// tools. `None` means that the variable is not set.
    ///
    /// ```
    /// use clerk_resilience::{ClerkConfig, ConfigError};
    ///
    /// let missing = ClerkConfig::from_vars(|_| None);
    /// assert!(matches!(
    ///     missing,
    ///     Err(ConfigError::Missing { variable: "CLERK_PUBLISHABLE_KEY", .. })
    /// ));
    /// ```
    ///
    /// # Errors
    ///
    /// As [`from_env`](Self::from_env).
    pub fn from_vars(read: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let vars = Vars(&read);
        let mut config = Self::new(vars.publishable_key()?);
        if let Some(text) = vars.get("CLERK_SECRET_KEY") {
            let key = SecretKey::parse(text.trim());
            config.secret_key = Some(key.map_err(|source| invalid("CLERK_SECRET_KEY", &source))?);
        }
        if let Some(text) = vars.get("CLERK_JWT_KEY") {
            config = config.jwt_key(&text).map_err(|source| invalid("CLERK_JWT_KEY", &source))?;
        }
        config.frontend_api = vars.frontend_api()?;
        if let Some(text) = vars.get("CLERK_API_URL") {
            config.backend_api = address("CLERK_API_URL", &text)?;
        }
        match vars.get("CLERK_RESILIENCE_STATUS_URL") {
            Some(off) if off == "off" => config.status_page = None,
            Some(text) => {
                config.status_page = Some(address("CLERK_RESILIENCE_STATUS_URL", &text)?);
            }
            None => {}
        }
        for text in vars.list("CLERK_RESILIENCE_EGRESS_CANARIES")? {
            config.canaries.push(address("CLERK_RESILIENCE_EGRESS_CANARIES", &text)?);
        }
        config.authorized_parties = vars.authorized_parties()?;
        config.sign_in_url = vars.public("CLERK_SIGN_IN_URL").map(|(_, text)| text);
        config.site = vars.site(config.site)?;
        config.grace = vars.grace()?;
        config.tickets = vars.tickets()?;
        config.webhook_secrets = vars.webhook_secrets()?;
        config.state_dir = vars.get("CLERK_RESILIENCE_STATE_DIR").map(PathBuf::from);
        Ok(config)
    }
}

pub(super) struct Vars<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Vars<'_> {
    pub(super) fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|text| !text.trim().is_empty())
    }

    /// Returns a variable unchanged, even if it is empty.
    pub(super) fn raw(&self, name: &str) -> Option<String> {
        (self.0)(name)
    }

    /// Returns the name and value of a variable under the first prefix that is set.
    fn public(&self, name: &str) -> Option<(String, String)> {
        let mut names = PREFIXES.iter().map(|prefix| format!("{prefix}{name}"));
        names.find_map(|name| self.get(&name).map(|text| (name, text)))
    }

    fn publishable_key(&self) -> Result<PublishableKey, ConfigError> {
        let missing = ConfigError::Missing {
            variable: "CLERK_PUBLISHABLE_KEY",
            what: "the publishable key (pk_live_… or pk_test_…) from the API keys page of the Clerk dashboard",
        };
        let (name, text) = self.public("CLERK_PUBLISHABLE_KEY").ok_or(missing)?;
        PublishableKey::parse(text.trim()).map_err(|source| invalid(&name, &source))
    }

    /// Reads the Frontend API URL. Two variables may hold it; different values are an error.
    fn frontend_api(&self) -> Result<Option<Url>, ConfigError> {
        let read =
            |name| self.get(name).map(|text| address(name, &with_scheme(text.trim()))).transpose();
        match (read("CLERK_FRONTEND_API_URL")?, read("CLERK_FAPI")?) {
            (Some(one), Some(other)) if one != other => Err(ConfigError::Contradiction {
                first: "CLERK_FAPI",
                second: "CLERK_FRONTEND_API_URL",
                problem: "both name the Frontend API's address, but not the same; unset one",
            }),
            (one, other) => Ok(one.or(other)),
        }
    }

    /// Reads the signing secrets. A variable that is set but empty is an error: the operator
    /// expects the layer to receive webhooks.
    fn webhook_secrets(&self) -> Result<Vec<WebhookSecret>, ConfigError> {
        const NAME: &str = "CLERK_WEBHOOK_SIGNING_SECRET";
        let Some(text) = self.raw(NAME) else { return Ok(Vec::new()) };
        let secrets = text.split(',').map(WebhookSecret::parse);
        secrets.map(|secret| secret.map_err(|source| invalid(NAME, &source))).collect()
    }

    /// Reads the authorized parties. A variable that is set but empty is an error: the operator
    /// expects a check that would not take place.
    fn authorized_parties(&self) -> Result<Option<Vec<String>>, ConfigError> {
        const NAME: &str = "CLERK_AUTHORIZED_PARTIES";
        self.raw(NAME).map(|text| items(NAME, &text)).transpose()
    }

    fn site(&self, mut site: Site) -> Result<Site, ConfigError> {
        if let Some((name, text)) = self.public("CLERK_PROXY_URL") {
            site = site.proxy(proxy(&name, &text)?);
        }
        if let Some((name, text)) = self.public("CLERK_DOMAIN") {
            check_domain(&name, text.trim())?;
            site = site.domain(text.trim());
        }
        let sign_in = self.public("CLERK_SIGN_IN_URL");
        if let Some(url) = sign_in.as_ref().and_then(|(_, text)| Url::parse(text.trim()).ok()) {
            site = site.sign_in(url);
        }
        if let Some((name, text)) = self.public("CLERK_IS_SATELLITE") {
            site = site.satellite(flag(&name, &text)?);
        }
        site.check().map_err(|error| unfit(error, sign_in.is_some()))?;
        Ok(site)
    }

    fn list(&self, name: &str) -> Result<Vec<String>, ConfigError> {
        self.get(name).map_or(Ok(Vec::new()), |text| items(name, &text))
    }
}

/// Splits a comma-separated list. A list without any value is an error.
fn items(name: &str, text: &str) -> Result<Vec<String>, ConfigError> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let items: Vec<String> = items.map(str::to_owned).collect();
    if items.is_empty() {
        return Err(invalid(name, &"it names nothing; unset it, or list values between commas"));
    }
    Ok(items)
}

fn flag(name: &str, text: &str) -> Result<bool, ConfigError> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(invalid(name, &"write true or false")),
    }
}

/// Translates an error of the site into the names of variables.
fn unfit(error: SiteError, has_sign_in: bool) -> ConfigError {
    let (second, problem) = match error {
        SiteError::SatelliteWithoutDomain => (
            "CLERK_DOMAIN",
            "a satellite application has a domain of its own; set CLERK_DOMAIN to it, as app.example.org, or CLERK_PROXY_URL",
        ),
        SiteError::SatelliteWithoutSignIn if has_sign_in => (
            "CLERK_SIGN_IN_URL",
            "visitors of a satellite sign in at the primary application; write its whole address, as https://example.com/sign-in",
        ),
        SiteError::SatelliteWithoutSignIn => (
            "CLERK_SIGN_IN_URL",
            "in development a satellite needs the primary application's sign-in page; set it, as http://localhost:3000/sign-in",
        ),
        SiteError::SignInAtSatellite => (
            "CLERK_SIGN_IN_URL",
            "visitors of a satellite sign in at the primary application, but the address is on the satellite's own domain",
        ),
        SiteError::OrganizationPattern => return invalid("site", &error),
    };
    ConfigError::Contradiction { first: "CLERK_IS_SATELLITE", second, problem }
}
