//! Tokens: old, borrowed, doubled, and at the last second.

use std::time::Duration;

use clerk_resilience::clock::Timestamp;
use clerk_resilience::sim::{SimFault, SimSurface};
use clerk_resilience::{GracePolicy, Verdict};
use http::{HeaderValue, StatusCode};
use test_support::world::{World, anonymous, bearer};

use crate::{balanced, denied};

const HOUR: Duration = Duration::from_secs(3_600);

/// A world in which an operator declares the outage, so that its first second is known.
async fn declared(world: &World) -> Timestamp {
    world.clerk.force_outage(HOUR);
    world.pass(1).await;
    world.clerk.snapshot().health.outages.episode_start().expect("an outage")
}

#[tokio::test(start_paused = true)]
async fn g4_a_token_ended_60_s_before_counts_and_61_s_not() {
    for (ended, status) in [(60, StatusCode::OK), (61, StatusCode::SERVICE_UNAVAILABLE)] {
        let world = World::new().await;
        let session = world.sim.sign_in("user_1");
        assert_eq!(world.get(&world.sim.mint(&session)).await.status, StatusCode::OK);
        world.pass(700).await;
        let start = declared(&world).await;
        let exp = start.as_secs() - ended;
        assert_eq!(start.as_millis() % 1000, 0, "a whole second");
        let token = world.sim.token(&session).issued(Timestamp::from_secs(exp - 60)).sign();
        assert_eq!(world.get(&token).await.status, status, "{ended} s");
    }
}

#[tokio::test(start_paused = true)]
async fn g4_a_session_seen_600_s_before_counts_and_601_s_not() {
    for (unseen, status) in [(600, StatusCode::OK), (601, StatusCode::SERVICE_UNAVAILABLE)] {
        let world = World::new().await;
        let token = world.sim.mint(&world.sim.sign_in("user_1"));
        let seen = world.now();
        assert_eq!(world.get(&token).await.status, StatusCode::OK);
        world.pass(unseen).await;
        let start = declared(&world).await;
        assert_eq!(start.since(seen), Duration::from_secs(unseen));
        assert_eq!(world.get(&token).await.status, status, "{unseen} s");
    }
}

#[tokio::test(start_paused = true)]
async fn g5_the_last_second_of_grace_is_3600() {
    let world = World::new().await;
    let (_, token) = world.outage().await;
    let end = 60 + 3_600;
    let passed = u64::try_from(world.clock_secs()).expect("positive");
    // Silence of an hour would end it as well.
    world.pass(end - passed - 60).await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.pass(60).await;
    assert_eq!(world.clock_secs(), 3_660);
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.pass(1).await;
    denied(&world.get(&token).await);
}

#[tokio::test(start_paused = true)]
async fn the_bridge_lasts_30_s_even_in_long_suspicion() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    world.get(&world.sim.mint(&session)).await;
    world.sim.break_with(SimSurface::SessionMint, SimFault::Hang);
    world.until(Verdict::Suspect).await;
    for _ in 0..20 {
        world.pass(300).await;
        assert_eq!(world.clerk.verdict(), Verdict::Suspect);
        let fresh = world.sim.mint(&session);
        assert_eq!(world.get(&fresh).await.body, "user_1 fresh");
        world.pass(60 + 30).await;
        assert_eq!(world.get(&fresh).await.body, "user_1 bridge");
        world.pass(1).await;
        denied(&world.get(&fresh).await);
    }
}

#[tokio::test(start_paused = true)]
async fn the_fresher_cookie_counts_in_an_outage() {
    let world = World::new().await;
    let (_, expired) = world.outage().await;
    let fresh = world.sim.mint(&world.sim.sign_in("user_2"));
    let suffix = world.sim.cookie_suffix();
    for (plain, own) in [(&expired, &fresh), (&fresh, &expired)] {
        let cookies = format!(
            "__session={plain}; __session_{suffix}={own}; __client_uat=1; __client_uat_{suffix}=1"
        );
        let answer = world.send(anonymous("GET", "/me", &[("cookie", &cookies)])).await;
        assert_eq!(answer.body, "user_2 fresh");
    }
}

