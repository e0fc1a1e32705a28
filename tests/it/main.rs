//! Behaviour through the public face.

mod architecture;
mod outage;
mod support;
mod vectors;
