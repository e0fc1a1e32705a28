//! The built-in routes: health, sign-out and webhooks.

pub(crate) mod health;
pub(crate) mod sign_out;
pub(crate) mod webhooks;
