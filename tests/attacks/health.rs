//! Health: answers that are strange, slow or without end, and probes that break.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clerk_resilience::sim::{SimFault, SimSurface};
use clerk_resilience::transport::{ApiRequest, Calling, Transport};
use clerk_resilience::{ClerkResilience, Verdict};
use http::StatusCode;
use test_support::world::{World, config, routes};

use crate::{balanced, denied};

#[tokio::test(start_paused = true)]
async fn slow_or_endless_answers_alone_are_not_an_outage() {
    for fault in [
        SimFault::Latency(Duration::from_secs(3)),
        SimFault::SlowDrip,
        SimFault::Huge,
        SimFault::EmptyKeys,
        SimFault::InvalidJson,
    ] {
        let world = World::new().await;
        let token = world.sim.mint(&world.sim.sign_in("user_1"));
        assert_eq!(world.get(&token).await.status, StatusCode::OK);
        world.sim.break_with(SimSurface::ALL, fault.clone());
        for _ in 0..300 {
            world.pass(1).await;
            assert_ne!(world.clerk.verdict(), Verdict::Outage, "{fault:?}");
        }
        assert_ne!(world.get(&token).await.status, StatusCode::OK, "{fault:?}");
    }
}

/// Panics when it is told to.
#[derive(Debug)]
struct Fragile<U> {
    inner: U,
    broken: Arc<AtomicBool>,
}

impl<U: Transport> Transport for Fragile<U> {
    fn call(&self, call: ApiRequest) -> Calling {
        assert!(!self.broken.load(Ordering::Relaxed), "as asked");
        self.inner.call(call)
    }
}

#[tokio::test(start_paused = true)]
async fn probes_that_panic_mean_unknown_and_no_grace() {
    let mut world = World::unready(|builder| builder);
    let broken = Arc::new(AtomicBool::new(false));
    let fragile = Fragile { inner: world.sim.transport(), broken: Arc::clone(&broken) };
    let builder = ClerkResilience::builder(config(&world.sim)).clock(world.clock.clone());
    world.clerk = balanced(builder.transport(fragile)).build().expect("a good configuration");
    world.app = routes().route_layer(world.clerk.clone());
    world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    let (_, token) = world.outage().await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    broken.store(true, Ordering::Relaxed);
    world.pass(90).await;
    assert_eq!(world.clerk.verdict(), Verdict::Unknown);
    denied(&world.get(&token).await);
}
