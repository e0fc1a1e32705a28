//! Behaviour through the public face.

mod answers;
mod architecture;
mod contract;
mod doctor;
mod grace;
mod handshake;
mod health;
mod hostile;
mod judgement;
mod keys;
mod layer;
mod machines;
mod outage;
mod refresh;
mod restart;
mod support;
mod wire;
