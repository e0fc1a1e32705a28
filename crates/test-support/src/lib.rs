//! What the test suites of this workspace share.

#![allow(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "tests panic on purpose, and their helpers are named by what they do"
)]

pub mod redis_server;
pub mod token;
pub mod world;
