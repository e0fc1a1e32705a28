//! Behaviour through the public face, one folder a feature.

mod architecture;
mod claims_age;
mod decide;
mod fleet;
mod grace;
mod handshake;
mod health;
mod keys;
mod layer;
mod machines;
mod persistence;
mod profiles;
mod reconcile;
mod sign_out;
mod sim_layer;
mod supervision;
mod tickets;
mod transport;
mod webhooks;
