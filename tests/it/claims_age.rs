//! Claims are as old as the earlier of `oiat` and `iat`, whatever a signature says.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use clerk_resilience::sim::{SimOrganization, SimSession, TokenBuilder};
use clerk_resilience::token::TokenKind;
use clerk_resilience::{
    Auth, FreshAuth, GraceAccess, Machine, Reverification, RoutePolicy, Verdict,
};
use http::StatusCode;
use serde_json::json;
use test_support::world::{Answer, NAVIGATION, World, bearer, signed};

use crate::handshake::browser::Browser;
use crate::handshake::way_back;

/// A token that Clerk's edge signs now, with claims of then.
fn edge<'a>(world: &'a World, session: &SimSession, read: i64) -> TokenBuilder<'a> {
    world.sim.token(session).header("oiat", read)
}

fn stale(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
    assert_eq!(answer.json()["code"], "authentication_unavailable");
    assert_eq!(answer.header("www-authenticate"), "");
}

#[tokio::test(start_paused = true)]
async fn a_ban_covers_claims_that_were_read_before_it() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let read = world.now_secs();
    world.pass(600).await;
    world.clerk.revoke_user("user_1");
    let banned = world.clerk.snapshot().revocations.users().next().expect("a mark").1.as_secs();
    let before = world.sim.token(&session).ago(Duration::from_secs(1)).sign();
    assert_eq!(world.get(&before).await.status, StatusCode::UNAUTHORIZED, "signed before it");
    world.pass(30).await;
    stale(&world.get(&edge(&world, &session, read).sign()).await);
    stale(&world.get(&edge(&world, &session, banned).sign()).await);
    let newer = edge(&world, &session, banned + 1).sign();
    assert_eq!(world.get(&newer).await.status, StatusCode::OK, "read after it");
    let plain = world.sim.mint(&session);
    assert_eq!(world.get(&plain).await.status, StatusCode::OK, "signed and read after it");
}

#[tokio::test(start_paused = true)]
async fn a_strange_oiat_makes_no_claim_younger() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    world.pass(600).await;
    world.clerk.revoke_user("user_1");
    let later = world.now_secs() + 1_000_000;
    let old = |oiat: serde_json::Value| {
        let token = world.sim.token(&session).ago(Duration::from_secs(5));
        token.header("oiat", oiat).sign()
    };
    for oiat in [json!(later), json!("soon"), json!(null), json!(1e300), json!([later])] {
        let answer = world.get(&old(oiat.clone())).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{oiat}");
    }
    let undated = world.sim.token(&session).header("oiat", later).without_claim("iat").sign();
    assert_eq!(world.get(&undated).await.status, StatusCode::UNAUTHORIZED, "no iat");
    world.pass(30).await;
    for oiat in [json!("soon"), json!(1e300), json!([later]), json!(-5), json!(true)] {
        stale(&world.get(&world.sim.token(&session).header("oiat", oiat).sign()).await);
    }
    for oiat in [json!(later), json!(null)] {
        let token = world.sim.token(&session).header("oiat", oiat.clone()).sign();
        assert_eq!(world.get(&token).await.status, StatusCode::OK, "{oiat}: dated by iat");
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_of_membership_covers_claims_read_before_it() {
    for whole in [false, true] {
        let world = World::new().await;
        let session = world.sim.sign_in("user_1");
        let read = world.now_secs();
        let in_org = |token: TokenBuilder<'_>| {
            token.organization(SimOrganization::new("org_1", "acme")).sign()
        };
        world.pass(600).await;
        let before = in_org(edge(&world, &session, read));
        assert_eq!(world.get(&before).await.status, StatusCode::OK);
        if whole {
            world.clerk.revoke_organization("org_1");
        } else {
            world.clerk.revoke_member("user_1", "org_1");
        }
        assert_eq!(world.get(&before).await.status, StatusCode::UNAUTHORIZED);
        world.pass(30).await;
        stale(&world.get(&in_org(edge(&world, &session, read))).await);
        let elsewhere = edge(&world, &session, read).sign();
        assert_eq!(world.get(&elsewhere).await.status, StatusCode::OK, "without the organisation");
        let again = in_org(world.sim.token(&session));
        assert_eq!(world.get(&again).await.status, StatusCode::OK, "a member again");
    }
}

