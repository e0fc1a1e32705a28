//! Behaviour through the public face.

mod answers;
mod architecture;
mod contract;
mod layer;
mod outage;
mod support;
mod vectors;
