//! Clock and restart: time that jumps, processes that begin again.

use std::time::Duration;

use clerk_resilience::{GracePolicy, Verdict};
use http::StatusCode;
use test_support::world::{World, bearer};

use crate::denied;

#[tokio::test(start_paused = true)]
async fn a_machine_that_slept_for_hours_wakes_without_grace() {
    let world = World::new().await;
    let (_, token) = world.outage().await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    // The monotonic clock stands still meanwhile.
    world.clock.jump(3 * 3_600 * 1_000);
    denied(&world.get(&token).await);
    world.until(Verdict::Outage).await;
    denied(&world.get(&token).await);
}

const A_MONTH_AND_A_DAY: i64 = 31 * 24 * 3_600 * 1_000;

#[tokio::test(start_paused = true)]
async fn a_clock_a_month_ahead_for_a_moment_undoes_no_sign_out() {
    let world = World::new().await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.send(bearer("POST", "/auth/sign-out", &token)).await;
    world.clock.jump(A_MONTH_AND_A_DAY);
    world.pass(10).await;
    world.clock.jump(-A_MONTH_AND_A_DAY);
    world.pass(1).await;
    assert_eq!(world.get(&token).await.json()["reason"], "session-revoked");
}

#[tokio::test(start_paused = true)]
async fn a_revocation_by_a_slow_clock_holds_once_corrected() {
    let world = World::new().await;
    let [mine, theirs] = ["user_1", "user_2"].map(|user| world.sim.sign_in(user));
    let token = world.sim.mint(&mine);
    world.clock.jump(-A_MONTH_AND_A_DAY);
    world.send(bearer("POST", "/auth/sign-out", &token)).await;
    world.clerk.revoke_session(theirs.id.clone());
    world.clerk.distrust_key("ins_stolen");
    world.clock.jump(A_MONTH_AND_A_DAY);
    world.until(Verdict::Healthy).await;
    world.pass(180).await;
    for session in [&mine, &theirs] {
        let token = world.sim.token(session).sign();
        assert_eq!(world.get(&token).await.json()["reason"], "session-revoked");
    }
    assert_eq!(world.clerk.snapshot().revocations.keys().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn repeated_forced_outages_share_one_budget() {
    let policy = GracePolicy::available().episode_budget("30min");
    let world = World::with(|builder| builder.grace(policy)).await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.pass(30).await;
    let mut served = 0;
    for minute in 0..90 {
        if minute % 10 == 0 {
            world.clerk.clear_override();
            world.pass(30).await;
            world.clerk.force_outage(Duration::MAX);
        }
        world.pass(60).await;
        served += u32::from(world.get(&token).await.status == StatusCode::OK);
    }
    assert!((25..=31).contains(&served), "{served} minutes");
}

#[tokio::test(start_paused = true)]
async fn a_forced_outage_revives_no_ended_session() {
    let world = World::new().await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.pass(20 * 60).await;
    world.clerk.force_outage(Duration::from_secs(600));
    world.pass(1).await;
    assert_eq!(world.clerk.verdict(), Verdict::Outage);
    denied(&world.get(&token).await);
}
