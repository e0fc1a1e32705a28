//! Behaviour through the public face.

mod architecture;
mod doctor;
mod grace;
mod judgement;
mod keys;
mod outage;
mod restart;
mod support;
