//! The inbox when things go wrong: processes that die at their work, dead letters without end, a store
//! whose file is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clerk_resilience::clock::Timestamp;
use clerk_resilience::internals::revocation::Denial;
use clerk_resilience::sim::{SimClerk, SimClock};
#[cfg(feature = "sqlite")]
use clerk_resilience::store::SqliteStore;
use clerk_resilience::store::{
    Accepted, FollowUp, InboxEvent, MemoryStore, Store as _, TaskOutcome,
};
use clerk_resilience::{Event, Verdict};
use http::StatusCode;
use test_support::world::{World, anonymous, start_of_time};

use super::{deliver, with};

fn entry(id: &str, received: Timestamp, rest: FollowUp) -> InboxEvent {
    InboxEvent {
        id: id.to_owned(),
        kind: "user.created".to_owned(),
        happened: received,
        received,
        denials: Vec::new(),
        changes: Vec::new(),
        rest,
    }
}

fn hooks(data: &str) -> FollowUp {
    FollowUp::Hooks(data.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_task_that_always_kills_its_process_is_a_dead_letter() {
    for (deaths, heard, dead) in [(11, 1, 0), (12, 0, 1)] {
        let store = MemoryStore::new();
        store.accept(entry("msg_1", start_of_time(), hooks("{}"))).await.expect("room");
        for _ in 0..deaths {
            let task = store.claim(start_of_time(), Duration::ZERO).await.expect("well");
            assert!(task.is_some());
        }
        let calls: Arc<AtomicU32> = Arc::default();
        let counting = Arc::clone(&calls);
        let hook = move |_: Event| {
            counting.fetch_add(1, Ordering::Relaxed);
            async { Ok::<_, std::convert::Infallible>(()) }
        };
        let world =
            with(|builder| builder.store(store.clone()).on_event(["user.created"], hook)).await;
        world.pass(60).await;
        assert_eq!(calls.load(Ordering::Relaxed), heard, "after {deaths} deaths");
        let letters = world.clerk.dead_letters().await.expect("readable");
        assert_eq!(letters.len(), dead, "after {deaths} deaths");
    }
}

#[tokio::test]
async fn in_memory_only_the_oldest_dead_letter_is_evicted() {
    let (store, at) =
        (MemoryStore::new(), |n: i64| start_of_time().plus(Duration::from_secs(n.unsigned_abs())));
    for n in 0..10_000 {
        let nonsense = FollowUp::Malformed("as asked".to_owned());
        store.accept(entry(&format!("dead_{n}"), at(n), nonsense)).await.expect("room");
    }
    let accepted = store.accept(entry("new", at(10_000), hooks("{}"))).await.expect("room is made");
    assert_eq!(accepted, Accepted::New);
    let known = store.accept(entry("dead_0", at(10_001), hooks("{}"))).await.expect("known");
    assert_eq!(known, Accepted::Duplicate, "it was seen");
    for n in 1..10_000 {
        store.accept(entry(&format!("more_{n}"), at(n), hooks("{}"))).await.expect("room");
    }
    assert!(store.dead_letters().await.expect("well").is_empty());
    store.accept(entry("one more", at(1), hooks("{}"))).await.expect_err("all of them wait");
    store.settle("new", 0, TaskOutcome::Done).await.expect("well");
    store.accept(entry("one more", at(1), hooks("{}"))).await.expect("room");
}

/// What was denied before is lost with the file, and nobody knows what it was.
#[cfg(feature = "sqlite")]
#[tokio::test(start_paused = true)]
async fn a_lost_store_file_gives_no_grace_for_a_day() {
    for (damaged, status) in [(false, StatusCode::OK), (true, StatusCode::SERVICE_UNAVAILABLE)] {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("webhooks.db");
        if damaged {
            std::fs::write(&file, "no database at all".repeat(99)).expect("written");
        }
        let store = SqliteStore::open_or_memory(&file).expect("a store");
        let world = with(|builder| builder.store(store)).await;
        let document = world.send(anonymous("GET", "/auth/health", &[])).await.json();
        let shown = if damaged { "warn" } else { "pass" };
        assert_eq!(document["checks"]["store:own"][0]["status"], shown);
        let (_, token) = world.outage().await;
        let answer = world.get(&token).await;
        assert_eq!(answer.status, status, "damaged: {damaged}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_secret_the_receiver_answers_503() {
    let world = World::new().await;
    let answer =
        deliver(&world, "msg_1", r#"{"type":"user.created","data":{"id":"user_1"}}"#).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("retry-after"), "5");
    let answer = world.send(anonymous("GET", "/auth/webhooks", &[])).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(world.clerk.webhook_service().is_none());
}

/// Steady, and wrong from the start: only Clerk's own clock tells.
#[tokio::test(start_paused = true)]
async fn a_clock_wrong_from_the_start_ends_no_denial() {
    let ours = start_of_time().plus(Duration::from_secs(365 * 24 * 60 * 60));
    for (theirs, left) in [(start_of_time(), 1), (ours, 0)] {
        let store = MemoryStore::new();
        let denial = Denial::Session("sess_1".into(), start_of_time());
        store.deny(vec![denial]).await.expect("well");
        let clock = SimClock::starting_at(ours);
        let skew = theirs.as_millis() - ours.as_millis();
        let sim = SimClerk::builder().clock(clock.skewed(skew)).seed(7).build();
        let world = World::beside(clock, sim, |builder| builder.store(store.clone()));
        world.pass(5 * 60).await;
        assert_eq!(world.clerk.verdict(), Verdict::Healthy);
        assert_eq!(store.denials().expect("readable").len(), left);
    }
}
