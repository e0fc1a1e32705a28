//! A store in one file.
//!
//! One connection, which only threads of the blocking pool use. What is promised is on the disk before it
//! counts (write-ahead log, `synchronous=FULL`). The file can be read with any SQLite tool meanwhile.

mod file;
mod people;
mod queue;
mod schema;
mod sightings;
mod statements;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clerk_verify::clock::Timestamp;
use clerk_verify::id::UserId;
use rusqlite::Connection;

use self::file::DataFile;
use self::queue::{Queue, Weight};
use super::fleet::FeedMark;
use super::inbox::{
    Accepted, DeadLetter, InboxEvent, Outcome, Pending, Store, StoreError, Task, UserPage,
};
use super::sighting::{Sightings, StoredSighting};
use crate::state::profile::{Change, Person};
use crate::state::revocation::Denial;

/// As long as a process of a rolling deploy takes to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// In memory so much is kept; what is more is refused as by a full disk.
const MEMORY_PAGES: u32 = 64 * 1024;

/// The inbox in a SQLite file, which outlives the process, however it ends.
pub struct SqliteStore {
    file: DataFile,
    queue: Arc<Queue>,
    fallback_error: Option<StoreError>,
    /// Held as long as the store is.
    _lock: Option<File>,
}

impl SqliteStore {
    /// Opens the file, and makes it when it is not there. The file and its directory must be such that only
    /// this user writes them, as in a [`StateDir`](super::StateDir): who can change the file can undo
    /// revocations. It blocks for as long as it takes to read the file once.
    ///
    /// One process at a time has the file open. In a rolling deploy the next process waits here, for at
    /// most 30 s, until the one before has ended; a warning says for which process it waits.
    /// [`open_within`](Self::open_within) sets another bound.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: the file or its directory is not safe or cannot be written, another process uses the
    /// file, it is damaged, it is something else, or a later version wrote it. What is in it stays as it is.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_within(path, PATIENCE)
    }

    /// The same, and waits this long for another process to end; [`Duration::ZERO`] does not wait.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_within(path: impl AsRef<Path>, patience: Duration) -> Result<Self, StoreError> {
        let (file, lock) = DataFile::take(path.as_ref(), patience)?;
        let mut connection = file.connect()?;
        schema::prepare(&mut connection, &file)?;
        Ok(Self::of(connection, file, Some(lock)))
    }

    /// Opens the file, or does without it: when it cannot be used, the store is kept in memory, 256 MiB at
    /// most, and nothing of it outlives the process. For applications that must start in any case.
    ///
    /// The layer then says so by a warning and in
    /// [`Counts::store_fallen_back`](crate::Counts::store_fallen_back), and
    /// [`fallen_back`](Store::fallen_back) why. A file that cannot be written only for a while, and was opened
    /// before, is no such case: what comes meanwhile is refused, and kept when it comes again.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`]: another process has had the file for 30 s, and what it keeps would be missing here.
    pub fn open_or_memory(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_or_memory_within(path, PATIENCE)
    }

    /// The same, and waits this long for another process to end; [`Duration::ZERO`] does not wait.
    ///
    /// # Errors
    ///
    /// As [`open_or_memory`](Self::open_or_memory).
    pub fn open_or_memory_within(
        path: impl AsRef<Path>,
        patience: Duration,
    ) -> Result<Self, StoreError> {
        match Self::open_within(path, patience) {
            Err(why) if !matches!(why, StoreError::InUse { .. }) => {
                let mut store = Self::memory()?;
                store.fallback_error = Some(why);
                Ok(store)
            }
            opened => opened,
        }
    }

    fn memory() -> Result<Self, StoreError> {
        let file = DataFile::memory();
        let connection = Connection::open_in_memory();
        let mut connection = connection.map_err(|error| file.explain(&error))?;
        schema::prepare(&mut connection, &file)?;
        let bounded = connection.pragma_update(None, "max_page_count", MEMORY_PAGES);
        bounded.map_err(|error| file.explain(&error))?;
        Ok(Self::of(connection, file, None))
    }

    fn of(connection: Connection, file: DataFile, lock: Option<File>) -> Self {
        let queue = Arc::new(Queue::new(connection, file.clone()));
        Self { file, queue, fallback_error: None, _lock: lock }
    }
}

impl Drop for SqliteStore {
    /// The file is whole and closed before another may have it.
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("file", &self.file.name()).finish_non_exhaustive()
    }
}

impl Store for SqliteStore {
    fn denials(&self) -> Result<Vec<Denial>, StoreError> {
        self.queue.read(statements::denials)
    }

    fn is_durable(&self) -> bool {
        self.fallback_error.is_none()
    }

    fn deny(&self, denials: Vec<Denial>) -> Pending<()> {
        self.queue.ask(Weight::Promise, move |store| statements::deny(store, &denials))
    }

    fn accept(&self, entry: InboxEvent) -> Pending<Accepted> {
        self.queue.ask(Weight::Promise, move |store| statements::accept(store, &entry))
    }

    fn claim(&self, now: Timestamp, lease: Duration) -> Pending<Option<Task>> {
        self.queue.ask(Weight::Note, move |store| statements::claim(store, now, now.plus(lease)))
    }

    fn settle(&self, id: &str, claim: u64, outcome: Outcome) -> Pending<bool> {
        let id = id.to_owned();
        self.queue.ask(Weight::Note, move |store| statements::settle(store, &id, claim, &outcome))
    }

    fn dead_letters(&self) -> Pending<Vec<DeadLetter>> {
        self.queue.ask(Weight::Note, statements::dead)
    }

    fn requeue(&self, id: &str, now: Timestamp) -> Pending<bool> {
        let id = id.to_owned();
        self.queue.ask(Weight::Promise, move |store| statements::requeue(store, &id, now))
    }

    fn prune(&self, now: Timestamp) -> Pending<()> {
        let queue = Arc::clone(&self.queue);
        Box::pin(async move {
            while queue.ask(Weight::Note, move |store| statements::prune(store, now)).await? {}
            Ok(())
        })
    }

    fn user(&self, id: &UserId) -> Pending<Option<Person>> {
        let id = id.clone();
        self.queue.ask(Weight::Note, move |store| people::find(store, &id))
    }

    fn merge(&self, changes: Vec<Change>) -> Pending<()> {
        self.queue.ask(Weight::Promise, move |store| people::merge(store, &changes))
    }

    fn users(&self, after: Option<FeedMark>) -> Pending<UserPage> {
        let after = after.map(|mark| mark.0).unwrap_or_default();
        self.queue.ask(Weight::Note, move |store| people::roll(store, &after))
    }

    fn record(&self, name: &str) -> Pending<Option<Vec<u8>>> {
        let name = name.to_owned();
        self.queue.ask(Weight::Note, move |store| statements::record(store, &name))
    }

    fn documents(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.queue.read(statements::records)
    }

    fn record_sightings(&self, sighted: Vec<StoredSighting>) -> Pending<()> {
        self.queue.ask(Weight::Note, move |store| sightings::witness(store, &sighted))
    }

    fn sightings(&self) -> Result<Sightings, StoreError> {
        self.queue.read(sightings::all)
    }

    fn fallback_error(&self) -> Option<&StoreError> {
        self.fallback_error.as_ref()
    }

    fn put_document(&self, name: &str, record: Vec<u8>) -> Pending<()> {
        let name = name.to_owned();
        self.queue.ask(Weight::Promise, move |store| statements::keep(store, &name, &record))
    }
}
