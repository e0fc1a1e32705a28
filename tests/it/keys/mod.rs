//! Signing keys: how they are refreshed, and those that are configured.

mod pem;
mod refresh;
