//! What must be known of an application's Clerk instance.

use std::path::PathBuf;

use url::Url;

use crate::fetch::is_loopback;
use crate::jwks::{KeySet, PemError};
use crate::key::{KeyError, PublishableKey, SecretKey};
use crate::middleware::PublicPathError;

const DEFAULT_API: &str = "https://api.clerk.com/";
const DEFAULT_STATUS: &str = "https://status.clerk.com/api/v2/summary.json";

/// Other spellings of `CLERK_PUBLISHABLE_KEY`, as front-end tools want them.
const PREFIXES: [&str; 6] = ["", "NEXT_PUBLIC_", "VITE_", "PUBLIC_", "REACT_APP_", "EXPO_PUBLIC_"];

/// An application's Clerk instance: its keys and addresses.
///
/// [`from_env`](Self::from_env) reads the variables that Clerk users already have:
///
/// | variable | meaning | without it |
/// |---|---|---|
/// | `CLERK_PUBLISHABLE_KEY` | names the instance; also with the prefixes `NEXT_PUBLIC_`, `VITE_`, `PUBLIC_`, `REACT_APP_`, `EXPO_PUBLIC_` | an error |
/// | `CLERK_SECRET_KEY` | lets the Backend API be watched, and be a second source of keys | neither |
/// | `CLERK_JWT_KEY` | a PEM public key that never grows old | keys come from Clerk and from the state directory |
/// | `CLERK_AUTHORIZED_PARTIES` | comma-separated origins that tokens may be issued to | any |
/// | `CLERK_SIGN_IN_URL` | where to send people who are not signed in | they get a 401 page |
/// | `CLERK_FRONTEND_API_URL`, `CLERK_FAPI` or `CLERK_PROXY_URL` | the Frontend API's address | the host in the publishable key |
/// | `CLERK_API_URL` | the Backend API's address | `https://api.clerk.com` |
/// | `CLERK_RESILIENCE_STATE_DIR` | a private directory for what must survive a restart | nothing survives |
/// | `CLERK_RESILIENCE_STATUS_URL` | the status page's JSON document; `off` to leave it alone | Clerk's |
/// | `CLERK_RESILIENCE_EGRESS_CANARIES` | comma-separated addresses that tell whether *we* are cut off | none |
///
/// A variable that is empty counts as not set.
#[derive(Clone, Debug)]
pub struct ClerkConfig {
    pub(crate) publishable_key: PublishableKey,
    pub(crate) secret_key: Option<SecretKey>,
    pub(crate) pinned: KeySet,
    pub(crate) frontend_api: Url,
    pub(crate) backend_api: Url,
    pub(crate) status_page: Option<Url>,
    pub(crate) canaries: Vec<Url>,
    pub(crate) authorized_parties: Vec<String>,
    pub(crate) sign_in_url: Option<String>,
    pub(crate) state_dir: Option<PathBuf>,
}

impl ClerkConfig {
    /// The instance of a publishable key, with Clerk's own addresses and nothing else.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "the addresses are constants or were checked")]
    pub fn new(publishable_key: PublishableKey) -> Self {
        let parse = |url: &str| Url::parse(url).expect("a constant address");
        let frontend_api = Url::parse(&publishable_key.issuer()).expect("checked by the key");
        Self {
            publishable_key,
            secret_key: None,
            pinned: KeySet::default(),
            frontend_api,
            backend_api: parse(DEFAULT_API),
            status_page: Some(parse(DEFAULT_STATUS)),
            canaries: Vec::new(),
            authorized_parties: Vec::new(),
            sign_in_url: None,
            state_dir: None,
        }
    }