#[tokio::test(start_paused = true)]
async fn claims_read_before_a_ban_get_no_grace() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let read = world.now_secs();
    assert_eq!(world.get(&world.sim.mint(&session)).await.status, StatusCode::OK);
    world.pass(600).await;
    world.clerk.revoke_user("user_1");
    world.pass(30).await;
    let token = edge(&world, &session, read).sign();
    world.break_clerk();
    world.until(Verdict::Outage).await;
    world.pass(90).await;
    stale(&world.get(&token).await);
}

#[tokio::test(start_paused = true)]
async fn an_oiat_of_the_future_takes_no_grace_from_other_tokens() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let odd = edge(&world, &session, world.now_secs() + 86_400).sign();
    assert_eq!(world.get(&odd).await.status, StatusCode::OK);
    let token = world.sim.mint(&session);
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.break_clerk();
    world.until(Verdict::Outage).await;
    world.pass(60).await;
    assert_eq!(world.get(&token).await.body, "user_1 outage");
}

/// A session whose user was banned ten minutes after its claims were read, and its `__client_uat`.
async fn banned(world: &World) -> (SimSession, i64, String) {
    world.pass(5).await;
    let session = world.sim.sign_in("user_1");
    let (read, uat) = (world.now_secs(), session.since.as_secs().to_string());
    world.pass(600).await;
    world.clerk.revoke_user("user_1");
    (session, read, uat)
}

