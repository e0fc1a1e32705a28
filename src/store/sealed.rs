//! Seals [`Store`](super::Store) until version 1.0, so that the trait can grow.

/// Marks the stores of this crate.
pub trait Sealed {}
