//! Whom one instance saw all have seen, and nobody else can say so.

use std::time::Duration;

use clerk_resilience::clock::Timestamp;
use clerk_resilience::key::SecretKey;
use clerk_resilience::sim::SimSession;
use clerk_resilience::store::{MemoryStore, Store as _, StoredSighting};
use clerk_resilience::{ClerkConfig, GracePolicy, Verdict};
use http::StatusCode;
use serde_json::json;
use test_support::world::{World, config};

use super::connection::Connection;
use super::{fleet_of, two};

const GRACE: StatusCode = StatusCode::OK;
const REFUSED: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

/// A token of which the claims are so many seconds old.
fn older(world: &World, session: &SimSession, secs: i64) -> String {
    let read = world.now_secs() - secs;
    world.sim.token(session).header("oiat", json!(read)).sign()
}

async fn seen(world: &World, token: &str) {
    assert_eq!(world.get(token).await.status, StatusCode::OK);
}

/// A minute into an outage.
async fn in_outage(world: &World, others: &[&World]) {
    world.break_clerk();
    for world in [&[world], others].concat() {
        world.until(Verdict::Outage).await;
    }
    world.pass(60).await;
}

#[tokio::test(start_paused = true)]
async fn a_sighting_by_one_instance_counts_at_every_instance() {
    let (one, _, two, _) = two(|builder| builder).await;
    let token = one.sim.mint(&one.sim.sign_in("user_1"));
    let stranger = one.sim.mint(&one.sim.sign_in("user_2"));
    seen(&one, &token).await;
    in_outage(&one, &[&two]).await;
    assert_eq!(two.get(&token).await.status, GRACE);
    assert_eq!(two.get(&stranger).await.status, REFUSED, "nobody saw them");
}

#[tokio::test(start_paused = true)]
async fn a_new_instance_in_an_outage_has_the_sightings() {
    let (worlds, store) = fleet_of(1, |_, builder| builder).await;
    let world = &worlds[0];
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    seen(world, &token).await;
    in_outage(world, &[]).await;
    let new = World::beside(world.clock.clone(), world.sim.clone(), |builder| {
        builder.grace(GracePolicy::balanced()).store(store)
    });
    new.until(Verdict::Outage).await;
    assert_eq!(new.get(&token).await.status, GRACE);
}

/// What is seen for the first time at the last moment, too.
#[tokio::test(start_paused = true)]
async fn during_trouble_sightings_are_published_within_seconds() {
    let (one, _, two, _) = two(|builder| builder).await;
    let session = one.sim.sign_in("user_1");
    let before = older(&one, &session, 30);
    seen(&one, &before).await;
    seen(&two, &before).await;
    one.pass(20).await;
    let after = one.sim.mint(&session);
    seen(&one, &after).await;
    in_outage(&one, &[&two]).await;
    assert_eq!(two.get(&after).await.status, GRACE);
    assert_eq!(two.get(&before).await.status, REFUSED, "newer claims were seen elsewhere");
}

#[tokio::test(start_paused = true)]
async fn a_sighting_is_published_again_after_two_minutes() {
    let (worlds, store) = fleet_of(1, |_, builder| builder).await;
    let world = &worlds[0];
    let session = world.sim.sign_in("user_1");
    let mut told = Vec::new();
    for _ in 0..20 {
        seen(world, &world.sim.mint(&session)).await;
        world.pass(30).await;
        told.extend(store.sightings().expect("readable").sighted);
        told.dedup();
    }
    let times: Vec<_> = told.iter().map(|sighted| sighted.last_valid).collect();
    assert!((4..=6).contains(&times.len()), "{times:?}");
    let minutes = |pair: &[Timestamp]| pair[1].since(pair[0]) >= Duration::from_secs(120);
    assert!(times.windows(2).all(minutes), "{times:?}");
}

