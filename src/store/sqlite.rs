//! [`SqliteStore`]: a store in one SQLite file.
//!
//! The store has one connection, which only threads of the blocking pool use. Events, denials and
//! users are on disk before a call succeeds (write-ahead log, `synchronous=FULL`). Any SQLite tool
//! can read the file meanwhile.

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
use self::queue::{Weight, WriteQueue};
use super::fleet::FeedMark;
use super::inbox::{
    Accepted, DeadLetter, InboxEvent, Pending, Store, StoreError, Task, TaskOutcome, UserPage,
};
use super::sealed::Sealed;
use super::sighting::{Sightings, StoredSighting};
use crate::state::profile::{Change, Person};
use crate::state::revocation::Denial;

/// Default time to wait for the file: as long as a process of a rolling deploy takes to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// Maximum size of a store in memory, in pages of 4 KiB. A write beyond it fails like one on a full
/// disk.
const MEMORY_PAGES: u32 = 64 * 1024;

/// A store in one SQLite file, which survives restarts and crashes. One process at a time uses the
/// file.
///
/// A call succeeds once its data is on disk (write-ahead log, `synchronous=FULL`), so an accepted
/// webhook survives a power cut. Calls that wait at the same time share one transaction. A full
/// disk or a locked file rejects calls until the cause is gone, without a restart; deliveries get
/// 503 meanwhile and apply in memory.
///
/// The file carries grace over a restart on its own: it holds keys, outages, sightings, denials and
/// users. No state directory is needed beside it.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("clerk.db");
/// use clerk_resilience::store::{SqliteStore, Store};
///
/// let store = SqliteStore::open(path)?;
/// assert!(store.is_durable());
/// assert!(store.denials()?.is_empty());
/// # Ok(())
/// # }
/// ```
pub struct SqliteStore {
    file: DataFile,
    queue: Arc<WriteQueue>,
    fallback_error: Option<StoreError>,
    /// The lock on the file, held as long as the store exists.
    _lock: Option<File>,
}

impl SqliteStore {
    /// Opens the file, and creates it if it is missing. Only this user may have write access to the
    /// file and its directory, as in a [`StateDir`](super::StateDir): anyone who can change the
    /// file can undo revocations. The call blocks while it reads the file once.
    ///
    /// One process at a time has the file open. In a rolling deploy the next process waits here,
    /// for at most 30 s, until the previous one has ended. A warning names the process that it
    /// waits for. [`open_within`](Self::open_within) sets another limit.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the file or its directory is not safe or cannot be written, when another
    /// process uses the file, when the file is damaged or not a store, or when a later version
    /// wrote it. The content of the file is not changed in these cases.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_within(path, PATIENCE)
    }

    /// Opens the file as [`open`](Self::open) does, and waits up to `patience` for another process
    /// to end. [`Duration::ZERO`] does not wait.
    ///
    /// # Errors
    ///
    /// The errors of [`open`](Self::open).
    pub fn open_within(path: impl AsRef<Path>, patience: Duration) -> Result<Self, StoreError> {
        let (file, lock) = DataFile::take(path.as_ref(), patience)?;
        let mut connection = file.connect()?;
        schema::prepare(&mut connection, &file)?;
        Ok(Self::of(connection, file, Some(lock)))
    }

    /// Opens the file, or falls back to a store in memory if the file cannot be used. The fallback
    /// holds 256 MiB at most, and its data is lost when the process ends. It is meant for
    /// applications that must start in any case.
    ///
    /// After a fallback the layer logs a warning and reports it in
    /// [`Counts::store_fallen_back`](crate::Counts::store_fallen_back).
    /// [`fallback_error`](Store::fallback_error) returns the reason.
    ///
    /// There is no fallback for a file that becomes unwritable after it was opened. The store then
    /// rejects writes until the file is writable again.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] when another process has had the file open for 30 s. A fallback would
    /// lack the revocations in that file.
    pub fn open_or_memory(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_or_memory_within(path, PATIENCE)
    }

    /// Opens the file as [`open_or_memory`](Self::open_or_memory) does, and waits up to `patience`
    /// for another process to end. [`Duration::ZERO`] does not wait.
    ///
    /// # Errors
    ///
    /// The errors of [`open_or_memory`](Self::open_or_memory).
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
        let queue = Arc::new(WriteQueue::new(connection, file.clone()));
        Self { file, queue, fallback_error: None, _lock: lock }
    }
}

impl Drop for SqliteStore {
    /// Closes the file before the lock is released, so that the next process finds it complete.
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("file", &self.file.name()).finish_non_exhaustive()
    }
}

impl Sealed for SqliteStore {}

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

    fn settle(&self, id: &str, claim: u64, outcome: TaskOutcome) -> Pending<bool> {
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
