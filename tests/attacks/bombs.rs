//! Answers that are small on the wire and huge in memory.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use ::http::{HeaderMap, Request, StatusCode};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use clerk_resilience::clock::Moment;
use clerk_resilience::fetch::HttpUpstream;
use clerk_resilience::internals::health::{Observation, Outcome, Surface};
use clerk_resilience::transport::{ApiRequest, Transport as _};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use tower_http::compression::CompressionLayer;
use url::Url;

const HUGE: usize = 8 * 1024 * 1024;

/// Eight megabytes of blanks around an empty object, in a few kilobytes.
async fn bomb() -> Bytes {
    let blanks = async || format!("{{{}}}", " ".repeat(HUGE));
    let app = Router::new().fallback(blanks).layer(CompressionLayer::new());
    let request = Request::get("/").header(ACCEPT_ENCODING, "gzip").body(Body::empty());
    let response = app.oneshot(request.expect("a request")).await.expect("infallible");
    assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
    response.into_body().collect().await.expect("a whole body").to_bytes()
}

#[tokio::test]
async fn a_gzip_bomb_is_not_expanded_and_counts_as_a_failure() {
    let bomb = bomb().await;
    assert!(bomb.len() < 64 * 1024, "{} bytes", bomb.len());
    let (sent, asked) = (bomb.clone(), Arc::new(Mutex::new(HeaderMap::new())));
    let seen = Arc::clone(&asked);
    let app = Router::new().fallback(async move |headers: HeaderMap| {
        *seen.lock().expect("whole") = headers;
        ([(CONTENT_ENCODING, "gzip"), (CONTENT_TYPE, "application/json")], sent)
    });
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, app).await });

    let url = Url::parse(&format!("http://{address}/")).expect("an address");
    let client = HttpUpstream::new().expect("TLS works here");
    let result = client.call(ApiRequest::get(url.clone()).deadline(Duration::from_secs(60))).await;
    let reply = result.as_ref().expect("an answer within the cap");
    assert_eq!((reply.status, &reply.body), (StatusCode::OK, &bomb), "not one byte more");
    let asked = asked.lock().expect("whole");
    assert!(!asked.contains_key(ACCEPT_ENCODING), "nobody asks for it: {asked:?}");
    for surface in Surface::ALL {
        let seen = Observation::of(surface, &url, &result, reply.latency, Moment::default());
        assert_ne!(seen.outcome, Outcome::Good, "{surface}");
    }
}
