//! The application that the demo, the replay and the browser tests run, and plain verification to
//! compare the layer with.

#![allow(
    missing_docs,
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    reason = "an application to look at, and no interface"
)]

pub mod account;
pub mod address;
pub mod app;
pub mod outcome;
pub mod plain;
pub mod renewal;
pub mod user;
