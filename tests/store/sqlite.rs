//! The file: what it survives, and what it is not opened for.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clerk_resilience::store::{Entry, Outcome, SqliteStore, Store, StoreError};
use rusqlite::Connection;

use crate::{DAY, at, entry, hooks, session};

pub(crate) fn new() -> (tempfile::TempDir, SqliteStore) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::open(file(&dir)).expect("a new store");
    (dir, store)
}

fn file(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("webhooks.db")
}

/// The files as they are now: what a process that is killed at this moment leaves behind.
fn crash(dir: &tempfile::TempDir) -> tempfile::TempDir {
    let left = tempfile::tempdir().expect("a directory");
    for entry in fs::read_dir(dir.path()).expect("readable") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, left.path().join(path.file_name().expect("a name"))).expect("a copy");
    }
    left
}

async fn accept(store: &SqliteStore, id: &str) {
    let denials = vec![session(id, 60)];
    store.accept(Entry { denials, ..entry(id, hooks("1")) }).await.expect("accepted");
}

#[tokio::test]
async fn what_was_accepted_outlives_a_process_that_is_killed() {
    let (dir, store) = new();
    for n in 0..50 {
        accept(&store, &format!("{n:02}")).await;
        if n % 10 == 0 {
            let left = crash(&dir);
            let next = SqliteStore::open(file(&left)).expect("sound");
            assert_eq!(next.denials().expect("readable").len(), n + 1);
        }
    }
    let claimed = store.claim(at(0), DAY).await.expect("claimed").expect("a task");
    store.settle(&claimed.id, Outcome::Done).await.expect("settled");
    let in_work = store.claim(at(0), DAY).await.expect("claimed").expect("a task");
    let left = crash(&dir);
    let next = SqliteStore::open(file(&left)).expect("sound");
    let mut rest = Vec::new();
    while let Some(task) = next.claim(at(0).plus(DAY), DAY).await.expect("claimed") {
        rest.push(task.id);
    }
    assert_eq!(rest.len(), 49);
    assert!(!rest.contains(&claimed.id), "what is done is done");
    assert!(rest.contains(&in_work.id), "what was in work is worked on again");
}

#[tokio::test]
async fn a_log_that_breaks_off_anywhere_loses_no_more_than_its_end() {
    let (dir, store) = new();
    for n in 0..8 {
        accept(&store, &n.to_string()).await;
    }
    let log = PathBuf::from(format!("{}-wal", file(&dir).display()));
    let whole = fs::metadata(&log).expect("a log").len();
    let mut known = usize::MAX;
    for tenth in (0..=10).rev() {
        let left = crash(&dir);
        let log = left.path().join("webhooks.db-wal");
        let broken = fs::OpenOptions::new().write(true).open(log).expect("ours");
        broken.set_len(whole * tenth / 10).expect("shortened");
        let next = SqliteStore::open(file(&left)).expect("sound");
        let denied = next.denials().expect("readable").len();
        assert!(denied <= known && (tenth < 10 || denied == 8), "{tenth}: {denied}");
        known = denied;
    }
}

#[tokio::test]
async fn a_store_is_open_once_and_can_be_read_by_other_tools_meanwhile() {
    let (dir, store) = new();
    accept(&store, "msg_1").await;
    assert!(matches!(SqliteStore::open(file(&dir)), Err(StoreError::InUse(_))));
    let reader = Connection::open(file(&dir)).expect("readable");
    let row: (String, String) = reader
        .query_row("SELECT id, state FROM inbox", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("a row");
    assert_eq!(row, ("msg_1".to_owned(), "received".to_owned()));
    drop((store, reader));
    SqliteStore::open(file(&dir)).expect("free again");
}

fn refused(path: &Path) -> StoreError {
    SqliteStore::open(path).expect_err("not to be used")
}

#[tokio::test]
async fn a_file_of_a_later_version_is_left_alone() {
    let (dir, store) = new();
    drop(store);
    let later = Connection::open(file(&dir)).expect("writable");
    later.pragma_update(None, "user_version", 99).expect("written");
    drop(later);
    let error = refused(&file(&dir));
    assert!(matches!(error, StoreError::Newer { found: 99, known: 2, .. }), "{error}");
    assert!(error.to_string().contains("run the version that wrote it"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_damaged_or_something_else_is_named_and_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(file(&dir), "not a database at all, but a text of some length").expect("written");
    assert!(matches!(refused(&file(&dir)), StoreError::Damaged { .. }));
    assert!(fs::read_to_string(file(&dir)).expect("text").starts_with("not a database"));

    let (dir, store) = new();
    for n in 0..200 {
        accept(&store, &n.to_string()).await;
    }
    drop(store);
    let mut bytes = fs::read(file(&dir)).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0xa5);
    fs::write(file(&dir), bytes).expect("written");
    let error = refused(&file(&dir));
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("webhooks.db"), "{error}");

    let dir = tempfile::tempdir().expect("a directory");
    let other = Connection::open(file(&dir)).expect("writable");
    other.execute_batch("CREATE TABLE customers (id TEXT)").expect("written");
    drop(other);
    let error = refused(&file(&dir));
    assert!(error.to_string().contains("another program's"), "{error}");
}

#[tokio::test]
async fn a_directory_that_others_may_write_is_refused_and_files_are_for_this_user_alone() {
    let (dir, store) = new();
    accept(&store, "msg_1").await;
    for entry in fs::read_dir(dir.path()).expect("readable") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} has {mode:o}", entry.path());
    }
    drop(store);
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("ours");
    assert!(matches!(refused(&file(&dir)), StoreError::Place(_)));
}

#[tokio::test]
async fn a_file_that_is_locked_by_a_tool_fails_and_works_again_afterwards() {
    let (dir, store) = new();
    let tool = Connection::open(file(&dir)).expect("writable");
    tool.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let failed = store.accept(entry("msg_1", hooks("1"))).await;
    assert!(matches!(failed, Err(StoreError::Failed(_))), "{failed:?}");
    tool.execute_batch("ROLLBACK").expect("free");
    accept(&store, "msg_1").await;
}
