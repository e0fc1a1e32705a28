//! Behaviour through the public face.

mod answers;
mod architecture;
mod contract;
mod health;
mod hostile;
mod layer;
mod outage;
mod support;
mod vectors;
mod wire;
