//! Expired session cookies that are renewed on the way, by the browser's refresh cookie.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use clerk_resilience::sim::{SimFault, SimSession, SimSurface};
use clerk_resilience::{Auth, Builder, GracePolicy, RoutePolicy, Verdict};
use http::StatusCode;
use test_support::world::{Answer, NAVIGATION, World, anonymous, expired, start_of_time};
use tokio::time::Instant;

/// A world whose instance is for production, so that browsers need no development token.
async fn world(choose: impl FnOnce(Builder) -> Builder) -> World {
    let world = World::production(choose).await;
    world.pass(5).await;
    world
}

/// The cookies of a browser, signed in long ago; `refresh` is its refresh token.
fn cookies(world: &World, token: &str, refresh: &str) -> String {
    let (suffix, since) = (world.sim.cookie_suffix(), start_of_time().as_secs() - 10_000);
    format!("__session={token}; __client_uat={since}; __refresh_{suffix}={refresh}")
}

async fn fetch(world: &World, method: &str, cookies: &str) -> Answer {
    let fields = [
        ("sec-fetch-dest", "empty"),
        ("host", "app.example.com"),
        ("x-forwarded-proto", "https"),
        ("cookie", cookies),
    ];
    world.send(anonymous(method, "/me", &fields)).await
}

async fn visit(world: &World, cookies: &str) -> Answer {
    let mut fields = NAVIGATION.to_vec();
    fields.extend([
        ("host", "app.example.com"),
        ("x-forwarded-proto", "https"),
        ("cookie", cookies),
    ]);
    world.send(anonymous("GET", "/me", &fields)).await
}

fn set(answer: &Answer, name: &str) -> bool {
    let lines = answer.headers.get_all("set-cookie").iter();
    lines.filter_map(|line| line.to_str().ok()).any(|line| line.starts_with(&format!("{name}=")))
}

fn asked(world: &World) -> u64 {
    world.clerk.counts().backend_questions
}

