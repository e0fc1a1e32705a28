//! Whose handshake is believed, which returns are counted, and which host a redirect names.

use std::time::Duration;

use clerk_resilience::internals::ticket::TicketKeys;
use clerk_resilience::key::{InstanceKind, PublishableKey};
use clerk_resilience::sim::{SimClerk, SimClock, SimSession};
use clerk_resilience::{Builder, ClerkConfig, PageText, Verdict};
use http::{Request, StatusCode};
use test_support::world::{Answer, Log, NAVIGATION, World, anonymous, expired, start_of_time};
use url::Url;

use super::browser::{APP, Browser};
use super::{returning, uat, way_back};

const KEYS: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

/// A production instance beside an application without a secret key: results come in the address.
async fn without_secret(choose: impl FnOnce(Builder) -> Builder) -> World {
    let clock = SimClock::starting_at(start_of_time());
    let key = PublishableKey::for_host("clerk.sim.example", InstanceKind::Production);
    let sim = SimClerk::builder().clock(clock.clone()).seed(7);
    let sim = sim.publishable_key(key.expect("a host")).build();
    ready(instance(&sim, &clock, choose)).await
}

fn instance(sim: &SimClerk, clock: &SimClock, choose: impl FnOnce(Builder) -> Builder) -> World {
    let config = ClerkConfig::new(sim.publishable_key().clone())
        .frontend_api(sim.frontend_api_url())
        .backend_api(sim.backend_api_url());
    World::configured(config, clock.clone(), sim.clone(), choose)
}

async fn ready(world: World) -> World {
    world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    world.pass(5).await;
    world
}

/// A handshake token that signs somebody in.
fn handshake_of(world: &World, session: &SimSession) -> String {
    let token = world.sim.mint(session);
    let lines =
        [format!("__session={token}; Path=/"), format!("__client_uat={}; Path=/", uat(session))];
    let bare = world.sim.token(session).without_claim("sub").without_claim("sid");
    bare.claim("handshake", serde_json::json!(lines)).sign()
}

fn lines(answer: &Answer) -> Vec<&str> {
    let lines = answer.headers.get_all("set-cookie").iter();
    lines.map(|line| line.to_str().expect("text")).collect()
}

