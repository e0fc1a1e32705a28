//! Browsers that are sent to Clerk for a fresh session, and come back.

use std::time::Duration;

use clerk_resilience::key::{InstanceKind, PublishableKey};
use clerk_resilience::sim::{SimClerk, SimClock, SimFault, SimOrganization, SimSurface};
use clerk_resilience::{PageText, Verdict};
use http::StatusCode;
use test_support::world::{NAVIGATION, World, anonymous, expired, start_of_time};

use super::browser::Browser;
use super::{returning, skewed, uat, world};

#[tokio::test(start_paused = true)]
async fn an_expired_session_is_renewed_on_the_way_to_the_page() {
    let world = world(InstanceKind::Production, |builder| builder).await;
    let (session, token) = expired(&world).await;
    let mut browser = Browser::signed_in(&world, &token, &uat(&session));
    let answer = browser.visit("/me?x=1").await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "user_1 fresh"));
    let trail = ["app /me", "clerk /v1/client/handshake", "app /me", "app /me"];
    assert_eq!(browser.trail, trail);
    assert!(!browser.cookies().contains("__clerk_redirect_count"), "{}", browser.cookies());
    assert_eq!(world.clerk.counts().handshakes, 1);
    browser.trail.clear();
    assert_eq!(browser.visit("/me").await.status, StatusCode::OK);
    assert_eq!(browser.trail, ["app /me"]);
}

