//! Keeps an application working while Clerk is down.
#![forbid(unsafe_code)]

pub mod clock;
pub mod decide;
mod engine;
pub mod fetch;
pub mod health;
pub mod id;
pub mod jwks;
pub mod key;
pub mod policy;
mod probe;
pub mod revocation;
#[cfg(feature = "sim")]
pub mod sim;
pub mod snapshot;
pub mod status_page;
pub mod store;
pub mod token;
pub mod upstream;
pub mod verify;
