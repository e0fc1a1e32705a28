//! State that survives the process: files in a state directory, and stores for webhook data.
//!
//! This state decides who is let in. Keys verify tokens, outage records and sightings allow grace,
//! and denials revoke access. The layer therefore trusts a file only if no other user could have
//! written it. Key and outage records must also name this application's Clerk instance.

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
