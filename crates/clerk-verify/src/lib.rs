//! Verifies Clerk credentials without I/O, by the rules of Clerk's backend SDK (`@clerk/backend`).
//!
//! The crate verifies session tokens, machine tokens, handshakes and webhook signatures.
//! [`authenticate`] evaluates a whole request as `authenticateRequest` of `@clerk/backend` does.
//! The crate needs no async runtime and no web framework: the caller supplies keys, header fields
//! and the time.
//!
//! | task | module |
//! |---|---|
//! | Parse publishable and secret keys | [`key`] |
//! | Parse the signing keys that Clerk publishes | [`jwks`] |
//! | Find the token of a request and read its claims | [`token`] |
//! | Verify a session token | [`verify`] |
//! | Verify a machine token | [`machine`] |
//! | Authenticate a whole request | [`authenticate`] |
//! | Verify a handshake and read its cookies | [`handshake`] |
//! | Require a role, permission, feature, plan or recent verification | [`access`] |
//! | Verify a webhook signature | [`webhook_signature`] |
//!
//! [`clock`] and [`transport`] define the traits through which an application supplies time and
//! HTTP. [`id`] defines the identifier types.
//!
//! ```
//! use std::time::Duration;
//!
//! use clerk_verify::clock::{Clock as _, SystemClock};
//! use clerk_verify::jwks::KeySet;
//! use clerk_verify::token::{Expectations, Timing};
//! use clerk_verify::verify::verify;
//!
//! /// The user of a good token.
//! fn user(token: &str, keys: &KeySet) -> Option<String> {
//!     let verified = verify(token, keys, &Expectations::any()).ok()?;
//!     let now = SystemClock::new().now().wall;
//!     let current = verified.timing(now, Duration::from_secs(5)) == Timing::Current;
//!     current.then(|| verified.session().user_id.to_string())
//! }
//! ```
#![forbid(unsafe_code)]

pub mod access;
pub mod authenticate;
pub mod clock;
pub mod handshake;
pub mod id;
pub mod jwks;
pub mod key;
pub mod machine;
pub mod token;
pub mod transport;
pub mod verify;
pub mod webhook_signature;
