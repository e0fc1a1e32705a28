//! What is written down of decisions about grace.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use clerk_resilience::audit::{GraceEvent, GraceRuling};
use clerk_resilience::internals::decide::GraceDenial;
use clerk_resilience::{Auth, GracePolicy, Verdict};
use http::StatusCode;
use test_support::world::{World, bearer};

type Log = Arc<Mutex<Vec<GraceEvent>>>;

async fn recorded(policy: GracePolicy) -> (World, Log) {
    let log = Log::default();
    let kept = Arc::clone(&log);
    let record = move |event: &GraceEvent| kept.lock().expect("unpoisoned").push(event.clone());
    let world = World::with(|builder| builder.grace(policy).audit(record)).await;
    (world, log)
}

fn taken(log: &Log) -> Vec<GraceEvent> {
    std::mem::take(&mut *log.lock().expect("unpoisoned"))
}

#[tokio::test(start_paused = true)]
async fn the_audit_record_of_grace_names_no_user_session_or_token() {
    let (world, log) = recorded(GracePolicy::balanced()).await;
    let (session, token) = world.outage().await;
    assert!(taken(&log).is_empty(), "nothing but grace is recorded");
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    let [event] = &taken(&log)[..] else { panic!("one event") };
    assert!(matches!(&event.ruling, GraceRuling::Passed(grace) if grace.reason.name() == "outage"));
    assert_eq!(
        (event.verdict, &*event.route, event.method.as_str()),
        (Verdict::Outage, "/me", "GET")
    );
    assert_eq!(event.session.as_deref().map(str::len), Some(32));
    assert!(event.last_valid.is_some_and(|seen| seen < event.expired_at));
    let text = format!("{event:?}");
    for secret in [session.id.as_str(), "user_1", &token] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_denied_grace_request_is_recorded_with_its_condition() {
    let (world, log) = recorded(GracePolicy::balanced()).await;
    let unseen = world.sim.mint(&world.sim.sign_in("user_2"));
    let (_, token) = world.outage().await;
    world.get(&unseen).await;
    world.send(bearer("POST", "/me", &token)).await;
    let rulings: Vec<_> = taken(&log).into_iter().map(|event| event.ruling).collect();
    let denied = [GraceDenial::NeverSeen, GraceDenial::Route].map(GraceRuling::Denied);
    assert_eq!(rulings, denied);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_is_recorded_and_disabled_grace_is_not() {
    let (world, log) = recorded(GracePolicy::balanced().report_only()).await;
    let (_, token) = world.outage().await;
    world.get(&token).await;
    let rulings: Vec<_> = taken(&log).into_iter().map(|event| event.ruling).collect();
    assert_eq!(rulings, [GraceRuling::Denied(GraceDenial::ReportOnly)]);
    let (world, log) = recorded(GracePolicy::disabled()).await;
    let (_, token) = world.outage().await;
    world.get(&token).await;
    assert!(taken(&log).is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_route_is_recorded_by_its_pattern() {
    let (world, log) = recorded(GracePolicy::balanced()).await;
    let (_, token) = world.outage().await;
    let app = Router::new()
        .route("/orders/{id}", get(async |_: Auth| "an order"))
        .route_layer(world.clerk.clone());
    World::ask(&app, bearer("GET", "/orders/4711", &token)).await;
    assert_eq!(taken(&log)[0].route, "/orders/{id}");
}
