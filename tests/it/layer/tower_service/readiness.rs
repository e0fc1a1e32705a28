//! Readiness and errors of the inner service.

use std::future::{Ready, ready};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::Request;
use test_support::world::bearer;
use tower::buffer::Buffer;
use tower::{Layer as _, Service, ServiceBuilder, ServiceExt};

use super::{Strict, Ways};

#[tokio::test(start_paused = true)]
async fn the_inner_service_is_called_only_when_ready() {
    let ways = Ways::new().await;
    let (strict, calls) = Strict::new();
    ways.drive(ways.world.clerk.layer(strict), &calls).await;
}

#[tokio::test(start_paused = true)]
async fn an_inner_concurrency_limit_is_released_on_every_path() {
    let ways = Ways::new().await;
    let (strict, calls) = Strict::new();
    let service =
        ServiceBuilder::new().layer(ways.world.clerk.clone()).concurrency_limit(1).service(strict);
    let others = service.clone();
    tokio::time::timeout(Duration::from_secs(120), ways.drive(service, &calls))
        .await
        .expect("no permit is lost");
    let after = others.oneshot(bearer("GET", "/", &ways.known)).await.expect("infallible");
    assert_eq!(after.status().as_u16(), 200);
}

#[tokio::test(start_paused = true)]
async fn an_outer_concurrency_limit_is_released_on_every_path() {
    let ways = Ways::new().await;
    let (strict, calls) = Strict::new();
    let service =
        ServiceBuilder::new().concurrency_limit(1).layer(ways.world.clerk.clone()).service(strict);
    tokio::time::timeout(Duration::from_secs(120), ways.drive(service, &calls))
        .await
        .expect("no permit is lost");
}

#[tokio::test(start_paused = true)]
async fn a_buffer_works_inside_and_outside_on_every_path() {
    let ways = Ways::new().await;
    let (strict, calls) = Strict::new();
    ways.drive(Buffer::new(ways.world.clerk.layer(strict), 4), &calls).await;
    let ways = Ways::new().await;
    let (strict, calls) = Strict::new();
    ways.drive(ways.world.clerk.layer(Buffer::new(strict, 4)), &calls).await;
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("broken")]
struct Broken;

#[derive(Clone)]
struct Failing {
    ready: bool,
}

impl<B> Service<Request<B>> for Failing {
    type Response = Response;
    type Error = Broken;
    type Future = Ready<Result<Response, Broken>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(if self.ready { Ok(()) } else { Err(Broken) })
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Err(Broken))
    }
}

#[tokio::test(start_paused = true)]
async fn the_inner_error_type_passes_through_on_every_path() {
    let ways = Ways::new().await;
    let unknown = ways.unknown();
    for (token, error) in
        [(&ways.known, Some(Broken)), (&unknown, Some(Broken)), (&ways.forged, None)]
    {
        let service = ways.world.clerk.layer(Failing { ready: true });
        assert_eq!(service.oneshot(bearer("GET", "/", token)).await.err(), error);
    }
    let mut unready = ways.world.clerk.layer(Failing { ready: false });
    let error = ServiceExt::<Request<Body>>::ready(&mut unready).await.err();
    assert_eq!(error, Some(Broken));
}
