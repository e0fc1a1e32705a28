//! A token whose key is not here is not forged: it cannot be verified yet.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use clerk_resilience::clock::Clock as _;
use clerk_resilience::key::{InstanceKind, PublishableKey};
use clerk_resilience::sim::{SimClerk, SimClock, SimFault, SimSurface};
use clerk_resilience::token::TokenKind;
use clerk_resilience::{Caller, ClerkConfig, GracePolicy, RoutePolicy, Verdict};
use http::StatusCode;
use test_support::world::{Answer, World, anonymous, bearer, config, expired, start_of_time};

use crate::handshake::browser::Browser;
use crate::handshake::uat;

/// A world whose key is configured as PEM.
async fn with_pem() -> World {
    let clock = SimClock::starting_at(start_of_time());
    let sim = SimClerk::builder().clock(clock.clone()).seed(7).build();
    let config = config(&sim).jwt_key(&sim.public_key_pem()).expect("a PEM");
    let world =
        World::configured(config, clock, sim, |builder| builder.grace(GracePolicy::balanced()));
    world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    world.pass(200).await;
    world
}

/// A world for production, without a secret key: handshakes come back in the address.
async fn without_secret() -> World {
    let clock = SimClock::starting_at(start_of_time());
    let key = PublishableKey::for_host("clerk.sim.example", InstanceKind::Production);
    let sim = SimClerk::builder().clock(clock.clone()).publishable_key(key.expect("a host"));
    let sim = sim.seed(7).build();
    let config = ClerkConfig::new(sim.publishable_key().clone())
        .frontend_api(sim.frontend_api_url())
        .status_page(None);
    let world = World::configured(config, clock, sim, |builder| builder);
    world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    world.pass(60).await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_new_key_beside_a_pem_is_fetched() {
    let world = with_pem().await;
    let session = world.sim.sign_in("user_1");
    assert_eq!(world.get(&world.sim.mint(&session)).await.status, StatusCode::OK);
    world.sim.rotate_key();
    assert_eq!(world.get(&world.sim.mint(&session)).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_new_key_beside_a_pem_is_503_while_it_cannot_be_fetched() {
    let world = with_pem().await;
    let session = world.sim.sign_in("user_1");
    world.break_clerk();
    world.until(Verdict::Outage).await;
    world.sim.rotate_key();
    for _ in 0..3 {
        let answer = world.get(&world.sim.mint(&session)).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
        world.pass(40).await;
    }
    let without_kid = world.sim.token(&session).forged();
    let without_kid = without_kid.header("kid", serde_json::Value::Null).sign();
    assert_eq!(world.get(&without_kid).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn a_forgery_beside_a_pem_is_401_once_keys_are_fresh() {
    let world = with_pem().await;
    let session = world.sim.sign_in("user_1");
    let forged = world.sim.token(&session).kid("made-up").forged().sign();
    let answer = world.get(&forged).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.body);
    world.pass(10).await;
    let again = world.sim.token(&session).kid("made-up").forged().sign();
    assert_eq!(world.get(&again).await.status, StatusCode::SERVICE_UNAVAILABLE, "too soon");
}

#[tokio::test(start_paused = true)]
async fn a_machine_s_new_key_beside_a_pem_is_fetched() {
    let world = with_pem().await;
    let route = RoutePolicy::required().accepts(TokenKind::MACHINES);
    let app = Router::new()
        .route("/m", get(async |_: Caller| "in"))
        .route_layer(world.clerk.policy(route));
    let session = world.sim.sign_in("user_1");
    let machine = || world.sim.token(&session).claim("sub", "mch_1").without_claim("azp");
    let machine = || machine().header("cat", "cl_B7d4PD333AAA").sign();
    world.sim.rotate_key();
    let answer = World::ask(&app, bearer("GET", "/m", &machine())).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    world.sim.break_with(SimSurface::ALL, SimFault::status(503));
    world.pass(60).await;
    world.sim.rotate_key();
    let answer = World::ask(&app, bearer("GET", "/m", &machine())).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_with_a_new_key_waits_for_it() {
    let world = without_secret().await;
    let (session, token) = expired(&world).await;
    world.sim.rotate_key();
    let mut browser = Browser::signed_in(&world, &token, &uat(&session));
    let answer = browser.visit("/me").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(browser.handshakes(), 1, "{:#?}", browser.trail);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_with_a_new_key_is_503_while_it_cannot_be_fetched() {
    let world = without_secret().await;
    let (session, token) = expired(&world).await;
    world.sim.break_with([SimSurface::Jwks, SimSurface::BackendJwks], SimFault::status(503));
    world.pass(40).await;
    world.sim.rotate_key();
    let mut browser = Browser::signed_in(&world, &token, &uat(&session));
    let answer = browser.visit("/me").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{:#?}", browser.trail);
}

#[tokio::test(start_paused = true)]
async fn keys_of_before_a_failed_refresh_prove_no_key_false() {
    let world = without_secret().await;
    let (session, token) = expired(&world).await;
    let fits = || {
        let (now, keys) = (world.clock.now(), world.clerk.snapshot().keys.clone());
        let age = keys.age(now.wall).expect("keys");
        keys.may_refresh(now) && age < Duration::from_secs(25)
    };
    for _ in 0..300 {
        if fits() {
            break;
        }
        world.pass(1).await;
    }
    assert!(fits(), "keys that may be refreshed, and are not old");
    world.sim.break_with([SimSurface::Jwks, SimSurface::BackendJwks], SimFault::status(503));
    world.sim.rotate_key();
    let mut browser = Browser::signed_in(&world, &token, &uat(&session));
    let answer = browser.visit("/me").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{:#?}", browser.trail);
}

async fn fetch(world: &World, cookies: &str) -> Answer {
    let fields = [
        ("sec-fetch-dest", "empty"),
        ("host", "app.example.com"),
        ("x-forwarded-proto", "https"),
        ("cookie", cookies),
    ];
    world.send(anonymous("GET", "/me", &fields)).await
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_renewed_with_a_new_key_waits_for_it() {
    for broken in [false, true] {
        let world = World::production(|builder| builder).await;
        world.pass(60).await;
        let (session, token) = expired(&world).await;
        let (suffix, since) = (world.sim.cookie_suffix(), uat(&session));
        let refresh = world.sim.refresh_token(&session);
        let cookies =
            format!("__session={token}; __client_uat={since}; __refresh_{suffix}={refresh}");
        world.sim.rotate_key();
        if broken {
            let surfaces = [SimSurface::Jwks, SimSurface::BackendJwks];
            world.sim.break_with(surfaces, SimFault::status(503));
        }
        let answer = fetch(&world, &cookies).await;
        let status = if broken { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        assert_eq!(answer.status, status, "{}", answer.body);
    }
}

// The cookies of another instance on the same host -------------------------------------------------

/// Cookies of another instance, and of nobody.
fn foreign(world: &World) -> (SimClerk, [String; 3]) {
    let key = PublishableKey::for_host("clerk.other.example", InstanceKind::Production);
    let other = SimClerk::builder().clock(world.clock.clone()).seed(9);
    let other = other.publishable_key(key.expect("a host")).build();
    let session = other.sign_in("user_9");
    let (token, since) = (other.mint(&session), uat(&session));
    let cookies = [
        format!("__session={token}; __client_uat={since}"),
        format!("__session={token}"),
        format!("__session={token}; __client_uat=0"),
    ];
    (other, cookies)
}

#[tokio::test(start_paused = true)]
async fn another_instance_s_cookie_is_no_token() {
    let address = "https://accounts.example.com/sign-in";
    for sign_in in [None, Some(address)] {
        let clock = SimClock::starting_at(start_of_time());
        let key = PublishableKey::for_host("clerk.sim.example", InstanceKind::Production);
        let sim = SimClerk::builder().clock(clock.clone()).publishable_key(key.expect("a host"));
        let sim = sim.seed(7).build();
        let config = config(&sim);
        let config = sign_in.map_or(config.clone(), |address| config.sign_in_url(address));
        let world = World::configured(config, clock, sim, |builder| builder);
        world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
        world.pass(60).await;
        let (_other, jars) = foreign(&world);
        let nobody = world.send(Browser::new(&world).page("/me")).await;
        for jar in jars {
            let mut browser = Browser::new(&world);
            jar.split("; ").for_each(|pair| browser.set(&format!("{pair}; Path=/")));
            let page = world.send(browser.page("/me")).await;
            assert_eq!(page.status, nobody.status, "{jar}");
            assert_eq!(page.header("location"), nobody.header("location"), "{jar}");
            let api = fetch(&world, &jar).await;
            assert_eq!(api.json()["reason"], "session-token-missing", "{jar}");
        }
        assert_eq!(sign_in.is_some(), nobody.status.is_redirection());
    }
}

#[tokio::test(start_paused = true)]
async fn our_cookies_count_beside_another_instance_s() {
    let world = World::production(|builder| builder).await;
    world.pass(60).await;
    let (_other, jars) = foreign(&world);
    let session = world.sim.sign_in("user_1");
    let (token, suffix) = (world.sim.mint(&session), world.sim.cookie_suffix());
    for jar in &jars {
        let ours = format!("{jar}; __session_{suffix}={token}");
        for ours in [ours.clone(), format!("{ours}; __client_uat_{suffix}={}", uat(&session))] {
            assert_eq!(fetch(&world, &ours).await.status, StatusCode::OK, "{ours}");
        }
        // A client of ours that is signed in elsewhere goes to Clerk for its token.
        let mut browser = Browser::new(&world);
        jar.split("; ").for_each(|pair| browser.set(&format!("{pair}; Path=/")));
        browser.set(&format!("__client_uat_{suffix}={}; Path=/", uat(&session)));
        let page = world.send(browser.page("/me")).await;
        assert_eq!(page.status, StatusCode::TEMPORARY_REDIRECT, "{}", page.body);
    }
}
