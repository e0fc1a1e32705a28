//! Keeps an application working while Clerk is down.
#![forbid(unsafe_code)]

pub mod clock;
pub mod id;
pub mod key;
#[cfg(feature = "sim")]
pub mod sim;
pub mod upstream;
