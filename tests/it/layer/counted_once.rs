//! Effects happen once for each request, after the decision; and a token of the past has none.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use clerk_resilience::audit::{GraceEvent, GraceRuling};
use clerk_resilience::internals::decide::GraceDenial;
use clerk_resilience::sim::{SimSession, SimSurface};
use clerk_resilience::{Counts, GraceAccess, GracePolicy, RoutePolicy, Verdict};
use http::StatusCode;
use test_support::world::{
    Answer, NAVIGATION, World, anonymous, bearer, expired, routes, start_of_time,
};

const DAY: u64 = 24 * 60 * 60;

type Events = Arc<Mutex<Vec<GraceEvent>>>;

async fn audited(policy: GracePolicy) -> (World, Events) {
    let events = Events::default();
    let kept = Arc::clone(&events);
    let record = move |event: &GraceEvent| kept.lock().expect("whole").push(event.clone());
    (World::with(|builder| builder.grace(policy).audit(record)).await, events)
}

fn taken(events: &Events) -> Vec<GraceRuling> {
    events.lock().expect("whole").drain(..).map(|event| event.ruling).collect()
}

fn layered(world: &World, inner: RoutePolicy) -> Router {
    routes().route_layer(world.clerk.policy(inner)).layer(world.clerk.clone())
}

/// How many requests were counted, however they ended.
fn total(counts: Counts) -> u64 {
    let Counts { fresh, machines, grace, anonymous, unauthorized, forbidden, unavailable, .. } =
        counts;
    fresh + machines + grace + anonymous + unauthorized + forbidden + unavailable
}

async fn passed(app: &Router, token: &str, requests: u32) -> u32 {
    let mut passed = 0;
    for _ in 0..requests {
        let answer = World::ask(app, bearer("GET", "/me", token)).await;
        passed += u32::from(answer.status == StatusCode::OK);
    }
    passed
}

#[tokio::test(start_paused = true)]
async fn two_layers_count_and_audit_a_request_once() {
    let (world, events) = audited(GracePolicy::balanced()).await;
    let (_, token) = world.outage().await;
    let app = layered(&world, RoutePolicy::required());
    let before = world.clerk.counts();
    assert_eq!(passed(&app, &token, 121).await, 120);
    let after = world.clerk.counts();
    assert_eq!(after.grace - before.grace, 120);
    assert_eq!(total(after) - total(before), 121);
    let rulings = taken(&events);
    assert_eq!(rulings.len(), 121);
    assert_eq!(rulings[120], GraceRuling::Denied(GraceDenial::TooOften));
}

