//! The conditions of grace that hang on how a session is used and on what others tell: one test
//! each, in which it alone decides.

use std::time::Duration;

use clerk_resilience::{ClerkResilience, GracePolicy, Verdict};
use http::StatusCode;
use test_support::world::{Answer, World, config};

const MINUTE: u64 = 60;

fn denied(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
    assert_eq!(answer.json()["code"], "authentication_unavailable");
}

async fn with(policy: GracePolicy) -> World {
    World::with(|builder| builder.grace(policy)).await
}

#[tokio::test(start_paused = true)]
async fn g6_the_token_alone_is_evidence_only_if_configured() {
    for (policy, status) in [
        (GracePolicy::balanced(), StatusCode::SERVICE_UNAVAILABLE),
        (GracePolicy::balanced().dangerously_trust_the_token_alone(), StatusCode::OK),
    ] {
        let world = with(policy).await;
        let unseen = world.sim.mint(&world.sim.sign_in("user_2"));
        world.outage().await;
        assert_eq!(world.get(&unseen).await.status, status);
    }
}

#[tokio::test(start_paused = true)]
async fn g6_the_token_alone_must_be_alive_at_the_outage_start() {
    let world = with(GracePolicy::balanced().dangerously_trust_the_token_alone()).await;
    let old = world.sim.mint(&world.sim.sign_in("user_2"));
    world.pass(15 * MINUTE).await;
    world.outage().await;
    denied(&world.get(&old).await);
}

#[tokio::test(start_paused = true)]
async fn g8_an_external_deny_list_must_be_at_most_a_minute_old() {
    let world = World::with(|b| b.grace(GracePolicy::balanced()).external_deny_list()).await;
    let (_, token) = world.outage().await;
    denied(&world.get(&token).await);
    world.clerk.deny_list_complete(Duration::ZERO);
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.pass(60).await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.pass(1).await;
    denied(&world.get(&token).await);
    world.clerk.deny_list_complete(Duration::from_secs(61));
    denied(&world.get(&token).await);
}

#[tokio::test(start_paused = true)]
async fn g8_a_local_deny_list_is_always_complete() {
    let world = World::new().await;
    let (_, token) = world.outage().await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn g9_required_webhooks_must_precede_the_outage_shortly() {
    for (before, status) in [
        (Some(4 * MINUTE), StatusCode::OK),
        (Some(6 * MINUTE), StatusCode::SERVICE_UNAVAILABLE),
        (None, StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let world = with(GracePolicy::balanced().webhooks_within("5min")).await;
        if let Some(before) = before {
            world.clerk.record_webhook();
            world.pass(before).await;
        }
        let (_, token) = world.outage().await;
        assert_eq!(world.get(&token).await.status, status, "{before:?} s before");
    }
}

#[tokio::test(start_paused = true)]
async fn g13_a_session_idle_for_an_hour_has_ended() {
    let world = with(GracePolicy::available()).await;
    let (_, token) = world.outage().await;
    for _ in 0..2 {
        world.pass(50 * MINUTE).await;
        assert_eq!(world.get(&token).await.status, StatusCode::OK, "use keeps it awake");
    }
    let world = with(GracePolicy::available()).await;
    let (_, token) = world.outage().await;
    world.pass(61 * MINUTE).await;
    denied(&world.get(&token).await);
    denied(&world.get(&token).await);
}

#[tokio::test(start_paused = true)]
async fn g13_use_in_grace_does_not_extend_a_session() {
    let world = with(GracePolicy::balanced().max_age("10min")).await;
    let (_, token) = world.outage().await;
    for _ in 0..8 {
        assert_eq!(world.get(&token).await.status, StatusCode::OK);
        world.pass(MINUTE).await;
    }
    world.pass(MINUTE).await;
    denied(&world.get(&token).await);
}

#[tokio::test(start_paused = true)]
async fn draining_grace_rejects_an_ended_session_on_every_route() {
    let world = with(GracePolicy::balanced().max_idle("2min")).await;
    let (_, token) = world.outage().await;
    world.pass(2 * MINUTE).await;
    world.sim.heal_all();
    world.until(Verdict::Recovering).await;
    for method in ["GET", "POST"] {
        let answer = world.send(test_support::world::bearer(method, "/me", &token)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method}: {}", answer.body);
    }
}

#[tokio::test(start_paused = true)]
async fn g14_requests_per_session_and_minute_are_limited() {
    let world = with(GracePolicy::balanced().requests_per_minute(3)).await;
    let (_, token) = world.outage().await;
    let other = {
        let second = 60 - world.now_secs().rem_euclid(60);
        world.pass(u64::try_from(second).expect("positive")).await;
        world.get(&token).await
    };
    assert_eq!(other.status, StatusCode::OK);
    for status in [StatusCode::OK, StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE] {
        assert_eq!(world.get(&token).await.status, status);
    }
    world.pass(MINUTE).await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK, "the next minute is another");
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_bound_fails_the_start_and_names_the_option() {
    let world = World::unready(|builder| builder);
    for policy in [
        GracePolicy::balanced().max_grace("5"),
        GracePolicy::balanced().max_grace(""),
        GracePolicy::balanced().max_grace("false"),
        GracePolicy::balanced().max_grace("-1h"),
    ] {
        let built = ClerkResilience::builder(config(&world.sim)).grace(policy).build();
        let error = built.expect_err("refused").to_string();
        assert!(error.starts_with("max_grace") && error.contains("unit"), "{error}");
    }
    let contradiction = GracePolicy::balanced().episode_budget("5h").day_budget("1h");
    let built = ClerkResilience::builder(config(&world.sim)).grace(contradiction).build();
    let error = built.expect_err("refused").to_string();
    assert!(error.contains("episode_budget") && error.contains("day_budget"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_strict_preset_has_no_grace_and_no_bridge() {
    let world = with(GracePolicy::strict()).await;
    let (_, token) = world.outage().await;
    denied(&world.get(&token).await);
    assert_eq!(world.clerk.verdict(), Verdict::Outage);
}
