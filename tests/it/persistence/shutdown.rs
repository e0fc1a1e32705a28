//! How an application ends: its handles are dropped, and the driver has a moment to keep what waits.

use std::time::Duration;

use clerk_resilience::sim::{SimClerk, SimClock};
use clerk_resilience::store::{MemoryStore, Store as _};
use clerk_resilience::{ClerkResilience, GracePolicy};
use http::StatusCode;
use test_support::world::{World, config, routes, start_of_time};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::fleet::connection::Connection;

/// A healthy application, and its driver.
async fn application(connection: &Connection) -> (World, JoinHandle<()>) {
    let clock = SimClock::starting_at(start_of_time());
    let sim = SimClerk::builder().clock(clock.clone()).seed(7).build();
    let builder =
        ClerkResilience::builder(config(&sim)).clock(clock.clone()).transport(sim.transport());
    let builder = builder.grace(GracePolicy::balanced()).store(connection.clone());
    let (clerk, driver) = builder.pair().expect("a good configuration");
    let driver = tokio::spawn(driver);
    clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    let app = routes().route_layer(clerk.clone()).merge(clerk.routes());
    (World { clock, sim, clerk, app }, driver)
}

/// As a signal makes it end.
async fn end(world: World, driver: JoinHandle<()>) {
    drop(world);
    driver.await.expect("an end without a panic");
}

const BOTH: [fn(&MemoryStore) -> Connection; 2] = [Connection::to, Connection::alone];

#[tokio::test(start_paused = true)]
async fn shutdown_stores_recent_denials_and_sightings() {
    for way in BOTH {
        let store = MemoryStore::shared();
        let connection = way(&store);
        let (world, driver) = application(&connection).await;
        world.pass(20).await;
        connection.slow();
        // More than one batch, and no time for any.
        for n in 0..2_500 {
            world.clerk.revoke_session(format!("sess_{n}"));
        }
        let token = world.sim.mint(&world.sim.sign_in("user_1"));
        assert_eq!(world.get(&token).await.status, StatusCode::OK);
        end(world, driver).await;
        assert_eq!(store.denials().expect("readable").len(), 2_500);
        assert_eq!(store.sightings().expect("readable").sighted.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn shutdown_stores_denials_that_overflowed_the_queue() {
    for way in BOTH {
        let store = MemoryStore::shared();
        let (world, driver) = application(&way(&store)).await;
        for n in 0..6_000 {
            world.clerk.revoke_session(format!("sess_{n}"));
        }
        end(world, driver).await;
        assert_eq!(store.denials().expect("readable").len(), 6_000);
    }
}

#[tokio::test(start_paused = true)]
async fn shutdown_retries_a_failed_write() {
    for way in BOTH {
        for cut in [Connection::fail, Connection::hang] {
            let store = MemoryStore::shared();
            let connection = way(&store);
            let (world, driver) = application(&connection).await;
            cut(&connection);
            world.clerk.revoke_session("sess_1");
            world.pass(1).await;
            connection.heal();
            end(world, driver).await;
            assert_eq!(store.denials().expect("readable").len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hanging_store_delays_shutdown_by_seconds() {
    for way in BOTH {
        let connection = way(&MemoryStore::shared());
        let (world, driver) = application(&connection).await;
        connection.hang();
        for n in 0..10_000 {
            world.clerk.revoke_session(format!("sess_{n}"));
        }
        world.pass(30).await;
        let began = Instant::now();
        end(world, driver).await;
        assert!(began.elapsed() <= Duration::from_secs(3), "{:?}", began.elapsed());
    }
}

/// What found no room on the way is not forgotten.
#[tokio::test(start_paused = true)]
async fn a_flood_of_revocations_loses_none() {
    let store = MemoryStore::new();
    let connection = Connection::alone(&store);
    let (world, _driver) = application(&connection).await;
    connection.hang();
    for n in 0..10_000 {
        world.clerk.revoke_session(format!("sess_{n}"));
    }
    world.pass(30).await;
    connection.heal();
    world.pass(10).await;
    assert_eq!(store.denials().expect("readable").len(), 10_000);
}
