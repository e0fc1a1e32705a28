//! When a known profile is fetched again.

use std::time::Duration;

use clerk_resilience::sim::{SimFault, SimOrganization, SimSurface};
use clerk_resilience::store::Store as _;
use clerk_resilience::{ProfileError, Source};
use http::StatusCode;
use serde_json::json;
use test_support::world::World;
use tokio::time::Instant;

use super::{Watched, asked, called, known, name, places};
use crate::webhooks::with;

#[tokio::test(start_paused = true)]
async fn without_webhooks_an_old_profile_is_served_and_refreshed() {
    let store = Watched::default();
    let world = World::with(|builder| builder.store(store.clone()).reconcile_on_demand()).await;
    world.sim.update_user("user_1", json!({ "first_name": "Ada" }));
    assert_eq!(name(&world, "user_1").await, called("Ada", Source::Clerk));
    world.pass(299).await;
    world.sim.update_user("user_1", json!({ "first_name": "Adaeze" }));
    assert_eq!(name(&world, "user_1").await, called("Ada", Source::Memory));
    world.pass(1).await;
    assert_eq!(asked(&world), 2, "it is not old before");
    let begun = Instant::now();
    assert_eq!(name(&world, "user_1").await, called("Ada", Source::Memory));
    assert_eq!(begun.elapsed(), Duration::ZERO);
    world.pass(1).await;
    assert_eq!(name(&world, "user_1").await, called("Adaeze", Source::Memory));
    assert_eq!(asked(&world), 4);
    // Hearing the same again is fresh, too.
    world.pass(300).await;
    name(&world, "user_1").await;
    world.pass(61).await;
    name(&world, "user_1").await;
    world.pass(1).await;
    assert_eq!(asked(&world), 6);
    world.pass(300).await;
    world.sim.break_with(SimSurface::BackendApi, SimFault::status(400));
    for _ in 0..30 {
        assert_eq!(name(&world, "user_1").await, called("Adaeze", Source::Memory));
        world.pass(1).await;
    }
    assert_eq!(asked(&world), 7, "at most once a minute");
    let person = store.0.store.user(&"user_1".into()).await.expect("kept").expect("known");
    assert_eq!(person.profile().and_then(|kept| kept.first_name.as_deref()), Some("Adaeze"));
}

#[tokio::test(start_paused = true)]
async fn without_webhooks_deletions_and_departures_are_noticed() {
    let store = Watched::default();
    let world = World::with(|builder| builder.store(store.clone()).reconcile_on_demand()).await;
    let org = SimOrganization::new("org_1", "one");
    for user in ["user_1", "user_2"] {
        world.sim.join(user, &org);
        assert_eq!(places(&world, user).await, ["org_1"]);
    }
    let sessions = ["user_1", "user_2"].map(|user| world.sim.sign_in(user));
    // What is new may not be known to all of Clerk's machines, and counts for longer.
    world.sim.delete_user(&"user_1".into());
    world.pass(301).await;
    for _ in 0..2 {
        assert_eq!(places(&world, "user_1").await, ["org_1"], "that is too soon");
        world.pass(1).await;
    }
    world.sim.join("user_1", &org);
    world.pass(300).await;
    let tokens = [&sessions[0], &sessions[1]].map(|session| world.sim.mint(session));
    world.sim.delete_user(&"user_1".into());
    world.sim.leave(&"user_2".into(), &org.id);
    for user in ["user_1", "user_2"] {
        assert_eq!(places(&world, user).await, ["org_1"], "what is old is told meanwhile");
    }
    world.pass(1).await;
    assert_eq!(known(&world, "user_1").await, Ok(None));
    assert_eq!(places(&world, "user_2").await, [""; 0]);
    assert_eq!(world.get(&tokens[0]).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.get(&tokens[1]).await.status, StatusCode::OK);
    let person = store.0.store.user(&"user_1".into()).await.expect("kept").expect("known");
    assert!(person.deleted().is_some());
}

#[tokio::test(start_paused = true)]
async fn with_webhooks_an_old_profile_is_not_fetched_again() {
    let world = with(|builder| builder).await;
    world.sim.update_user("user_1", json!({ "first_name": "Ada" }));
    name(&world, "user_1").await;
    world.pass(24 * 60 * 60).await;
    name(&world, "user_1").await;
    world.pass(5).await;
    assert_eq!(asked(&world), 2);
}

#[tokio::test(start_paused = true)]
async fn without_a_secret_key_only_webhooks_give_profiles() {
    let world = with(|builder| builder).await;
    let key = world.sim.publishable_key().clone();
    let config = clerk_resilience::ClerkConfig::new(key).frontend_api(world.sim.frontend_api_url());
    let builder = clerk_resilience::ClerkResilience::builder(config).clock(world.clock.clone());
    let clerk = builder.transport(world.sim.transport()).build().expect("a good configuration");
    let told = clerk.profiles().get(&"user_1".into()).await;
    assert_eq!(told, Err(ProfileError::NoSecretKey));
}
