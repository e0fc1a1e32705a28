//! Errors of the configuration.

use clerk_verify::key::KeyError;

use crate::decide::policy::PolicyError;
use crate::http::layer::PublicPathError;
use crate::store::StoreError;

/// The reason why a configuration is unusable, and the fix. The text never contains a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A required variable is not set.
    #[error("{variable} is not set; set it to {what}")]
    Missing {
        /// Name of the variable.
        variable: &'static str,
        /// Description of the expected value.
        what: &'static str,
    },
    /// A value is malformed.
    #[error("{name} cannot be used: {problem}")]
    Invalid {
        /// Name of the variable or option.
        name: String,
        /// The problem and its fix.
        problem: String,
    },
    /// Two options exclude each other, or one needs the other.
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
