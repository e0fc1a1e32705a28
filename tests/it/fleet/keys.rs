//! An instance that starts while Clerk is down gets the keys from its peers.

use std::time::Duration;

use clerk_resilience::internals::snapshot::Snapshot;
use clerk_resilience::key::SecretKey;
use clerk_resilience::store::{MemoryStore, Store as _};
use clerk_resilience::{ClerkConfig, ClerkResilience, Verdict};
use http::StatusCode;
use test_support::world::{World, config, routes};

/// A fleet of one that knows the keys, and a Clerk that is down.
async fn outage() -> (World, MemoryStore) {
    let store = MemoryStore::shared();
    let world = World::with(|builder| builder.store(store.clone())).await;
    world.pass(10).await;
    world.break_clerk();
    (world, store)
}

/// How a new instance answers a session that is well within its time.
async fn starts(world: &World, config: ClerkConfig, store: MemoryStore) -> StatusCode {
    let (clock, sim) = (world.clock.clone(), world.sim.clone());
    let builder = ClerkResilience::builder(config).clock(clock.clone()).transport(sim.transport());
    let clerk = builder.store(store).build().expect("a good configuration");
    let app = routes().route_layer(clerk.clone());
    let new = World { clock, sim, clerk, app };
    new.pass(5).await;
    let token = new.sim.mint(&new.sim.sign_in("user_1"));
    new.get(&token).await.status
}

#[tokio::test(start_paused = true)]
async fn a_new_instance_in_an_outage_gets_keys_from_its_peers() {
    let (world, store) = outage().await;
    let alone = starts(&world, config(&world.sim), MemoryStore::shared()).await;
    assert_eq!(alone, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(starts(&world, config(&world.sim), store).await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn stored_keys_need_the_same_secret_and_no_change() {
    let (world, store) = outage().await;
    let refused = StatusCode::SERVICE_UNAVAILABLE;
    let without = ClerkConfig::new(world.sim.publishable_key().clone())
        .frontend_api(world.sim.frontend_api_url())
        .backend_api(world.sim.backend_api_url());
    assert_eq!(starts(&world, without.clone(), store.clone()).await, refused);
    let other = SecretKey::parse("sk_test_another").expect("a key");
    assert_eq!(starts(&world, without.secret_key(other), store.clone()).await, refused);
    let records = store.documents().expect("readable");
    let (name, record) = records.iter().find(|(name, _)| name == "keys").expect("left");
    let mut changed = record.clone();
    *changed.last_mut().expect("not empty") ^= 1;
    store.put_document(name, changed).await.expect("kept");
    assert_eq!(starts(&world, config(&world.sim), store.clone()).await, refused);
    store.put_document(name, record.clone()).await.expect("kept");
    assert_eq!(starts(&world, config(&world.sim), store).await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_new_instance_in_an_outage_joins_the_episode() {
    let (world, store) = outage().await;
    world.until(Verdict::Outage).await;
    world.pass(100 * 60).await;
    let new = World::beside(world.clock.clone(), world.sim.clone(), |builder| builder.store(store));
    let spent = new.clerk.snapshot().health.outages.spent_in_episode(new.now());
    assert!(spent >= Duration::from_secs(99 * 60), "{spent:?}");
    assert_ne!(new.clerk.verdict(), Verdict::Outage, "that it has to see for itself");
    new.until(Verdict::Outage).await;
    let (of_new, of_old) = (new.clerk.snapshot(), world.clerk.snapshot());
    let start = |known: &Snapshot| known.health.outages.episode_start();
    assert_eq!(start(&of_new), start(&of_old));
    assert!(start(&of_new).is_some());
}

/// What was confirmed long ago opens nothing, whoever left it.
#[tokio::test(start_paused = true)]
async fn keys_from_peers_expire_like_any_other() {
    let (world, store) = outage().await;
    tokio::time::advance(Duration::from_secs(8 * 24 * 60 * 60)).await;
    let old = starts(&world, config(&world.sim), store).await;
    assert_eq!(old, StatusCode::SERVICE_UNAVAILABLE);
}
