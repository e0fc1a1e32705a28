//! Handshake nonces: exchanged at the Backend API, within a budget.

use std::time::Duration;

use clerk_resilience::key::InstanceKind;
use clerk_resilience::sim::{SimFault, SimSurface};
use http::StatusCode;
use test_support::world::{NAVIGATION, World, anonymous, expired};
use url::Url;

use super::browser::{APP, Browser};
use super::{returning, uat, world};

#[tokio::test(start_paused = true)]
async fn one_nonce_is_exchanged_once_for_many_requests() {
    let world = world(InstanceKind::Production, |builder| builder).await;
    let (session, token) = expired(&world).await;
    let mut browser = Browser::signed_in(&world, &token, &uat(&session));
    let slow = SimFault::Latency(Duration::from_millis(300));
    world.after_probe(SimSurface::BackendApi).await;
    let back = returning(&mut browser).await;
    world.sim.break_with(SimSurface::BackendApi, slow);
    let before = world.sim.requests(SimSurface::BackendApi);
    let (one, two) = tokio::join!(world.send(browser.page(&back)), world.send(browser.page(&back)));
    assert_eq!((one.status, two.status), (StatusCode::TEMPORARY_REDIRECT, one.status));
    assert!(one.header("location").ends_with("/me"), "{}", one.header("location"));
    assert_eq!(world.sim.requests(SimSurface::BackendApi) - before, 1);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_backend_api_delays_no_longer_than_its_deadline() {
    let world = world(InstanceKind::Production, |builder| builder).await;
    let (session, token) = expired(&world).await;
    let mut browser = Browser::signed_in(&world, &token, &uat(&session));
    let back = returning(&mut browser).await;
    world.sim.break_with(SimSurface::BackendApi, SimFault::Hang);
    let started = tokio::time::Instant::now();
    let answer = world.send(browser.page(&back)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_used_nonce_does_not_block_the_page() {
    let world = world(InstanceKind::Production, |builder| builder).await;
    let (session, token) = expired(&world).await;
    let mut browser = Browser::signed_in(&world, &token, &uat(&session));
    let answer = browser.visit("/me?__clerk_handshake_nonce=used").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(browser.handshakes(), 1, "{:#?}", browser.trail);
}

#[tokio::test(start_paused = true)]
async fn an_invented_nonce_causes_no_call_to_clerk() {
    let world = world(InstanceKind::Production, |builder| builder).await;
    assert_eq!(flood(&world, "nothing=here", "made-up").await, 0);
    assert_eq!(flood(&world, "", "").await, 0);
}

/// Many nonces that nobody gave out, in one moment, with a state.
async fn flood(world: &World, cookies: &str, state: &str) -> u64 {
    let before = world.clerk.counts().backend_questions;
    for number in 0..200 {
        let nonce = format!("flood-{number}-{}-{}", cookies.len(), state.len());
        let path = format!("/me?__clerk_handshake_nonce={nonce}&__clerk_resilience_state={state}");
        let mut fields = NAVIGATION.to_vec();
        fields.extend([("host", "app.example.com"), ("x-forwarded-proto", "https")]);
        fields.extend((!cookies.is_empty()).then_some(("cookie", cookies)));
        world.send(anonymous("GET", &path, &fields)).await;
    }
    world.clerk.counts().backend_questions - before
}

/// The state in the address at which Clerk sends a browser back.
fn state_of(back: &str) -> String {
    let address = Url::parse(APP).and_then(|app| app.join(back)).expect("an address");
    let state = address.query_pairs().find(|(name, _)| name == "__clerk_resilience_state");
    state.expect("a state").1.into_owned()
}

#[tokio::test(start_paused = true)]
async fn a_flood_without_cookies_blocks_no_redirected_browser() {
    let world = world(InstanceKind::Production, |builder| builder).await;
    let (session, token) = expired(&world).await;
    let mut renewing = Browser::signed_in(&world, &token, &uat(&session));
    let mut signing_in = Browser::new(&world);
    signing_in.set(&format!("__client_uat={}; Path=/", uat(&session)));
    for browser in [&mut renewing, &mut signing_in] {
        let back = returning(browser).await;
        let asked = flood(&world, "", &state_of(&back)).await;
        assert!((20..=21).contains(&asked), "the flood has its bounds: {asked}");
        let answer = world.send(browser.page(&back)).await;
        assert!(answer.header("location").ends_with("/me"), "{}", answer.header("location"));
        world.pass(10).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_session_exchanges_at_most_ten_nonces() {
    let world = world(InstanceKind::Production, |builder| builder).await;
    let (session, token) = expired(&world).await;
    let mut asked = 0;
    for _ in 0..5 {
        let mut browser = Browser::signed_in(&world, &token, &uat(&session));
        let back = returning(&mut browser).await;
        asked += flood(&world, &browser.cookies(), &state_of(&back)).await;
    }
    // Those beyond find the bucket of strangers.
    assert!((10..=40).contains(&asked), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn a_backend_outage_puts_the_handshake_result_in_the_url() {
    let world = world(InstanceKind::Production, |builder| builder).await;
    let (session, token) = expired(&world).await;
    world.sim.break_with(SimSurface::BACKEND, SimFault::status(503));
    world.pass(120).await;
    let mut browser = Browser::signed_in(&world, &token, &uat(&session));
    assert_eq!(browser.visit("/me").await.status, StatusCode::OK);
    assert_eq!(browser.handshakes(), 1);
}

#[tokio::test(start_paused = true)]
async fn browsers_beyond_the_nonce_budget_still_return() {
    let world = world(InstanceKind::Production, |builder| builder).await;
    let (session, token) = expired(&world).await;
    let before = world.sim.requests(SimSurface::BackendApi);
    for number in 0..100 {
        let mut browser = Browser::signed_in(&world, &token, &uat(&session));
        browser.hop = Duration::from_millis(1);
        assert_eq!(browser.visit("/me").await.status, StatusCode::OK, "{number}");
    }
    let asked = world.sim.requests(SimSurface::BackendApi) - before;
    assert!((5..=20).contains(&asked), "{asked} nonces were exchanged");
}
