//! Malicious requests: forged and malformed tokens, floods, and arbitrary bytes.

mod arbitrary_bytes;
mod floods;
mod tokens;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clerk_resilience::{GraceAccess, GracePolicy, RoutePolicy};
use http::{HeaderName, HeaderValue, Request};
use test_support::world::World;

/// As open as a configuration can be, so that only the checks themselves are in the way.
async fn generous() -> World {
    World::with(|builder| {
        let full = RoutePolicy::required().grace(GraceAccess::Full).accept_pending();
        builder.grace(GracePolicy::available()).policy(full)
    })
    .await
}

fn raw(name: &str, value: &[u8]) -> Option<Request<Body>> {
    let name = HeaderName::try_from(name).expect("a name");
    let value = HeaderValue::from_bytes(value).ok()?;
    let mut request = Request::builder().uri("/me").body(Body::empty()).expect("a request");
    request.headers_mut().insert(name, value);
    Some(request)
}

fn encode(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(json)
}
