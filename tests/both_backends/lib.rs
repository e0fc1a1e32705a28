//! jsonwebtoken picks its crypto backend by the features of the whole build, and panics on first use
//! when both are on and nobody chose. An application can come to that without a line of its own.

#![cfg(test)]

use std::panic;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use clerk_resilience::jwks::KeySet;
use clerk_resilience::sim::SimClerk;
use clerk_resilience::token::Expectations;
use clerk_resilience::verify::verify;
use clerk_resilience::{Auth, ClerkConfig, ClerkResilience};
use http::{Request, StatusCode};
use jsonwebtoken::crypto::{CryptoProvider, aws_lc, rust_crypto};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use tower::ServiceExt as _;

#[test]
fn both_backends_are_present_without_a_default() {
    let backends: [&'static CryptoProvider; 2] =
        [&aws_lc::DEFAULT_PROVIDER, &rust_crypto::DEFAULT_PROVIDER];
    assert!(!std::ptr::eq(backends[0], backends[1]));

    // The signature of a token that is otherwise well formed is where a backend is first needed.
    let token = "eyJhbGciOiJIUzI1NiJ9.e30.AA";
    let decoded = panic::catch_unwind(|| {
        let key = DecodingKey::from_secret(b"secret");
        jsonwebtoken::decode::<Claims>(token, &key, &Validation::new(Algorithm::HS256)).is_ok()
    });
    assert!(decoded.is_err(), "the stock decode works here, so this build proves nothing");
}

#[test]
fn tokens_are_verified() {
    let sim = SimClerk::in_memory();
    let keys = KeySet::parse(sim.jwks().to_string().as_bytes()).expect("a key set");
    let expect = Expectations::session_tokens(sim.publishable_key().issuer());
    let session = sim.sign_in("user_1");
    let verified = verify(&sim.mint(&session), &keys, &expect).expect("a good token");
    assert_eq!(verified.session().user_id.as_str(), "user_1");
    assert!(verify(&sim.forge(&session), &keys, &expect).is_err());
}

#[tokio::test]
async fn requests_pass_the_layer() {
    let sim = SimClerk::in_memory();
    let config = ClerkConfig::new(sim.publishable_key().clone())
        .frontend_api(sim.frontend_api_url())
        .backend_api(sim.backend_api_url())
        .status_page(None);
    let clerk = ClerkResilience::builder(config)
        .clock(sim.clock())
        .transport(sim.transport())
        .build()
        .expect("a good configuration");
    clerk.ready(Duration::from_secs(10)).await.expect("a healthy Clerk");
    let app = Router::new()
        .route("/", get(async |auth: Auth| auth.user_id().to_string()))
        .route_layer(clerk);

    let session = sim.sign_in("user_1");
    for (token, status) in
        [(sim.mint(&session), StatusCode::OK), (sim.forge(&session), StatusCode::UNAUTHORIZED)]
    {
        let request = Request::get("/").header("authorization", format!("Bearer {token}"));
        let request = request.body(Body::empty()).expect("a request");
        let response = app.clone().oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), status);
    }
}

#[derive(Clone, serde::Deserialize)]
struct Claims {}
