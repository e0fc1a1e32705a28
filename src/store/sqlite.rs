//! A store in one file.
//!
//! One connection, behind a lock that only the blocking pool's threads take. A transaction is on the
//! disk before it counts (write-ahead log, `synchronous=FULL`). The file can be read with any SQLite
//! tool meanwhile.

mod people;
mod schema;
mod statements;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction};
use tokio::sync::Semaphore;

use super::inbox::{Accepted, DeadLetter, Entry, Outcome, Pending, Store, StoreError, Task};
use super::state_dir::StateDir;
use crate::clock::Timestamp;
use crate::id::UserId;
use crate::profile::{Change, Person};
use crate::revocation::Denial;

/// So many calls wait for the connection; more are refused at once.
const WAITING: usize = 64;

/// The inbox in a SQLite file, which outlives the process, however it ends.
pub struct SqliteStore {
    file: PathBuf,
    connection: Arc<Mutex<Connection>>,
    places: Arc<Semaphore>,
    /// Held as long as the store is.
    _lock: File,
}

impl SqliteStore {
    /// Opens the file, and makes it when it is not there. Its directory must be one that only this user
    /// writes, as a [`StateDir`]: who can change the file can undo revocations. It blocks for as long as
    /// it takes to read the file once.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: the directory is not safe or cannot be written, another process uses the file, it
    /// is damaged, it is something else, or a later version wrote it. Nothing is changed then.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let name = path.file_name().ok_or_else(|| StoreError::Damaged {
            path: path.display().to_string(),
            problem: "it names no file".to_owned(),
        })?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let dir = StateDir::open(parent.unwrap_or_else(|| Path::new(".")))?;
        let file = dir.path().join(name);
        let lock = lock(&file)?;
        let connection = connect(&file)?;
        Ok(Self {
            file,
            connection: Arc::new(Mutex::new(connection)),
            places: Arc::new(Semaphore::new(WAITING)),
            _lock: lock,
        })
    }

    /// Runs a transaction on a thread that may block.
    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Pending<T> {
        let connection = Arc::clone(&self.connection);
        let place = Arc::clone(&self.places).try_acquire_owned();
        Box::pin(async move {
            let place = place.map_err(|_| StoreError::Busy)?;
            let done = tokio::task::spawn_blocking(move || {
                let _place = place;
                transact(&connection, work)
            });
            done.await.unwrap_or_else(|error| Err(StoreError::Failed(error.to_string())))
        })
    }
}

fn transact<T>(
    connection: &Mutex<Connection>,
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> Result<T, StoreError> {
    let failed = |error: rusqlite::Error| StoreError::Failed(error.to_string());
    let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
    let transaction = connection.transaction().map_err(failed)?;
    let result = work(&transaction).map_err(failed)?;
    transaction.commit().map_err(failed)?;
    Ok(result)
}

/// Whoever holds the lock has the file to itself. It ends with the process, however that ends.
fn lock(file: &Path) -> Result<File, StoreError> {
    let path = PathBuf::from(format!("{}.lock", file.display()));
    let failed = |error: std::io::Error| StoreError::Failed(format!("{}: {error}", path.display()));
    let lock = private().open(&path).map_err(failed)?;
    let operation = rustix::fs::FlockOperation::NonBlockingLockExclusive;
    match rustix::fs::flock(&lock, operation) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse(file.display().to_string())),
        Err(error) => Err(failed(error.into())),
    }
}

/// Files for this user alone.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options
}

fn connect(file: &Path) -> Result<Connection, StoreError> {
    let path = file.display().to_string();
    private().open(file).map_err(|error| StoreError::Failed(format!("{path}: {error}")))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut connection = Connection::open_with_flags(file, flags)
        .map_err(|error| StoreError::Failed(format!("{path}: {error}")))?;
    schema::prepare(&mut connection, &path)?;
    Ok(connection)
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Store for SqliteStore {
    fn denials(&self) -> Result<Vec<Denial>, StoreError> {
        transact(&self.connection, statements::denials)
    }

    fn outlives(&self) -> bool {
        true
    }

    fn deny(&self, denials: Vec<Denial>) -> Pending<()> {
        self.run(move |store| statements::deny(store, &denials))
    }

    fn accept(&self, entry: Entry) -> Pending<Accepted> {
        self.run(move |store| statements::accept(store, &entry))
    }

    fn claim(&self, now: Timestamp, lease: Duration) -> Pending<Option<Task>> {
        self.run(move |store| statements::claim(store, now, now.plus(lease)))
    }

    fn settle(&self, id: &str, outcome: Outcome) -> Pending<()> {
        let id = id.to_owned();
        self.run(move |store| statements::settle(store, &id, &outcome))
    }

    fn dead(&self) -> Pending<Vec<DeadLetter>> {
        self.run(statements::dead)
    }

    fn revive(&self, id: &str, now: Timestamp) -> Pending<bool> {
        let id = id.to_owned();
        self.run(move |store| statements::revive(store, &id, now))
    }

    fn prune(&self, now: Timestamp) -> Pending<()> {
        self.run(move |store| statements::prune(store, now))
    }

    fn person(&self, id: &UserId) -> Pending<Option<Person>> {
        let id = id.clone();
        self.run(move |store| people::find(store, &id))
    }

    fn merge(&self, changes: Vec<Change>) -> Pending<()> {
        self.run(move |store| people::merge(store, &changes))
    }

    fn records(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        transact(&self.connection, statements::records)
    }

    fn keep(&self, name: &str, record: Vec<u8>) -> Pending<()> {
        let name = name.to_owned();
        self.run(move |store| statements::keep(store, &name, &record))
    }
}
