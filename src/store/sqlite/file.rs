//! The database file: its owner, its lock, and the translation of its errors.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::store::StoreError;
use crate::store::file_lock::{self, private};
use crate::store::state_dir::{StateDir, StateDirError};

/// A file that only this user can write.
#[derive(Clone, Debug)]
pub(super) struct DataFile {
    path: PathBuf,
    /// Device and inode of the file that was opened; `None` for a store in memory. Another file may
    /// have its name by now.
    opened: Option<(u64, u64)>,
}

impl DataFile {
    /// Locks the file for this process, and creates it if it is missing. Waits up to `patience` for
    /// another process to end. The file is reserved as long as the returned lock is held.
    pub(super) fn take(path: &Path, patience: Duration) -> Result<(Self, File), StoreError> {
        let name = path.file_name().ok_or_else(|| StoreError::Damaged {
            path: path.display().to_string(),
            problem: "the path has no file name".to_owned(),
        })?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let dir = StateDir::open(parent.unwrap_or_else(|| Path::new(".")))?;
        let path = dir.path().join(name);
        let lock = lock(&path, patience)?;
        let opened = open(&path)?;
        for tail in ["-wal", "-shm", "-journal"] {
            let beside = beside(&path, tail);
            match fs::symlink_metadata(&beside) {
                Ok(meta) => own(&beside, &meta)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(refused(&beside, &error)),
            }
        }
        Ok((Self { path, opened: Some(opened) }, lock))
    }

    /// Describes a store in memory, which has no file.
    pub(super) fn memory() -> Self {
        Self { path: PathBuf::from(":memory:"), opened: None }
    }

    pub(super) fn connect(&self) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        Connection::open_with_flags(&self.path, flags).map_err(|error| self.explain(&error))
    }

    /// Returns `false` if the opened file no longer has its name. Writes to a deleted file would be
    /// lost.
    pub(super) fn is_in_place(&self) -> bool {
        let present = || fs::symlink_metadata(&self.path).ok().map(|meta| identity(&meta));
        self.opened.is_none() || self.opened == present()
    }

    /// Translates an SQLite error into a [`StoreError`] that names the operator's remedy.
    pub(super) fn explain(&self, error: &rusqlite::Error) -> StoreError {
        let (path, problem) = (self.name(), error.to_string());
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                StoreError::Damaged { path, problem }
            }
            Some(ErrorCode::DiskFull) => StoreError::Full(path),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked(path),
            Some(
                ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::SystemIoFailure,
            ) => StoreError::Unwritable { path, problem },
            _ => StoreError::Failed(format!("{path}: {problem}")),
        }
    }

    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// Takes the lock that reserves the file for its holder. The lock ends with the process, even after
/// a crash. The lock file contains the process id, so that a waiting process can name the holder.
fn lock(file: &Path, patience: Duration) -> Result<File, StoreError> {
    let path = beside(file, ".lock");
    let lock = file_lock::open(&path).map_err(|error| refused(&path, &error))?;
    let name = file.display();
    let waits = || {
        let holder = holder(&lock).unwrap_or(0);
        tracing::warn!(
            event = "clerk.store.in_use", %name, holder, ?patience,
            "another process has the store open; waiting for it to end"
        );
    };
    let taken = file_lock::wait(&lock, patience, waits);
    if !taken.map_err(|error| refused(&path, &error))? {
        let holder = holder(&lock);
        return Err(StoreError::InUse { path: name.to_string(), holder, waited: patience });
    }
    // Only messages depend on the process id.
    let named = lock.set_len(0).and_then(|()| lock.write_all_at(process_id().as_bytes(), 0));
    if let Err(error) = named {
        tracing::debug!(event = "clerk.store.unnamed", %error, "the lock does not name its holder");
    }
    Ok(lock)
}

fn process_id() -> String {
    std::process::id().to_string()
}

/// Returns the process id in the lock file.
fn holder(lock: &File) -> Option<u32> {
    let mut bytes = [0; 10];
    let len = lock.read_at(&mut bytes, 0).ok()?;
    std::str::from_utf8(&bytes[..len]).ok()?.parse().ok()
}

/// Returns device and inode of the file, and creates it if it is missing.
fn open(path: &Path) -> Result<(u64, u64), StoreError> {
    let failed = |error: io::Error| refused(path, &error);
    let meta = private().open(path).and_then(|file| file.metadata()).map_err(failed)?;
    own(path, &meta)?;
    Ok(identity(&meta))
}

/// Checks that no other user could have written the file.
fn own(path: &Path, meta: &Metadata) -> Result<(), StoreError> {
    if !meta.is_file() || meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(StateDirError::Foreign(path.to_owned()).into());
    }
    if meta.mode() & 0o022 != 0 {
        return Err(StateDirError::Writable(path.to_owned()).into());
    }
    Ok(())
}

fn identity(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

fn beside(path: &Path, tail: &str) -> PathBuf {
    PathBuf::from(format!("{}{tail}", path.display()))
}

fn refused(path: &Path, error: &io::Error) -> StoreError {
    let path = path.display().to_string();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full(path),
        _ => StoreError::Unwritable { path, problem: error.to_string() },
    }
}
