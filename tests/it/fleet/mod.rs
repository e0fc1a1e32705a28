//! Several instances of one application that share a store.

pub(crate) mod connection;
mod denials;
mod keys;
mod sightings;
mod views;

use std::time::Duration;

use clerk_resilience::store::MemoryStore;
use clerk_resilience::{Builder, GracePolicy};
use test_support::world::World;

use self::connection::Connection;

/// Two instances, each with its own connection to one store, and one Clerk.
async fn two(choose: impl Fn(Builder) -> Builder) -> (World, Connection, World, Connection) {
    let store = MemoryStore::shared();
    let (one, two) = (Connection::to(&store), Connection::to(&store));
    let balanced = |connection: &Connection| {
        let (choose, connection) = (&choose, connection.clone());
        move |builder: Builder| choose(builder.grace(GracePolicy::balanced()).store(connection))
    };
    let first = World::with(balanced(&one)).await;
    let second = World::beside(first.clock.clone(), first.sim.clone(), balanced(&two));
    second.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    first.pass(1).await;
    (first, one, second, two)
}

/// So many instances of one application, healthy, and what they share.
async fn fleet_of(
    count: usize,
    choose: impl Fn(usize, Builder) -> Builder,
) -> (Vec<World>, MemoryStore) {
    let store = MemoryStore::shared();
    let choose = |n| {
        let (choose, store) = (&choose, store.clone());
        move |builder: Builder| choose(n, builder.grace(GracePolicy::balanced()).store(store))
    };
    let mut worlds = vec![World::with(choose(0)).await];
    for n in 1..count {
        let first = &worlds[0];
        let world = World::beside(first.clock.clone(), first.sim.clone(), choose(n));
        world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
        worlds.push(world);
    }
    worlds[0].pass(10).await;
    (worlds, store)
}
