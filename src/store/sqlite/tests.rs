//! A full disk, which only the connection itself can be made to believe in.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Waker};

use super::*;
use crate::store::FollowUp;

fn entry(id: &str, data: String) -> InboxEvent {
    let (happened, received) = (Timestamp::from_secs(1), Timestamp::from_secs(1));
    let (denials, changes) = (Vec::new(), Vec::new());
    let (id, kind, rest) = (id.to_owned(), "user.created".to_owned(), FollowUp::Hooks(data));
    InboxEvent { id, kind, happened, received, denials, changes, rest }
}

#[tokio::test]
async fn a_full_disk_rejects_writes_until_there_is_space() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::open(dir.path().join("webhooks.db")).expect("a store");
    let room = |pages: u32| {
        store.queue.tamper(|file| file.pragma_update(None, "max_page_count", pages).expect("set"));
    };
    room(20);
    let large = || "x".repeat(64 * 1024);
    let calls = [("one", String::new()), ("large", large()), ("two", String::new())];
    let calls = calls.map(|(id, data)| store.accept(entry(id, data)));
    let told = futures_util::future::join_all(calls).await;
    let [Ok(Accepted::New), Err(StoreError::Full(path)), Ok(Accepted::New)] = told.as_slice()
    else {
        panic!("{told:?}")
    };
    assert!(path.ends_with("webhooks.db"), "{path}");
    assert!(StoreError::Full(path.clone()).to_string().contains("make room"));
    room(1_000);
    assert_eq!(store.accept(entry("large", large())).await.expect("room"), Accepted::New);
}

#[tokio::test]
async fn memory_keeps_at_most_its_limit() {
    let store = SqliteStore::memory().expect("a store");
    let mut pages = 0;
    store.queue.tamper(|file| {
        pages = file.query_row("PRAGMA max_page_count", [], |row| row.get(0)).expect("a number");
    });
    assert_eq!(pages, MEMORY_PAGES);
}

#[tokio::test]
async fn the_task_query_does_not_sort() {
    let store = SqliteStore::memory().expect("a store");
    let mut plan = Vec::new();
    store.queue.tamper(|file| {
        let mut query = file.prepare(&format!("EXPLAIN QUERY PLAN {}", statements::CLAIM));
        let query = query.as_mut().expect("a query");
        let steps = query.query_map([0, 0], |row| row.get::<_, String>(3)).expect("steps");
        plan.extend(steps.map(|step| step.expect("text")));
    });
    let plan = plan.join("; ");
    assert!(plan.contains("inbox_due") && !plan.contains("ORDER BY"), "{plan}");
}

/// A runtime that ends, or that there is not, drops a task that was to begin. It hung, and the whole runtime
/// with it, for good.
#[test]
fn a_call_without_a_worker_blocks_nothing() {
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let store = SqliteStore::memory().expect("a store");
        let outside = catch_unwind(AssertUnwindSafe(|| {
            let mut call = store.accept(entry("one", String::new()));
            let mut nobody = Context::from_waker(Waker::noop());
            drop(call.as_mut().poll(&mut nobody));
        }));
        assert!(outside.is_err(), "there is no runtime");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let accepted = runtime.block_on(store.accept(entry("two", String::new())));
        done.send(accepted.expect("well")).expect("waited for");
    });
    assert_eq!(ended.recv_timeout(Duration::from_secs(60)), Ok(Accepted::New));
}