#[tokio::test(start_paused = true)]
async fn a_revoked_cookie_beside_a_valid_one_does_not_pass() {
    let world = World::new().await;
    let revoked = world.sim.sign_in("user_1");
    let suffix = world.sim.cookie_suffix();
    let (old, good) = (world.sim.mint(&revoked), world.sim.mint(&world.sim.sign_in("user_2")));
    world.clerk.revoke_session(revoked.id.clone());
    for (plain, own) in [(&old, &good), (&good, &old)] {
        let cookies = format!(
            "__session={plain}; __session_{suffix}={own}; __client_uat=1; __client_uat_{suffix}=1"
        );
        let answer = world.send(anonymous("GET", "/me", &[("cookie", &cookies)])).await;
        assert!(
            answer.status == StatusCode::UNAUTHORIZED || answer.body == "user_2 fresh",
            "{}",
            answer.body
        );
    }
    let both = format!("__session={old}; __session={good}; __client_uat=1");
    let answer = world.send(anonymous("GET", "/me", &[("cookie", &both)])).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "the first of equal names counts");
}

#[tokio::test(start_paused = true)]
async fn only_the_first_authorization_header_counts() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let (good, bad) = (world.sim.mint(&session), world.sim.forge(&session));
    let cookies = format!("__session={good}; __client_uat=1");
    for (fields, status) in
        [([&bad, &good], StatusCode::UNAUTHORIZED), ([&good, &bad], StatusCode::OK)]
    {
        let mut request = anonymous("GET", "/me", &[("cookie", &cookies)]);
        for token in fields {
            let value = HeaderValue::try_from(format!("Bearer {token}")).expect("a value");
            request.headers_mut().append("authorization", value);
        }
        assert_eq!(world.send(request).await.status, status);
    }
    let folded = format!("Bearer {bad}, Bearer {good}");
    let answer = world.send(anonymous("GET", "/me", &[("authorization", &folded)])).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "joined by something in between");
}

/// A token that Clerk's edge made in an outage of its own has a fresh `iat` and old claims.
#[tokio::test(start_paused = true)]
async fn older_claims_get_no_grace_in_a_newer_token() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let oiat = |secs: i64| world.sim.token(&session).header("oiat", secs).sign();
    let now = world.now_secs();
    let (old, new) = (oiat(now - 3_600), oiat(now - 10));
    assert_eq!(world.get(&new).await.status, StatusCode::OK);
    assert_eq!(world.get(&old).await.status, StatusCode::OK, "within its time it is Clerk's word");
    world.break_clerk();
    world.until(Verdict::Outage).await;
    world.pass(60).await;
    assert_eq!(world.get(&new).await.status, StatusCode::OK);
    denied(&world.get(&old).await);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_expired_tokens_cause_no_call_and_no_pass() {
    let world = World::new().await;
    let (_, token) = world.outage().await;
    let day = Duration::from_secs(24 * 3_600);
    let old: Vec<_> = (0..50)
        .map(|n| world.sim.token(&world.sim.sign_in(format!("user_{n}"))).ago(day).sign())
        .collect();
    let before = world.sim.total_requests();
    for token in old.iter().cycle().take(10_000) {
        assert_eq!(world.get(token).await.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(world.sim.total_requests(), before);
    assert_eq!(world.get(&token).await.status, StatusCode::OK, "and nobody is kept out");
}

/// It could be neither signed out nor counted.
#[tokio::test(start_paused = true)]
async fn a_token_without_a_session_never_gets_grace() {
    let policy = GracePolicy::balanced().dangerously_trust_the_token_alone();
    let world = World::with(|builder| builder.grace(policy)).await;
    let session = world.sim.sign_in("user_2");
    let without = world.sim.token(&session).without_claim("sid").sign();
    let with = world.sim.mint(&session);
    world.outage().await;
    assert_eq!(world.get(&with).await.status, StatusCode::OK);
    denied(&world.get(&without).await);
}

#[tokio::test(start_paused = true)]
async fn names_in_any_script_are_compared_byte_for_byte() {
    let world = World::with(balanced).await;
    let session = world.sim.sign_in("user_\u{00e9}");
    let composed = world.sim.mint(&session);
    let decomposed = world.sim.token(&session).claim("sub", "user_e\u{0301}").sign();
    assert_eq!(world.get(&composed).await.status, StatusCode::OK);
    world.break_clerk();
    world.until(Verdict::Outage).await;
    world.pass(60).await;
    assert_eq!(world.get(&composed).await.status, StatusCode::OK);
    denied(&world.get(&decomposed).await);
    world.clerk.revoke_user("user_e\u{0301}");
    assert_eq!(world.get(&composed).await.status, StatusCode::OK);
    world.clerk.revoke_user("user_\u{00e9}");
    assert_eq!(world.get(&composed).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn a_newer_token_does_not_undo_a_revocation_in_an_outage() {
    let world = World::new().await;
    let (session, token) = world.outage().await;
    world.send(bearer("POST", "/auth/sign-out", &token)).await;
    for token in [token, world.sim.mint(&session)] {
        assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
    }
}
