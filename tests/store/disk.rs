//! A disk of its own, which is really full and really read-only. Only root may have one.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use clerk_resilience::store::{Accepted, SqliteStore, Store, StoreError};

use crate::{at, entry, hooks};

/// A small file system in memory.
struct Disk(tempfile::TempDir);

impl Disk {
    /// None where this user may mount nothing.
    fn mounted() -> Option<Self> {
        let disk = Self(tempfile::tempdir().expect("a directory"));
        disk.mount("size=1m,mode=0700").then_some(disk)
    }

    fn mount(&self, options: &str) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(self.0.path());
        mount.output().is_ok_and(|done| done.status.success())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("webhooks.db")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.0.path()).output());
    }
}

#[tokio::test]
async fn full_and_read_only_disks_are_reported() {
    let Some(disk) = Disk::mounted() else {
        eprintln!(
            "NOT TESTED: a disk that is full or read-only, because this user may not mount one"
        );
        return;
    };
    let store = SqliteStore::open(disk.file()).expect("room enough");
    store.accept(entry("msg_1", hooks("1"))).await.expect("room enough");
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![0; 2 * 1024 * 1024]).expect_err("it is full now");
    let large = "x".repeat(64 * 1024);
    for n in 2..4 {
        let told = store.accept(entry(&format!("msg_{n}"), hooks(&large))).await;
        assert!(matches!(told, Err(StoreError::Full(_))), "{told:?}");
    }
    assert_eq!(store.accept(entry("msg_1", hooks("1"))).await.expect("read"), Accepted::Duplicate);
    fs::remove_file(&ballast).expect("ours");
    let told = store.accept(entry("msg_2", hooks(&large))).await;
    assert_eq!(told.expect("room again"), Accepted::New);
    drop(store);

    assert!(disk.mount("remount,ro"), "nothing there is open");
    let error = SqliteStore::open(disk.file()).expect_err("read-only");
    assert!(matches!(error, StoreError::Unwritable { .. }), "{error}");
    assert!(error.to_string().contains("read-only"), "{error}");
    let store = SqliteStore::open_or_memory(disk.file()).expect("in memory");
    assert!(store.fallback_error().is_some());
    assert_eq!(store.accept(entry("msg_2", hooks("1"))).await.expect("kept"), Accepted::New);
    assert!(store.claim(at(0), crate::DAY).await.expect("claimed").is_some());
}
