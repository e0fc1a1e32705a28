//! Clock and restart: time that jumps, processes that begin again.

use std::time::Duration;

use clerk_resilience::{GracePolicy, Verdict};
use http::StatusCode;

use crate::denied;
use crate::support::World;

#[tokio::test(start_paused = true)]
async fn a_machine_that_slept_for_hours_wakes_up_without_grace() {
    let world = World::new().await;
    let (_, token) = world.outage().await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    // The monotonic clock stands still meanwhile.
    world.clock.jump(3 * 3_600 * 1_000);
    denied(&world.get(&token).await);
    world.until(Verdict::Outage).await;
    denied(&world.get(&token).await);
}

#[tokio::test(start_paused = true)]
async fn an_operator_who_declares_an_outage_again_and_again_gives_no_more_than_its_budget() {
    let policy = GracePolicy::available().episode_budget("30min");
    let world = World::with(|builder| builder.grace(policy)).await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.pass(30).await;
    let mut served = 0;
    for minute in 0..90 {
        if minute % 10 == 0 {
            world.clerk.unforce();
            world.pass(30).await;
            world.clerk.force_outage(Duration::MAX);
        }
        world.pass(60).await;
        served += u32::from(world.get(&token).await.status == StatusCode::OK);
    }
    assert!((25..=31).contains(&served), "{served} minutes");
}

#[tokio::test(start_paused = true)]
async fn a_declared_outage_revives_nobody_who_was_gone_before_it() {
    let world = World::new().await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.pass(20 * 60).await;
    world.clerk.force_outage(Duration::from_secs(600));
    world.pass(1).await;
    assert_eq!(world.clerk.verdict(), Verdict::Outage);
    denied(&world.get(&token).await);
}
