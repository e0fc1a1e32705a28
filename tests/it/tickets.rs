//! Tickets: evidence that travels with the browser, from one process to another.

use clerk_resilience::internals::ticket::TicketKeys;
use clerk_resilience::key::InstanceKind;
use clerk_resilience::{Builder, ClerkResilience, GracePolicy, Verdict};
use http::StatusCode;
use test_support::world::{Answer, World, anonymous, config, expired};

use crate::handshake;
use crate::handshake::browser::Browser;

const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const OTHER_KEY: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

fn with_tickets(builder: Builder) -> Builder {
    let keys = TicketKeys::parse(KEY).expect("a key");
    builder.grace(GracePolicy::balanced()).tickets(keys)
}

/// A browser's call with a session cookie and perhaps a ticket.
async fn call(world: &World, host: &str, token: &str, ticket: Option<&str>) -> Answer {
    let ticket = ticket.map(|ticket| format!("; {ticket}")).unwrap_or_default();
    let cookies = format!("__session={token}; __client_uat=1{ticket}");
    world.send(anonymous("GET", "/me", &[("host", host), ("cookie", &cookies)])).await
}

/// The cookie that an answer sets, as the browser sends it back.
fn set(answer: &Answer) -> Option<String> {
    let cookie = answer.header("set-cookie").split(';').next().unwrap_or_default();
    cookie.starts_with("__Host-clerk_ticket=").then(|| cookie.to_owned())
}

/// A process that served one user, a second one beside it that did not, and an outage: the second
/// process, the user's expired token and the ticket.
async fn handed_over(other: impl FnOnce(Builder) -> Builder) -> (World, String, String) {
    let first = World::with(with_tickets).await;
    let token = first.sim.mint(&first.sim.sign_in("user_1"));
    let ticket = set(&call(&first, "app.example.com", &token, None).await).expect("a ticket");
    let second = World::beside(first.clock.clone(), first.sim.clone(), other);
    second.pass(1).await;
    second.break_clerk();
    second.until(Verdict::Outage).await;
    second.pass(60).await;
    (second, token, ticket)
}

#[tokio::test(start_paused = true)]
async fn a_ticket_proves_a_sighting_to_another_process() {
    let (second, token, ticket) = handed_over(with_tickets).await;
    let without = call(&second, "app.example.com", &token, None).await;
    assert_eq!(without.status, StatusCode::SERVICE_UNAVAILABLE);
    let with = call(&second, "app.example.com", &token, Some(&ticket)).await;
    assert_eq!((with.status, &*with.body), (StatusCode::OK, "user_1 outage"));
    assert_eq!(set(&with), None, "grace makes no evidence");
}

#[tokio::test(start_paused = true)]
async fn a_ticket_is_bound_to_host_token_and_key() {
    let (second, token, ticket) = handed_over(with_tickets).await;
    let elsewhere = call(&second, "other.example.com", &token, Some(&ticket)).await;
    assert_eq!(elsewhere.status, StatusCode::SERVICE_UNAVAILABLE);
    let other = second.sim.sign_in("user_2");
    let ago = std::time::Duration::from_secs(70);
    let other = second.sim.token(&other).ago(ago).sign();
    let borrowed = call(&second, "app.example.com", &other, Some(&ticket)).await;
    assert_eq!(borrowed.status, StatusCode::SERVICE_UNAVAILABLE);

    let rotated = |builder: Builder| {
        let keys = TicketKeys::parse(OTHER_KEY).expect("a key");
        builder.grace(GracePolicy::balanced()).tickets(keys)
    };
    let (second, token, ticket) = handed_over(rotated).await;
    let old = call(&second, "app.example.com", &token, Some(&ticket)).await;
    assert_eq!(old.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn a_ticket_needs_its_token_and_an_outage() {
    let world = World::with(with_tickets).await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    let ticket = set(&call(&world, "app.example.com", &token, None).await).expect("a ticket");
    let alone = anonymous("GET", "/me", &[("host", "app.example.com"), ("cookie", &ticket)]);
    assert_eq!(world.send(alone).await.status, StatusCode::UNAUTHORIZED);
    world.pass(70).await;
    let expired = call(&world, "app.example.com", &token, Some(&ticket)).await;
    assert_eq!(expired.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn a_ticket_cookie_is_protected_and_renewed_on_change() {
    let world = World::with(with_tickets).await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    let first = call(&world, "app.example.com", &token, None).await;
    let line = first.header("set-cookie");
    for attribute in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=86400"] {
        assert!(line.contains(attribute), "{line}");
    }
    let ticket = set(&first).expect("a ticket");
    let again = call(&world, "app.example.com", &token, Some(&ticket)).await;
    assert_eq!(set(&again), None);
    world.pass(30).await;
    let newer = world.sim.mint(&session);
    let renewed = set(&call(&world, "app.example.com", &newer, Some(&ticket)).await);
    assert!(renewed.is_some_and(|renewed| renewed != ticket));
    assert_eq!(set(&world.get(&newer).await), None, "a program keeps no cookies");
    let plain = World::new().await;
    let token = plain.sim.mint(&plain.sim.sign_in("user_1"));
    assert_eq!(set(&call(&plain, "app.example.com", &token, None).await), None);
}

#[tokio::test(start_paused = true)]
async fn a_session_in_grace_gets_no_ticket() {
    let world = World::with(with_tickets).await;
    let (_, token) = world.outage().await;
    let answer = call(&world, "app.example.com", &token, None).await;
    assert_eq!((answer.status, set(&answer)), (StatusCode::OK, None));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_of_another_session_makes_no_ticket() {
    let world = handshake::world(InstanceKind::Production, with_tickets).await;
    let (ended, old) = expired(&world).await;
    let own = world.sim.sign_in("user_2");
    world.sim.set_browser_session(Some(&own));
    let mut browser = Browser::new(&world);
    browser.set(&format!("__client_uat={}; Path=/", handshake::uat(&own)));
    let back = handshake::returning(&mut browser).await;
    browser.set(&format!("__session={old}; Path=/"));
    browser.set(&format!("__client_uat={}; Path=/", handshake::uat(&ended)));
    let answer = world.send(browser.page(&back)).await;
    assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(set(&answer), None);
}

#[tokio::test(start_paused = true)]
async fn tickets_and_token_only_evidence_are_exclusive() {
    let world = World::unready(|builder| builder);
    let policy = GracePolicy::balanced().dangerously_trust_the_token_alone();
    let built = with_tickets(ClerkResilience::builder(config(&world.sim))).grace(policy).build();
    let error = built.expect_err("refused").to_string();
    assert!(error.contains("tickets") && error.contains("dangerously"), "{error}");
}
