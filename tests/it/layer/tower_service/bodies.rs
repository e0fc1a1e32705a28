//! Bodies of any type, streamed.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt as _, Empty, Full};
use test_support::world::bearer;
use tower::Layer as _;
use tower::ServiceExt as _;

use super::Ways;

/// A request body that is not axum's and cannot be shared between threads' caches: any type will do.
struct Odd(Option<&'static [u8]>);

impl HttpBody for Odd {
    type Data = Bytes;
    type Error = std::fmt::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::fmt::Error>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(Bytes::from_static(bytes)))))
    }
}

#[tokio::test(start_paused = true)]
async fn any_body_type_is_accepted() {
    let ways = Ways::new().await;
    let unknown = ways.unknown();
    let echo = tower::service_fn(async |request: Request<Odd>| {
        let bytes = request.into_body().collect().await.expect("bytes").to_bytes();
        Ok::<_, Infallible>(http::Response::new(Full::new(bytes).map_err(|never| match never {})))
    });
    let echo = echo.map_response(|response: http::Response<_>| response.map(Body::new));
    for (token, status, body) in
        [(&ways.known, 200, "odd"), (&unknown, 200, "odd"), (&ways.forged, 401, "")]
    {
        let (parts, _) = bearer("POST", "/", token).into_parts();
        let request = Request::from_parts(parts, Odd(Some(b"odd")));
        let answer =
            ways.world.clerk.layer(echo.clone()).oneshot(request).await.expect("infallible");
        assert_eq!(answer.status().as_u16(), status);
        let bytes = answer.into_body().collect().await.expect("bytes").to_bytes();
        assert!(status == 401 || bytes == body);
    }
    let empty = tower::service_fn(async |_: Request<Empty<Bytes>>| {
        Ok::<_, Infallible>((StatusCode::ACCEPTED, "done"))
    });
    let (parts, _) = bearer("GET", "/", &ways.known).into_parts();
    let request = Request::from_parts(parts, Empty::new());
    let answer = ways.world.clerk.layer(empty).oneshot(request).await.expect("infallible");
    assert_eq!(answer.status(), StatusCode::ACCEPTED, "anything that becomes a response will do");
}

/// A body that never ends, and counts how much of it was asked for.
struct Endless(Arc<AtomicUsize>);

impl HttpBody for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"more")))))
    }
}

#[tokio::test(start_paused = true)]
async fn streaming_bodies_are_not_read_ahead_in_either_direction() {
    let ways = Ways::new().await;
    let polled = Arc::new(AtomicUsize::new(0));
    let out = Arc::new(AtomicUsize::new(0));
    let stream = out.clone();
    let app = Router::new()
        .route(
            "/",
            post(move |body: Body| async move {
                let mut body = body;
                let first = body.frame().await.expect("a frame").expect("no error");
                assert_eq!(first.into_data().expect("data"), "more");
                Body::new(Endless(stream))
            }),
        )
        .layer(ways.world.clerk.clone());
    for (token, read) in [(&ways.known, 1), (&ways.forged, 1), (&ways.unknown(), 2)] {
        let (parts, _) = bearer("POST", "/", token).into_parts();
        let request = Request::from_parts(parts, Body::new(Endless(polled.clone())));
        let response = app.clone().oneshot(request).await.expect("infallible");
        assert_eq!(polled.load(Ordering::Relaxed), read, "only the handler read");
        if response.status() == StatusCode::OK {
            let before = out.load(Ordering::Relaxed);
            let mut body = response.into_body();
            for _ in 0..3 {
                body.frame().await.expect("a frame").expect("no error");
            }
            assert_eq!(out.load(Ordering::Relaxed) - before, 3, "only what was asked for");
        }
    }
}