/// A healthy instance that finds this in its store.
async fn finding(world: &World, config: ClerkConfig, sighted: &StoredSighting) -> World {
    let store = MemoryStore::shared();
    store.record_sightings(vec![sighted.clone()]).await.expect("noted");
    let (clock, sim) = (world.clock.clone(), world.sim.clone());
    let new = World::configured(config, clock, sim, |builder| {
        builder.grace(GracePolicy::balanced()).store(store)
    });
    new.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    new
}

#[tokio::test(start_paused = true)]
async fn a_store_writer_cannot_forge_sightings() {
    let (worlds, store) = fleet_of(1, |_, builder| builder).await;
    let world = &worlds[0];
    let tokens = ["user_1", "user_2"].map(|user| world.sim.mint(&world.sim.sign_in(user)));
    for token in &tokens {
        seen(world, token).await;
        world.pass(20).await;
    }
    let all = store.sightings().expect("readable").sighted;
    let [first, second] = all.as_slice() else { panic!("{all:?}") };
    let flipped = first.mark.iter().map(|byte| byte ^ 1).collect();
    let later = first.last_valid.plus(Duration::from_secs(1));
    let forged = [
        StoredSighting { mark: flipped, ..first.clone() },
        StoredSighting { mark: Vec::new(), ..first.clone() },
        StoredSighting { session: first.session.clone(), ..second.clone() },
        StoredSighting { last_valid: later, ..first.clone() },
        StoredSighting { claims_as_of: Timestamp::default(), ..first.clone() },
    ];
    let own = config(&world.sim);
    let other = own.clone().secret_key(SecretKey::parse("sk_test_another").expect("a key"));
    let without = ClerkConfig::new(world.sim.publishable_key().clone())
        .frontend_api(world.sim.frontend_api_url())
        .backend_api(world.sim.backend_api_url());
    let honest = finding(world, own.clone(), first).await;
    let mut deceived =
        vec![finding(world, other, first).await, finding(world, without, first).await];
    for sighted in &forged {
        deceived.push(finding(world, own.clone(), sighted).await);
    }
    in_outage(&honest, &deceived.iter().collect::<Vec<_>>()).await;
    assert_eq!(honest.get(&tokens[0]).await.status, GRACE);
    for (n, deceived) in deceived.iter().enumerate() {
        assert_eq!(deceived.get(&tokens[0]).await.status, REFUSED, "{n}");
    }
}

/// An instance whose clock is ahead by an hour vouches for nobody who is seen later.
#[tokio::test(start_paused = true)]
async fn sightings_from_the_future_are_ignored() {
    let (worlds, store) = fleet_of(1, |_, builder| builder).await;
    let world = &worlds[0];
    let session = world.sim.sign_in("user_1");
    world.clock.jump(3_600_000);
    // Its claims are no newer than those of the token that will be shown.
    seen(world, &older(world, &session, 7_200)).await;
    world.pass(90).await;
    assert_eq!(store.sightings().expect("readable").sighted.len(), 1);
    world.clock.jump(-3_600_000);
    let token = world.sim.mint(&session);
    let sighted = store.sightings().expect("readable").sighted.remove(0);
    let new = finding(world, config(&world.sim), &sighted).await;
    in_outage(&new, &[]).await;
    assert_eq!(new.get(&token).await.status, REFUSED);
}

#[tokio::test(start_paused = true)]
async fn instances_refill_a_store_that_lost_everything() {
    let connection = Connection::to(&MemoryStore::shared());
    let (worlds, _) = fleet_of(1, |_, builder| builder.store(connection.clone())).await;
    let world = &worlds[0];
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    seen(world, &token).await;
    in_outage(world, &[]).await;
    world.pass(60).await;
    let empty = connection.lose();
    world.pass(70).await;
    let new = World::beside(world.clock.clone(), world.sim.clone(), |builder| {
        builder.grace(GracePolicy::balanced()).store(empty)
    });
    new.until(Verdict::Outage).await;
    let start = |world: &World| world.clerk.snapshot().health.outages.episode_start();
    assert_eq!(start(&new), start(world));
    assert_eq!(new.get(&token).await.status, GRACE);
}
