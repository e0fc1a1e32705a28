//! Advisory locks between processes (`flock`). The kernel releases a lock when its file handle
//! closes, and therefore also when its process ends.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

/// Pause between two attempts to take a lock.
const TRY_EVERY: Duration = Duration::from_millis(10);

/// Returns options that open a file for this user alone (mode 0600) and create it if it is missing.
/// Opening a symbolic link fails.
pub(super) fn private() -> OpenOptions {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(i32::try_from(flags.bits()).unwrap_or(0));
    options
}

/// Opens the file that serves as a lock.
pub(super) fn open(path: &Path) -> io::Result<File> {
    private().open(path)
}

/// Takes the lock, and blocks for about `patience` at most. Returns whether the lock is taken.
/// Calls `waits` once, before the first pause.
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
