//! Behaviour through the public face.

mod architecture;
mod grace;
mod handshake;
mod judgement;
mod keys;
mod outage;
mod restart;
mod support;
