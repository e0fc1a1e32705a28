//! Errors of the configuration.

use clerk_verify::key::KeyError;

use crate::decide::policy::PolicyError;
use crate::http::layer::PublicPathError;
use crate::store::StoreError;

/// The reason why a configuration is unusable, and the fix. The text never contains a key.
///
/// The errors appear at start: [`ClerkConfig::from_env`](crate::ClerkConfig::from_env) checks
/// single values, and [`Builder::build`](crate::Builder::build) checks how they fit together. None
/// appears later, and none is answered as a 503. Print the error and end the process:
///
/// ```
/// use clerk_resilience::ClerkConfig;
///
/// let vars = |name: &str| match name {
///     "CLERK_PUBLISHABLE_KEY" => Some("pk_test_Y2xlcmsuY2xlcmsuZGV2JA".to_owned()),
///     "CLERK_RESILIENCE_MAX_GRACE" => Some("30min".to_owned()),
///     _ => None,
/// };
/// let error = ClerkConfig::from_vars(vars).expect_err("a bound without grace");
/// assert!(error.to_string().contains("CLERK_RESILIENCE_GRACE"));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A required variable is not set.
    ///
    /// Only `CLERK_PUBLISHABLE_KEY` is required.
    #[error("{variable} is not set; set it to {what}")]
    Missing {
        /// Name of the variable.
        variable: &'static str,
        /// Description of the expected value.
        what: &'static str,
    },
    /// A value is malformed.
    ///
    /// The value itself is repeated only if it is not secret, such as an origin or a path pattern.
    #[error("{name} cannot be used: {problem}")]
    Invalid {
        /// Name of the variable or option.
        name: String,
        /// The problem and its fix.
        problem: String,
    },
    /// Two options exclude each other, or one needs the other.
    ///
    /// For example a bound of grace without grace, or a satellite without its domain.
    #[error("{first} and {second} do not fit together: {problem}")]
    Contradiction {
        /// The first option.
        first: &'static str,
        /// The second option.
        second: &'static str,
        /// The problem and its fix.
        problem: &'static str,
    },
    /// A bound of the grace policy is invalid.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A public path is malformed.
    #[error(transparent)]
    PublicPath(#[from] PublicPathError),
    /// No tokio runtime is available to run the driver.
    #[error(
        "there is no tokio runtime here to run the background driver on; build inside #[tokio::main], or use .pair() and run the driver yourself"
    )]
    NoRuntime,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The HTTP client cannot be created.
    #[error("{0}")]
    Client(String),
}

impl From<KeyError> for ConfigError {
    fn from(error: KeyError) -> Self {
        invalid("the key", &error)
    }
}

pub(super) fn invalid(name: &str, problem: &dyn std::fmt::Display) -> ConfigError {
    ConfigError::Invalid { name: name.to_owned(), problem: problem.to_string() }
}