#[tokio::test(start_paused = true)]
async fn a_page_with_stale_claims_is_sent_to_clerk_once() {
    let world = World::production(|builder| builder).await;
    let (session, read, uat) = banned(&world).await;
    world.pass(30).await;
    let token = edge(&world, &session, read).sign();

    let mut cured = Browser::signed_in(&world, &token, &uat);
    assert_eq!(cured.visit("/me").await.body, "user_1 fresh", "Clerk reads its database again");
    assert_eq!(cured.handshakes(), 1);

    let mut stuck = Browser::signed_in(&world, &token, &uat);
    let sent = world.send(stuck.page("/me")).await;
    assert_eq!(sent.status, StatusCode::TEMPORARY_REDIRECT);
    assert!(
        sent.header("location").contains("/v1/client/handshake"),
        "{}",
        sent.header("location")
    );
    stuck.keep(0, &sent.headers);
    // Clerk's edge sends the browser back with the same old claims.
    stuck.set(&format!("__session={}; Path=/", edge(&world, &session, read).sign()));
    let back = way_back(&sent);
    let back = format!("{}?{}", back.path(), back.query().expect("a state"));
    for page in [&*back, "/me", "/me"] {
        let answer = world.send(stuck.page(page)).await;
        stuck.keep(0, &answer.headers);
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.body.contains("nobody is signed out"), "{}", answer.body);
    }
    let form = signed("POST", "/me", &token, &NAVIGATION);
    assert_eq!(world.send(form).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn a_page_with_stale_claims_stays_while_clerk_is_down() {
    let world = World::production(|builder| builder).await;
    let (session, read, uat) = banned(&world).await;
    world.break_clerk();
    world.until(Verdict::Outage).await;
    let token = edge(&world, &session, read).sign();
    let answer = world.send(Browser::signed_in(&world, &token, &uat).page("/me")).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn marks_on_users_cover_old_claims_of_machines() {
    let world = World::new().await;
    let machines = RoutePolicy::required().accepts(TokenKind::MACHINES);
    let app = Router::new()
        .route("/", get(async |machine: Machine| machine.subject().to_owned()))
        .route_layer(world.clerk.policy(machines));
    let session = world.sim.sign_in("user_1");
    let read = world.now_secs();
    world.pass(600).await;
    world.clerk.revoke_user("user_1");
    world.pass(30).await;
    let access = |token: TokenBuilder<'_>| token.header("typ", "at+jwt").sign();
    let ask = async |token: &str| World::ask(&app, bearer("GET", "/", token)).await;
    stale(&ask(&access(edge(&world, &session, read))).await);
    let signed_before = world.sim.token(&session).ago(Duration::from_secs(40));
    assert_eq!(ask(&access(signed_before)).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(&access(world.sim.token(&session))).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn factors_age_from_the_time_at_which_they_were_read() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let recent = RoutePolicy::required().reverification(Reverification::STRICT);
    let app = Router::new()
        .route("/pay", get(async |auth: FreshAuth| auth.user_id().to_string()))
        .layer(world.clerk.policy(recent));
    let ask = async |token: &str| World::ask(&app, bearer("GET", "/pay", token)).await;
    let verified = |read: i64| edge(&world, &session, read).claim("fva", json!([1, -1])).sign();
    world.pass(10).await;
    let read = world.now_secs();
    assert_eq!(ask(&verified(read)).await.status, StatusCode::OK);
    world.pass(9 * 60 - 1).await;
    assert_eq!(ask(&verified(read)).await.status, StatusCode::OK, "the last second");
    world.pass(1).await;
    let answer = ask(&verified(read)).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.json()["code"], "reverification_required");
    assert_eq!(ask(&verified(world.now_secs())).await.status, StatusCode::OK, "read again");
    let undated = world.sim.token(&session).claim("fva", json!([0, 0])).header("oiat", "x").sign();
    assert_eq!(ask(&undated).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test(start_paused = true)]
async fn a_route_bounds_the_age_of_claims() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let bound = RoutePolicy::required().max_claims_age(Duration::from_secs(120));
    let age = async |auth: Auth| auth.claims_age().as_secs().to_string();
    let app = Router::new()
        .route("/age", get(age))
        .route_layer(world.clerk.policy(bound.grace(GraceAccess::Full)));
    let ask = async |token: &str| World::ask(&app, bearer("GET", "/age", token)).await;
    let read = world.now_secs();
    world.pass(120).await;
    assert_eq!(ask(&edge(&world, &session, read).sign()).await.body, "120");
    world.pass(1).await;
    stale(&ask(&edge(&world, &session, read).sign()).await);
    let token = world.sim.mint(&session);
    assert_eq!(ask(&token).await.body, "0");
    world.break_clerk();
    world.until(Verdict::Outage).await;
    world.pass(60).await;
    assert_eq!(ask(&token).await.status, StatusCode::OK, "in grace, within the bound");
    world.pass(60).await;
    let answer = ask(&token).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["code"], "step_up_unavailable");
}

#[tokio::test(start_paused = true)]
async fn a_handler_of_fresh_sessions_bounds_the_age_of_claims() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let app = Router::new()
        .route("/any", get(async |FreshAuth(auth): FreshAuth| auth.user_id().to_string()))
        .route("/bound", get(async |FreshAuth(auth): FreshAuth<120>| auth.user_id().to_string()))
        .route_layer(world.clerk.clone());
    let ask = async |path: &str, token: &str| World::ask(&app, bearer("GET", path, token)).await;
    let read = world.now_secs();
    world.pass(120).await;
    let token = edge(&world, &session, read).sign();
    assert_eq!(ask("/bound", &token).await.body, "user_1");
    world.pass(1).await;
    assert_eq!(ask("/any", &token).await.body, "user_1");
    let answer = ask("/bound", &token).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["code"], "step_up_unavailable");
    assert_eq!(ask("/bound", &world.sim.mint(&session)).await.body, "user_1");
}
