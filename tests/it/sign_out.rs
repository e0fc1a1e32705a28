//! Signing out while Clerk cannot: it sticks here, and Clerk is told later.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use clerk_resilience::sim::{SimClerk, SimClock, SimFault, SimSurface};
use clerk_resilience::upstream::{Call, Calling, Reply, Upstream};
use clerk_resilience::{Auth, GracePolicy, Verdict};
use http::{HeaderMap, StatusCode};

use crate::support::{Answer, World, anonymous, bearer, start_of_time};

const SAME_ORIGIN: (&str, &str) = ("sec-fetch-site", "same-origin");

fn cookies_gone(answer: &Answer) -> bool {
    let lines: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    let gone = |name: &str| {
        lines.iter().any(|line| {
            let line = line.to_str().expect("text");
            line.starts_with(&format!("{name}=;")) && line.contains("Max-Age=0")
        })
    };
    gone("__session") && gone("__Host-clerk_ticket")
}

async fn sign_out(world: &World, token: &str, fields: &[(&str, &str)]) -> Answer {
    let cookie = format!("__session={token}; __client_uat=1");
    let fields = [&[("cookie", cookie.as_str())], fields].concat();
    world.send(anonymous("POST", "/auth/sign-out", &fields)).await
}

#[tokio::test(start_paused = true)]
async fn who_signs_out_in_an_outage_stays_out_and_clerk_is_told_when_it_is_back() {
    let world = World::new().await;
    let (session, token) = world.outage().await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    let answer = sign_out(&world, &token, &[SAME_ORIGIN]).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert!(cookies_gone(&answer), "{:?}", answer.headers);
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
    assert!(world.sim.sessions().contains(&session), "Clerk cannot know yet");

    world.sim.heal_all();
    world.until(Verdict::Healthy).await;
    world.pass(30).await;
    assert!(!world.sim.sessions().contains(&session), "Clerk was told");
    let minted = world.sim.token(&session).sign();
    assert_eq!(world.get(&minted).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn a_sign_out_survives_a_restart_here_and_on_its_way_to_clerk() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_owned();
    let kept = |builder: clerk_resilience::Builder| {
        builder.grace(GracePolicy::balanced()).state_dir(path.clone())
    };
    let world = World::with(&kept).await;
    let (session, token) = world.outage().await;
    sign_out(&world, &token, &[SAME_ORIGIN]).await;
    crate::restart::until_saved(dir.path(), |record| {
        record["ending"].as_array().is_some_and(|ending| ending.len() == 1)
    })
    .await;
    let (clock, sim) = (world.clock.clone(), world.sim.clone());
    drop(world);
    let next = World::beside(clock, sim, kept);
    next.pass(3).await;
    assert_eq!(next.get(&token).await.status, StatusCode::UNAUTHORIZED);
    next.sim.heal_all();
    next.until(Verdict::Healthy).await;
    next.pass(30).await;
    assert!(!next.sim.sessions().contains(&session), "Clerk was told");
}

#[tokio::test(start_paused = true)]
async fn clerk_is_told_again_until_it_has_heard() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    world.sim.break_with(SimSurface::BackendMutation, SimFault::status(429));
    sign_out(&world, &token, &[SAME_ORIGIN]).await;
    world.pass(70).await;
    assert!(world.sim.sessions().contains(&session));
    world.sim.heal_all();
    world.pass(150).await;
    assert!(!world.sim.sessions().contains(&session));
}

#[tokio::test(start_paused = true)]
async fn who_stays_tells_clerk_of_the_sign_outs_of_a_process_that_has_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_owned();
    let kept = |builder: clerk_resilience::Builder| {
        builder.grace(GracePolicy::balanced()).state_dir(path.clone())
    };
    let first = World::with(&kept).await;
    let (session, token) = first.outage().await;
    let second = World::beside(first.clock.clone(), first.sim.clone(), kept);
    second.until(Verdict::Outage).await;
    let waits = |record: &serde_json::Value| {
        record["ending"].as_array().is_some_and(|ending| ending.len() == 1)
    };
    sign_out(&first, &token, &[SAME_ORIGIN]).await;
    crate::restart::until_saved(dir.path(), waits).await;
    drop(first);
    second.pass(60).await;
    crate::restart::until_saved(dir.path(), waits).await;
    second.sim.heal_all();
    second.until(Verdict::Healthy).await;
    let before = second.sim.requests(SimSurface::BackendMutation);
    second.pass(60).await;
    assert!(!second.sim.sessions().contains(&session), "Clerk was told");
    assert!(second.sim.requests(SimSurface::BackendMutation) - before <= 1, "and but once");
    crate::restart::until_saved(dir.path(), |record| record["ending"] == serde_json::json!([]))
        .await;
}

