//! Layers around each other whose policies differ: none of them undoes what another one counts or ends.

use axum::Router;
use axum::routing::any;
use clerk_resilience::{GraceAccess, GracePolicy, RoutePolicy};
use http::{HeaderValue, StatusCode};
use test_support::world::{World, bearer, routes};

async fn passed(app: &Router, method: &str, token: &str, requests: u32) -> u32 {
    let mut passed = 0;
    for _ in 0..requests {
        let mut request = bearer(method, "/me", token);
        request.headers_mut().insert("sec-fetch-site", HeaderValue::from_static("same-origin"));
        let answer = World::ask(app, request).await;
        passed += u32::from(answer.status == StatusCode::OK);
    }
    passed
}

/// The outer layer gives grace to every method, the inner one lets requests through without a session.
#[tokio::test(start_paused = true)]
async fn an_inner_optional_layer_refunds_no_grace_usage() {
    for (method, inner) in [("GET", GraceAccess::Never), ("POST", GraceAccess::SafeMethods)] {
        let world = World::new().await;
        let (_, token) = world.outage().await;
        let outer = RoutePolicy::required().grace(GraceAccess::Full);
        let app = Router::new()
            .route("/me", any(async || "shown"))
            .route_layer(world.clerk.policy(RoutePolicy::optional().grace(inner)))
            .layer(world.clerk.policy(outer));
        assert_eq!(passed(&app, method, &token, 200).await, 120, "{method}");
        assert_eq!(passed(&world.app, "GET", &token, 1).await, 0, "the minute is used up");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_counts_usage_behind_an_optional_layer() {
    let dry_run = GracePolicy::balanced().report_only();
    let world = World::with(|builder| builder.grace(dry_run)).await;
    let (_, token) = world.outage().await;
    let app = routes()
        .route_layer(world.clerk.policy(RoutePolicy::required()))
        .layer(world.clerk.policy(RoutePolicy::optional()));
    assert_eq!(passed(&app, "GET", &token, 121).await, 0);
    assert_eq!(world.clerk.counts().grace_reported, 120);
}
