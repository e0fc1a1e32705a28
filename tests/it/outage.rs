//! The main job: an application goes on while Clerk is down.

use clerk_resilience::Verdict;
use http::StatusCode;

use crate::support::World;

#[tokio::test(start_paused = true)]
async fn a_session_alive_at_the_start_is_served_throughout_an_outage_and_its_recovery() {
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