/// Gives its own answer to whoever ends one of the sessions; the rest goes on to Clerk.
#[derive(Debug)]
struct Stubborn {
    session: String,
    answer: (u16, &'static str),
    asked: Arc<AtomicUsize>,
    clerk: Arc<dyn Upstream>,
}

impl Upstream for Stubborn {
    fn call(&self, call: Call) -> Calling {
        if !call.url.path().contains(&self.session) {
            return self.clerk.call(call);
        }
        self.asked.fetch_add(1, Ordering::Relaxed);
        let (status, body) = self.answer;
        let status = StatusCode::from_u16(status).expect("a status");
        let latency = Duration::from_millis(10);
        let reply = Reply { status, headers: HeaderMap::new(), body: body.into(), latency };
        Box::pin(async move { Ok(reply) })
    }
}

/// Two sign out, and the first is stubborn: how often Clerk was asked about it in five minutes, and
/// whether the second was ended meanwhile.
async fn behind_a_stubborn_one(status: u16, body: &'static str) -> (usize, bool) {
    let clock = SimClock::starting_at(start_of_time());
    let sim = SimClerk::builder().clock(clock.clone()).seed(7).build();
    let [first, second] = ["user_1", "user_2"].map(|user| sim.sign_in(user));
    let asked = Arc::new(AtomicUsize::new(0));
    let wire = Stubborn {
        session: first.id.to_string(),
        answer: (status, body),
        asked: Arc::clone(&asked),
        clerk: Arc::new(sim.upstream()),
    };
    let world = World::beside(clock, sim, |builder| builder.upstream(wire));
    world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    for session in [&first, &second] {
        sign_out(&world, &world.sim.mint(session), &[SAME_ORIGIN]).await;
    }
    world.pass(300).await;
    (asked.load(Ordering::Relaxed), !world.sim.sessions().contains(&second))
}

#[tokio::test(start_paused = true)]
async fn a_session_that_clerk_will_not_end_keeps_no_other_waiting() {
    let secret = r#"{"errors":[{"code":"secret_key_invalid","message":"m"}]}"#;
    for (status, body) in [(409, ""), (500, ""), (403, "<html>"), (403, secret)] {
        let (asked, ended) = behind_a_stubborn_one(status, body).await;
        assert!(ended, "{status} {body}");
        assert!(asked > 1, "it is asked for again: {status} {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_clerk_says_may_not_be_ended_is_not_asked_for_again() {
    let refused = r#"{"errors":[{"code":"not_allowed","message":"m"}]}"#;
    assert_eq!(behind_a_stubborn_one(403, refused).await, (1, true));
}

#[tokio::test(start_paused = true)]
async fn clerk_is_told_once() {
    let world = World::new().await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    let before = world.sim.requests(SimSurface::BackendMutation);
    sign_out(&world, &token, &[SAME_ORIGIN]).await;
    world.pass(60).await;
    assert_eq!(world.sim.requests(SimSurface::BackendMutation) - before, 1);
}

#[tokio::test(start_paused = true)]
async fn another_site_cannot_sign_anybody_out() {
    let world = World::new().await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    for fields in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "https://evil.example"), ("host", "app.example.com")],
        &[],
    ] {
        let answer = sign_out(&world, &token, fields).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{fields:?}");
        assert!(!answer.headers.contains_key("set-cookie"));
    }
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    let own = [("origin", "https://app.example.com"), ("host", "app.example.com")];
    assert_eq!(sign_out(&world, &token, &own).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test(start_paused = true)]
async fn a_password_that_browsers_send_by_themselves_is_no_proof_of_the_origin() {
    let world = World::new().await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    let fields = [("authorization", "Basic dXNlcjpwYXNz"), ("sec-fetch-site", "cross-site")];
    let answer = sign_out(&world, &token, &fields).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn programs_sign_out_with_their_token_and_forms_are_led_home() {
    let world = World::new().await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    let answer = world.send(bearer("POST", "/auth/sign-out", &token)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
    let form = [SAME_ORIGIN, ("accept", "text/html,*/*")];
    let answer = sign_out(&world, &token, &form).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/"));
    let answer = world.send(anonymous("GET", "/auth/sign-out", &[])).await;
    assert_eq!((answer.status, answer.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
}

#[tokio::test(start_paused = true)]
async fn a_forged_token_ends_nobody_s_session_and_its_cookies_go() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    let answer = sign_out(&world, &world.sim.forge(&session), &[SAME_ORIGIN]).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert!(cookies_gone(&answer));
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_handler_can_sign_out_by_itself() {
    let world = World::new().await;
    let clerk = world.clerk.clone();
    let handler = async move |auth: Auth| (clerk.sign_out(&auth), "bye");
    let app = Router::new().route("/leave", post(handler)).route_layer(world.clerk.clone());
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    let answer = World::ask(&app, bearer("POST", "/leave", &token)).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "bye"));
    assert!(cookies_gone(&answer));
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
}
