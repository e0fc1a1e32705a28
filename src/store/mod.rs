//! What outlives the process: files in a directory of its own, and the inbox of webhooks.
//!
//! They decide who gets in: keys verify tokens, the record of outages and sightings opens grace, and
//! the inbox knows what was revoked. So a file is believed only when nobody else could have written it;
//! keys and outages moreover only when they were written for this very instance.

mod file_lock;
mod fleet;
mod inbox;
mod memory;
mod record;
#[cfg(feature = "redis")]
mod redis;
mod sighting;
#[cfg(feature = "sqlite")]
mod sqlite;
mod state_dir;

#[cfg(feature = "redis")]
pub use self::redis::{RedisOptions, RedisStore};
pub use fleet::{Feed, FeedMark, Part, SharedStore};
pub use inbox::{
    Accepted, DeadLetter, FollowUp, InboxEvent, Outcome, Pending, Store, StoreError, Task, UserPage,
};
pub use memory::MemoryStore;
pub(crate) use record::{KeysRecord, OutageRecord, PendingSignOut, SightingRecord, UserDigest};
pub use sighting::{Sightings, StoredSighting};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
pub use state_dir::{StateDir, StateDirError, StateLock};
