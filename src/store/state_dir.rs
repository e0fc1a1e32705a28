//! [`StateDir`]: a directory that only this user can write.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file_lock;

/// Maximum time to wait for the lock. Processes that share a directory take turns, and each write
/// takes milliseconds.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// Name of the lock file. The file remains in the directory when no process holds the lock.
const LOCK_FILE: &str = "state.lock";
/// Maximum size of a file: 64 MiB.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A directory whose files can be trusted: no other user can write to it or rename it away.
///
/// The conditions, checked again at each use:
///
/// * the directory belongs to this user, and neither group nor others may write to it;
/// * each parent belongs to this user or to root, and is not writable by others unless it is
///   sticky;
/// * a file belongs to this user, is not a link, is not writable by others, and has at most 64 MiB.
///
/// Files are replaced in one step, so a crash leaves the old or the new content. Several processes
/// may share a directory: they take turns by a lock file.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// use clerk_resilience::store::StateDir;
///
/// let state = StateDir::open(directory.path().join("state"))?;
/// state.write("note", b"text")?;
/// assert_eq!(state.read("note")?.as_deref(), Some(&b"text"[..]));
/// assert_eq!(state.read("other")?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StateDir {
    path: PathBuf,
}

impl StateDir {
    /// Opens the directory, and creates it with mode 0700 if it is missing.
    ///
    /// # Errors
    ///
    /// [`StateDirError`] when the directory cannot be created, is not a directory, belongs to
    /// another user, or when another user may write to it or rename it away.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StateDirError> {
        let path = path.into();
        let failed = |error| StateDirError::Io { path: path.clone(), error };
        if !path.exists() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
        }
        let path = path.canonicalize().map_err(failed)?;
        let dir = Self { path };
        dir.check()?;
        Ok(dir)
    }

    /// Returns the canonical path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn check(&self) -> Result<(), StateDirError> {
        let own = metadata(&self.path)?;
        if !own.is_dir() {
            return Err(StateDirError::NotADirectory(self.path.clone()));
        }
        if own.uid() != current_user() {
            return Err(StateDirError::Foreign(self.path.clone()));
        }
        if own.mode() & 0o022 != 0 {
            return Err(StateDirError::Writable(self.path.clone()));
        }
        for parent in self.path.ancestors().skip(1) {
            let parent_of = metadata(parent)?;
            let shared = parent_of.mode() & 0o022 != 0;
            let sticky = parent_of.mode() & 0o1000 != 0;
            let trusted = parent_of.uid() == 0 || parent_of.uid() == current_user();
            if (shared && !sticky) || !trusted {
                return Err(StateDirError::Writable(parent.to_owned()));
            }
        }
        Ok(())
    }

    /// Reads a file. Returns `None` if the file does not exist.
    ///
    /// # Errors
    ///
    /// [`StateDirError`] when the file cannot be read, is a symbolic link, belongs to another user,
    /// may be written by another user, or is longer than 64 MiB.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateDirError> {
        self.check()?;
        let path = self.path.join(name);
        let failed = |error| StateDirError::Io { path: path.clone(), error };
        let no_follow = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let flags = i32::try_from(no_follow.bits()).unwrap_or(0);
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let meta = file.metadata().map_err(failed)?;
        if !meta.is_file() || meta.uid() != current_user() {
            return Err(StateDirError::Foreign(path));
        }
        if meta.mode() & 0o022 != 0 {
            return Err(StateDirError::Writable(path));
        }
        let mut bytes = Vec::new();
        if meta.len() <= MAX_BYTES {
            file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        }
        if meta.len().max(bytes.len() as u64) > MAX_BYTES {
            return Err(StateDirError::TooLong(path));
        }
        Ok(Some(bytes))
    }

    /// Locks the directory against other processes, and against other handles of this process,
    /// until the result is dropped. A caller that reads a file, changes it and writes it back must
    /// hold this lock. The call blocks for at most 5 s.
    ///
    /// # Errors
    ///
    /// [`StateDirError`] when the directory is no longer safe, when the lock file cannot be opened
    /// or locked, or when another holder has the lock for 5 s.
    pub fn lock(&self) -> Result<StateLock, StateDirError> {
        self.check()?;
        let path = self.path.join(LOCK_FILE);
        let failed = |error| StateDirError::Io { path: path.clone(), error };
        let file = file_lock::open(&path).map_err(failed)?;
        let taken = file_lock::wait(&file, LOCK_PATIENCE, || {}).map_err(failed)?;
        if taken { Ok(StateLock { _file: file }) } else { Err(StateDirError::Locked(path)) }
    }

    /// Replaces a file atomically, with mode 0600. After a crash, either the complete old file or
    /// the complete new file exists.
    ///
    /// # Errors
    ///
    /// [`StateDirError`] when the directory is no longer safe or cannot be written, or when the
    /// content is longer than 64 MiB.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StateDirError> {
        self.check()?;
        let path = self.path.join(name);
        if bytes.len() as u64 > MAX_BYTES {
            return Err(StateDirError::TooLong(path));
        }
        let replace = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.path)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            File::open(&self.path)?.sync_all()
        };
        replace().map_err(|error| StateDirError::Io { path: path.clone(), error })
    }
}

/// The lock on a [`StateDir`]. Dropping it releases the lock.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct StateLock {
    _file: File,
}

fn metadata(path: &Path) -> Result<fs::Metadata, StateDirError> {
    fs::metadata(path).map_err(|error| StateDirError::Io { path: path.to_owned(), error })
}