    /// Reads the environment.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the variable that is missing or malformed and says what to do.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_vars(|name| std::env::var(name).ok())
    }

    /// Reads variables from anywhere: a secret store, a test.
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
        for name in ["CLERK_PROXY_URL", "CLERK_FAPI", "CLERK_FRONTEND_API_URL"] {
            if let Some(text) = vars.get(name).filter(|text| !text.starts_with('/')) {
                config.frontend_api = address(name, &with_scheme(&text))?;
            }
        }
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
        config.authorized_parties = vars.list("CLERK_AUTHORIZED_PARTIES")?;
        config.sign_in_url = vars.get("CLERK_SIGN_IN_URL");
        config.state_dir = vars.get("CLERK_RESILIENCE_STATE_DIR").map(PathBuf::from);
        Ok(config)
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
    /// key names.
    #[must_use]
    pub fn frontend_api(mut self, url: Url) -> Self {
        self.frontend_api = url;
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

    /// The origins that tokens may be issued to, as `https://app.example.com`.
    #[must_use]
    pub fn authorized_parties<I: IntoIterator<Item: Into<String>>>(mut self, parties: I) -> Self {
        self.authorized_parties = parties.into_iter().map(Into::into).collect();
        self
    }

    /// Where to send people who are not signed in: an address, or a path of the application.
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

    /// What only shows when everything is put together.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        for party in &self.authorized_parties {
            check_party(party)?;
        }
        let addresses = [
            ("the Frontend API's address", Some(&self.frontend_api)),
            ("the Backend API's address", Some(&self.backend_api)),
            ("the status page's address", self.status_page.as_ref()),
        ];
        for (name, url) in addresses {
            url.map_or(Ok(()), |url| check_address(name, url))?;
        }
        self.canaries.iter().try_for_each(|url| check_address("an egress canary", url))
    }
}

struct Vars<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Vars<'_> {
    fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|text| !text.trim().is_empty())
    }

    fn publishable_key(&self) -> Result<PublishableKey, ConfigError> {
        for prefix in PREFIXES {
            let name = format!("{prefix}CLERK_PUBLISHABLE_KEY");
            if let Some(text) = self.get(&name) {
                return PublishableKey::parse(text.trim())
                    .map_err(|source| invalid(&name, &source));
            }
        }
        Err(ConfigError::Missing {
            variable: "CLERK_PUBLISHABLE_KEY",
            what: "the publishable key (pk_live_… or pk_test_…) from the API keys page of the Clerk dashboard",
        })
    }

    /// A list of nothing but commas is a mistake, not an empty list.
    fn list(&self, name: &str) -> Result<Vec<String>, ConfigError> {
        let Some(text) = self.get(name) else { return Ok(Vec::new()) };
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let items: Vec<String> = items.map(str::to_owned).collect();
        if items.is_empty() {
            return Err(invalid(
                name,
                &"it names nothing; unset it, or list values between commas",
            ));
        }
        Ok(items)
    }
}

fn with_scheme(text: &str) -> String {
    if text.contains("://") { text.to_owned() } else { format!("https://{text}") }
}

fn address(name: &str, text: &str) -> Result<Url, ConfigError> {
    let url = Url::parse(text.trim()).map_err(|error| {
        invalid(name, &format!("it is not an address such as https://…: {error}"))
    })?;
    check_address(name, &url)?;
    Ok(url)
}

/// Without TLS nobody knows who answers, so plain HTTP is for this host alone.
fn check_address(name: &str, url: &Url) -> Result<(), ConfigError> {
    let problem = match url.scheme() {
        _ if url.host_str().is_none() => "it names no host",
        _ if !url.username().is_empty() || url.password().is_some() => {
            "it contains a user name or password; remove them"
        }
        "https" => return Ok(()),
        "http" if is_loopback(url) => return Ok(()),
        "http" => {
            "it uses http, so anybody on the way could answer in Clerk's place; use https (http is accepted for 127.0.0.1 and localhost)"
        }
        _ => "it must start with https://",
    };
    Err(invalid(name, &problem))
}

/// An `azp` is an origin: a scheme, a host, perhaps a port, and nothing after that.
fn check_party(party: &str) -> Result<(), ConfigError> {
    let origin = Url::parse(party).map(|url| url.origin().ascii_serialization());
    match origin {
        Ok(origin) if origin == party || origin == "null" => Ok(()),
        Ok(origin) => Err(invalid(
            "the authorized party",
            &format!("{party:?} is not an origin; write {origin:?}"),
        )),
        Err(_) => Err(invalid(
            "the authorized party",
            &format!("{party:?} is not an origin such as \"https://app.example.com\""),
        )),
    }
}

fn invalid(name: &str, problem: &dyn std::fmt::Display) -> ConfigError {
    ConfigError::Invalid { name: name.to_owned(), problem: problem.to_string() }
}

