//! Profiles in a store: failures, races, and what other instances change.

use std::sync::atomic::Ordering;
use std::time::Duration;

use clerk_resilience::clock::Timestamp;
use clerk_resilience::id::UserId;
use clerk_resilience::profile::{Change, Profile};
use clerk_resilience::store::{MemoryStore, Store};
use clerk_resilience::{ProfileError, Source, Verdict};
use http::StatusCode;
use serde_json::json;
use tokio::time::Instant;

use super::{BEN, Watched, called, hear, known, name};
use crate::webhooks::{data, deliver, with};

#[tokio::test(start_paused = true)]
async fn a_failing_store_leaves_memory_and_clerk() {
    for hangs in [false, true] {
        let store = Watched::default();
        let world = with(|builder| builder.store(store.clone()).reconcile_on_demand()).await;
        hear(&world, "msg_1", "user_1", "Ada").await;
        assert_eq!(name(&world, "user_1").await, called("Ada", Source::Store));
        world.sim.update_user("user_2", json!({ "first_name": "Ben" }));
        if hangs {
            store.hang();
        } else {
            store.fail();
        }
        world.pass(1).await;
        let begun = Instant::now();
        assert_eq!(name(&world, "user_1").await, called("Ada", Source::Memory));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let (kept, heard) = tokio::join!(hear(&world, "msg_2", "user_1", "Adaeze"), async {
            tokio::task::yield_now().await;
            (name(&world, "user_1").await, begun.elapsed())
        });
        assert_eq!(kept.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(heard, (called("Adaeze", Source::Memory), Duration::ZERO), "news count at once");
        assert_eq!(name(&world, "user_2").await, called("Ben", Source::Clerk));

        world.break_clerk();
        world.until(Verdict::Outage).await;
        assert_eq!(known(&world, "user_3").await, Err(ProfileError::Store), "hangs: {hangs}");
        let begun = Instant::now();
        for n in 4..50 {
            let told = known(&world, &format!("user_{n}")).await;
            assert_eq!(told, Err(ProfileError::Store));
        }
        assert_eq!(begun.elapsed(), Duration::ZERO, "a failed store is left alone for a while");
        assert_eq!(name(&world, "user_1").await, called("Adaeze", Source::Memory));
    }
}

#[tokio::test(start_paused = true)]
async fn a_concurrent_read_does_not_overwrite_a_webhook() {
    let store = Watched::default();
    let world = with(|builder| builder.store(store.clone()).reconcile_on_demand()).await;
    hear(&world, "msg_1", "user_1", "Ada").await;
    store.slow(1_000);
    let news = async {
        world.pass(0).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        hear(&world, "msg_2", "user_1", "Adaeze").await
    };
    let (read, _) = tokio::join!(name(&world, "user_1"), news);
    assert_eq!(read, called("Ada", Source::Store), "it was read before");
    assert_eq!(name(&world, "user_1").await, called("Adaeze", Source::Store));
}

#[tokio::test(start_paused = true)]
async fn a_webhook_updates_a_profile_read_just_before() {
    let store = Watched::default();
    let world = with(|builder| builder.store(store.clone()).reconcile_on_demand()).await;
    hear(&world, "msg_1", "user_1", "Ada").await;
    world.pass(1).await;
    store.0.slow_to_accept.store(1_000, Ordering::Relaxed);
    let read = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        name(&world, "user_1").await
    };
    let (_, read) = tokio::join!(hear(&world, "msg_2", "user_1", "Adaeze"), read);
    assert_eq!(read, called("Ada", Source::Store), "the store did not know yet");
    assert_eq!(name(&world, "user_1").await, called("Adaeze", Source::Memory));
}

#[tokio::test(start_paused = true)]
async fn fetched_profiles_do_not_hide_stored_ones() {
    let store = Watched::default();
    let world = with(|builder| builder.store(store.clone()).reconcile_on_demand()).await;
    hear(&world, "msg_1", BEN, "Ben").await;
    deliver(&world, "msg_2", &data("webhook-samples/organizationMembership.created.json")).await;
    world.sim.update_user(BEN, json!({ "first_name": "Ben" }));
    store.fail();
    let told = known(&world, BEN).await.expect("told").expect("known");
    assert_eq!((told.source, told.memberships.len()), (Source::Clerk, 0));
    store.heal();
    world.pass(5).await;
    let told = known(&world, BEN).await.expect("told").expect("known");
    assert_eq!((told.source, told.memberships.len()), (Source::Store, 1));
}

#[tokio::test(start_paused = true)]
async fn many_users_are_read_from_the_store_in_an_outage() {
    let store = Watched::default();
    let world = with(|builder| builder.store(store.clone()).reconcile_on_demand()).await;
    for n in 0..1_000 {
        hear(&world, &format!("msg_{n}"), &format!("user_{n}"), "Ada").await;
    }
    world.break_clerk();
    world.until(Verdict::Outage).await;
    store.slow(10);
    let all = (0..1_000).map(|n| {
        let world = &world;
        async move { name(world, &format!("user_{n}")).await }
    });
    for found in futures_util::future::join_all(all).await {
        assert_eq!(found, called("Ada", Source::Store));
    }
    assert_eq!(store.0.most_at_once.load(Ordering::Relaxed), 64);
}

#[tokio::test(start_paused = true)]
async fn a_shared_store_is_read_again_and_its_failure_reported() {
    for (shared, name_after) in [(true, "Adaeze"), (false, "Ada")] {
        let store = Watched::default();
        let store = if shared { store.shared() } else { store };
        let world = with(|builder| builder.store(store.clone()).reconcile_on_demand()).await;
        hear(&world, "msg_1", "user_1", "Ada").await;
        name(&world, "user_1").await;
        let mut profile = Profile::new("user_1".into(), world.now().plus(Duration::from_secs(1)));
        profile.first_name = Some("Adaeze".to_owned());
        store.merge(vec![Change::User(Box::new(profile))]).await.expect("another instance told");
        world.pass(59).await;
        assert_eq!(name(&world, "user_1").await, called("Ada", Source::Memory));
        world.pass(1).await;
        let (found, _) = name(&world, "user_1").await.expect("known");
        assert_eq!(found, name_after, "shared: {shared}");
        store.fail();
        world.pass(60).await;
        assert_eq!(name(&world, "user_1").await, called(name_after, Source::Memory));
    }
}

#[tokio::test]
async fn a_full_memory_store_evicts_the_oldest_user() {
    let store = MemoryStore::new();
    let described = |n: u32| {
        let profile = Profile::new(UserId::new(format!("user_{n}")), Timestamp::from_secs(1));
        Change::User(Box::new(profile))
    };
    store.merge((0..100_000).map(described).collect()).await.expect("merged");
    store.merge(vec![described(0), described(100_000)]).await.expect("merged");
    let has = async |id: &str| store.user(&id.into()).await.expect("answered").is_some();
    assert!(!has("user_0").await && has("user_1").await && has("user_100000").await);
}
