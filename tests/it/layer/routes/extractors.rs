//! What each extractor accepts and tells a handler.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use clerk_resilience::{Auth, FreshAuth, Rejection, RoutePolicy};
use http::StatusCode;
use test_support::world::{Answer, NAVIGATION, World, anonymous, bearer};
use tower::ServiceExt as _;

use super::{extractors, get_from, member};

#[tokio::test(start_paused = true)]
async fn every_extractor_accepts_a_fresh_session() {
    let world = World::new().await;
    let app = extractors().route_layer(world.clerk.clone());
    let (_, admin) = member(&world.sim, "admin", "org:posts:read");
    let (_, guest) = member(&world.sim, "guest", "org:posts:write");
    for path in ["/auth", "/fresh", "/admin", "/reader", "/option", "/reason"] {
        assert_eq!(get_from(&app, path, &admin).await.body, "user_1 fresh", "{path}");
        let forbidden = matches!(path, "/admin" | "/reader");
        let answer = get_from(&app, path, &guest).await;
        let status = if forbidden { StatusCode::FORBIDDEN } else { StatusCode::OK };
        assert_eq!(answer.status, status, "{path}");
        if forbidden {
            assert_eq!(answer.json()["code"], "insufficient_permission");
        }
        let without = World::ask(&app, anonymous("GET", path, &[])).await;
        assert_eq!(without.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_optional_route_tells_the_handler_why_no_session() {
    let world = World::new().await;
    let app = extractors().route_layer(world.clerk.policy(RoutePolicy::optional()));
    let session = world.sim.sign_in("user_1");
    let old = world.sim.token(&session).ago(Duration::from_secs(600)).sign();
    let forged = world.sim.forge(&session);
    for (token, reason) in [
        (None, "session-token-missing"),
        (Some(&*old), "token-expired"),
        (Some(&*forged), "token-invalid-signature"),
        (Some("nonsense"), "token-invalid"),
    ] {
        let ask = async |path: &str| match token {
            Some(token) => get_from(&app, path, token).await,
            None => World::ask(&app, anonymous("GET", path, &[])).await,
        };
        assert_eq!(ask("/option").await.body, "nobody", "{reason}");
        assert!(ask("/reason").await.body.starts_with(&format!("{reason}: ")), "{reason}");
        for path in ["/auth", "/fresh", "/admin"] {
            assert_eq!(ask(path).await.status, StatusCode::UNAUTHORIZED, "{reason}, {path}");
        }
    }
    assert_eq!(get_from(&app, "/option", &world.sim.mint(&session)).await.body, "user_1 fresh");
}

#[tokio::test(start_paused = true)]
async fn a_fresh_handler_is_not_reached_in_grace() {
    let world = World::new().await;
    let reached = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = reached.clone();
    let pay = get(move |_: FreshAuth| async move {
        flag.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let app = extractors().route("/pay", pay).route_layer(world.clerk.clone());
    let (_, token) = world.outage().await;
    assert_eq!(get_from(&app, "/auth", &token).await.body, "user_1 outage");
    assert_eq!(get_from(&app, "/option", &token).await.body, "user_1 outage");
    for path in ["/pay", "/fresh"] {
        let response = app.clone().oneshot(bearer("GET", path, &token)).await.expect("infallible");
        assert_eq!(response.extensions().get(), Some(&Rejection::FreshRequired), "{path}");
        let answer = Answer::of(response).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer.json()["code"], "step_up_unavailable", "{path}");
    }
    assert!(!reached.load(std::sync::atomic::Ordering::Relaxed));
    let fresh = world.sim.mint(&world.sim.sign_in("user_2"));
    assert_eq!(get_from(&app, "/fresh", &fresh).await.body, "user_2 fresh");
}

#[tokio::test(start_paused = true)]
async fn a_handler_reads_the_limits_of_grace() {
    let world = World::new().await;
    let app = Router::new()
        .route(
            "/",
            get(async |auth: Auth| {
                let grace = auth.grace().expect("an outage").clone();
                let secs = |at: clerk_resilience::clock::Timestamp| at.as_secs();
                format!("{} {} {}", secs(grace.since), secs(grace.until), secs(grace.claims_as_of))
            }),
        )
        .route_layer(world.clerk.clone());
    let (session, token) = world.outage().await;
    let start = test_support::world::start_of_time().as_secs();
    let body = get_from(&app, "/", &token).await.body;
    let [since, until, as_of]: [i64; 3] = body
        .split(' ')
        .map(|secs| secs.parse::<i64>().expect("seconds") - start)
        .collect::<Vec<_>>()
        .try_into()
        .expect("three times");
    let issued = session.since.as_secs() - start;
    assert_eq!(as_of, issued);
    assert_eq!(until, issued + 60 + 3600, "exp and 60 minutes");
    assert!((0..30).contains(&since), "the outage began {since} s after the start");
}

#[tokio::test(start_paused = true)]
async fn every_extractor_without_the_layer_is_a_500_that_names_it() {
    for path in ["/auth", "/fresh", "/admin", "/option"] {
        let response = extractors().oneshot(anonymous("GET", path, &[])).await.expect("infallible");
        assert_eq!(response.extensions().get(), Some(&Rejection::LayerMissing));
        let answer = Answer::of(response).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        let problem = answer.json();
        assert_eq!(problem["code"], "authentication_layer_missing", "{path}");
        let detail = problem["detail"].as_str().expect("a sentence");
        assert!(detail.contains("not behind its authentication layer"), "{detail}");
        assert!(!answer.headers.contains_key("www-authenticate"));
    }
    let page = World::ask(&extractors(), anonymous("GET", "/auth", &NAVIGATION)).await;
    assert_eq!(page.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(!page.body.contains("Please sign in"), "a fault of ours is no reason to sign in");
}
