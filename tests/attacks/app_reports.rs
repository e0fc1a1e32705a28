//! What the application says of its own calls to Clerk, and what of it is believed.

use std::time::Duration;

use clerk_resilience::sim::{SimFault, SimSurface};
use clerk_resilience::{CallOutcome, ClerkConfig, ClerkResilience, Surface, Verdict};
use http::StatusCode;
use test_support::world::World;

use crate::balanced;

const FAILED: CallOutcome = CallOutcome::Answered(StatusCode::SERVICE_UNAVAILABLE);
const QUOTA: CallOutcome = CallOutcome::Answered(StatusCode::TOO_MANY_REQUESTS);
const GOOD: CallOutcome = CallOutcome::Answered(StatusCode::OK);

/// Minting alone fails: one signal, and a second one is missing. Without a secret key nobody but the
/// application asks the Backend API.
async fn half_an_outage(secret: bool) -> World {
    fastrand::seed(1);
    let mut world = World::unready(balanced);
    if !secret {
        let config = ClerkConfig::new(world.sim.publishable_key().clone());
        let config = config.frontend_api(world.sim.frontend_api_url()).status_page(None);
        let builder = ClerkResilience::builder(config).clock(world.clock.clone());
        let builder = balanced(builder.transport(world.sim.transport()));
        world.clerk = builder.build().expect("a good configuration");
    }
    world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    world.pass(120).await;
    world.sim.break_with(SimSurface::SessionMint, SimFault::status(503));
    world.until(Verdict::Suspect).await;
    world
}

/// Reports every second for a minute, and says whether an outage is concluded meanwhile.
async fn concludes(world: &World, surface: Surface, reports: &[CallOutcome]) -> bool {
    for second in 0..60 {
        for report in reports {
            world.clerk.report(surface, *report);
        }
        world.pass(1).await;
        if world.clerk.verdict() == Verdict::Outage {
            assert!(second >= 2, "not by a single word");
            return true;
        }
    }
    false
}

#[tokio::test(start_paused = true)]
async fn app_reports_prove_no_outage_while_mint_probes_succeed() {
    let world = World::with(balanced).await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    for surface in Surface::ALL {
        assert!(!concludes(&world, surface, &[FAILED, CallOutcome::Unanswered]).await);
        assert_eq!(world.clerk.verdict(), Verdict::Healthy, "{surface}");
    }
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn app_reports_do_not_outweigh_successful_probes() {
    let world = half_an_outage(true).await;
    for surface in Surface::ALL {
        assert!(!concludes(&world, surface, &[FAILED]).await, "{surface}");
    }
}

#[tokio::test(start_paused = true)]
async fn answered_app_failures_are_a_second_signal() {
    let world = half_an_outage(false).await;
    let backend = Surface::BackendApi;
    assert!(!concludes(&world, backend, &[]).await, "minting alone is one signal");
    assert!(!concludes(&world, backend, &[CallOutcome::Unanswered]).await, "it may be our network");
    assert!(!concludes(&world, backend, &[QUOTA]).await, "it may be our quota");
    assert!(!concludes(&world, backend, &[FAILED, GOOD]).await, "it works at times");
    assert!(!concludes(&world, Surface::SessionMint, &[FAILED]).await, "we ask that ourselves");
    assert!(concludes(&world, backend, &[FAILED]).await);
}

#[tokio::test(start_paused = true)]
async fn constant_app_reports_cost_one_probe_a_minute() {
    let world = World::with(balanced).await;
    world.pass(120).await;
    let asked = world.clerk.counts().upstream_calls;
    for _ in 0..600 {
        for _ in 0..20 {
            world.clerk.report(Surface::BackendApi, CallOutcome::Unanswered);
            world.clerk.report(Surface::BackendApi, FAILED);
        }
        world.pass(1).await;
    }
    let asked = world.clerk.counts().upstream_calls - asked;
    assert!(asked <= 600 / 5 + 2, "{asked} in ten minutes");
    for _ in 0..10_000 {
        world.clerk.report(Surface::BackendApi, FAILED);
    }
    assert_eq!(world.clerk.counts().signals_dropped, 0, "they are one");
}

#[tokio::test(start_paused = true)]
async fn a_reported_failure_causes_a_probe_at_once() {
    for (report, soon) in [(FAILED, true), (CallOutcome::Unanswered, true), (GOOD, false)] {
        fastrand::seed(1);
        let world = World::with(balanced).await;
        let asked = || world.sim.requests(SimSurface::SessionMint);
        world.pass(60).await;
        let before = asked();
        while asked() == before {
            world.pass(1).await;
        }
        world.pass(2).await;
        let before = asked();
        world.clerk.report(Surface::BackendApi, report);
        world.pass(1).await;
        assert_eq!(asked() > before, soon, "{report:?}");
    }
}