fn gives_a_session(answer: &Answer) -> bool {
    lines(answer).iter().any(|line| line.starts_with("__session=ey"))
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_visit_trusts_no_foreign_handshake() {
    let world = without_secret(|builder| builder).await;
    let (session, token) = expired(&world).await;
    let foreign = handshake_of(&world, &world.sim.sign_in("attacker"));
    for by_cookie in [false, true] {
        let mut victim = Browser::signed_in(&world, &token, &uat(&session));
        let away = world.send(victim.page("/me")).await;
        victim.keep(0, &away.headers);
        let state = way_back(&away).query().expect("a state").to_owned();
        let link = if by_cookie {
            victim.set(&format!("__clerk_handshake={foreign}; Path=/"));
            "/me".to_owned()
        } else {
            format!("/me?__clerk_handshake={foreign}")
        };
        let answer = world.send(victim.page(&link)).await;
        assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT, "{by_cookie}");
        assert!(!gives_a_session(&answer));
        victim.set("__clerk_handshake=; Max-Age=0");
        let answer = victim.visit(&link).await;
        assert_eq!(answer.body, "user_1 fresh", "{by_cookie} {:#?}", victim.trail);
        // The state belongs to the browser that was sent, so the owner's own result is believed.
        assert!(state.starts_with("__clerk_resilience_state="));
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_with_foreign_state_keeps_the_readers_session() {
    let world = without_secret(|builder| builder).await;
    let attacker = world.sim.sign_in("attacker");
    let mut sender = Browser::new(&world);
    sender.set(&format!("__client_uat={}; Path=/", uat(&attacker)));
    let away = world.send(sender.page("/me")).await;
    let mut back = way_back(&away);
    let handshake = handshake_of(&world, &attacker);
    back.query_pairs_mut().append_pair("__clerk_handshake", &handshake);
    let link = back.as_str()[APP.len()..].to_owned();
    let (session, token) = expired(&world).await;

    let mut reader = Browser::signed_in(&world, &token, &uat(&session));
    assert_eq!(reader.visit(&link).await.body, "user_1 fresh", "{:#?}", reader.trail);
    let fresh = world.sim.mint(&session);
    let reader = Browser::signed_in(&world, &fresh, &uat(&session));
    let answer = world.send(reader.page(&link)).await;
    assert_eq!((&*answer.body, lines(&answer)), ("user_1 fresh", vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_result_is_accepted_once() {
    let world = without_secret(|builder| builder).await;
    let (session, token) = expired(&world).await;
    let mut browser = Browser::signed_in(&world, &token, &uat(&session));
    let back = returning(&mut browser).await;
    let first = world.send(browser.page(&back)).await;
    assert!(gives_a_session(&first));
    assert!(lines(&first).iter().any(|line| line.contains("_trip_") && line.contains("Max-Age=0")));
    world.pass(11).await;
    assert!(!gives_a_session(&world.send(browser.page(&back)).await), "the same cookies again");
    browser.keep(0, &first.headers);
    assert!(!gives_a_session(&world.send(browser.page(&back)).await));
}

#[tokio::test(start_paused = true)]
async fn a_session_token_is_no_handshake() {
    let world = without_secret(|builder| builder).await;
    let (session, token) = expired(&world).await;
    let mut browser = Browser::signed_in(&world, &token, &uat(&session));
    let other = world.sim.sign_in("attacker");
    let line = format!("__session={}; Path=/", world.sim.mint(&other));
    for disguised in [
        world.sim.mint(&other),
        world.sim.token(&other).claim("handshake", serde_json::json!([line])).sign(),
    ] {
        let away = world.send(browser.page("/me")).await;
        browser.keep(0, &away.headers);
        let mut back = way_back(&away);
        back.query_pairs_mut().append_pair("__clerk_handshake", &disguised);
        let answer = world.send(browser.page(&back.as_str()[APP.len()..])).await;
        assert!(!gives_a_session(&answer), "{:?}", lines(&answer));
        assert!(answer.header("location").contains("/v1/client/handshake?"), "{answer:?}");
    }
    let handshake = handshake_of(&world, &other);
    assert_eq!(world.get(&handshake).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn a_process_without_the_shared_key_sets_no_session() {
    for shared in [false, true] {
        let tickets = |builder: Builder| {
            let keys = TicketKeys::parse(KEYS).expect("a key");
            if shared { builder.tickets(keys) } else { builder }
        };
        let one = without_secret(tickets).await;
        let two = ready(instance(&one.sim, &one.clock, tickets)).await;
        let (session, token) = expired(&one).await;
        let mut browser = Browser::signed_in(&one, &token, &uat(&session));
        let back = returning(&mut browser).await;
        let answer = two.send(browser.page(&back)).await;
        assert_eq!(gives_a_session(&answer), shared, "{answer:?}");
        if !shared {
            assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "user_1 fresh"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn eight_restored_tabs_all_complete_a_handshake() {
    for secret in [false, true] {
        let world = if secret {
            super::world(InstanceKind::Production, |builder| builder).await
        } else {
            without_secret(|builder| builder).await
        };
        let (session, token) = expired(&world).await;
        let mut browser = Browser::signed_in(&world, &token, &uat(&session));
        let mut ways = Vec::new();
        for tab in 0..8 {
            let away = world.send(browser.page("/me")).await;
            assert_eq!(away.status, StatusCode::TEMPORARY_REDIRECT, "{secret} {tab}");
            browser.keep(0, &away.headers);
            ways.push(Url::parse(away.header("location")).expect("an address"));
        }
        for way in ways {
            let (_, back, _) = browser.go(&way).await;
            let answer = browser.visit(&back.expect("sent back")[APP.len()..]).await;
            assert_eq!(answer.body, "user_1 fresh", "{secret} {:#?}", browser.trail);
        }
        assert!(!browser.cookies().contains("_trip_"), "{}", browser.cookies());
        assert!(!browser.cookies().contains("_returns_"), "{}", browser.cookies());
    }
}

#[tokio::test(start_paused = true)]
async fn a_loop_on_one_page_does_not_affect_others() {
    let world = without_secret(|builder| builder).await;
    let (session, token) = expired(&world).await;
    world.sim.replace_key();
    let mut browser = Browser::signed_in(&world, &token, &uat(&session));
    for forged in [true, false] {
        if forged {
            browser.set("__clerk_redirect_count=3; Path=/");
            let away = world.send(browser.page("/me")).await;
            assert_eq!(away.status, StatusCode::TEMPORARY_REDIRECT, "an unsigned count");
        }
        let answer = browser.visit("/me").await;
        assert!(answer.body.contains(&PageText::default().stuck), "{}", answer.body);
        assert_eq!(browser.handshakes(), 3, "{:#?}", browser.trail);
    }
    let other = world.send(browser.page("/me?other=1")).await;
    assert_eq!(other.status, StatusCode::TEMPORARY_REDIRECT);
}

#[tokio::test(start_paused = true)]
async fn a_loop_shortly_after_a_clerk_failure_is_503() {
    let world = without_secret(|builder| builder).await;
    world.break_clerk();
    world.until(Verdict::Suspect).await;
    world.sim.heal_all();
    world.until(Verdict::Healthy).await;
    let (session, token) = expired(&world).await;
    world.sim.replace_key();
    let mut browser = Browser::signed_in(&world, &token, &uat(&session));
    let answer = browser.visit("/me").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!answer.body.contains(&PageText::default().stuck), "{}", answer.body);
    assert_eq!(browser.handshakes(), 3, "{:#?}", browser.trail);
}

#[tokio::test(start_paused = true)]
async fn prefetches_are_neither_redirected_nor_counted() {
    let world = without_secret(|builder| builder).await;
    let (session, token) = expired(&world).await;
    let mut browser = Browser::signed_in(&world, &token, &uat(&session));
    for (name, value) in [
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("sec-purpose", "prefetch;anonymous-client-ip"),
        ("purpose", "prefetch"),
        ("x-moz", "Prefetch"),
    ] {
        let mut request = browser.page("/me");
        request.headers_mut().insert(name, value.parse().expect("a value"));
        let answer = world.send(request).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{name}: {value}");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(lines(&answer), Vec::<&str>::new());
    }
    assert_eq!(world.clerk.counts().handshakes, 0);
    assert_eq!(browser.visit("/me").await.body, "user_1 fresh");
    let mut request = browser.page("/me");
    request.headers_mut().insert("sec-purpose", "prefetch".parse().expect("a value"));
    assert_eq!(world.send(request).await.status, StatusCode::OK, "a fresh session passes");
}

/// A page visit of an expired session.
fn page(token: &str, uat: &str, fields: &[(&str, &str)]) -> Request<axum::body::Body> {
    let cookies = format!("__session={token}; __client_uat={uat}");
    anonymous("GET", "/me", &[&NAVIGATION, fields, &[("cookie", &*cookies)]].concat())
}

#[tokio::test(start_paused = true)]
async fn a_forwarded_host_never_receives_a_token() {
    let world = without_secret(|builder| builder.trust_forwarded(true)).await;
    let (session, token) = expired(&world).await;
    let uat = uat(&session);
    for field in [("x-forwarded-host", "evil.example"), ("forwarded", "host=evil.example")] {
        let fields = [("host", "app.example.com:443"), field];
        let away = world.send(page(&token, &uat, &fields)).await;
        let back = way_back(&away).origin().ascii_serialization();
        assert_eq!(back, APP, "no origin is configured: Host alone");
    }
    let named = |builder: Builder| builder.trust_forwarded(true).public_origins([APP]);
    let world = without_secret(named).await;
    let (session, token) = expired(&world).await;
    let uat = super::uat(&session);
    for (fields, sent) in [
        (&[("host", "10.0.0.7:3000"), ("x-forwarded-host", "app.example.com")][..], true),
        (&[("host", "app.example.com"), ("x-forwarded-proto", "http")], true),
        (&[("host", "app.example.com"), ("x-forwarded-host", "evil.example")], false),
        (&[("host", "evil.example")], false),
    ] {
        let answer = world.send(page(&token, &uat, fields)).await;
        assert_eq!(answer.status.is_redirection(), sent, "{fields:?}");
        if sent {
            assert_eq!(way_back(&answer).origin().ascii_serialization(), APP, "{fields:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn trusting_the_host_header_logs_one_warning() {
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let world = without_secret(|builder| builder).await;
    let (session, token) = expired(&world).await;
    for _ in 0..3 {
        let fields = [("host", "app.example.com")];
        world.send(page(&token, &uat(&session), &fields)).await;
    }
    assert_eq!(log.text().matches("clerk.origins.missing").count(), 1, "{}", log.text());
}