/// What is wrong with the configuration, and what to do. Never contains a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A variable is needed.
    #[error("{variable} is not set; set it to {what}")]
    Missing {
        /// Its name.
        variable: &'static str,
        /// What belongs in it.
        what: &'static str,
    },
    /// A value is malformed.
    #[error("{name} cannot be used: {problem}")]
    Invalid {
        /// The variable or option.
        name: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Two options exclude each other.
    #[error("{first} and {second} contradict each other: {problem}")]
    Contradiction {
        /// One option.
        first: &'static str,
        /// The other.
        second: &'static str,
        /// What to do.
        problem: &'static str,
    },
    /// A public path is malformed.
    #[error(transparent)]
    PublicPath(#[from] PublicPathError),
    /// There is no async runtime to run the driver on.
    #[error(
        "there is no tokio runtime here to run the background driver on; build inside #[tokio::main], or use .pair() and run the driver yourself"
    )]
    NoRuntime,
    /// The HTTP client cannot be made.
    #[error("{0}")]
    Client(String),
}

impl From<KeyError> for ConfigError {
    fn from(error: KeyError) -> Self {
        invalid("the key", &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: (&str, &str) = ("CLERK_PUBLISHABLE_KEY", "pk_test_Y2xlcmsuY2xlcmsuZGV2JA");

    fn config(vars: &[(&str, &str)]) -> Result<ClerkConfig, String> {
        let read = |name: &str| {
            vars.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        };
        ClerkConfig::from_vars(read).map_err(|error| error.to_string())
    }

    #[test]
    fn the_publishable_key_alone_is_enough() {
        let config = config(&[KEY]).expect("complete");
        assert_eq!(config.frontend_api.as_str(), "https://clerk.clerk.dev/");
        assert_eq!(config.backend_api.as_str(), "https://api.clerk.com/");
        assert!(config.secret_key.is_none());
    }

    #[test]
    fn a_missing_or_empty_variable_is_named_with_what_to_do() {
        for vars in [&[][..], &[("CLERK_PUBLISHABLE_KEY", " ")]] {
            let error = config(vars).expect_err("incomplete");
            assert!(error.contains("CLERK_PUBLISHABLE_KEY is not set"), "{error}");
            assert!(error.contains("dashboard"), "{error}");
        }
    }

    #[test]
    fn a_front_end_spelling_of_the_publishable_key_will_do() {
        assert!(config(&[("NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY", KEY.1)]).is_ok());
    }

    #[test]
    fn each_malformed_variable_is_named_and_no_secret_is_shown() {
        for (name, value) in [
            ("CLERK_SECRET_KEY", "pk_live_oops_secret"),
            ("CLERK_SECRET_KEY", "oops_secret"),
            ("CLERK_JWT_KEY", "oops_secret"),
            ("CLERK_JWT_KEY", "-----BEGIN RSA PRIVATE KEY-----\noops_secret\n"),
            ("CLERK_API_URL", "api.clerk.com"),
            ("CLERK_API_URL", "http://api.clerk.com"),
            ("CLERK_API_URL", "https://user:oops_secret@api.clerk.com"),
            ("CLERK_FAPI", "ftp://clerk.example.com"),
            ("CLERK_RESILIENCE_STATUS_URL", "nonsense"),
            ("CLERK_RESILIENCE_EGRESS_CANARIES", "http://example.com"),
            ("CLERK_AUTHORIZED_PARTIES", " , ,"),
        ] {
            let error = config(&[KEY, (name, value)]).expect_err(name);
            assert!(error.starts_with(name), "{name}: {error}");
            assert!(!error.contains("oops_secret"), "{error}");
        }
        let error = config(&[("CLERK_PUBLISHABLE_KEY", "sk_live_oops_secret")]).expect_err("swap");
        assert!(error.contains("swap") && !error.contains("oops_secret"), "{error}");
    }

    #[test]
    fn an_authorized_party_that_is_no_origin_is_corrected() {
        for (party, hint) in [
            ("https://app.example.com/", "\"https://app.example.com\""),
            ("https://app.example.com/path", "\"https://app.example.com\""),
            ("app.example.com", "is not an origin"),
        ] {
            let config = config(&[KEY]).expect("complete").authorized_parties([party]);
            let error = config.check().expect_err(party).to_string();
            assert!(error.contains(hint), "{error}");
        }
        let good = config(&[KEY]).expect("complete").authorized_parties(["http://localhost:3000"]);
        assert!(good.check().is_ok());
    }

    #[test]
    fn plain_http_is_for_this_host_alone() {
        assert!(config(&[KEY, ("CLERK_API_URL", "http://127.0.0.1:4000")]).is_ok());
        assert!(config(&[KEY, ("CLERK_FRONTEND_API_URL", "http://localhost:4000")]).is_ok());
        assert!(config(&[KEY, ("CLERK_FAPI", "clerk.example.com")]).is_ok());
    }
}
