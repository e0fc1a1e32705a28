//! Downgrade: making this application believe that Clerk is down.

use std::time::Duration;

use clerk_resilience::sim::{SimComponentState, SimFault, SimSurface};
use clerk_resilience::{GracePolicy, Verdict};
use http::StatusCode;
use test_support::world::World;

use crate::{balanced, denied};

/// Somebody was here, and their token is old by now.
async fn seen(world: &World) -> String {
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    token
}

/// So many users, each with a new token every forty seconds.
async fn traffic(world: &World, users: i64, secs: u64) {
    for _ in 0..secs {
        let second = world.clock_secs();
        for user in (0..users).filter(|user| user % 40 == second % 40) {
            let token = world.sim.mint(&world.sim.sign_in(format!("visitor_{user}")));
            assert_eq!(world.get(&token).await.status, StatusCode::OK);
        }
        world.pass(1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn blocked_egress_gives_no_more_than_the_bridge() {
    let elsewhere = "https://evil.example/".parse().expect("an address");
    for fault in [
        SimFault::Dns,
        SimFault::Reset,
        SimFault::Refused,
        SimFault::Hang,
        SimFault::Tls,
        SimFault::Html,
        SimFault::Redirect(elsewhere),
        SimFault::Garbage,
        SimFault::Truncated,
    ] {
        let world = World::new().await;
        let token = seen(&world).await;
        world.sim.break_with(SimSurface::ALL, fault.clone());
        for _ in 0..600 {
            world.pass(1).await;
            assert_ne!(world.clerk.verdict(), Verdict::Outage, "{fault:?}");
            if world.clock_secs() > 60 + 31 {
                assert_ne!(world.get(&token).await.status, StatusCode::OK, "{fault:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn newly_minted_tokens_prove_a_local_cut() {
    let world = World::new().await;
    traffic(&world, 400, 60).await;
    let token = seen(&world).await;
    // As behind an address whose neighbours use up Clerk's patience.
    world.break_clerk();
    for _ in 0..6 {
        traffic(&world, 400, 20).await;
        assert_ne!(world.clerk.verdict(), Verdict::Outage);
    }
    denied(&world.get(&token).await);
}

#[tokio::test(start_paused = true)]
async fn one_user_with_many_tokens_does_not_hide_an_outage() {
    let world = World::new().await;
    traffic(&world, 400, 60).await;
    let token = seen(&world).await;
    world.break_clerk();
    for _ in 0..90 {
        for _ in 0..5 {
            let own = world.sim.mint(&world.sim.sign_in("attacker"));
            world.get(&own).await;
        }
        world.pass(1).await;
    }
    assert_eq!(world.clerk.verdict(), Verdict::Outage);
    assert_eq!(world.get(&token).await.body, "user_1 outage");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_expired_tokens_is_no_sign_of_an_outage() {
    let world = World::new().await;
    let token = seen(&world).await;
    world.pass(90).await;
    for _ in 0..60 {
        for _ in 0..100 {
            assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
        }
        world.pass(1).await;
    }
    assert_eq!(world.clerk.verdict(), Verdict::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_forged_status_page_proves_no_outage() {
    let world = World::new().await;
    let token = seen(&world).await;
    world.sim.set_component("Session management", SimComponentState::MajorOutage);
    world.pass(180).await;
    assert_eq!(world.clerk.verdict(), Verdict::Healthy);
    world.sim.break_with(SimSurface::CLERK, SimFault::Hang);
    for _ in 0..180 {
        world.pass(1).await;
        assert_ne!(world.clerk.verdict(), Verdict::Outage);
    }
    denied(&world.get(&token).await);
}

#[tokio::test(start_paused = true)]
async fn a_malformed_status_page_is_ignored() {
    for fault in [SimFault::InvalidJson, SimFault::Html, SimFault::Huge, SimFault::status(500)] {
        let world = World::new().await;
        world.sim.break_with(SimSurface::StatusPage, fault);
        world.sim.break_with(SimSurface::SessionMint, SimFault::status(429));
        for _ in 0..120 {
            world.pass(1).await;
            assert_ne!(world.clerk.verdict(), Verdict::Outage);
        }
    }
}

/// What a cache in between still answers does not hide what Clerk does not.
#[tokio::test(start_paused = true)]
async fn keys_from_a_cache_do_not_hide_a_dead_mint() {
    let world = World::new().await;
    let token = seen(&world).await;
    let origin = [SimSurface::SessionMint, SimSurface::Handshake, SimSurface::BackendApi];
    world.sim.break_with(origin, SimFault::status(503));
    assert!(world.until(Verdict::Outage).await <= 30);
    world.pass(60).await;
    assert_eq!(world.get(&token).await.body, "user_1 outage");
}

#[tokio::test(start_paused = true)]
async fn three_hours_of_flapping_move_no_bound() {
    let world = World::with(balanced).await;
    let token = seen(&world).await;
    let expired = 60;
    let mut last = 0;
    for turn in 0..270 {
        if turn % 2 == 0 {
            world.break_clerk();
        } else {
            world.sim.heal_all();
        }
        for _ in 0..4 {
            world.pass(10).await;
            if world.get(&token).await.status == StatusCode::OK {
                last = world.clock_secs();
            }
        }
    }
    assert!(last <= expired + 3_600, "{last}");
    let outages = world.clerk.snapshot().health.outages.clone();
    let start = outages.episode_start().expect("an episode");
    assert!(
        start.since(test_support::world::start_of_time()) <= Duration::from_secs(60),
        "it never moved"
    );
}

#[tokio::test(start_paused = true)]
async fn late_users_of_a_flapping_outage_find_its_budget_spent() {
    let policy = GracePolicy::balanced().episode_budget("20min");
    let world = World::with(|builder| builder.grace(policy)).await;
    for _ in 0..80 {
        world.break_clerk();
        world.pass(20).await;
        world.sim.heal_all();
        world.pass(20).await;
    }
    world.break_clerk();
    let token = seen(&world).await;
    world.until(Verdict::Outage).await;
    world.pass(60 + 31).await;
    denied(&world.get(&token).await);
}
