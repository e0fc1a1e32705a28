//! G2, G3, G10 to G12: the token, its session and its route.

use std::time::Duration;

use clerk_resilience::{GraceAccess, GracePolicy, RoutePolicy, Verdict};
use http::StatusCode;
use test_support::world::{World, bearer, routes};

use super::{MINUTE, refused};

#[tokio::test(start_paused = true)]
async fn g2_forged_tokens_and_unknown_keys_get_no_grace() {
    let world = World::new().await;
    let (session, _) = world.outage().await;
    let forged = world.sim.token(&session).ago(Duration::from_secs(100)).forged().sign();
    assert_eq!(world.get(&forged).await.status, StatusCode::UNAUTHORIZED);
    let unknown =
        world.sim.token(&session).ago(Duration::from_secs(100)).kid("ins_other").forged().sign();
    assert_ne!(world.get(&unknown).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn g2_a_distrusted_key_is_rejected_in_every_state_of_clerk() {
    let world = World::new().await;
    let fresh = world.sim.mint(&world.sim.sign_in("user_2"));
    assert_eq!(world.get(&fresh).await.status, StatusCode::OK);
    let (_, token) = world.outage().await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.clerk.distrust_key(world.sim.key_id());
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
    let minted = world.sim.mint(&world.sim.sign_in("user_3"));
    assert_eq!(world.get(&minted).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn g3_every_other_claim_must_be_good() {
    let world = World::with(|builder| {
        builder.grace(GracePolicy::balanced()).authorized_parties(["https://app.example.com"])
    })
    .await;
    let session = world.sim.sign_in("user_1");
    let expired = |party: &str| {
        world.sim.token(&session).ago(Duration::from_secs(10)).authorized_party(party).sign()
    };
    let good = expired("https://app.example.com");
    let wrong_party = expired("https://evil.example.com");
    let issuer = world.sim.token(&session).claim("iss", "https://clerk.evil.example").sign();
    assert_eq!(world.get(&good).await.status, StatusCode::OK);
    let not_before = world.sim.token(&session).authorized_party("https://app.example.com");
    let not_before = not_before.claim("nbf", world.now_secs() + 100_000).sign();
    world.break_clerk();
    world.until(Verdict::Outage).await;
    world.pass(70).await;
    assert_eq!(world.get(&good).await.body, "user_1 outage");
    for token in [wrong_party, issuer, not_before] {
        assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test(start_paused = true)]
async fn g3_a_long_lived_token_gets_no_grace() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let life = |secs| world.sim.token(&session).lifetime(Duration::from_secs(secs)).sign();
    let (ten_minutes, longer) = (life(600), life(601));
    world.get(&ten_minutes).await;
    world.get(&longer).await;
    world.break_clerk();
    world.pass(700).await;
    assert_eq!(world.clerk.verdict(), Verdict::Outage);
    assert_eq!(world.get(&ten_minutes).await.status, StatusCode::OK);
    refused(&world.get(&longer).await);
}

#[tokio::test(start_paused = true)]
async fn g10_impersonated_or_pending_sessions_get_no_grace() {
    let world = World::with(|builder| {
        builder.grace(GracePolicy::balanced()).policy(RoutePolicy::required().accept_pending())
    })
    .await;
    let session = world.sim.sign_in("user_1");
    let plain = world.sim.mint(&session);
    let actor = serde_json::json!({ "sub": "user_admin" });
    let acting = world.sim.token(&session).claim("act", actor).sign();
    let pending = world.sim.token(&session).claim("sts", "pending").sign();
    for token in [&plain, &acting, &pending] {
        assert_eq!(world.get(token).await.status, StatusCode::OK);
    }
    world.break_clerk();
    world.pass(90).await;
    assert_eq!(world.get(&plain).await.status, StatusCode::OK);
    refused(&world.get(&acting).await);
    refused(&world.get(&pending).await);
}

#[tokio::test(start_paused = true)]
async fn g11_the_route_limits_grace() {
    let world = World::new().await;
    let (_, token) = world.outage().await;
    let app =
        |access| routes().route_layer(world.clerk.policy(RoutePolicy::required().grace(access)));
    let send = async |access, method| {
        use tower::ServiceExt as _;
        let response = app(access).oneshot(bearer(method, "/me", &token)).await;
        response.expect("infallible").status()
    };
    let (ok, unavailable) = (StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(send(GraceAccess::SafeMethods, "GET").await, ok);
    assert_eq!(send(GraceAccess::SafeMethods, "POST").await, unavailable);
    assert_eq!(send(GraceAccess::Never, "GET").await, unavailable);
    assert_eq!(send(GraceAccess::Full, "GET").await, ok);
    assert_eq!(send(GraceAccess::Full, "POST").await, unavailable, "not from the same origin");
    for (site, status) in [("same-origin", ok), ("cross-site", unavailable), ("none", unavailable)]
    {
        use tower::ServiceExt as _;
        let mut request = bearer("POST", "/me", &token);
        request.headers_mut().insert("sec-fetch-site", site.parse().expect("a value"));
        let response = app(GraceAccess::Full).oneshot(request).await.expect("infallible");
        assert_eq!(response.status(), status, "{site}");
    }
}

#[tokio::test(start_paused = true)]
async fn g12_verification_ages_in_grace_and_is_required_afterwards() {
    use clerk_resilience::{Access, Reverification};

    let demand = Access::reverification(Reverification::STRICT);
    let route = RoutePolicy::required().access(demand);
    let world = World::with(|builder| builder.grace(GracePolicy::balanced()).policy(route)).await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.token(&session).claim("fva", serde_json::json!([3, -1])).sign();
    let never = world.sim.token(&session).claim("fva", serde_json::json!([-1, -1])).sign();
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    assert_eq!(world.get(&never).await.status, StatusCode::FORBIDDEN);
    world.break_clerk();
    world.pass(6 * MINUTE - 10).await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.pass(20).await;
    let answer = world.get(&token).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["code"], "step_up_unavailable");
}
