//! Keys: refreshed ahead of time, kept when an answer is bad, dropped when Clerk drops them.

use std::time::Duration;

use clerk_resilience::jwks::KeySet;
use clerk_resilience::machine::{self, MachineError};
use clerk_resilience::sim::{SimClerk, SimClock, SimFault, SimSurface};
use clerk_resilience::token::{Expectations, InvalidToken};
use clerk_resilience::transport::{ApiRequest, Calling, Transport};
use clerk_resilience::verify::{Unverified, verify};
use clerk_resilience::{ClerkResilience, GracePolicy, handshake};
use http::StatusCode;
use serde_json::{Value, json};
use test_support::world::{World, bearer, config, routes, start_of_time};

#[tokio::test(start_paused = true)]
async fn keys_are_refreshed_in_the_background_without_any_request() {
    let world = World::new().await;
    let before = world.sim.requests(SimSurface::Jwks);
    world.pass(3_600).await;
    let asked = world.sim.requests(SimSurface::Jwks) - before;
    assert!((45..=80).contains(&asked), "{asked} in an hour");
    let age = world.clerk.snapshot().keys.age(world.now()).expect("confirmed");
    assert!(age.as_secs() <= 75, "{age:?}");
}

#[tokio::test(start_paused = true)]
async fn bad_answers_never_replace_good_keys() {
    for fault in [
        SimFault::status(500),
        SimFault::status(404),
        SimFault::EmptyKeys,
        SimFault::InvalidJson,
        SimFault::Html,
        SimFault::Truncated,
        SimFault::Huge,
        SimFault::Garbage,
        SimFault::Redirect("https://elsewhere.example/".parse().expect("an address")),
    ] {
        let world = World::new().await;
        let session = world.sim.sign_in("user_1");
        world.sim.break_with([SimSurface::Jwks, SimSurface::BackendJwks], fault.clone());
        world.pass(2 * 3_600).await;
        let answer = world.get(&world.sim.mint(&session)).await;
        assert_eq!(answer.status, StatusCode::OK, "{fault:?}: {}", answer.body);
    }
}

