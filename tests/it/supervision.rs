//! Background parts that panic are named, and start again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use clerk_resilience::Verdict;
use clerk_resilience::sim::{SimFault, SimSurface};
use clerk_resilience::store::{MemoryStore, Store as _};
use http::StatusCode;
use test_support::world::{Answer, World, anonymous};

use crate::fleet::connection::Connection;

async fn live(world: &World) -> Answer {
    world.send(anonymous("GET", "/auth/health/live", &[])).await
}

#[tokio::test(start_paused = true)]
async fn denials_survive_a_panic_of_their_writer() {
    for way in [Connection::to, Connection::alone] {
        let store = MemoryStore::shared();
        let wire = way(&store);
        let world = World::with(|builder| builder.store(wire.clone())).await;
        assert_eq!(live(&world).await.status, StatusCode::OK);
        wire.panic();
        world.clerk.revoke_session("sess_1");
        world.pass(3).await;
        let down = live(&world).await;
        assert_eq!(down.status, StatusCode::SERVICE_UNAVAILABLE, "{}", down.body);
        assert!(down.body.contains("denial writer"), "{}", down.body);
        wire.heal();
        world.pass(120).await;
        assert_eq!(live(&world).await.status, StatusCode::OK);
        assert_eq!(store.denials().expect("readable").len(), 1, "nothing is lost");
        assert_eq!(world.clerk.verdict(), Verdict::Healthy, "the driver went on");
    }
}

#[tokio::test(start_paused = true)]
async fn denials_of_others_arrive_after_a_panic_of_the_follower() {
    let store = MemoryStore::shared();
    let wire = Connection::to(&store);
    let world = World::with(|builder| builder.store(wire.clone())).await;
    let other = World::with(|builder| builder.store(store.clone())).await;
    wire.panic();
    world.pass(30).await;
    let down = live(&world).await;
    assert!(down.body.contains("fleet denials"), "{}", down.body);
    other.clerk.revoke_session("sess_1");
    wire.heal();
    world.pass(120).await;
    let known = world.clerk.snapshot();
    assert!(known.revocations.sessions().any(|(id, _)| id == "sess_1"));
    assert_eq!(live(&world).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_panics_stops_no_probes() {
    let seen = Arc::new(AtomicUsize::new(0));
    let calls = Arc::clone(&seen);
    let world = World::with(|builder| {
        builder.on_transition(move |_| {
            calls.fetch_add(1, Ordering::Relaxed);
            async { panic!("as asked") }
        })
    })
    .await;
    world.break_clerk();
    world.until(Verdict::Outage).await;
    world.sim.heal_all();
    world.until(Verdict::Healthy).await;
    world.sim.break_with(SimSurface::CLERK, SimFault::status(503));
    world.until(Verdict::Outage).await;
    assert!(seen.load(Ordering::Relaxed) > 2, "each change is reported");
    assert_eq!(live(&world).await.status, StatusCode::OK);
}
