//! What Clerk's own backend SDK does with a request, in Rust and without I/O.
//!
//! The crate verifies session tokens, machine tokens, handshakes and webhook signatures, and judges a
//! whole request as `authenticateRequest` of `@clerk/backend` does. It needs no async runtime and no web
//! framework: keys, headers and the time go in, and a verdict comes out.
//!
//! | question | module |
//! |---|---|
//! | Which Clerk instance is it? | [`key`] |
//! | Which keys does Clerk sign with? | [`jwks`] |
//! | Where is the token in the request, and what does it say? | [`token`] |
//! | Is the session token good? | [`verify`] |
//! | Is the machine token good? | [`machine`] |
//! | Who sends the request? | [`authenticate`] |
//! | Which cookies does a handshake set? | [`handshake`] |
//! | Does the session meet a demand? | [`access`] |
//! | Does the webhook come from Clerk? | [`webhook_signature`] |
//!
//! [`clock`] and [`transport`] hold the two traits through which a program supplies time and HTTP.
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
