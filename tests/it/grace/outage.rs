//! The main job: an application goes on while Clerk is down.

use clerk_resilience::sim::{SimFault, SimSurface};
use clerk_resilience::{GracePolicy, Verdict};
use http::StatusCode;
use test_support::world::{NAVIGATION, World, anonymous};

#[tokio::test(start_paused = true)]
async fn a_live_session_is_served_through_outage_and_recovery() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    assert_eq!(world.get(&token).await.body, "user_1 fresh");

    world.break_clerk();
    for second in 0..600 {
        let answer = world.get(&token).await;
        assert_eq!(answer.status, StatusCode::OK, "second {second}: {}", answer.body);
        world.pass(1).await;
    }
    assert_eq!(world.get(&token).await.body, "user_1 outage");

    world.sim.heal_all();
    for second in 0..60 {
        let answer = world.get(&token).await;
        assert_eq!(answer.status, StatusCode::OK, "second {second} after: {}", answer.body);
        world.pass(1).await;
    }
    world.pass(35).await;
    assert_eq!(world.clerk.verdict(), Verdict::Healthy);
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
    let fresh = world.sim.mint(&session);
    assert_eq!(world.get(&fresh).await.body, "user_1 fresh");
}

/// So many users renew their tokens and use the application.
async fn renew(world: &World, users: std::ops::Range<u32>) {
    for user in users {
        let session = world.sim.sign_in(format!("user_{user}"));
        assert_eq!(world.get(&world.sim.mint(&session)).await.status, StatusCode::OK);
    }
}

/// An application that knows how many renewals are usual, five minutes into an outage, and a session
/// that was alive when it began.
async fn busy_in_an_outage() -> (World, String) {
    fastrand::seed(1);
    let world = World::new().await;
    for second in 0..60 {
        renew(&world, second..second + 1).await;
        world.pass(1).await;
    }
    let token = world.sim.mint(&world.sim.sign_in("user_late"));
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.break_clerk();
    world.until(Verdict::Outage).await;
    world.pass(300).await;
    (world, token)
}

#[tokio::test(start_paused = true)]
async fn tabs_that_renew_before_our_probe_end_no_grace() {
    let (world, token) = busy_in_an_outage().await;
    world.sim.heal_all();
    renew(&world, 0..40).await;
    for second in 0..60 {
        let answer = world.get(&token).await;
        assert_eq!(answer.status, StatusCode::OK, "second {second} after: {}", answer.body);
        world.pass(1).await;
    }
    world.until(Verdict::Healthy).await;
}

#[tokio::test(start_paused = true)]
async fn tabs_that_renew_while_we_fail_prove_a_local_cut() {
    let (world, token) = busy_in_an_outage().await;
    world.sim.heal_all();
    world.sim.break_with(SimSurface::SessionMint, SimFault::status(503));
    renew(&world, 0..40).await;
    assert!(world.until(Verdict::Isolated).await <= 5, "it is not waited for the usual probe");
    assert_eq!(world.get(&token).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn a_page_not_sent_to_clerk_is_503_like_other_requests() {
    let policy = GracePolicy::balanced();
    for (handshakes, status) in [(false, 503), (true, 307)] {
        let world = World::with(|b| b.grace(policy.clone()).handshakes(handshakes)).await;
        let token = world.sim.mint(&world.sim.sign_in("user_1"));
        world.get(&token).await;
        world.sim.break_with(SimSurface::SessionMint, SimFault::status(500));
        world.pass(120).await;
        world.sim.heal_all();
        world.until(Verdict::Healthy).await;
        let cookie = format!("__session={token}; __client_uat=1");
        let mut fields = NAVIGATION.to_vec();
        fields.extend([("host", "app.example.com"), ("cookie", cookie.as_str())]);
        let answer = world.send(anonymous("GET", "/me", &fields)).await;
        assert_eq!(answer.status.as_u16(), status, "{handshakes}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_during_a_mint_failure_is_not_a_sign_out() {
    let world = World::new().await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.sim.break_with(SimSurface::SessionMint, SimFault::status(500));
    world.pass(120).await;
    world.sim.heal_all();
    world.until(Verdict::Healthy).await;
    assert_eq!(world.get(&token).await.status, StatusCode::SERVICE_UNAVAILABLE);
    world.pass(95).await;
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn without_grace_a_recovery_signs_nobody_out() {
    for policy in [GracePolicy::disabled(), GracePolicy::balanced().report_only()] {
        let world = World::with(|builder| builder.grace(policy)).await;
        let (_, token) = world.outage().await;
        world.sim.heal_all();
        world.until(Verdict::Recovering).await;
        while world.clerk.verdict() == Verdict::Recovering {
            let answer = world.get(&token).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
            let forged = world.sim.forge(&world.sim.sign_in("user_2"));
            assert_eq!(world.get(&forged).await.status, StatusCode::UNAUTHORIZED);
            world.pass(1).await;
        }
        world.pass(60).await;
        assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
    }
}
