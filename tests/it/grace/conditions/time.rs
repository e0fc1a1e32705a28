//! G4 and G5: when a session was alive, and how long grace lasts.

use std::time::Duration;

use clerk_resilience::{GracePolicy, Verdict};
use http::StatusCode;
use test_support::world::World;

use super::{MINUTE, refused};

/// A session whose last token ended so many seconds before the outage began, and which was last
/// seen valid `unseen` seconds before that end.
async fn ended_before(world: &World, ended: u64, unseen: u64) -> String {
    let session = world.sim.sign_in("user_1");
    let early = world.sim.token(&session).lifetime(Duration::from_secs(600)).sign();
    world.get(&early).await;
    world.pass(unseen).await;
    let last = world.sim.token(&session).lifetime(Duration::from_secs(60)).sign();
    world.pass(60 + ended).await;
    last
}

#[tokio::test(start_paused = true)]
async fn g4_a_session_ended_before_the_outage_gets_no_grace() {
    for (ended, status) in [(45, StatusCode::OK), (90, StatusCode::SERVICE_UNAVAILABLE)] {
        let world = World::new().await;
        let token = ended_before(&world, ended, 700).await;
        world.break_clerk();
        world.until(Verdict::Outage).await;
        assert_eq!(world.get(&token).await.status, status, "ended {ended} s before");
    }
}

#[tokio::test(start_paused = true)]
async fn g4_a_session_seen_shortly_before_counts_as_alive() {
    let world = World::new().await;
    let token = ended_before(&world, 120, 0).await;
    world.break_clerk();
    world.until(Verdict::Outage).await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK, "seen three minutes before");
}

#[tokio::test(start_paused = true)]
async fn g5_use_does_not_extend_grace_beyond_one_hour() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    world.get(&token).await;
    world.break_clerk();
    for _ in 0..60 {
        world.pass(MINUTE).await;
        assert_eq!(world.get(&token).await.status, StatusCode::OK);
    }
    world.pass(59).await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.pass(2).await;
    refused(&world.get(&token).await);
}

#[tokio::test(start_paused = true)]
async fn g5_outage_time_per_episode_and_day_is_limited() {
    let minutes = |n| Duration::from_secs(n * MINUTE);
    for policy in [
        GracePolicy::balanced().episode_budget(minutes(5)),
        GracePolicy::balanced().day_budget(minutes(5)),
    ] {
        let world = World::with(|builder| builder.grace(policy)).await;
        let (_, token) = world.outage().await;
        world.pass(3 * MINUTE).await;
        assert_eq!(world.get(&token).await.status, StatusCode::OK);
        world.pass(2 * MINUTE).await;
        refused(&world.get(&token).await);
    }
}

#[tokio::test(start_paused = true)]
async fn g5_a_zero_bound_gives_no_grace() {
    for policy in [
        GracePolicy::balanced().max_grace(Duration::ZERO),
        GracePolicy::balanced().episode_budget(Duration::ZERO),
        GracePolicy::balanced().day_budget(Duration::ZERO),
    ] {
        let world = World::with(|builder| builder.grace(policy)).await;
        let (_, token) = world.outage().await;
        refused(&world.get(&token).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_suspends_grace() {
    for jump in [3_600_000, -3_600_000] {
        let world = World::new().await;
        let (_, token) = world.outage().await;
        assert_eq!(world.get(&token).await.status, StatusCode::OK);
        world.clock.jump(jump);
        assert_ne!(world.get(&token).await.status, StatusCode::OK, "{jump}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_wrong_at_start_is_trusted_once_corrected() {
    let world = World::new().await;
    world.clock.jump(-2 * 3_600 * 1_000);
    world.pass(300).await;
    let (_, token) = world.outage().await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn g5_setting_the_clock_back_gives_no_time_back() {
    let world = World::new().await;
    let (_, token) = world.outage().await;
    world.pass(55 * 60).await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.clock.jump(-20 * 60 * 1_000);
    world.pass(10 * 60).await;
    assert_eq!(world.clerk.verdict(), Verdict::Outage);
    refused(&world.get(&token).await);
}
