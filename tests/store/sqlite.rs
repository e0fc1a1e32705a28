//! The file: what it survives, and what it is not opened for.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clerk_resilience::id::UserId;
use clerk_resilience::profile::Change;
use clerk_resilience::store::{
    Accepted, FollowUp, InboxEvent, SqliteStore, Store, StoreError, TaskOutcome,
};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use rusqlite::Connection;

use crate::{DAY, at, entry, hooks, named, session, sighted};

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
    store.accept(InboxEvent { denials, ..entry(id, hooks("1")) }).await.expect("accepted");
}

#[tokio::test]
async fn accepted_events_survive_a_killed_process() {
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
    store.settle(&claimed.id, claimed.claim, TaskOutcome::Done).await.expect("settled");
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
async fn a_truncated_log_loses_only_its_end() {
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
async fn a_store_opens_once_and_other_tools_can_read_it() {
    let (dir, store) = new();
    accept(&store, "msg_1").await;
    let error = SqliteStore::open_within(file(&dir), Duration::ZERO).expect_err("open already");
    let this = std::process::id();
    assert!(matches!(error, StoreError::InUse { holder: Some(id), .. } if id == this), "{error:?}");
    assert!(error.to_string().contains("end that process"), "{error}");
    let reader = Connection::open(file(&dir)).expect("readable");
    let row: (String, String) = reader
        .query_row("SELECT id, state FROM inbox", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("a row");
    assert_eq!(row, ("msg_1".to_owned(), "received".to_owned()));
    drop((store, reader));
    SqliteStore::open(file(&dir)).expect("free again");
}

#[tokio::test]
async fn the_next_process_waits_for_the_previous_one() {
    let (dir, store) = new();
    accept(&store, "msg_1").await;
    let path = file(&dir);
    let next = std::thread::spawn(move || SqliteStore::open_within(path, DAY));
    std::thread::sleep(Duration::from_millis(100));
    assert!(!next.is_finished(), "it waits");
    accept(&store, "msg_2").await;
    drop(store);
    let next = next.join().expect("no panic").expect("free now");
    assert_eq!(next.denials().expect("readable").len(), 2);
}

#[tokio::test]
async fn a_wait_for_another_process_ends_with_an_error() {
    let (dir, _store) = new();
    let patience = Duration::from_millis(100);
    let error = SqliteStore::open_within(file(&dir), patience).expect_err("open already");
    assert!(matches!(error, StoreError::InUse { waited, .. } if waited == patience), "{error:?}");
}

fn refused(path: &Path) -> StoreError {
    SqliteStore::open(path).expect_err("not to be used")
}

#[tokio::test]
async fn a_file_of_a_later_version_is_unchanged() {
    let (dir, store) = new();
    drop(store);
    let later = Connection::open(file(&dir)).expect("writable");
    later.pragma_update(None, "user_version", 99).expect("written");
    drop(later);
    let error = refused(&file(&dir));
    assert!(matches!(error, StoreError::Newer { found: 99, known: 4, .. }), "{error}");
    assert!(error.to_string().contains("run the version that wrote it"), "{error}");
}

#[tokio::test]
async fn a_file_of_the_previous_version_is_migrated() {
    let (dir, store) = new();
    accept(&store, "msg_1").await;
    drop(store);
    let before = Connection::open(file(&dir)).expect("writable");
    before
        .execute_batch(
            "DROP TABLE sighting; ALTER TABLE inbox DROP COLUMN claim; PRAGMA user_version = 2",
        )
        .expect("as it was");
    drop(before);
    let store = SqliteStore::open(file(&dir)).expect("brought up");
    assert_eq!(store.denials().expect("readable").len(), 1);
    store.record_sightings(vec![sighted("a", 0, 0)]).await.expect("noted");
    assert_eq!(store.sightings().expect("readable").sighted, [sighted("a", 0, 0)]);
}

#[tokio::test]
async fn a_damaged_or_foreign_file_is_named_and_unchanged() {
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
}

#[tokio::test]
async fn a_shared_directory_is_rejected_and_files_are_private() {
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

/// Another program that is in the middle of something, so that calls wait.
fn tool(dir: &tempfile::TempDir) -> Connection {
    let tool = Connection::open(file(dir)).expect("writable");
    tool.execute_batch("BEGIN IMMEDIATE").expect("locked");
    tool
}

fn end(tool: &Connection) {
    tool.execute_batch("ROLLBACK").expect("free");
}

fn count(dir: &tempfile::TempDir, of: &str) -> i64 {
    let tool = Connection::open(file(dir)).expect("readable");
    tool.query_row(&format!("SELECT count(*) FROM {of}"), [], |row| row.get(0)).expect("a number")
}

/// How many transactions are in the log: so many of its frames end one.
fn commits(dir: &tempfile::TempDir) -> usize {
    let log = fs::read(format!("{}-wal", file(dir).display())).expect("a log");
    let page = u32::from_be_bytes(log[8..12].try_into().expect("four bytes")) as usize;
    log[32..].chunks(24 + page).filter(|frame| frame[4..8] != [0; 4]).count()
}

#[tokio::test]
async fn a_locked_file_fails_and_recovers() {
    let (dir, store) = new();
    let tool = tool(&dir);
    let failed = store.accept(entry("msg_1", hooks("1"))).await;
    assert!(matches!(failed, Err(StoreError::Locked(_))), "{failed:?}");
    end(&tool);
    accept(&store, "msg_1").await;
}

#[tokio::test]
async fn calls_that_wait_together_wait_for_the_disk_together() {
    let (dir, store) = new();
    let (before, tool) = (commits(&dir), tool(&dir));
    let calls = (0..100).map(|n| store.accept(entry(&n.to_string(), hooks("1"))));
    let mut calls = Box::pin(join_all(calls));
    assert!(calls.as_mut().now_or_never().is_none(), "they wait");
    end(&tool);
    assert!(calls.await.iter().all(|accepted| matches!(accepted, Ok(Accepted::New))));
    let commits = commits(&dir) - before;
    assert!((1..=3).contains(&commits), "{commits} transactions");
}

/// Of calls that wait together, those about `bad` fail in this way, after a part of them was done.
async fn beside_a_bad_call(way: &str) {
    let (dir, store) = new();
    let tool = Connection::open(file(&dir)).expect("writable");
    let trigger = format!(
        "CREATE TRIGGER refusal BEFORE INSERT ON denial WHEN NEW.id = 'bad'
         BEGIN SELECT RAISE({way}, 'as asked'); END"
    );
    tool.execute_batch(&trigger).expect("written");
    tool.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let call = |id: &'static str| {
        let denials = vec![session(id, 60)];
        store.accept(InboxEvent { denials, ..entry(id, hooks("1")) })
    };
    let mut calls = Box::pin(join_all(["one", "two", "bad", "three", "four"].map(call)));
    assert!(calls.as_mut().now_or_never().is_none(), "they wait");
    end(&tool);
    let told: Vec<_> = calls.await.into_iter().map(|accepted| accepted.is_ok()).collect();
    assert_eq!(told, [true, true, false, true, true], "{way}");
    assert_eq!((count(&dir, "inbox"), count(&dir, "denial")), (4, 4), "{way}");
}

#[tokio::test]
async fn a_failing_call_has_no_effect_and_fails_alone() {
    beside_a_bad_call("ABORT").await;
}

#[tokio::test]
async fn a_call_that_ends_the_transaction_of_all_fails_alone() {
    beside_a_bad_call("ROLLBACK").await;
}

#[tokio::test]
async fn a_dropped_store_closes_its_file() {
    let (dir, store) = new();
    accept(&store, "msg_1").await;
    let late = store.accept(entry("msg_2", hooks("1")));
    drop(store);
    assert!(!dir.path().join("webhooks.db-wal").exists(), "all of it is in the file");
    assert!(matches!(late.await, Err(StoreError::Failed(_))));
    assert_eq!(count(&dir, "inbox"), 1);
}

#[tokio::test]
async fn a_cancelled_call_does_not_start() {
    let (dir, store) = new();
    let tool = tool(&dir);
    let first = tokio::spawn(store.accept(entry("msg_1", hooks("1"))));
    tokio::task::yield_now().await;
    let mut given_up = store.accept(entry("msg_2", hooks("1")));
    assert!((&mut given_up).now_or_never().is_none(), "it waits");
    drop(given_up);
    end(&tool);
    first.await.expect("no panic").expect("accepted");
    accept(&store, "msg_3").await;
    assert_eq!(count(&dir, "inbox WHERE id = 'msg_2'"), 0);
}

#[tokio::test]
async fn excess_calls_are_rejected_at_once() {
    let (dir, store) = new();
    let tool = tool(&dir);
    let calls = (0..8_400).map(|n| store.accept(entry(&n.to_string(), hooks("1"))));
    let mut calls = Box::pin(join_all(calls));
    assert!(calls.as_mut().now_or_never().is_none(), "they wait");
    end(&tool);
    let told = calls.await;
    let refused = told.iter().filter(|told| matches!(told, Err(StoreError::Busy))).count();
    // As many as may wait can have been taken up before the last came.
    assert!((8_400 - 2 * 4_096..=8_400 - 4_096).contains(&refused), "{refused} refused");
    let kept = told.iter().filter(|told| told.is_ok()).count();
    assert_eq!(count(&dir, "inbox"), i64::try_from(kept).expect("a small number"));
}

#[tokio::test]
async fn all_expired_data_is_deleted() {
    let (dir, store) = new();
    for some in 0..5 {
        let calls = (0..1_000).map(|n| {
            let denials = vec![session(&format!("{some} {n}"), 60)];
            store.accept(InboxEvent { denials, ..entry(&format!("{some} {n}"), FollowUp::Nothing) })
        });
        assert!(join_all(calls).await.iter().all(Result::is_ok));
    }
    store.prune(at(0).plus(8 * DAY)).await.expect("pruned");
    assert_eq!((count(&dir, "inbox"), count(&dir, "denial")), (0, 0));
}

#[tokio::test]
async fn events_handled_by_hooks_are_deleted() {
    let (dir, store) = new();
    accept(&store, "before").await;
    let data = "481516".repeat(4_000);
    store.accept(entry("msg_1", hooks(&data))).await.expect("accepted");
    accept(&store, "after").await;
    assert!(store.settle("msg_1", 0, TaskOutcome::Done).await.expect("answered"));
    drop(store);
    let bytes = fs::read(file(&dir)).expect("readable");
    assert!(!bytes.windows(6).any(|window| window == b"481516"));
}

#[tokio::test]
async fn an_unreadable_document_is_set_aside() {
    let (dir, store) = new();
    let tool = Connection::open(file(&dir)).expect("writable");
    let user = UserId::from("user_1");
    for round in 1..=2 {
        store.merge(vec![named("Ada", round)]).await.expect("merged");
        tool.execute("UPDATE person SET data = '{\"profile\": 7}' WHERE id = 'user_1'", [])
            .expect("written");
        let changes = vec![named("Adaeze", round)];
        let event = InboxEvent { changes, ..entry(&format!("msg_{round}"), FollowUp::Nothing) };
        assert_eq!(store.accept(event).await.expect("accepted"), Accepted::New);
        let person = store.user(&user).await.expect("answered").expect("known");
        assert_eq!(person.profile().and_then(|now| now.first_name.as_deref()), Some("Adaeze"));
        assert_eq!(count(&dir, "person WHERE id = 'unreadable/user_1' AND data LIKE '%7%'"), 1);
    }
    tool.execute("UPDATE person SET data = '' WHERE id = 'user_1'", []).expect("written");
    assert_eq!(store.user(&user).await.expect("answered"), None);
    let readable = "UPDATE person SET data = '{\"profile\":null,\"deleted\":null}'";
    tool.execute(readable, []).expect("written");
    assert_eq!(store.users(None).await.expect("answered").people, [], "they are nobody's");
    store.merge(vec![Change::UserDeleted(user, at(3))]).await.expect("merged");
    assert_eq!(count(&dir, "person WHERE id LIKE 'unreadable/%'"), 0, "it goes with the user");
}

#[tokio::test]
async fn a_removed_file_accepts_nothing_more() {
    let (dir, store) = new();
    accept(&store, "msg_1").await;
    let aside = dir.path().join("aside");
    fs::rename(file(&dir), &aside).expect("renamed");
    let refused = store.accept(entry("msg_2", hooks("1"))).await;
    assert!(matches!(refused, Err(StoreError::Moved(_))), "{refused:?}");
    fs::rename(&aside, file(&dir)).expect("renamed");
    accept(&store, "msg_2").await;
    assert_eq!(count(&dir, "inbox"), 2);
}

#[tokio::test]
async fn a_file_writable_by_others_or_a_link_is_rejected() {
    let loose = fs::Permissions::from_mode(0o666);
    for tail in ["", "-wal"] {
        let (dir, store) = new();
        accept(&store, "msg_1").await;
        let left = crash(&dir);
        let path = left.path().join(format!("webhooks.db{tail}"));
        fs::set_permissions(&path, loose.clone()).expect("ours");
        let error = refused(&file(&left)).to_string();
        assert!(error.contains(path.to_str().expect("text")), "{error}");
        assert!(error.contains("can be written by other users"), "{error}");
    }
    let (dir, store) = new();
    drop(store);
    let link = dir.path().join("link.db");
    std::os::unix::fs::symlink(file(&dir), &link).expect("linked");
    assert!(matches!(refused(&link), StoreError::Unwritable { .. }));
}

#[tokio::test]
async fn the_file_of_another_program_is_unchanged() {
    for version in [0, 1, 2, 99] {
        let dir = tempfile::tempdir().expect("a directory");
        let other = Connection::open(file(&dir)).expect("writable");
        other.execute_batch("CREATE TABLE customers (id TEXT)").expect("written");
        other.pragma_update(None, "user_version", version).expect("written");
        let error = refused(&file(&dir));
        assert!(error.to_string().contains("another program's"), "{version}: {error}");
        assert_eq!(count(&dir, "sqlite_schema"), 1, "{version}");
    }
}

#[tokio::test]
async fn an_unusable_file_falls_back_with_a_report() {
    let (dir, store) = new();
    accept(&store, "msg_1").await;
    assert!(store.fallback_error().is_none());
    let error = SqliteStore::open_or_memory_within(file(&dir), Duration::ZERO);
    assert!(matches!(error, Err(StoreError::InUse { .. })), "{error:?}");
    drop(store);
    let store = SqliteStore::open_or_memory(file(&dir)).expect("free again");
    assert!(store.fallback_error().is_none());
    assert_eq!(store.denials().expect("readable").len(), 1);
    drop(store);

    fs::write(file(&dir), "not a database at all, but a text of some length").expect("written");
    let store = SqliteStore::open_or_memory(file(&dir)).expect("in memory");
    let why = store.fallback_error().expect("a reason").to_string();
    assert!(why.contains("webhooks.db") && why.contains("move it away"), "{why}");
    accept(&store, "msg_1").await;
    assert_eq!(store.claim(at(0), DAY).await.expect("claimed").expect("a task").id, "msg_1");
    drop(store);
    assert!(fs::read_to_string(file(&dir)).expect("text").starts_with("not a database"));
}

#[tokio::test]
async fn an_unwritable_path_is_named() {
    // A directory by that name can be written by nobody, root included.
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir(file(&dir)).expect("made");
    let error = refused(&file(&dir));
    assert!(matches!(error, StoreError::Unwritable { .. }), "{error}");
    assert!(error.to_string().contains("webhooks.db cannot be read and written"), "{error}");
    assert!(error.to_string().contains("this user may write"), "{error}");
}
