//! Requests that wait for a key.

use std::sync::atomic::Ordering;
use std::time::Duration;

use clerk_resilience::sim::{SimFault, SimSurface};
use http::StatusCode;
use test_support::world::bearer;
use tower::Layer as _;
use tower::ServiceExt as _;

use super::{Strict, Ways};

#[tokio::test(start_paused = true)]
async fn requests_waiting_for_one_new_key_share_one_refresh() {
    let ways = Ways::new().await;
    let unknown = ways.unknown();
    ways.world.sim.forget_requests();
    let (strict, calls) = Strict::new();
    let service = ways.world.clerk.layer(strict);
    let ask = |_| {
        let (service, token) = (service.clone(), unknown.clone());
        tokio::spawn(async move { service.oneshot(bearer("GET", "/", &token)).await })
    };
    let asked: Vec<_> = (0..200).map(ask).collect();
    for answer in asked {
        let answer = answer.await.expect("no panic").expect("infallible");
        assert_eq!(answer.status(), StatusCode::OK);
    }
    assert_eq!(calls.load(Ordering::Relaxed), 200);
    assert_eq!(ways.world.sim.requests(SimSurface::Jwks), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_key_ends_soon_after_the_probe_deadline() {
    let ways = Ways::new().await;
    ways.world.pass(20).await;
    ways.world.sim.break_with([SimSurface::Jwks, SimSurface::BackendJwks], SimFault::Hang);
    let unknown = ways.unknown();
    let started = tokio::time::Instant::now();
    let answer = ways.world.get(&unknown).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(started.elapsed() <= Duration::from_millis(3_010), "{:?}", started.elapsed());
    ways.world.pass(3).await;
    let started = tokio::time::Instant::now();
    assert_eq!(ways.world.get(&unknown).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(started.elapsed(), Duration::ZERO, "the second does not wait: it was tried");
}

#[tokio::test(start_paused = true)]
async fn a_request_cancelled_while_waiting_is_harmless() {
    let ways = Ways::new().await;
    ways.world.pass(20).await;
    ways.world.sim.break_with(SimSurface::Jwks, SimFault::Latency(Duration::from_secs(1)));
    let unknown = ways.unknown();
    let waiting = ways.world.get(&unknown);
    assert!(tokio::time::timeout(Duration::from_millis(300), waiting).await.is_err());
    assert_eq!(ways.world.get(&ways.known).await.status, StatusCode::OK);
    ways.world.pass(3).await;
    assert_eq!(ways.world.get(&unknown).await.status, StatusCode::OK, "the refresh went on");
}