#[tokio::test(start_paused = true)]
async fn keys_fall_back_to_the_backend_api() {
    let world = World::unready(|builder| builder.grace(GracePolicy::balanced()));
    world.sim.break_with(SimSurface::Jwks, SimFault::status(503));
    world.pass(3).await;
    let session = world.sim.sign_in("user_1");
    assert_eq!(world.get(&world.sim.mint(&session)).await.status, StatusCode::OK);
    assert!(world.sim.requests(SimSurface::BackendJwks) > 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_with_a_new_key_waits_for_a_refresh_and_passes() {
    let world = World::new().await;
    world.pass(40).await;
    world.sim.rotate_key();
    let session = world.sim.sign_in("user_1");
    world.pass(1).await;
    let answer = world.get(&world.sim.mint(&session)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

#[tokio::test(start_paused = true)]
async fn many_requests_with_an_unknown_key_share_one_refresh() {
    let world = World::new().await;
    world.pass(40).await;
    world.sim.rotate_key();
    world.pass(1).await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    let before = world.sim.requests(SimSurface::Jwks);
    let answers: Vec<_> = {
        let sends = (0..50).map(|_| world.get(&token));
        futures_join(sends).await
    };
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    assert_eq!(world.sim.requests(SimSurface::Jwks) - before, 1);
}

/// Awaits all of them at once.
async fn futures_join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = futures.map(Box::pin).map(Some).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|cx| {
        for slot in &mut pending {
            if let Some(future) = slot
                && let std::task::Poll::Ready(output) = future.as_mut().poll(cx)
            {
                done.push(output);
                *slot = None;
            }
        }
        if pending.iter().all(Option::is_none) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_keys_causes_one_refresh_in_30_s() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    world.pass(40).await;
    let before = world.sim.requests(SimSurface::Jwks);
    for n in 0..300 {
        let token = world.sim.token(&session).kid(format!("ins_{n}")).forged().sign();
        assert_ne!(world.get(&token).await.status, StatusCode::OK);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let asked = world.sim.requests(SimSurface::Jwks) - before;
    assert!(asked <= 3, "{asked} in about thirty seconds, the regular one included");
}

#[tokio::test(start_paused = true)]
async fn a_flood_on_an_optional_route_causes_one_refresh() {
    use clerk_resilience::RoutePolicy;

    let world = World::with(|builder| builder.policy(RoutePolicy::optional())).await;
    let session = world.sim.sign_in("user_1");
    world.pass(40).await;
    let before = world.sim.requests(SimSurface::Jwks);
    for n in 0..300 {
        let token = world.sim.token(&session).kid(format!("ins_{n}")).forged().sign();
        assert_eq!(world.get(&token).await.status, StatusCode::SERVICE_UNAVAILABLE);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let asked = world.sim.requests(SimSurface::Jwks) - before;
    assert!((1..=3).contains(&asked), "{asked} in about thirty seconds, the regular one included");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_is_401_by_fresh_keys_and_else_503() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    world.pass(40).await;
    let unknown = world.sim.token(&session).kid("ins_other").forged().sign();
    world.pass(1).await;
    assert_eq!(world.get(&unknown).await.status, StatusCode::UNAUTHORIZED);

    world.pass(40).await;
    world.break_clerk();
    let unknown = world.sim.token(&session).kid("ins_other").forged().sign();
    world.pass(1).await;
    assert_eq!(world.get(&unknown).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_key_invalidates_cached_tokens() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.token(&session).lifetime(std::time::Duration::from_secs(600)).sign();
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.sim.replace_key();
    world.pass(80).await;
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.get(&world.sim.mint(&session)).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_pem_verifies_before_clerk_is_reached() {
    use clerk_resilience::ClerkResilience;
    use clerk_resilience::sim::{SimClerk, SimClock};

    let clock = SimClock::starting_at(test_support::world::start_of_time());
    let sim = SimClerk::builder().clock(clock.clone()).build();
    sim.break_with(SimSurface::ALL, SimFault::Refused);
    let config = test_support::world::config(&sim).jwt_key(&sim.public_key_pem()).expect("a PEM");
    let clerk = ClerkResilience::builder(config)
        .clock(clock.clone())
        .transport(sim.transport())
        .build()
        .expect("a good configuration");
    let app = test_support::world::routes().route_layer(clerk.clone());
    let world = World { clock, sim, clerk, app };
    let session = world.sim.sign_in("user_1");
    assert_eq!(world.get(&world.sim.mint(&session)).await.status, StatusCode::OK);
}

/// The Frontend API of one instance and the Backend API of another: a secret key that was mixed up.
#[derive(Clone, Debug)]
struct MixedUp<A, B>(A, B);

impl<A: Transport, B: Transport> Transport for MixedUp<A, B> {
    fn call(&self, call: ApiRequest) -> Calling {
        if call.url.path() == "/v1/jwks" { self.1.call(call) } else { self.0.call(call) }
    }
}

#[tokio::test(start_paused = true)]
async fn keys_of_another_instance_are_rejected() {
    let clock = SimClock::starting_at(start_of_time());
    let [ours, theirs] =
        [7, 8].map(|seed| SimClerk::builder().clock(clock.clone()).seed(seed).build());
    let clerk = ClerkResilience::builder(config(&ours))
        .clock(clock.clone())
        .transport(MixedUp(ours.transport(), theirs.transport()))
        .build()
        .expect("a good configuration");
    clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    ours.break_with(SimSurface::Jwks, SimFault::status(503));
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(theirs.requests(SimSurface::BackendJwks) > 0);
    let app = routes().route_layer(clerk);
    for (sim, status) in [(&ours, StatusCode::OK), (&theirs, StatusCode::SERVICE_UNAVAILABLE)] {
        let token = sim.mint(&sim.sign_in("user_1"));
        let answer = World::ask(&app, bearer("GET", "/me", &token)).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
}

#[test]
fn a_token_with_a_key_of_another_type_is_rejected() {
    let sim = SimClerk::in_memory();
    let rsa = sim.jwks()["keys"][0].clone();
    let ec = json!({"kty": "EC", "kid": "other", "crv": "P-256", "x": "AQAB", "y": "AQAB"});
    let okp = json!({"kty": "OKP", "kid": "other", "crv": "Ed25519", "x": "AQAB"});
    let oct = json!({"kty": "oct", "kid": "other", "k": "AQAB"});
    let mut encrypts = rsa.clone();
    (encrypts["kid"], encrypts["use"]) = ("other".into(), "enc".into());
    for unfit in [ec, okp, oct, encrypts] {
        let set = json!({ "keys": [unfit, rsa] }).to_string();
        let keys = KeySet::parse(set.as_bytes()).expect("a usable key");
        let session = sim.sign_in("user_1");
        let token = |kid: &'static str| sim.token(&session).kid(kid);
        let reason = |token: &str| verify(token, &keys, &Expectations::any()).expect_err("refused");
        assert_eq!(reason(&token("other").sign()), InvalidToken::UnfitKey.into());
        assert_eq!(
            reason(&token("other").header("typ", "x").sign()),
            InvalidToken::Malformed.into()
        );
        assert!(matches!(reason(&token("third").sign()), Unverified::UnknownKey(_)));
        let handshake = handshake::verify(&token("other").sign(), &keys);
        assert_eq!(handshake.expect_err("refused"), InvalidToken::UnfitKey);
        let oauth = token("other").header("typ", "at+jwt").header("cat", Value::Null).sign();
        let now = sim.clock().now().wall;
        let machine = machine::verify(&oauth, &keys, &Expectations::any(), now);
        let refused = MachineError::Unverified(InvalidToken::UnfitKey);
        assert_eq!(machine.expect_err("refused"), refused);
    }
}