#[tokio::test(start_paused = true)]
async fn a_former_member_is_renewed_without_the_organization() {
    let world = world(InstanceKind::Production, |builder| builder).await;
    let (session, _) = expired(&world).await;
    let organization = SimOrganization::new("org_1", "acme");
    let ago = Duration::from_secs(70);
    let token = world.sim.token(&session).organization(organization).ago(ago).sign();
    world.clerk.revoke_organization("org_1");
    let mut browser = Browser::signed_in(&world, &token, &uat(&session));
    let answer = browser.visit("/me").await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "user_1 fresh"));
    assert_eq!(browser.handshakes(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_sign_out_elsewhere_applies_here() {
    let world = world(InstanceKind::Production, |builder| builder).await;
    let (session, token) = expired(&world).await;
    world.sim.revoke(&session);
    world.sim.set_browser_session(None);
    let mut browser = Browser::signed_in(&world, &token, &uat(&session));
    let answer = browser.visit("/me").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(browser.handshakes(), 1);
    browser.trail.clear();
    assert_eq!(browser.visit("/me").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(browser.trail, ["app /me"]);
}

#[tokio::test(start_paused = true)]
async fn basic_auth_in_front_does_not_block_a_handshake() {
    let world = world(InstanceKind::Production, |builder| builder).await;
    let (session, token) = expired(&world).await;
    let cookies = format!("__session={token}; __client_uat={}", uat(&session));
    let fields = [
        &NAVIGATION[..],
        &[("cookie", &*cookies), ("host", "app.example.com"), ("authorization", "Basic dXNlcjpw")],
    ];
    let answer = world.send(anonymous("GET", "/me", &fields.concat())).await;
    assert!(answer.header("location").contains("/v1/client/handshake"), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn api_calls_and_forms_are_not_redirected() {
    let world = world(InstanceKind::Production, |builder| builder).await;
    let (session, token) = expired(&world).await;
    let cookies = format!("__session={token}; __client_uat={}", uat(&session));
    for (method, fields) in [
        ("GET", vec![("sec-fetch-dest", "empty"), ("cookie", &*cookies)]),
        ("GET", vec![("accept", "application/json"), ("cookie", &*cookies)]),
        ("POST", vec![("sec-fetch-dest", "document"), ("cookie", &*cookies)]),
    ] {
        let answer = world.send(anonymous(method, "/me", &fields)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {fields:?}");
    }
    assert_eq!(world.clerk.counts().handshakes, 0);
}

#[tokio::test(start_paused = true)]
async fn no_redirect_to_an_unhealthy_handshake_or_mint() {
    for surface in [SimSurface::Handshake, SimSurface::SessionMint] {
        let world = world(InstanceKind::Production, |builder| builder).await;
        let (session, token) = expired(&world).await;
        world.sim.break_with(surface, SimFault::status(500));
        world.pass(120).await;
        let browser = Browser::signed_in(&world, &token, &uat(&session));
        let answer = world.send(browser.page("/me")).await;
        assert!(!answer.status.is_redirection(), "{surface:?} {:?}", answer.header("location"));
    }
}

#[tokio::test(start_paused = true)]
async fn no_redirect_to_clerk_unless_it_is_healthy() {
    let world = world(InstanceKind::Production, |builder| builder).await;
    let (session, token) = expired(&world).await;
    world.break_clerk();
    let browser = Browser::signed_in(&world, &token, &uat(&session));
    for verdict in [Verdict::Suspect, Verdict::Outage] {
        world.until(verdict).await;
        let answer = world.send(browser.page("/me")).await;
        assert!(!answer.status.is_redirection(), "{verdict:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_secret_key_the_handshake_result_is_in_the_url() {
    let clock = SimClock::starting_at(start_of_time());
    let key = PublishableKey::for_host("clerk.sim.example", InstanceKind::Production);
    let sim = SimClerk::builder().clock(clock.clone()).publishable_key(key.expect("a host"));
    let sim = sim.seed(7).build();
    let config = clerk_resilience::ClerkConfig::new(sim.publishable_key().clone())
        .frontend_api(sim.frontend_api_url())
        .status_page(None);
    let builder = clerk_resilience::ClerkResilience::builder(config);
    let clerk = builder.clock(clock.clone()).transport(sim.transport()).build().expect("good");
    let app = test_support::world::routes().route_layer(clerk.clone());
    let world = World { clock, sim, clerk, app };
    world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    world.pass(5).await;
    let (session, token) = expired(&world).await;
    let mut browser = Browser::signed_in(&world, &token, &uat(&session));
    assert_eq!(browser.visit("/me").await.status, StatusCode::OK);
    assert_eq!(browser.handshakes(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_clock_ends_on_a_page_that_names_it() {
    for kind in [InstanceKind::Production, InstanceKind::Development] {
        for hop in [100, 20_000] {
            let world = skewed(kind, 600, |builder| builder).await;
            let (session, token) = expired(&world).await;
            let mut browser = Browser::signed_in(&world, &token, &uat(&session));
            browser.hop = Duration::from_millis(hop);
            let answer = browser.visit("/me").await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{hop}");
            assert!(answer.body.contains("clock"), "{kind:?} {hop} {}", answer.body);
            assert!(answer.body.contains(&PageText::default().stuck));
            assert_eq!(browser.handshakes(), 3, "{kind:?} {hop} {:#?}", browser.trail);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn keys_of_another_instance_get_an_explanation() {
    let world = world(InstanceKind::Production, |builder| builder).await;
    let (session, token) = expired(&world).await;
    world.sim.replace_key();
    let mut browser = Browser::signed_in(&world, &token, &uat(&session));
    let answer = browser.visit("/me").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(answer.body.contains("keys of another instance"), "{}", answer.body);
    assert_eq!(browser.handshakes(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_browser_without_cookies_does_not_loop() {
    let world = world(InstanceKind::Development, |builder| builder).await;
    let session = world.sim.sign_in("user_1");
    world.sim.set_browser_session(Some(&session));
    let mut browser = Browser::new(&world);
    browser.keeps = false;
    let answer = browser.visit("/me").await;
    assert_eq!(answer.status, StatusCode::OK, "{:#?}", browser.trail);
    assert_eq!(browser.handshakes(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_visitor_without_cookies_gets_an_explanation() {
    let world = world(InstanceKind::Development, |builder| builder).await;
    let mut browser = Browser::new(&world);
    browser.keeps = false;
    let answer = browser.visit("/me").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(answer.body.contains("Allow cookies for this site"), "{}", answer.body);
    assert_eq!(browser.handshakes(), 1);
    browser.keeps = true;
    let answer = browser.visit("/me").await;
    assert!(answer.body.contains("Please sign in"), "{}", answer.body);
}

#[tokio::test(start_paused = true)]
async fn a_new_sign_in_works_after_a_revoked_session() {
    for kind in [InstanceKind::Development, InstanceKind::Production] {
        let world = world(kind, |builder| builder).await;
        let old = world.sim.sign_in("user_1");
        let token = world.sim.mint(&old);
        world.clerk.revoke_session(old.id.clone());
        world.sim.revoke(&old);
        world.pass(5).await;
        let mut browser = Browser::signed_in(&world, &token, &uat(&old));
        browser.set("__clerk_db_jwt=dvb_1; Path=/");
        let answer = browser.visit("/me").await;
        assert!(answer.body.contains("The session has ended"), "{}", answer.body);
        assert_eq!(browser.handshakes(), 0, "Clerk does not decide about what was revoked here");

        // Clerk tells of the new session in the address, or by a cookie of the shared domain.
        let new = world.sim.sign_in("user_1");
        world.sim.set_browser_session(Some(&new));
        let answer = if kind == InstanceKind::Development {
            browser.visit("/me?__clerk_db_jwt=dvb_2").await
        } else {
            browser.set(&format!("__client_uat={}; Path=/", uat(&new)));
            browser.visit("/me").await
        };
        assert_eq!(answer.status, StatusCode::OK, "{kind:?} {}", answer.body);
        assert_eq!(browser.handshakes(), 1, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_with_a_foreign_handshake_sets_no_session() {
    let world = world(InstanceKind::Production, |builder| builder).await;
    let (session, token) = expired(&world).await;
    let mut sender = Browser::signed_in(&world, &token, &uat(&session));
    let link = returning(&mut sender).await;
    let mut reader = Browser::new(&world);
    reader.visit(&link).await;
    assert_eq!(reader.cookies(), "");
}

#[tokio::test(start_paused = true)]
async fn a_page_gets_503_while_its_session_cannot_be_renewed() {
    let world = world(InstanceKind::Production, |builder| builder).await;
    let (session, token) = expired(&world).await;
    let browser = Browser::signed_in(&world, &token, &uat(&session));
    world.sim.break_with(SimSurface::Handshake, SimFault::status(500));
    world.pass(120).await;
    assert_eq!(world.clerk.verdict(), Verdict::Healthy);
    let answer = world.send(browser.page("/me")).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.header("location"));
}

#[tokio::test(start_paused = true)]
async fn an_ended_session_stays_ended_if_clerk_offers_it_again() {
    let world = world(InstanceKind::Development, |builder| builder).await;
    let (session, token) = expired(&world).await;
    let mut browser = Browser::signed_in(&world, &token, &uat(&session));
    world.clerk.revoke_session(session.id.clone());
    for round in 0..6 {
        let answer = browser.visit(&format!("/me?__clerk_db_jwt=dvb_{round}")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{round}");
        assert!(answer.body.contains("The session has ended"), "{round} {}", answer.body);
    }
    assert_eq!(browser.handshakes(), 6, "one each time that somebody comes from a sign-in");
    world.sim.revoke(&session);
    let new = world.sim.sign_in("user_1");
    world.sim.set_browser_session(Some(&new));
    let answer = browser.visit("/me?__clerk_db_jwt=dvb_new").await;
    assert_eq!(answer.status, StatusCode::OK, "{} {:#?}", answer.body, browser.trail);
}
