//! Old tokens and repeated sign-outs.

use std::time::Duration;

use axum::Router;
use axum::routing::post;
use clerk_resilience::Auth;
use clerk_resilience::sim::SimSurface;
use http::StatusCode;
use test_support::world::{World, bearer};

use super::{cookies_gone, leave};

fn denied_until(world: &World) -> Vec<(String, i64)> {
    let status = world.clerk.snapshot();
    let denied = status.revocations.sessions();
    denied.map(|(id, until)| (id.to_owned(), until.as_millis())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_token_more_than_a_day_old_ends_nothing() {
    let world = World::new().await;
    let day = Duration::from_secs(24 * 60 * 60);
    for age in [day + Duration::from_secs(61), 360 * day] {
        let session = world.sim.sign_in("user_1");
        let fresh = world.sim.mint(&session);
        let old = world.sim.token(&session).ago(age).sign();
        let before = world.sim.requests(SimSurface::BackendMutation);
        let answer = leave(&world, &old).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        assert!(cookies_gone(&answer), "{:?}", answer.headers);
        assert_eq!(world.get(&fresh).await.status, StatusCode::OK);
        world.pass(5).await;
        assert!(world.sim.sessions().contains(&session));
        assert_eq!(world.sim.requests(SimSurface::BackendMutation), before);
        assert!(denied_until(&world).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_of_a_day_ago_still_signs_out() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let old = world.sim.token(&session).ago(Duration::from_secs(24 * 60 * 60)).sign();
    leave(&world, &old).await;
    assert_eq!(world.get(&world.sim.mint(&session)).await.status, StatusCode::UNAUTHORIZED);
    world.pass(5).await;
    assert!(!world.sim.sessions().contains(&session));
}

#[tokio::test(start_paused = true)]
async fn an_old_token_of_an_unknown_key_counts_as_none() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let of = |secs| world.sim.token(&session).ago(Duration::from_secs(secs)).kid("ins_none").sign();
    assert_eq!(leave(&world, &of(10)).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(leave(&world, &of(2 * 24 * 60 * 60)).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_sign_out_changes_nothing() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    leave(&world, &token).await;
    world.pass(60).await;
    let (first, calls) = (denied_until(&world), world.sim.requests(SimSurface::BackendMutation));
    for _ in 0..60 {
        assert!(cookies_gone(&leave(&world, &token).await));
        world.pass(5).await;
    }
    assert_eq!(denied_until(&world), first, "the end of the denial does not move");
    assert_eq!(world.sim.requests(SimSurface::BackendMutation), calls);
    let generation = world.clerk.snapshot().generation;
    for _ in 0..20_000 {
        leave(&world, &token).await;
    }
    assert_eq!(world.clerk.snapshot().generation, generation, "nothing is copied");
    assert_eq!(world.clerk.counts().signals_dropped, 0);
}

#[tokio::test(start_paused = true)]
async fn a_denied_session_is_not_ended_again() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    world.clerk.revoke_session(session.id.as_str());
    let (first, before) = (denied_until(&world), world.sim.requests(SimSurface::BackendMutation));
    world.pass(5).await;
    leave(&world, &token).await;
    world.pass(5).await;
    assert_eq!(denied_until(&world), first);
    assert_eq!(world.sim.requests(SimSurface::BackendMutation), before);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_signs_out_twice_changes_nothing() {
    let world = World::new().await;
    let clerk = world.clerk.clone();
    let handler = async move |auth: Auth| {
        (0..5_000).for_each(|_| drop(clerk.sign_out(&auth)));
    };
    let app = Router::new().route("/leave", post(handler)).route_layer(world.clerk.clone());
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    let before = world.sim.requests(SimSurface::BackendMutation);
    World::ask(&app, bearer("POST", "/leave", &token)).await;
    world.pass(5).await;
    assert_eq!(world.sim.requests(SimSurface::BackendMutation) - before, 1);
    assert_eq!(world.clerk.counts().signals_dropped, 0);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_revocation_moves_its_end_once_a_day() {
    let world = World::new().await;
    world.clerk.revoke_session("sess_1");
    let first = denied_until(&world);
    world.clock.jump(23 * 60 * 60 * 1000);
    let generation = world.clerk.snapshot().generation;
    world.clerk.revoke_session("sess_1");
    assert_eq!(world.clerk.snapshot().generation, generation);
    assert_eq!(denied_until(&world), first);
    world.clock.jump(2 * 60 * 60 * 1000);
    world.clerk.revoke_session("sess_1");
    assert!(denied_until(&world)[0].1 > first[0].1, "and it can be renewed");
}