#[tokio::test(start_paused = true)]
async fn an_expired_session_is_renewed_and_cookies_are_set() {
    let world = world(|builder| builder).await;
    let (session, token) = expired(&world).await;
    let cookies = cookies(&world, &token, &world.sim.refresh_token(&session));
    for answer in [fetch(&world, "GET", &cookies).await, visit(&world, &cookies).await] {
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "user_1 fresh"));
        assert!(set(&answer, "__session") && set(&answer, "__client_uat"));
        assert_eq!(answer.header("cache-control"), "private, no-store");
    }
    assert_eq!((world.clerk.counts().renewed, world.clerk.counts().handshakes), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn one_call_renews_a_hundred_requests_of_one_page() {
    let world = world(|builder| builder).await;
    let (session, token) = expired(&world).await;
    let cookies = cookies(&world, &token, &world.sim.refresh_token(&session));
    world.after_probe(SimSurface::BackendApi).await;
    world.sim.break_with(SimSurface::BackendApi, SimFault::Latency(Duration::from_millis(300)));
    let before = world.sim.requests(SimSurface::BackendApi);
    let mut asking = tokio::task::JoinSet::new();
    let world = std::sync::Arc::new(world);
    for _ in 0..100 {
        let (world, cookies) = (world.clone(), cookies.clone());
        asking.spawn(async move { fetch(&world, "GET", &cookies).await });
    }
    let answers = asking.join_all().await;
    let lines = |answer: &Answer| -> Vec<_> {
        answer.headers.get_all("set-cookie").iter().cloned().collect()
    };
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    assert!(answers.iter().all(|answer| lines(answer) == lines(&answers[0])));
    let at_clerk = world.sim.requests(SimSurface::BackendApi) - before;
    assert_eq!((at_clerk, asked(&world)), (1, 1));
    fetch(&world, "GET", &cookies).await;
    assert_eq!(asked(&world), 1, "one that comes a moment later");
    world.pass(4).await;
    fetch(&world, "GET", &cookies).await;
    assert_eq!(asked(&world), 2);
}

#[tokio::test(start_paused = true)]
async fn only_an_expired_get_with_a_refresh_cookie_causes_a_call() {
    let world = world(|builder| builder).await;
    let (session, token) = expired(&world).await;
    let refresh = world.sim.refresh_token(&session);
    let old = Duration::from_secs(600);
    let forged = world.sim.token(&session).ago(old).forged().sign();
    let elsewhere = world.sim.token(&session).ago(old).claim("iss", "https://other.example").sign();
    let template = world.sim.token(&session).ago(old).header("cat", "cl_B7d4PD222AAA").sign();
    let later = world.now_secs() + 10_000;
    let premature = world.sim.token(&session).ago(old).claim("nbf", later).sign();
    let nobody = world.sim.token(&session).ago(old).without_claim("sid").sign();
    for token in [forged, elsewhere, template, premature, nobody, "x.y.z".to_owned()] {
        let answer = fetch(&world, "GET", &cookies(&world, &token, &refresh)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    let good = cookies(&world, &token, &refresh);
    assert_eq!(fetch(&world, "POST", &good).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(fetch(&world, "HEAD", &good).await.status, StatusCode::UNAUTHORIZED);
    let unsuffixed = good.replace(&format!("_{}", world.sim.cookie_suffix()), "");
    assert_eq!(fetch(&world, "GET", &unsuffixed).await.status, StatusCode::UNAUTHORIZED);
    let signed_out = good.replace("__client_uat=", "__client_uat=0; x=");
    assert_eq!(fetch(&world, "GET", &signed_out).await.status, StatusCode::UNAUTHORIZED);
    let bearer = format!("Bearer {token}");
    let fields = [
        ("authorization", &*bearer),
        ("cookie", &*good),
        ("host", "app.example.com"),
        ("x-forwarded-proto", "https"),
    ];
    let answer = world.send(anonymous("GET", "/me", &fields)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "a token in the field decides alone");
    assert_eq!(asked(&world), 0);
    assert_eq!(fetch(&world, "GET", &good).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_revoked_here_is_not_renewed() {
    let world = world(|builder| builder).await;
    let (session, token) = expired(&world).await;
    world.clerk.revoke_session(session.id.clone());
    let cookies = cookies(&world, &token, &world.sim.refresh_token(&session));
    for answer in [fetch(&world, "GET", &cookies).await, visit(&world, &cookies).await] {
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(asked(&world), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refused_renewal_is_401_or_a_handshake() {
    let world = world(|builder| builder).await;
    let (session, token) = expired(&world).await;
    world.sim.revoke(&session);
    let cookies = cookies(&world, &token, "made-up");
    for _ in 0..20 {
        assert_eq!(fetch(&world, "GET", &cookies).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(asked(&world), 1, "asking again and again is no use");
    let answer = visit(&world, &cookies).await;
    assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT);
    let reason = "session-token-expired-refresh-session_refresh_invalid";
    assert!(answer.header("location").contains(reason), "{}", answer.header("location"));
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_api_calls_get_503_and_pages_a_handshake() {
    for fault in [SimFault::Hang, SimFault::status(500), SimFault::status(429), SimFault::Html] {
        let world = world(|builder| builder).await;
        let (session, token) = expired(&world).await;
        let cookies = cookies(&world, &token, &world.sim.refresh_token(&session));
        world.sim.break_with(SimSurface::BackendApi, fault.clone());
        let started = Instant::now();
        let answer = fetch(&world, "GET", &cookies).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{fault:?}");
        assert!(started.elapsed() < Duration::from_secs(3), "{fault:?} {:?}", started.elapsed());
        assert_eq!(visit(&world, &cookies).await.status, StatusCode::TEMPORARY_REDIRECT);
        world.pass(120).await;
        let (before, started) = (asked(&world), Instant::now());
        let answer = fetch(&world, "GET", &cookies).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{fault:?}");
        assert_eq!((asked(&world), started.elapsed()), (before, Duration::ZERO), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_renewed_unless_clerk_is_healthy() {
    let world = world(|builder| builder.grace(GracePolicy::disabled())).await;
    let (session, token) = expired(&world).await;
    let cookies = cookies(&world, &token, &world.sim.refresh_token(&session));
    world.sim.break_with(SimSurface::FRONTEND, SimFault::status(429));
    for verdict in [Verdict::Suspect, Verdict::Outage] {
        world.until(verdict).await;
        let answer = fetch(&world, "GET", &cookies).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{verdict:?}");
    }
    assert_eq!(asked(&world), 0);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_refresh_token_gets_no_cookies() {
    let world = world(|builder| builder).await;
    let (session, token) = expired(&world).await;
    let own = cookies(&world, &token, &world.sim.refresh_token(&session));
    let thief = cookies(&world, &token, "made-up");
    world.sim.break_with(SimSurface::BackendApi, SimFault::Latency(Duration::from_millis(300)));
    let (own, thief) = tokio::join!(fetch(&world, "GET", &own), fetch(&world, "GET", &thief));
    assert_eq!(own.status, StatusCode::OK);
    assert_eq!(thief.status, StatusCode::UNAUTHORIZED);
    assert!(!set(&thief, "__session"));
    assert_eq!(asked(&world), 2, "one call for each session and browser");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_request_leaves_the_call_to_the_others() {
    let world = world(|builder| builder).await;
    let (session, token) = expired(&world).await;
    let cookies = cookies(&world, &token, &world.sim.refresh_token(&session));
    world.sim.break_with(SimSurface::BackendApi, SimFault::Latency(Duration::from_secs(1)));
    for _ in 0..5 {
        let gone = fetch(&world, "GET", &cookies);
        let gone = tokio::time::timeout(Duration::from_millis(100), gone).await;
        assert!(gone.is_err());
    }
    assert_eq!(fetch(&world, "GET", &cookies).await.status, StatusCode::OK);
    assert_eq!(asked(&world), 1);
}

#[tokio::test(start_paused = true)]
async fn renewal_serves_optional_routes_and_skips_public_paths() {
    let world = world(|builder| builder.public(["/public"])).await;
    let hello = get(async |auth: Option<Auth>| {
        auth.map_or("nobody".to_owned(), |auth| auth.user_id().to_string())
    });
    let optional = Router::new().route("/me", hello.clone());
    let optional = optional.route_layer(world.clerk.policy(RoutePolicy::optional()));
    let public = Router::new().route("/public", hello).layer(world.clerk.clone());
    let app = optional.merge(public);
    let (session, token) = expired(&world).await;
    let cookies = cookies(&world, &token, &world.sim.refresh_token(&session));
    let ask = |path: &'static str| {
        let fields =
            [("cookie", &*cookies), ("host", "app.example.com"), ("x-forwarded-proto", "https")];
        World::ask(&app, anonymous("GET", path, &fields))
    };
    assert_eq!(ask("/public").await.body, "nobody");
    assert_eq!(asked(&world), 0);
    let answer = ask("/me").await;
    assert_eq!(answer.body, "user_1");
    assert!(set(&answer, "__session"));
}

#[tokio::test(start_paused = true)]
async fn renewals_are_limited_to_forty_calls_a_second() {
    let world = world(|builder| builder).await;
    let sessions: Vec<_> = (0..300).map(|_| expired_at_once(&world)).collect();
    world.pass(90).await;
    for (session, token) in &sessions {
        fetch(&world, "GET", &cookies(&world, token, &world.sim.refresh_token(session))).await;
    }
    assert!((40..=45).contains(&asked(&world)), "{}", asked(&world));
}

fn expired_at_once(world: &World) -> (SimSession, String) {
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    (session, token)
}
