//! Browsers that are sent to Clerk for a fresh session, and come back.

use std::time::Duration;

use clerk_resilience::key::{InstanceKind, PublishableKey};
use clerk_resilience::sim::{
    SimClerk, SimClock, SimFault, SimOrganization, SimSession, SimSurface,
};
use clerk_resilience::{Builder, ClientUat, GracePolicy, PageText, Verdict};
use http::StatusCode;
use test_support::world::{NAVIGATION, World, anonymous, expired, start_of_time};
use url::Url;

use crate::browser::{APP, Browser};

/// A production or development instance beside an application.
pub(crate) async fn world(kind: InstanceKind, choose: impl FnOnce(Builder) -> Builder) -> World {
    skewed(kind, 0, choose).await
}

/// The same, with the clock of Clerk behind that of the application.
async fn skewed(kind: InstanceKind, behind: i64, choose: impl FnOnce(Builder) -> Builder) -> World {
    let clock = SimClock::starting_at(start_of_time());
    let theirs = clock.skewed(-behind * 1000);
    let key = PublishableKey::for_host("clerk.sim.example", kind).expect("a host");
    let sim = SimClerk::builder().clock(theirs).publishable_key(key).seed(7).build();
    let world = World::beside(clock, sim, |builder| choose(builder.grace(GracePolicy::balanced())));
    world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    world.pass(5).await;
    world
}

pub(crate) fn uat(session: &SimSession) -> String {
    session.since.as_secs().to_string()
}

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
async fn without_a_secret_key_the_handshake_uses_the_address() {
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

/// The address at which Clerk sends a browser back.
pub(crate) async fn returning(browser: &mut Browser<'_>) -> String {
    let app = Url::parse(APP).expect("an address").join("/me").expect("an address");
    let (_, out, _) = browser.go(&app).await;
    let (_, back, _) = browser.go(&Url::parse(&out.expect("sent away")).expect("address")).await;
    back.expect("sent back")[APP.len()..].to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_session_cookie_contradicted_by_client_uat_is_ignored() {
    for (policy, rows) in [
        (ClientUat::RequiredForPages, [(None, 200), (Some("0"), 401), (Some("x"), 401)]),
        (ClientUat::Required, [(None, 401), (Some("0"), 401), (Some("x"), 401)]),
        (ClientUat::Ignored, [(None, 200), (Some("0"), 200), (Some("x"), 200)]),
    ] {
        let world = world(InstanceKind::Production, |builder| builder.client_uat(policy)).await;
        let session = world.sim.sign_in("user_1");
        let token = world.sim.mint(&session);
        for (uat, status) in rows {
            let uat = uat.map_or(String::new(), |uat| format!("; __client_uat={uat}"));
            let cookies = format!("__session={token}{uat}");
            let fields = [("sec-fetch-dest", "empty"), ("cookie", &*cookies)];
            let answer = world.send(anonymous("GET", "/me", &fields)).await;
            assert_eq!(answer.status, status, "{policy:?} {uat}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_older_than_client_uat_is_ignored() {
    let world = world(InstanceKind::Production, |builder| builder).await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    let now = world.now_secs();
    for (uat, status) in [(now - 5, 200), (now, 200), (now + 1, 401)] {
        let cookies = format!("__session={token}; __client_uat={uat}");
        let fields = [("sec-fetch-dest", "empty"), ("cookie", &*cookies)];
        let answer = world.send(anonymous("GET", "/me", &fields)).await;
        assert_eq!(answer.status, status, "{uat}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_without_client_uat_is_shown_after_a_handshake() {
    let world = world(InstanceKind::Production, |builder| builder).await;
    let session = world.sim.sign_in("user_1");
    let mut browser = Browser::new(&world);
    browser.set(&format!("__session={}; Path=/", world.sim.mint(&session)));
    assert_eq!(browser.visit("/me").await.status, StatusCode::OK);
    assert_eq!(browser.handshakes(), 1);
    assert!(browser.cookies().contains("__client_uat="));
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
async fn an_invented_nonce_causes_no_call_to_clerk() {
    let world = world(InstanceKind::Production, |builder| builder).await;
    assert_eq!(flood(&world, "nothing=here", "made-up").await, 0);
    assert_eq!(flood(&world, "", "").await, 0);
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
async fn the_handshake_uses_the_address_while_the_backend_is_down() {
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
