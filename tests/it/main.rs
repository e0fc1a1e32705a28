//! Behaviour through the public face.

mod answers;
mod architecture;
mod audit;
mod bounds;
mod browser;
mod claims_age;
#[cfg(feature = "cli")]
mod command;
mod conditions;
mod contract;
mod cookies;
mod doctor;
mod fleet;
mod grace;
mod guards;
mod handshake;
mod health;
mod hostile;
mod inbox;
mod judgement;
mod keys;
mod last_words;
mod lasting;
mod layer;
mod layers_that_disagree;
mod lease;
mod log_events;
mod machines;
mod once;
mod outage;
mod parties;
mod pem;
mod preflight;
mod profiles;
mod reconcile;
mod refresh;
mod restart;
mod scene;
#[cfg(all(feature = "cli", feature = "redis"))]
#[path = "../fleet/server.rs"]
#[expect(dead_code, reason = "others use the rest")]
mod server;
mod sign_in;
mod sign_out;
mod sim_layer;
mod sites;
mod support;
mod tickets;
mod visits;
mod webhooks;
mod wire;
