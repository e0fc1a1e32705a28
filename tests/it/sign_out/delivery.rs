//! Sign-outs reach Clerk, after retries and restarts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clerk_resilience::sim::{SimClerk, SimClock, SimFault, SimSurface};
use clerk_resilience::transport::{ApiRequest, ApiResponse, Calling, Transport};
use clerk_resilience::{GracePolicy, Verdict};
use http::{HeaderMap, StatusCode};
use test_support::world::{Log, World, bearer, start_of_time, until_saved};

use super::{SAME_ORIGIN, cookies_gone, leave, sign_out, without_secret_key};

#[tokio::test(start_paused = true)]
async fn a_sign_out_in_an_outage_reaches_clerk_afterwards() {
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
async fn a_sign_out_survives_a_restart_and_still_reaches_clerk() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_owned();
    let kept = |builder: clerk_resilience::Builder| {
        builder.grace(GracePolicy::balanced()).state_dir(path.clone())
    };
    let world = World::with(&kept).await;
    let (session, token) = world.outage().await;
    sign_out(&world, &token, &[SAME_ORIGIN]).await;
    until_saved(dir.path(), |record| {
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
async fn a_sign_out_is_repeated_until_clerk_answers() {
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
async fn sign_outs_of_a_stopped_process_reach_clerk() {
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
    until_saved(dir.path(), waits).await;
    drop(first);
    second.pass(60).await;
    until_saved(dir.path(), waits).await;
    second.sim.heal_all();
    second.until(Verdict::Healthy).await;
    let before = second.sim.requests(SimSurface::BackendMutation);
    second.pass(60).await;
    assert!(!second.sim.sessions().contains(&session), "Clerk was told");
    assert!(second.sim.requests(SimSurface::BackendMutation) - before <= 1, "and but once");
    until_saved(dir.path(), |record| record["ending"] == serde_json::json!([])).await;
}

/// Gives its own answer to whoever ends one of the sessions; the rest goes on to Clerk.
#[derive(Debug)]
struct Stubborn {
    session: String,
    answer: (u16, &'static str),
    asked: Arc<AtomicUsize>,
    clerk: Arc<dyn Transport>,
}

impl Transport for Stubborn {
    fn call(&self, call: ApiRequest) -> Calling {
        if !call.url.path().contains(&self.session) {
            return self.clerk.call(call);
        }
        self.asked.fetch_add(1, Ordering::Relaxed);
        let (status, body) = self.answer;
        let status = StatusCode::from_u16(status).expect("a status");
        let latency = Duration::from_millis(10);
        let reply = ApiResponse { status, headers: HeaderMap::new(), body: body.into(), latency };
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
        clerk: Arc::new(sim.transport()),
    };
    let world = World::beside(clock, sim, |builder| builder.transport(wire));
    world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    for session in [&first, &second] {
        sign_out(&world, &world.sim.mint(session), &[SAME_ORIGIN]).await;
    }
    world.pass(300).await;
    (asked.load(Ordering::Relaxed), !world.sim.sessions().contains(&second))
}

#[tokio::test(start_paused = true)]
async fn a_failing_sign_out_delays_no_other() {
    let secret = r#"{"errors":[{"code":"secret_key_invalid","message":"m"}]}"#;
    for (status, body) in [(409, ""), (500, ""), (403, "<html>"), (403, secret)] {
        let (asked, ended) = behind_a_stubborn_one(status, body).await;
        assert!(ended, "{status} {body}");
        assert!(asked > 1, "it is asked for again: {status} {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_sign_out_is_not_repeated() {
    let refused = r#"{"errors":[{"code":"not_allowed","message":"m"}]}"#;
    assert_eq!(behind_a_stubborn_one(403, refused).await, (1, true));
}

#[tokio::test(start_paused = true)]
async fn a_sign_out_is_sent_once() {
    let world = World::new().await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    let before = world.sim.requests(SimSurface::BackendMutation);
    sign_out(&world, &token, &[SAME_ORIGIN]).await;
    world.pass(60).await;
    assert_eq!(world.sim.requests(SimSurface::BackendMutation) - before, 1);
}

#[tokio::test(start_paused = true)]
async fn older_sign_outs_do_not_delay_the_newest() {
    let world = World::production(|builder| builder).await;
    for n in 0..200 {
        let session = world.sim.sign_in(&*format!("user_{n}"));
        leave(&world, &world.sim.mint(&session)).await;
    }
    let last = world.sim.sign_in("user_last");
    leave(&world, &world.sim.mint(&last)).await;
    world.pass(1).await;
    assert!(!world.sim.sessions().contains(&last));
    world.pass(25).await;
    assert!(world.sim.sessions().is_empty(), "ten a second reach Clerk");
}

#[tokio::test(start_paused = true)]
async fn many_sessions_of_one_user_do_not_delay_another_user() {
    let world = World::production(|builder| builder).await;
    let other = world.sim.sign_in("user_2");
    leave(&world, &world.sim.mint(&other)).await;
    for _ in 0..300 {
        let session = world.sim.sign_in("user_1");
        leave(&world, &world.sim.mint(&session)).await;
    }
    world.pass(1).await;
    assert!(!world.sim.sessions().contains(&other));
    assert!(world.sim.sessions().len() > 280, "no more than about ten a second");
}

/// The driver does not run while the requests of this test do.
#[tokio::test(start_paused = true)]
async fn a_full_signal_queue_loses_no_sign_out() {
    let world = World::production(|builder| builder).await;
    let sessions: Vec<_> = (0..20).map(|n| world.sim.sign_in(&*format!("user_{n}"))).collect();
    let tokens: Vec<_> = sessions.iter().map(|session| world.sim.mint(session)).collect();
    (0..10_000).for_each(|_| world.clerk.clear_override());
    for token in &tokens {
        let request = bearer("POST", "/auth/sign-out", token);
        let answer = futures_util::FutureExt::now_or_never(world.send(request));
        assert_eq!(answer.expect("at once").status, StatusCode::NO_CONTENT);
    }
    assert!(world.clerk.counts().signals_dropped > 0, "the queue was full");
    world.pass(10).await;
    assert!(world.sim.sessions().is_empty());
    assert_eq!(world.clerk.counts().sign_outs_dropped, 0);
}

#[tokio::test(start_paused = true)]
async fn a_sign_out_without_a_secret_key_logs_one_warning() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let world = without_secret_key(|config| config).await;
    let _routes = world.clerk.routes();
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    leave(&world, &token).await;
    let text = log.text();
    assert_eq!(text.matches("clerk.sign_out.local").count(), 1, "{text}");
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    World::new().await;
    assert_eq!(log.text().matches("clerk.sign_out.local").count(), 0);
}

#[tokio::test(start_paused = true)]
async fn dropped_sign_outs_are_counted_and_logged() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_owned();
    let kept = |builder: clerk_resilience::Builder| builder.state_dir(path.clone());
    let world = World::with(&kept).await;
    leave(&world, &world.sim.mint(&world.sim.sign_in("user_1"))).await;
    world.pass(10).await;
    let ended = |record: &serde_json::Value| record["ending"] == serde_json::json!([]);
    until_saved(dir.path(), ended).await;
    let (clock, sim) = (world.clock.clone(), world.sim.clone());
    drop(world);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        std::thread::sleep(Duration::from_millis(2));
    }
    let file = dir.path().join("outages.json");
    let record = std::fs::read(&file).expect("saved");
    let mut record: serde_json::Value = serde_json::from_slice(&record).expect("JSON");
    record["ending"] = (0..50_010).map(|n| format!("sess_{n}")).collect();
    std::fs::write(&file, record.to_string()).expect("ours");
    let world = World::beside(clock, sim, kept);
    world.pass(3).await;
    assert_eq!(world.clerk.counts().sign_outs_dropped, 10);
    assert_eq!(log.text().matches("clerk.sign_outs.dropped").count(), 1);
}
