//! What outlives the process, as files in a directory of its own.
//!
//! These files decide who gets in: keys verify tokens, and the record of outages and sightings opens
//! grace. So a file is believed only when nobody else could have written it, and when it was written
//! for this very instance.

mod record;
mod state_dir;

pub(crate) use record::{KeysRecord, OutageRecord, SightingRecord};
pub use state_dir::{StateDir, StateDirError};
