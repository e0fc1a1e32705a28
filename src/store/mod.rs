//! State that survives the process: files in a state directory, and stores for webhook data.
//!
//! This state decides who is let in. Keys verify tokens, outage records and sightings allow grace,
//! and denials revoke access. The layer therefore trusts a file only if no other user could have
//! written it. Key and outage records must also name this application's Clerk instance.
//!
//! | you run | use | survives |
//! |---|---|---|
//! | a test | [`MemoryStore`] | nothing |
//! | one process | [`StateDir`], through [`ClerkConfig::state_dir`](crate::ClerkConfig::state_dir) | keys, outages, sightings, denials |
//! | one process with webhooks | `SqliteStore` (feature `sqlite`) | the same, and events, tasks and users |
//! | several instances | `RedisStore` (feature `redis`) | the same, shared within a second |
//!
//! [`Builder::store`](crate::Builder::store) takes the store. Requests never call it: the layer
//! reads it when it is built, and background tasks write it.
//!
//! # Examples
//!
//! ```no_run
//! # #[cfg(feature = "sqlite")]
//! # async fn build() -> Result<(), Box<dyn std::error::Error>> {
//! use clerk_resilience::store::SqliteStore;
//! use clerk_resilience::{ClerkConfig, ClerkResilience};
//!
//! let store = SqliteStore::open("/var/lib/example/clerk/clerk.db")?;
//! let clerk = ClerkResilience::builder(ClerkConfig::from_env()?).store(store).build()?;
//! # drop(clerk); Ok(())
//! # }
//! ```

mod file_lock;
mod fleet;
mod inbox;
mod memory;
mod record;
#[cfg(feature = "redis")]
mod redis;
#[doc(hidden)]
pub mod sealed;
mod sighting;
#[cfg(feature = "sqlite")]
mod sqlite;
mod state_dir;

#[cfg(feature = "redis")]
pub use self::redis::{RedisOptions, RedisStore};
#[doc(hidden)]
pub use fleet::{Feed, FeedMark, FeedPart, SharedStore};
#[doc(hidden)]
pub use inbox::{Accepted, FollowUp, InboxEvent, Pending, Task, TaskOutcome, UserPage};
pub use inbox::{DeadLetter, Store, StoreError};
pub use memory::MemoryStore;
pub(crate) use record::{KeysRecord, OutageRecord, PendingSignOut, SightingRecord, UserDigest};
#[doc(hidden)]
pub use sighting::{Sightings, StoredSighting};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
#[doc(hidden)]
pub use state_dir::{StateDir, StateDirError, StateLock};
