//! `clerk-resilience dead-letters`: what lies there, and what is worked on again.

use std::time::Duration;

use clerk_resilience::clock::Timestamp;
use clerk_resilience::store::{FollowUp, InboxEvent, SqliteStore, Store as _, TaskOutcome};
use serde_json::Value;

use super::{command, text};

const CAME: Timestamp = Timestamp::from_secs(1_790_000_000);

async fn accept(store: &SqliteStore, id: &str, rest: FollowUp) {
    let entry = InboxEvent {
        id: id.to_owned(),
        kind: "user.created".to_owned(),
        happened: CAME,
        received: CAME,
        denials: Vec::new(),
        changes: Vec::new(),
        rest,
    };
    store.accept(entry).await.expect("room");
}

/// A file with a webhook whose hook failed for good, and one that made no sense.
async fn two_letters(file: &std::path::Path) {
    let store = SqliteStore::open(file).expect("a store");
    accept(&store, "msg_1", FollowUp::Hooks(r#"{"otp":"424242"}"#.to_owned())).await;
    let task = store.claim(CAME, Duration::from_secs(30)).await.expect("well").expect("a task");
    let why = "the mail server is away".to_owned();
    store.settle("msg_1", task.claim, TaskOutcome::Dead { why }).await.expect("settled");
    accept(&store, "msg_2", FollowUp::Malformed("it says nobody".to_owned())).await;
}

#[tokio::test]
async fn dead_letters_are_listed_without_content_and_retried() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("store.sqlite");
    two_letters(&path).await;
    let file = path.to_str().expect("text");
    let ask = async |arguments: &[&str]| {
        command("dead-letters", &[], &[&["--sqlite", file], arguments].concat()).await
    };
    let shown = ask(&[]).await;
    assert_eq!(shown.status.code(), Some(0));
    for part in ["msg_1", "user.created", "tried 1 times: the mail server is away", "msg_2"] {
        assert!(text(&shown).contains(part), "{part}: {}", text(&shown));
    }
    assert!(!text(&shown).contains("424242"));
    let json: Value = serde_json::from_slice(&ask(&["--json"]).await.stdout).expect("JSON");
    assert_eq!((json.as_array().map(Vec::len), &json[1]["attempts"]), (Some(2), &1.into()));

    let in_vain = ask(&["--replay", "msg_2"]).await;
    assert_eq!(in_vain.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&in_vain.stderr).contains("msg_2"));
    let again = ask(&["--replay-all"]).await;
    assert_eq!((again.status.code(), text(&again)), (Some(0), "1 will be worked on again.\n"));
    let left = ask(&[]).await;
    assert!(!text(&left).contains("msg_1") && text(&left).contains("msg_2"), "{}", text(&left));
    let store = SqliteStore::open(&path).expect("a store");
    let now = Timestamp::from_secs(i64::MAX / 2_000);
    let task = store.claim(now, Duration::ZERO).await.expect("well").expect("a task");
    assert_eq!((task.id.as_str(), task.attempts), ("msg_1", 1));
}

#[tokio::test]
async fn a_file_in_use_and_a_missing_store_are_reported() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("store.sqlite");
    let _used = SqliteStore::open(&path).expect("a store");
    let used = command("dead-letters", &[], &["--sqlite", path.to_str().expect("text")]).await;
    assert_eq!(used.status.code(), Some(1));
    let words = String::from_utf8_lossy(&used.stderr).into_owned();
    assert!(words.contains("in use by process"), "{words}");
    let missing = dir.path().join("typo.sqlite");
    let typo = command("dead-letters", &[], &["--sqlite", missing.to_str().expect("text")]).await;
    assert_eq!((typo.status.code(), missing.exists()), (Some(1), false));
    assert_eq!(command("dead-letters", &[], &[]).await.status.code(), Some(2));
}
