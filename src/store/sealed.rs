//! Seals [`Store`](super::Store) until version 1.0, so that the trait can grow.

/// Marks the stores of this crate.
pub trait Sealed {}

impl Sealed for super::MemoryStore {}

#[cfg(feature = "redis")]
impl Sealed for super::RedisStore {}

#[cfg(feature = "sqlite")]
impl Sealed for super::SqliteStore {}
