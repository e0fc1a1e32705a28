//! Locks between processes. A lock ends with its file handle, so also with its process.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

/// Between two tries.
const TRY_EVERY: Duration = Duration::from_millis(10);

/// Options for a file of this user alone, made when it is not there; no links.
pub(super) fn private() -> OpenOptions {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(i32::try_from(flags.bits()).unwrap_or(0));
    options
}

/// Opens a file to lock.
pub(super) fn open(path: &Path) -> io::Result<File> {
    private().open(path)
}

/// Takes the lock, and blocks for about `patience` at most; true when it is taken. `waits` runs once,
/// before the first wait.
pub(super) fn wait(file: &File, patience: Duration, waits: impl FnOnce()) -> io::Result<bool> {
    let (mut left, mut waits) = (patience, Some(waits));
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if left.is_zero() {
            return Ok(false);
        }
        if let Some(waits) = waits.take() {
            waits();
        }
        let pause = left.min(TRY_EVERY);
        std::thread::sleep(pause);
        left -= pause;
    }
}