fn current_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Why a state directory, or a file in it, cannot be used. The text names the path and the fix.
///
/// The error never stops the application. It costs a warning (`clerk.state.*`) and a count in
/// [`Counts::state_failures`](crate::Counts::state_failures); the state is then in memory alone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateDirError {
    /// The operating system returned an error.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// The path that was accessed.
        path: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The path exists and is not a directory.
    #[error("{} is not a directory; name a directory, or remove what is there", .0.display())]
    NotADirectory(PathBuf),
    /// The directory or file belongs to another user, or the file is not a regular file.
    #[error("{} belongs to another user (or is not a plain file); this file decides who gets in, so it must be this user's own: chown it, or name another directory", .0.display())]
    Foreign(PathBuf),
    /// Other users may write to the directory, one of its parents, or the file.
    #[error("{} can be written by other users; this directory decides who gets in: chmod go-w it, or name a directory that only this user writes", .0.display())]
    Writable(PathBuf),
    /// The content or the file is longer than 64 MiB.
    #[error("{} would be longer than 64 MiB and was not changed; if this application did not write it, remove it", .0.display())]
    TooLong(PathBuf),
    /// Another process held the lock for 5 s.
    #[error("{} has been locked by another process for 5 s; end the process that hangs, or configure a separate directory for each process", .0.display())]
    Locked(PathBuf),
    /// A write did not finish.
    #[error("a write did not finish: {0}")]
    Unfinished(String),
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn private() -> (tempfile::TempDir, StateDir) {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let dir = StateDir::open(temp.path().join("state")).expect("a safe directory");
        (temp, dir)
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
    }

    #[test]
    fn files_round_trip_and_are_private() {
        let (_temp, dir) = private();
        assert!(dir.read("keys.json").expect("readable").is_none());
        dir.write("keys.json", b"one").expect("writable");
        dir.write("keys.json", b"two").expect("writable");
        assert_eq!(dir.read("keys.json").expect("readable").as_deref(), Some(&b"two"[..]));
        let mode = fs::metadata(dir.path().join("keys.json")).expect("there").mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::metadata(dir.path()).expect("there").mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 1, "nothing is left over");
    }

    #[test]
    fn a_directory_writable_by_others_is_rejected() {
        for mode in [0o770, 0o707, 0o777, 0o1777] {
            let temp = tempfile::tempdir().expect("a temporary directory");
            chmod(temp.path(), mode);
            let error = StateDir::open(temp.path()).expect_err("unsafe");
            assert!(matches!(error, StateDirError::Writable(_)), "{mode:o}: {error}");
        }
    }

    #[test]
    fn a_directory_below_a_shared_one_is_rejected() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let inner = temp.path().join("state");
        StateDir::open(&inner).expect("safe so far");
        chmod(temp.path(), 0o777);
        assert!(matches!(StateDir::open(&inner), Err(StateDirError::Writable(_))));
    }

    #[test]
    fn permissions_loosened_later_are_noticed() {
        let (_temp, dir) = private();
        dir.write("keys.json", b"good").expect("writable");
        chmod(dir.path(), 0o777);
        assert!(dir.read("keys.json").is_err());
        assert!(dir.write("keys.json", b"more").is_err());
    }

    #[test]
    fn a_file_writable_by_others_or_a_link_is_rejected() {
        let (_temp, dir) = private();
        dir.write("keys.json", b"good").expect("writable");
        chmod(&dir.path().join("keys.json"), 0o666);
        assert!(matches!(dir.read("keys.json"), Err(StateDirError::Writable(_))));
        symlink("/etc/hostname", dir.path().join("link.json")).expect("ours");
        assert!(dir.read("link.json").is_err());
    }

    #[test]
    fn something_else_by_that_name_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        assert!(matches!(StateDir::open(file.path()), Err(StateDirError::NotADirectory(_))));
    }

    /// Two handles, as of two processes: each adds its line to what the file holds.
    #[test]
    fn of_two_writers_at_once_neither_loses_a_line() {
        let (_temp, dir) = private();
        let add = |name: &str| {
            let dir = StateDir::open(dir.path()).expect("a handle of its own");
            for n in 0..50 {
                let _lock = dir.lock().expect("free within seconds");
                let mut lines = dir.read("lines").expect("readable").unwrap_or_default();
                lines.extend_from_slice(format!("{name}{n}\n").as_bytes());
                dir.write("lines", &lines).expect("writable");
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| add("one"));
            scope.spawn(|| add("two"));
        });
        let lines = dir.read("lines").expect("readable").expect("written");
        assert_eq!(lines.split(|byte| *byte == b'\n').count(), 101);
    }

    #[test]
    fn a_lock_that_is_held_is_waited_for_no_longer_than_the_bound() {
        let (_temp, dir) = private();
        let held = dir.lock().expect("free");
        assert!(matches!(dir.lock(), Err(StateDirError::Locked(_))));
        drop(held);
        drop(dir.lock().expect("free again"));
    }

    #[test]
    fn a_link_in_place_of_the_lock_is_rejected() {
        let (temp, dir) = private();
        symlink(temp.path().join("elsewhere"), dir.path().join(LOCK_FILE)).expect("ours");
        assert!(matches!(dir.lock(), Err(StateDirError::Io { .. })));
        assert!(!temp.path().join("elsewhere").exists());
    }
}
