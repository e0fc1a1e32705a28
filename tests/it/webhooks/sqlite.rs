//! Webhooks in a SQLite file.

use std::path::Path;
use std::time::Duration;

use clerk_resilience::store::SqliteStore;
use http::StatusCode;
use test_support::world::World;

use super::{CREATED, Ear, SECRET, data, deliver, revoked, secret, with};

fn open(dir: &Path) -> SqliteStore {
    SqliteStore::open(dir.join("webhooks.db")).expect("a store")
}

/// What a process that is killed at this moment leaves behind.
fn crash(dir: &Path) -> tempfile::TempDir {
    let left = tempfile::tempdir().expect("a directory");
    for entry in std::fs::read_dir(dir).expect("readable") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), left.path().join(entry.file_name())).expect("a copy");
    }
    left
}

#[tokio::test(start_paused = true)]
async fn acknowledged_events_survive_a_killed_process() {
    let dir = tempfile::tempdir().expect("a directory");
    let deaf = Ear::failing(u32::MAX);
    let world = with(|builder| {
        deaf.on(builder.store(open(dir.path())), &["user.created", "session.revoked"])
    })
    .await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    deliver(&world, "msg_1", &revoked(session.id.as_str())).await;
    deliver(&world, "msg_2", CREATED).await;
    let left = crash(dir.path());

    let ear = Ear::default();
    let next = World::beside(world.clock.clone(), world.sim.clone(), |builder| {
        let builder = builder.webhook_secret(secret(SECRET)).store(open(left.path()));
        ear.on(builder, &["user.created", "session.revoked"])
    });
    next.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    assert_eq!(next.get(&token).await.status, StatusCode::UNAUTHORIZED);
    next.pass(60).await;
    let mut heard: Vec<_> = ear.heard().into_iter().map(|event| event.id).collect();
    heard.sort();
    assert_eq!(heard, ["msg_1", "msg_2"]);
    assert_eq!(deliver(&next, "msg_2", CREATED).await.status, StatusCode::NO_CONTENT);
    assert_eq!(next.clerk.counts().webhooks_repeated, 1);
}

#[tokio::test(start_paused = true)]
async fn no_code_or_private_data_is_in_the_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let ear = Ear::default();
    let world = with(|builder| ear.on(builder.store(open(dir.path())), &["user.created"])).await;
    let mail = data("webhook-samples/email.created.json");
    assert!(mail.contains("481516"));
    deliver(&world, "msg_1", &mail).await;
    deliver(&world, "msg_2", &data("webhook-samples/sms.created.json")).await;
    deliver(&world, "msg_3", CREATED).await;
    for entry in std::fs::read_dir(dir.path()).expect("readable") {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("readable");
        for code in ["481516", "162342"] {
            assert!(!bytes.windows(6).any(|window| window == code.as_bytes()), "{code}");
        }
    }
    assert_eq!(world.clerk.counts().webhooks_unused, 2);
}

fn denials(dir: &Path) -> i64 {
    let tool = rusqlite::Connection::open(dir.join("webhooks.db")).expect("readable");
    tool.query_row("SELECT count(*) FROM denial", [], |row| row.get(0)).expect("a number")
}

#[tokio::test(start_paused = true)]
async fn a_clock_ahead_for_a_while_ends_no_stored_denial() {
    const YEAR: i64 = 365 * 24 * 60 * 60 * 1000;
    let dir = tempfile::tempdir().expect("a directory");
    let world = with(|builder| builder.store(open(dir.path()))).await;
    deliver(&world, "msg_1", &revoked("sess_1")).await;
    // What is old is looked for once an hour.
    world.pass(60 * 60 - 30).await;
    world.clock.jump(YEAR);
    world.pass(60).await;
    assert_eq!(denials(dir.path()), 1);
    world.clock.jump(-YEAR);
    world.pass(60 * 60).await;
    assert_eq!(denials(dir.path()), 1);
    world.clock.jump(YEAR);
    world.pass(3 * 60 * 60).await;
    assert_eq!(denials(dir.path()), 0, "after so long it is believed");
}

#[tokio::test(start_paused = true)]
async fn a_task_is_not_taken_while_its_hooks_run() {
    let dir = tempfile::tempdir().expect("a directory");
    let stuck = |_| std::future::pending::<Result<(), String>>();
    let world = with(|builder| {
        let builder = builder.store(open(dir.path()));
        builder.on_event(["user.created"], stuck).on_event(["user.created"], stuck)
    })
    .await;
    deliver(&world, "msg_1", CREATED).await;
    world.pass(1).await;
    let tool = rusqlite::Connection::open(dir.path().join("webhooks.db")).expect("readable");
    let due = "SELECT next_at - received FROM inbox WHERE state = 'working'";
    let due: i64 = tool.query_row(due, [], |row| row.get(0)).expect("a task");
    assert!(due > 2 * 25_000, "{due} ms");
}

#[tokio::test(start_paused = true)]
async fn a_fallback_store_is_counted_and_still_receives() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("webhooks.db"), "no database at all".repeat(99))
        .expect("written");
    let store = SqliteStore::open_or_memory(dir.path().join("webhooks.db")).expect("memory");
    let world = with(|builder| builder.store(store)).await;
    assert_eq!(world.clerk.counts().store_fallen_back, 1);
    let answer = deliver(&world, "msg_1", &revoked("sess_1")).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(with(|builder| builder).await.clerk.counts().store_fallen_back, 0);
}
