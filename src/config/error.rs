//! What is wrong with a configuration.

use clerk_verify::key::KeyError;

use crate::decide::policy::PolicyError;
use crate::http::layer::PublicPathError;
use crate::store::StoreError;

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
    /// Two options exclude each other, or one needs the other.
    #[error("{first} and {second} do not fit together: {problem}")]
    Contradiction {
        /// One option.
        first: &'static str,
        /// The other.
        second: &'static str,
        /// What to do.
        problem: &'static str,
    },
    /// A bound of grace.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A public path is malformed.
    #[error(transparent)]
    PublicPath(#[from] PublicPathError),
    /// There is no async runtime to run the driver on.
    #[error(
        "there is no tokio runtime here to run the background driver on; build inside #[tokio::main], or use .pair() and run the driver yourself"
    )]
    NoRuntime,
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The HTTP client cannot be made.
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
