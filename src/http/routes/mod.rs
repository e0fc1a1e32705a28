//! The routes that the layer brings along.

pub(crate) mod health;
pub(crate) mod sign_out;
pub(crate) mod webhooks;
