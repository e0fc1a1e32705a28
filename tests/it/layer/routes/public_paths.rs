//! Public paths, and that nothing else is public.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use clerk_resilience::{ClerkResilience, RoutePolicy, Verdict};
use http::{Request, StatusCode};
use proptest::prelude::*;
use test_support::world::{World, anonymous, bearer};

use super::{extractors, get_from, member};

/// An application that is protected as a whole, but for three paths.
async fn walled() -> (World, Router) {
    let world = World::with(|builder| builder.public(["/", "/about", "/posts/{id}"])).await;
    let app = Router::new()
        .route("/", get(async || "open"))
        .route("/about", get(async || "open").post(async || "open"))
        .route("/posts/{id}", get(async || "open"))
        .route("/about/us", get(async || "closed"))
        .route("/admin", get(async || "closed"))
        .route("/posts/{id}/edit", get(async || "closed"))
        .route("/files/{*rest}", get(async || "closed"))
        .layer(world.clerk.clone());
    (world, app)
}

#[tokio::test(start_paused = true)]
async fn every_path_not_named_public_is_protected() {
    let (world, app) = walled().await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    for path in ["/", "/about", "/posts/1", "/about?next=/admin"] {
        let answer = World::ask(&app, anonymous("GET", path, &[])).await;
        assert_eq!((answer.status.as_u16(), &*answer.body), (200, "open"), "{path}");
    }
    assert_eq!(World::ask(&app, anonymous("POST", "/about", &[])).await.status, 200);
    for (path, signed_in) in [
        ("/admin", 200),
        ("/about/us", 200),
        ("/posts/1/edit", 200),
        ("/files/about", 200),
        ("/files//about", 200),
        ("/files/../about", 200),
        ("/posts/..%2Fadmin", 200),
        ("/nothing", 404),
        ("/about/", 404),
        ("//about", 404),
        ("/About", 404),
        ("/ABOUT", 404),
        ("/%61bout", 404),
        ("/about%2F", 404),
        ("/about%00", 404),
        ("/./about", 404),
        ("/admin/../about", 404),
        ("/admin/%2e%2e/about", 404),
        ("/about;a=b", 404),
        ("/about.json", 404),
        ("/posts/", 404),
        ("/posts", 404),
        ("/posts//edit", 200),
        ("//", 404),
    ] {
        let answer = World::ask(&app, anonymous("GET", path, &[])).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(get_from(&app, path, &token).await.status.as_u16(), signed_in, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_public_path_sees_sessions_and_ignores_bad_tokens() {
    let world = World::with(|builder| builder.public(["/option"])).await;
    let app = extractors().layer(world.clerk.clone());
    let session = world.sim.sign_in("user_1");
    assert_eq!(get_from(&app, "/option", &world.sim.mint(&session)).await.body, "user_1 fresh");
    assert_eq!(get_from(&app, "/option", &world.sim.forge(&session)).await.body, "nobody");
    world.break_clerk();
    world.until(Verdict::Outage).await;
    assert_eq!(World::ask(&app, anonymous("GET", "/option", &[])).await.body, "nobody");
}

#[tokio::test(start_paused = true)]
async fn a_public_path_does_not_undo_the_policy_of_an_inner_layer() {
    let world = World::with(|builder| builder.public(["/posts/{id}"])).await;
    let admin = world.clerk.policy(RoutePolicy::required().role("org:admin"));
    let app = Router::new()
        .route("/posts/new", get(async || "closed"))
        .route_layer(admin)
        .route("/posts/{id}", get(async || "open"))
        .layer(world.clerk.clone());
    assert_eq!(World::ask(&app, anonymous("GET", "/posts/1", &[])).await.body, "open");
    assert_eq!(World::ask(&app, anonymous("GET", "/posts/new", &[])).await.status, 401);
    let (_, token) = member(&world.sim, "admin", "org:posts:read");
    assert_eq!(get_from(&app, "/posts/new", &token).await.body, "closed");
}

#[test]
fn no_path_spelling_opens_a_protected_path() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let (_world, app) = runtime.block_on(walled());
    let piece = prop_oneof![
        "(admin|about|posts|edit|files|us|Admin|ABOUT)",
        "(/|//|%2f|%2F|\\.\\.|\\.|;|%2e|%00|\\?|%61|\\+|~)",
        "[a-zA-Z0-9._~!$&'()*+,;=:@%-]{0,4}",
    ];
    let paths = prop::collection::vec(piece, 0..8).prop_map(|parts| format!("/{}", parts.concat()));
    proptest!(ProptestConfig::with_cases(512), |(path in paths)| {
        let Ok(request) = Request::builder().uri(&path).body(Body::empty()) else { return Ok(()) };
        let answer = runtime.block_on(World::ask(&app, request));
        prop_assert_ne!(answer.body, "closed", "{}", path);
        prop_assert!(matches!(answer.status.as_u16(), 200 | 401), "{}: {}", path, answer.status);
    });
}

#[tokio::test(start_paused = true)]
async fn under_route_layer_an_unknown_path_stays_404() {
    let world = World::new().await;
    let app = extractors().route_layer(world.clerk.clone());
    assert_eq!(World::ask(&app, anonymous("GET", "/nothing", &[])).await.status, 404);
    assert_eq!(World::ask(&app, anonymous("GET", "/auth", &[])).await.status, 401);
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    let answer = get_from(&app, "/nothing", &token).await;
    assert_eq!(answer.status, 404);
    let answer = World::ask(&app, bearer("DELETE", "/auth", &token)).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.header("allow"), "GET,HEAD");
    let everything = extractors().layer(world.clerk.clone());
    assert_eq!(World::ask(&everything, anonymous("GET", "/nothing", &[])).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn a_malformed_public_path_fails_the_build_and_is_named() {
    let world = World::new().await;
    let config = test_support::world::config(&world.sim);
    let built = ClerkResilience::builder(config).public(["/about", "admin"]).build();
    let error = built.expect_err("no path").to_string();
    assert!(error.contains("\"admin\"") && error.contains("start with '/'"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_public_path_does_not_open_a_nested_router() {
    let world = World::with(|builder| builder.public(["/", "/posts"])).await;
    let inner = Router::new().route("/", get(|| async { "secret" }));
    let inner = inner.route("/posts", get(|| async { "secret" })).route_layer(world.clerk.clone());
    let outer = Router::new().route("/", get(|| async { "open" })).route_layer(world.clerk.clone());
    let app = outer.nest("/admin", inner);
    for (path, status) in [("/", 200), ("/admin", 401), ("/admin/posts", 401)] {
        let answer = World::ask(&app, anonymous("GET", path, &[])).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_public_path_ignores_required_roles() {
    let world = World::with(|builder| {
        builder.public(["/sign-in"]).policy(RoutePolicy::required().role("org:admin"))
    });
    let world = world.await;
    let app = Router::new().route("/sign-in", get(|| async { "here" })).layer(world.clerk.clone());
    let (_, plain) = member(&world.sim, "member", "org:posts:read");
    let answer = World::ask(&app, bearer("GET", "/sign-in", &plain)).await;
    assert_eq!(answer.status, StatusCode::OK);
}
