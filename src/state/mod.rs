//! The state at one instant, as plain values: no async code, clock, lock or I/O.

pub mod health;
pub(crate) mod json;
pub mod profile;
pub(crate) mod reconcile;
pub mod revocation;
pub(crate) mod seal;
pub mod snapshot;
pub mod status_page;
pub mod ticket;
pub mod webhook_event;
