//! Behaviour through the public face.

mod answers;
mod architecture;
mod contract;
mod cookies;
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
mod support;
mod wire;
