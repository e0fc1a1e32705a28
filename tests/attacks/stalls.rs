//! A process that stands still: nothing in it runs, while time goes on.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use clerk_resilience::transport::{ApiRequest, Calling, Transport, TransportError};
use clerk_resilience::{ClerkResilience, Verdict};
use http::StatusCode;
use test_support::world::{World, config, routes};

use crate::{balanced, denied};

/// Blocks the runtime: time goes on, and no task does.
async fn stand_still(secs: u64) {
    let mut advance = pin!(tokio::time::advance(Duration::from_secs(secs)));
    // It moves the time, and would then let others run.
    let first = poll_fn(|cx| Poll::Ready(advance.as_mut().poll(cx))).await;
    assert!(first.is_pending());
}

/// An answer comes in pieces, each of which somebody has to fetch, as from a socket.
#[derive(Debug)]
struct Pieces<U> {
    inner: Arc<U>,
    under_way: Arc<AtomicUsize>,
}

impl<U: Transport> Transport for Pieces<U> {
    fn call(&self, call: ApiRequest) -> Calling {
        let (inner, under_way) = (Arc::clone(&self.inner), Arc::clone(&self.under_way));
        Box::pin(async move {
            let deadline = call.deadline;
            under_way.fetch_add(1, Ordering::Relaxed);
            let answer = async {
                for _ in 0..4 {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                inner.call(call).await
            };
            let answer = tokio::time::timeout(deadline, answer).await;
            under_way.fetch_sub(1, Ordering::Relaxed);
            answer.unwrap_or(Err(TransportError::Timeout))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn repeated_stalls_of_ten_seconds_are_not_an_outage() {
    let mut world = World::unready(|builder| builder);
    let (inner, under_way) = (Arc::new(world.sim.transport()), Arc::new(AtomicUsize::new(0)));
    let pieces = Pieces { inner, under_way: Arc::clone(&under_way) };
    let builder = ClerkResilience::builder(config(&world.sim)).clock(world.clock.clone());
    world.clerk = balanced(builder.transport(pieces)).build().expect("a good configuration");
    world.app = routes().route_layer(world.clerk.clone());
    world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    for _ in 0..30 {
        while under_way.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stand_still(10).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        let verdict = world.clerk.verdict();
        assert!(matches!(verdict, Verdict::Healthy | Verdict::Unknown), "{verdict:?}");
        if world.clock_secs() > 66 {
            assert_ne!(world.get(&token).await.status, StatusCode::OK);
        }
    }
    assert_eq!(world.clerk.verdict(), Verdict::Unknown, "nothing was learnt for minutes");
    denied(&world.get(&token).await);
}

#[tokio::test(start_paused = true)]
async fn no_grace_after_a_stall_until_the_driver_has_run() {
    let world = World::with(balanced).await;
    let (_, token) = world.outage().await;
    stand_still(10).await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK, "ten seconds are no reason");
    world.pass(10).await;
    stand_still(60).await;
    assert_eq!(world.clerk.verdict(), Verdict::Unknown);
    denied(&world.get(&token).await);
    world.pass(30).await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK, "the driver looked again");
}
