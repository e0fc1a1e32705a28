//! Keeps an application working while Clerk is down.
#![forbid(unsafe_code)]

pub mod clock;
pub mod id;
pub mod key;
pub mod status_page;
pub mod upstream;
