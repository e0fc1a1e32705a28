//! Layers around each other whose policies differ: none of them undoes what another one counts or ends.

use axum::Router;
use clerk_resilience::{GraceAccess, GracePolicy, RoutePolicy};
use http::StatusCode;

use crate::support::{World, bearer, routes};

async fn passed(app: &Router, token: &str, requests: u32) -> u32 {
    let mut passed = 0;
    for _ in 0..requests {
        let answer = World::ask(app, bearer("GET", "/me", token)).await;
        passed += u32::from(answer.status == StatusCode::OK);
    }
    passed
}

/// The number of requests that each outer layer lets through to a handler, out of 200 in a minute.
async fn passed_with_inner(world: &World, inner: RoutePolicy, token: &str) -> u32 {
    let app = Router::new()
        .route("/me", axum::routing::get(async || "shown"))
        .route_layer(world.clerk.policy(inner))
        .layer(world.clerk.clone());
    passed(&app, token, 200).await
}

#[tokio::test(start_paused = true)]
async fn an_inner_optional_layer_gives_no_pace_back() {
    for inner in [
        RoutePolicy::optional().grace(GraceAccess::Never),
        RoutePolicy::optional().max_claims_age(std::time::Duration::from_secs(1)),
    ] {
        let world = World::new().await;
        let (_, token) = world.outage().await;
        assert_eq!(passed_with_inner(&world, inner, &token).await, 120);
        assert_eq!(passed(&world.app, &token, 1).await, 0, "the minute is used up");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_counts_the_pace_behind_an_optional_layer() {
    let dry_run = GracePolicy::balanced().report_only();
    let world = World::with(|builder| builder.grace(dry_run)).await;
    let (_, token) = world.outage().await;
    let app = routes()
        .route_layer(world.clerk.policy(RoutePolicy::required()))
        .layer(world.clerk.policy(RoutePolicy::optional()));
    assert_eq!(passed(&app, &token, 121).await, 0);
    assert_eq!(world.clerk.counts().grace_reported, 120);
}
