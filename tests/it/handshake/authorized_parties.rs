//! For which application a token was made: `azp`, and tokens that do not say.

use clerk_resilience::key::InstanceKind;
use clerk_resilience::sim::SimClerk;
use clerk_resilience::{AzpPolicy, Builder, ClerkResilience, PageText};
use http::StatusCode;
use test_support::world::{World, anonymous, config, expired};

use super::browser::{APP, Browser};
use super::{uat, world};

#[tokio::test(start_paused = true)]
async fn a_handshake_passes_without_an_authorized_party() {
    let world = world(InstanceKind::Production, |builder| builder.authorized_parties([APP])).await;
    let session = world.sim.sign_in("user_1");
    world.sim.set_browser_session(Some(&session));
    let old = world.sim.token(&session).authorized_party(APP).sign();
    world.pass(90).await;
    let mut browser = Browser::signed_in(&world, &old, &uat(&session));
    assert_eq!(browser.visit("/me").await.body, "user_1 fresh");
    assert_eq!(browser.handshakes(), 1);
    assert_eq!(world.clerk.counts().without_azp, 1);
}

#[tokio::test(start_paused = true)]
async fn each_token_without_azp_is_counted_once_and_shown() {
    let world = World::with(|builder| builder.authorized_parties([APP])).await;
    let session = world.sim.sign_in("user_1");
    for token in [world.sim.mint(&session), world.sim.token(&session).claim("n", 1).sign()] {
        for _ in 0..3 {
            assert_eq!(world.get(&token).await.status, StatusCode::OK);
        }
    }
    let named = world.sim.token(&session).authorized_party(APP).sign();
    assert_eq!(world.get(&named).await.status, StatusCode::OK);
    let other = world.sim.token(&session).authorized_party("https://evil.example").sign();
    assert_eq!(world.get(&other).await.json()["reason"], "token-invalid-authorized-parties");
    assert_eq!(world.clerk.counts().without_azp, 2);
    let health = world.send(anonymous("GET", "/auth/health", &[])).await;
    assert_eq!(health.json()["counts"]["withoutAzp"], 2);
}

#[tokio::test(start_paused = true)]
async fn each_policy_reads_azp_in_its_own_way() {
    for (policy, none, other) in [
        (AzpPolicy::Required, 401, 401),
        (AzpPolicy::IfPresent, 200, 401),
        (AzpPolicy::Off, 200, 200),
    ] {
        let world = World::with(|builder| builder.authorized_parties([APP]).azp(policy)).await;
        let session = world.sim.sign_in("user_1");
        let evil = world.sim.token(&session).authorized_party("https://evil.example").sign();
        assert_eq!(world.get(&world.sim.mint(&session)).await.status, none, "{policy:?}");
        assert_eq!(world.get(&evil).await.status, other, "{policy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn requiring_azp_explains_why_handshakes_fail() {
    let world = world(InstanceKind::Production, |builder| {
        builder.authorized_parties([APP]).azp(AzpPolicy::Required)
    })
    .await;
    let (session, _) = expired(&world).await;
    let old = world.sim.token(&session).authorized_party(APP).sign();
    world.pass(90).await;
    let mut browser = Browser::signed_in(&world, &old, &uat(&session));
    let answer = browser.visit("/me").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(answer.body.contains(&PageText::default().stuck), "{}", answer.body);
    assert!(answer.body.contains("authorized parties"), "{}", answer.body);
    assert_eq!(browser.handshakes(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_or_entry_is_an_error_at_start() {
    let start = |choose: fn(Builder) -> Builder| {
        let sim = SimClerk::in_memory();
        let built = choose(
            ClerkResilience::builder(config(&sim)).transport(sim.transport()).clock(sim.clock()),
        )
        .pair();
        built.map(drop).map_err(|error| error.to_string())
    };
    let none: fn(Builder) -> Builder = |builder| builder.authorized_parties([""; 0]);
    for (choose, name) in [
        (none, "authorized parties"),
        (|builder| builder.authorized_parties([""]), "authorized party"),
        (|builder| builder.authorized_parties([" "]), "authorized party"),
        (|builder| builder.authorized_parties([APP, ""]), "authorized party"),
        (|builder| builder.audience(""), "audience"),
        (|builder| builder.audience("api").audience(" "), "audience"),
    ] {
        let error = start(choose).expect_err(name);
        assert!(error.contains(name), "{name}: {error}");
    }
    assert_eq!(start(|builder| builder.authorized_parties([APP]).audience("api")), Ok(()));
    assert_eq!(start(|builder| builder), Ok(()));
}
