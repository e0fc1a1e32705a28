//! Behaviour through the public face.

mod answers;
mod architecture;
mod bounds;
mod contract;
mod doctor;
mod grace;
mod handshake;
mod health;
mod hostile;
mod judgement;
mod keys;
mod layer;
mod outage;
mod restart;
mod sign_out;
mod support;
mod tickets;
mod wire;