#[tokio::test(start_paused = true)]
async fn a_rejection_by_an_inner_layer_is_counted() {
    let world = World::new().await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    let optional = world.clerk.policy(RoutePolicy::optional());
    let admin = world.clerk.policy(RoutePolicy::required().role("org:admin"));
    let app = routes().route_layer(admin).layer(optional);
    let before = world.clerk.counts();
    assert_eq!(World::ask(&app, bearer("GET", "/me", &token)).await.status.as_u16(), 403);
    assert_eq!(World::ask(&app, anonymous("GET", "/me", &[])).await.status.as_u16(), 401);
    let after = world.clerk.counts();
    assert_eq!((after.fresh, after.anonymous), (before.fresh, before.anonymous));
    assert_eq!(after.forbidden - before.forbidden, 1);
    assert_eq!(after.unauthorized - before.unauthorized, 1);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_by_an_inner_layer_costs_no_grace_usage() {
    let world = World::new().await;
    let (_, token) = world.outage().await;
    let never = layered(&world, RoutePolicy::required().grace(GraceAccess::Never));
    assert_eq!(passed(&never, &token, 200).await, 0);
    assert_eq!(passed(&world.app, &token, 121).await, 120);
}

#[tokio::test(start_paused = true)]
async fn requests_failing_another_condition_cost_no_grace_usage() {
    let world = World::new().await;
    let (session, token) = world.outage().await;
    let old = world.sim.token(&session).ago(Duration::from_secs(3 * 3600)).sign();
    for _ in 0..200 {
        assert_eq!(world.get(&old).await.status, StatusCode::SERVICE_UNAVAILABLE);
        world.send(bearer("POST", "/me", &token)).await;
    }
    assert_eq!(passed(&world.app, &token, 121).await, 120);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_request_is_counted_once() {
    let world = World::production(|builder| builder).await;
    world.pass(5).await;
    let (session, token) = expired(&world).await;
    let cookies = cookies(&world, &token, &world.sim.refresh_token(&session));
    let app = layered(&world, RoutePolicy::required());
    let before = world.clerk.counts();
    assert_eq!(World::ask(&app, fetch("/me", &cookies)).await.status, StatusCode::OK);
    let after = world.clerk.counts();
    assert_eq!((after.renewed - before.renewed, after.fresh - before.fresh), (1, 1));
    assert_eq!(total(after) - total(before), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_request_is_counted_once() {
    let world = World::new().await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    let app = Router::new()
        .route("/slow", get(async || std::future::pending::<()>().await))
        .route_layer(world.clerk.policy(RoutePolicy::required()))
        .layer(world.clerk.clone());
    let request = World::ask(&app, bearer("GET", "/slow", &token));
    assert!(tokio::time::timeout(Duration::from_secs(1), request).await.is_err());
    assert_eq!(world.clerk.counts().fresh, 1);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_reports_the_usage_once_for_two_layers() {
    let (world, events) = audited(GracePolicy::balanced().report_only()).await;
    let (_, token) = world.outage().await;
    assert_eq!(passed(&layered(&world, RoutePolicy::required()), &token, 121).await, 0);
    assert_eq!(world.clerk.counts().grace_reported, 120);
    assert_eq!(taken(&events).len(), 10, "refusals are recorded ten times a minute");
}

#[tokio::test(start_paused = true)]
async fn rejections_do_not_fill_the_audit_log() {
    let (world, events) = audited(GracePolicy::balanced()).await;
    let (session, token) = world.outage().await;
    let old = world.sim.token(&session).ago(Duration::from_secs(3 * 3600)).sign();
    for _ in 0..1_000 {
        world.get(&old).await;
    }
    assert_eq!(taken(&events).len(), 10);
    assert_eq!(world.clerk.counts().audit_withheld, 990);
    world.get(&token).await;
    assert!(matches!(taken(&events)[..], [GraceRuling::Passed(_)]), "passes are all recorded");
}

// A token that expired more than a day ago ------------------------------------------------------

fn cookies(world: &World, token: &str, refresh: &str) -> String {
    let (suffix, since) = (world.sim.cookie_suffix(), start_of_time().as_secs() - 10_000);
    format!("__session={token}; __client_uat={since}; __refresh_{suffix}={refresh}")
}

fn fetch(path: &str, cookies: &str) -> http::Request<axum::body::Body> {
    let fields = [
        ("sec-fetch-dest", "empty"),
        ("host", "app.example.com"),
        ("x-forwarded-proto", "https"),
        ("cookie", cookies),
    ];
    anonymous("GET", path, &fields)
}

fn page(cookies: &str) -> http::Request<axum::body::Body> {
    let mut fields = NAVIGATION.to_vec();
    fields.extend([("host", "app.example.com"), ("x-forwarded-proto", "https")]);
    fields.extend((!cookies.is_empty()).then_some(("cookie", cookies)));
    anonymous("GET", "/me", &fields)
}

/// Why a browser is sent to Clerk.
fn departure(answer: &Answer) -> Option<String> {
    let address = url::Url::parse(answer.header("location")).ok()?;
    let mut query = address.query_pairs();
    query.find_map(|(name, value)| (name == "__clerk_hs_reason").then(|| value.into_owned()))
}

/// A token whose `exp` was a day ago, and so many seconds more.
fn past(world: &World, session: &SimSession, secs: u64) -> String {
    world.sim.token(session).ago(Duration::from_secs(60 + DAY + secs)).sign()
}

#[tokio::test(start_paused = true)]
async fn a_token_older_than_a_day_is_answered_as_no_token() {
    let world = World::production(|builder| builder).await;
    world.pass(5).await;
    let session = world.sim.sign_in("user_1");
    for outage in [false, true] {
        if outage {
            world.break_clerk();
            world.until(Verdict::Outage).await;
        }
        let since = start_of_time().as_secs() - 10_000;
        for uat in [format!("__client_uat={since}"), "a=b".to_owned()] {
            let old = past(&world, &session, 1);
            let unknown = world.sim.token(&session).kid("ins_other").forged();
            let unknown = unknown.ago(Duration::from_secs(2 * DAY)).sign();
            for old in [old, unknown] {
                let with = format!("__session={old}; {uat}");
                for (with, without) in
                    [(page(&with), page(&uat)), (fetch("/me", &with), fetch("/me", &uat))]
                {
                    let (with, without) = (world.send(with).await, world.send(without).await);
                    assert_eq!(with.status, without.status, "{outage} {uat}");
                    assert_eq!(departure(&with), departure(&without), "{outage} {uat}");
                }
            }
        }
        let header = world.get(&past(&world, &session, 1)).await;
        let none = world.send(anonymous("GET", "/me", &[])).await;
        let reason = |answer: &Answer| answer.json()["reason"].clone();
        assert_eq!((header.status, reason(&header)), (none.status, reason(&none)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_older_than_a_day_costs_its_session_nothing() {
    let (world, events) = audited(GracePolicy::balanced()).await;
    let (session, token) = world.outage().await;
    for _ in 0..1_000 {
        let answer = world.get(&past(&world, &session, 1)).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!(taken(&events).is_empty());
    assert_eq!(passed(&world.app, &token, 121).await, 120);
}

#[tokio::test(start_paused = true)]
async fn a_token_exactly_a_day_old_still_counts() {
    let (world, events) = audited(GracePolicy::balanced()).await;
    let (session, _) = world.outage().await;
    world.get(&past(&world, &session, 1)).await;
    assert!(taken(&events).is_empty());
    world.get(&past(&world, &session, 0)).await;
    assert_eq!(taken(&events), [GraceRuling::Denied(GraceDenial::TooLate)]);
}

#[tokio::test(start_paused = true)]
async fn a_token_older_than_a_day_is_not_renewed() {
    let world = World::production(|builder| builder).await;
    world.pass(5).await;
    let session = world.sim.sign_in("user_1");
    let refresh = world.sim.refresh_token(&session);
    let old = past(&world, &session, 1);
    let answer = world.send(fetch("/me", &cookies(&world, &old, &refresh))).await;
    assert_eq!(answer.json()["reason"], "session-token-missing");
    assert_eq!(world.clerk.counts().backend_questions, 0);
}

// A stranger with an expired token of somebody's session ------------------------------------------

#[tokio::test(start_paused = true)]
async fn another_browser_does_not_block_the_owners_renewals() {
    let world = World::production(|builder| builder).await;
    world.pass(5).await;
    let (session, token) = expired(&world).await;
    let owner = cookies(&world, &token, &world.sim.refresh_token(&session));
    let stranger = cookies(&world, &token, "made-up");
    for second in 0..120 {
        if second % 5 == 0 {
            let refused = world.send(fetch("/me", &stranger)).await;
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        }
        assert_eq!(world.send(fetch("/me", &owner)).await.status, StatusCode::OK, "{second}");
        world.pass(1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_invented_browsers_costs_two_calls_a_second() {
    let world = World::production(|builder| builder).await;
    world.pass(5).await;
    let session = world.sim.sign_in("user_1");
    world.sim.set_browser_session(Some(&session));
    let (token, refresh) = (world.sim.mint(&session), world.sim.refresh_token(&session));
    let owner = cookies(&world, &token, &refresh);
    assert_eq!(world.send(fetch("/me", &owner)).await.status, StatusCode::OK, "a live token");
    world.pass(90).await;
    let before = world.sim.requests(SimSurface::BackendApi);
    for second in 0..10 {
        for n in 0..100 {
            let stranger = cookies(&world, &token, &format!("made-up-{second}-{n}"));
            world.send(fetch("/me", &stranger)).await;
        }
        let answer = world.send(fetch("/me", &owner)).await;
        assert_eq!(answer.status, StatusCode::OK, "the owner, after {second} s");
        world.pass(1).await;
    }
    let calls = world.sim.requests(SimSurface::BackendApi) - before;
    assert!(calls <= 30, "{calls} calls in 10 s");
}

#[tokio::test(start_paused = true)]
async fn a_revoked_session_leaves_no_sighting() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let other = world.sim.sign_in("user_2");
    world.clerk.revoke_session(session.id.as_str());
    let (revoked, good) = (world.sim.mint(&session), world.sim.mint(&other));
    assert_eq!(world.get(&revoked).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.get(&good).await.status, StatusCode::OK);
    world.break_clerk();
    world.until(Verdict::Outage).await;
    world.pass(60).await;
    assert_eq!(world.get(&revoked).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.get(&good).await.status, StatusCode::OK);
}
