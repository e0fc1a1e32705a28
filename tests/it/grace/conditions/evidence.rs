//! G6 and G7: who was seen here, and who was revoked.

use clerk_resilience::sim::SimOrganization;
use clerk_resilience::{ClerkResilience, Verdict};
use http::StatusCode;
use test_support::world::World;

use super::refused;

#[tokio::test(start_paused = true)]
async fn g6_a_session_never_seen_here_gets_no_grace() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_2");
    let unseen = world.sim.mint(&session);
    let (_, seen) = world.outage().await;
    assert_eq!(world.get(&seen).await.status, StatusCode::OK);
    refused(&world.get(&unseen).await);
}

#[tokio::test(start_paused = true)]
async fn g6_older_claims_never_replace_newer_ones() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let old = world.sim.mint(&session);
    world.get(&old).await;
    world.pass(40).await;
    let new = world.sim.mint(&session);
    world.get(&new).await;
    world.break_clerk();
    world.until(Verdict::Outage).await;
    world.pass(60).await;
    assert_eq!(world.get(&new).await.status, StatusCode::OK);
    refused(&world.get(&old).await);
}

#[tokio::test(start_paused = true)]
async fn g7_a_revoked_session_is_rejected_in_every_state_of_clerk() {
    let world = World::new().await;
    let (session, token) = world.outage().await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.clerk.revoke_session(session.id.clone());
    let answer = world.get(&token).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.json()["reason"], "session-revoked");

    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.clerk.revoke_user("user_1");
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
    world.pass(6).await;
    let later = world.sim.mint(&session);
    assert_eq!(world.get(&later).await.status, StatusCode::OK, "issued after the revocation");
}

#[tokio::test(start_paused = true)]
async fn g7_membership_revocation_leaves_the_session_elsewhere() {
    type Revoke = fn(&ClerkResilience);
    let revokes: [(Revoke, bool); 2] = [
        (|clerk| clerk.revoke_member("user_1", "org_1"), true),
        (|clerk| clerk.revoke_organization("org_1"), false),
    ];
    for (revoke, others_stay) in revokes {
        let world = World::new().await;
        let of = |user: &str, id: &str| {
            let organization = SimOrganization::new(id.to_owned(), id.to_owned());
            world.sim.token(&world.sim.sign_in(user)).organization(organization).sign()
        };
        let (token, elsewhere, other) =
            (of("user_1", "org_1"), of("user_1", "org_2"), of("user_2", "org_1"));
        for token in [&token, &elsewhere, &other] {
            assert_eq!(world.get(token).await.status, StatusCode::OK);
        }
        revoke(&world.clerk);
        assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(world.get(&elsewhere).await.status, StatusCode::OK);
        let other = world.get(&other).await.status;
        assert_eq!(other, if others_stay { StatusCode::OK } else { StatusCode::UNAUTHORIZED });
        world.pass(6).await;
        assert_eq!(world.get(&of("user_1", "org_1")).await.status, StatusCode::OK, "a later one");
    }
}
