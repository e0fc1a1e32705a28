//! Behaviour through the public face.

mod answers;
mod architecture;
mod outage;
mod support;
mod vectors;
