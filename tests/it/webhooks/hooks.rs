//! Hooks: what they receive, retries, and dead letters.

#[cfg(feature = "sqlite")]
use clerk_resilience::Builder;
use clerk_resilience::Event;
use clerk_resilience::clock::Timestamp;
#[cfg(feature = "sqlite")]
use clerk_resilience::store::SqliteStore;
use http::StatusCode;
use serde_json::json;
#[cfg(feature = "sqlite")]
use test_support::world::World;

use super::{CREATED, Ear, deliver, revoked, with};
#[cfg(feature = "sqlite")]
use super::{SECRET, reopened, secret};

#[tokio::test(start_paused = true)]
async fn hooks_receive_their_events_once_without_private_data() {
    let ear = Ear::default();
    let world = with(|builder| ear.on(builder, &["user.created"])).await;
    for (id, body) in [
        ("msg_1", CREATED),
        ("msg_1", CREATED),
        ("msg_2", r#"{"type":"user.updated","data":{"id":"user_1"}}"#),
    ] {
        assert_eq!(deliver(&world, id, body).await.status, StatusCode::NO_CONTENT);
    }
    world.pass(60).await;
    let heard = ear.heard();
    let [event] = heard.as_slice() else { panic!("{heard:?}") };
    assert_eq!((event.id.as_str(), event.kind.as_str()), ("msg_1", "user.created"));
    assert_eq!(event.happened, Timestamp::from_secs(1_780_000_000));
    assert_eq!(event.data, json!({ "id": "user_1", "public_metadata": { "plan": "team" } }));
    assert!(!format!("{event:?}").contains("team"));
}

#[tokio::test(start_paused = true)]
async fn a_failing_hook_is_retried_with_growing_pauses() {
    let ear = Ear::failing(3);
    let world = with(|builder| ear.on(builder, &["user.created"])).await;
    deliver(&world, "msg_1", CREATED).await;
    for (secs, times) in [(1, 1), (9, 2), (15, 3), (25, 4), (3_600, 4)] {
        world.pass(secs).await;
        assert_eq!(ear.heard().len(), times, "after {secs} s more");
    }
    assert_eq!(world.clerk.counts().hook_failures, 3);
    assert_eq!(ear.heard().last().expect("heard").attempts, 4);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_listed_and_can_be_retried() {
    let ear = Ear::failing(12);
    let world = with(|builder| ear.on(builder, &["session.revoked"])).await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    deliver(&world, "msg_1", &revoked(session.id.as_str())).await;
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED, "it waits for no hook");
    world.pass(6 * 60 * 60).await;
    assert_eq!(ear.heard().len(), 12);
    let letters = world.clerk.dead_letters().await.expect("readable");
    assert_eq!((letters[0].id.as_str(), letters[0].attempts), ("msg_1", 12));
    assert!(world.clerk.replay("msg_1").await.expect("answered"));
    world.pass(1).await;
    assert_eq!(ear.heard().len(), 13);
    assert!(world.clerk.dead_letters().await.expect("readable").is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_immediately_panicking_hook_counts_as_failed() {
    let world = with(|builder| {
        builder.on_event(["user.created"], |event: Event| {
            assert!(event.attempts > 1, "as asked");
            async { Ok::<(), String>(()) }
        })
    })
    .await;
    deliver(&world, "msg_1", CREATED).await;
    world.pass(60).await;
    assert_eq!(world.clerk.counts().hook_failures, 1);
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    assert_eq!(world.get(&token).await.status, StatusCode::OK, "the driver lives");
    assert_eq!(world.clerk.verdict(), clerk_resilience::Verdict::Healthy);
}

#[cfg(feature = "sqlite")]
#[tokio::test(start_paused = true)]
async fn a_process_without_hooks_takes_no_hook_tasks() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("inbox.db");
    let ear = Ear::failing(1);
    let world = with(|builder| {
        ear.on(builder.store(SqliteStore::open(&file).expect("new")), &["user.created"])
    })
    .await;
    let body = json!({ "type": "user.created", "data": { "id": "user_1" } }).to_string();
    deliver(&world, "msg_1", &body).await;
    world.pass(1).await;
    assert_eq!(ear.heard().len(), 1, "it failed");
    let World { clock, sim, clerk, app } = world;
    drop((clerk, app));
    let store = reopened(&file).await;
    let choose = |builder: Builder| builder.webhook_secret(secret(SECRET)).store(store);
    let deaf = World::beside(clock, sim, choose);
    deaf.pass(60).await;
    let World { clock, sim, clerk, app } = deaf;
    drop((clerk, app));
    let store = reopened(&file).await;
    let choose = |builder: Builder| {
        ear.on(builder.webhook_secret(secret(SECRET)).store(store), &["user.created"])
    };
    let next = World::beside(clock, sim, choose);
    next.pass(60).await;
    assert_eq!(ear.heard().len(), 2, "it was still there");
}
