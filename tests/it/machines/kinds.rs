//! Which kind of token passes where, and what a handler receives.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use clerk_resilience::jwks::KeySet;
use clerk_resilience::sim::{SimClerk, SimFault, SimMachine, SimSurface};
use clerk_resilience::token::{Expectations, InvalidToken, TokenKind};
use clerk_resilience::verify::{Unverified, verify};
use clerk_resilience::{Machine, RoutePolicy, Verdict};
use http::StatusCode;
use test_support::world::{World, anonymous, bearer};

use super::{Machines, m2m, oauth};

#[tokio::test(start_paused = true)]
async fn each_kind_passes_only_where_it_is_accepted() {
    let machines = Machines::new().await;
    let sim = &machines.world.sim;
    let session = sim.mint(&sim.sign_in("user_9"));
    let key = machines.key();
    let opaque = sim.issue(SimMachine::machine_to_machine("mch_2"));
    let access = sim.issue(SimMachine::oauth("user_3", "client_1"));
    let mismatch = (401, "token-type-mismatch".to_owned());
    for (token, described) in [
        (&key, "api_key user_1"),
        (&opaque, "m2m_token mch_2"),
        (&access, "oauth_token user_3"),
        (&m2m(sim).sign(), "m2m_token mch_1"),
        (&oauth(sim).sign(), "oauth_token user_1"),
    ] {
        let answer = machines.ask("/machine", token).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, described));
        assert_eq!(machines.verdict("/user", token).await, mismatch, "{described}");
    }
    assert_eq!(machines.verdict("/machine", &session).await, mismatch);
    assert_eq!(machines.ask("/both", &session).await.body, "user user_9");
    assert_eq!(machines.ask("/both", &key).await.body, "machine user_1");
    assert_eq!(machines.verdict("/both", &opaque).await, mismatch);
    assert_eq!(machines.verdict("/both", &m2m(sim).sign()).await, mismatch);
    assert_eq!(machines.world.clerk.counts().machines, 6);
}

#[test]
fn a_session_route_accepts_no_other_kind_of_token() {
    let sim = SimClerk::builder().build();
    let keys = KeySet::parse(sim.jwks().to_string().as_bytes()).expect("keys");
    let issuer = sim.publishable_key().issuer();
    let sessions = Expectations::session_tokens(issuer);
    let token = || sim.token(&sim.sign_in("user_1"));
    for (good, token) in [
        (true, token()),
        (true, token().header("cat", serde_json::Value::Null)),
        (false, token().header("cat", "cl_B7d4PD222AAA")),
        (false, token().header("cat", serde_json::Value::Null).claim("sub", "mch_1")),
        (false, token().header("typ", "at+jwt")),
    ] {
        match verify(&token.sign(), &keys, &sessions) {
            Ok(_) => assert!(good),
            Err(reason) => {
                assert_eq!((good, reason), (false, Unverified::Invalid(InvalidToken::Kind)));
            }
        }
    }
    let other = Expectations::session_tokens("https://clerk.other.example");
    let refused = verify(&token().sign(), &keys, &other).expect_err("another instance's");
    assert_eq!(refused, Unverified::Invalid(InvalidToken::Issuer));
}

#[tokio::test(start_paused = true)]
async fn session_and_machine_handlers_are_separate() {
    let machines = Machines::new().await;
    let sim = &machines.world.sim;
    let (session, key) = (sim.mint(&sim.sign_in("user_9")), machines.key());
    let mismatch = (401, "token-type-mismatch".to_owned());
    assert_eq!(machines.verdict("/both/user", &key).await, mismatch);
    assert_eq!(machines.verdict("/both/fresh", &key).await, mismatch);
    assert_eq!(machines.verdict("/both/machine", &session).await, mismatch);
    assert_eq!(machines.ask("/both/user", &session).await.status, StatusCode::OK);
    assert_eq!(machines.ask("/both/machine", &key).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_machine_has_no_role_and_is_read_from_the_header_only() {
    let machines = Machines::new().await;
    let key = machines.key();
    let forbidden = (403, "insufficient-permission".to_owned());
    assert_eq!(machines.verdict("/admin", &key).await, forbidden);
    let token = m2m(&machines.world.sim).sign();
    for value in [&key, &token] {
        let cookie = format!("__session={value}");
        let request = anonymous("GET", "/machine", &[("cookie", &cookie)]);
        let answer = World::ask(&machines.app, request).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    machines.world.break_clerk();
    machines.world.until(Verdict::Outage).await;
    let answer = World::ask(&machines.app, anonymous("GET", "/machine", &[])).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "no token is 401 in an outage too");
}

#[tokio::test(start_paused = true)]
async fn the_handler_receives_the_machine_identity() {
    let world = World::with(|builder| builder).await;
    let told = Arc::new(Mutex::new(None));
    let kept = told.clone();
    let handler = get(async move |machine: Machine| {
        *kept.lock().expect("whole") = Some(machine);
    });
    let policy = RoutePolicy::required().accepts(TokenKind::MACHINES);
    let app = Router::new().route("/", handler).route_layer(world.clerk.policy(policy));
    let issued = SimMachine::api_key("org_1").name("ci").scope("a").scope("b").claim("team", 7);
    let key = world.sim.issue(issued.lifetime(Duration::from_secs(3_600)));
    assert_eq!(World::ask(&app, bearer("GET", "/", &key)).await.status, StatusCode::OK);
    let machine = told.lock().expect("whole").take().expect("a machine");
    assert!(machine.has_scope("a") && machine.has_scope("b") && !machine.has_scope("a b"));
    assert_eq!((machine.subject(), machine.name()), ("org_1", Some("ci")));
    assert_eq!(machine.claims().expect("claims")["team"], 7);
    assert_eq!(machine.expires_at().expect("an end").as_secs(), world.now_secs() + 3_600);
    assert!(!format!("{machine:?}").contains(&key));
}

#[tokio::test(start_paused = true)]
async fn a_signed_token_is_verified_locally() {
    let machines = Machines::with(|builder| builder.audience("api")).await;
    let sim = &machines.world.sim;
    let ago = Duration::from_secs(120);
    for (token, reason) in [
        (m2m(sim).forged().sign(), "token-invalid-signature"),
        (m2m(sim).ago(ago).sign(), "token-expired"),
        (m2m(sim).claim("iss", "https://other.example").sign(), "token-invalid-issuer"),
        (m2m(sim).claim("aud", "other").sign(), "token-verification-failed"),
        (m2m(sim).header("cat", "cl_B7d4PD111AAA").sign(), "token-invalid"),
        (oauth(sim).sign(), "token-verification-failed"),
        (oauth(sim).claim("aud", "other").sign(), "token-verification-failed"),
    ] {
        let refused = (401, reason.to_owned());
        assert_eq!(machines.verdict("/machine", &token).await, refused);
    }
    let good = oauth(sim).claim("aud", "api").sign();
    assert_eq!(machines.ask("/machine", &good).await.status, StatusCode::OK);
    assert_eq!(machines.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_signed_token_with_a_new_key_waits_for_the_keys() {
    let machines = Machines::new().await;
    machines.world.sim.rotate_key();
    let token = m2m(&machines.world.sim).sign();
    assert_eq!(machines.ask("/machine", &token).await.status, StatusCode::OK);
    machines.world.sim.rotate_key();
    machines.world.sim.break_with(SimSurface::CLERK, SimFault::status(500));
    machines.world.pass(60).await;
    let token = m2m(&machines.world.sim).sign();
    assert_eq!(machines.verdict("/machine", &token).await.0, 503, "it cannot be told");
    let short = m2m(&machines.world.sim).lifetime(Duration::from_secs(1));
    let expired = short.ago(Duration::from_secs(10)).sign();
    assert_eq!(machines.verdict("/machine", &expired).await.0, 401, "whatever its key");
}

#[tokio::test(start_paused = true)]
async fn an_optional_route_receives_machines_and_passes_without() {
    let machines = Machines::new().await;
    assert_eq!(machines.ask("/optional", &machines.key()).await.body, "somebody");
    assert_eq!(machines.ask("/optional", "ak_made_up").await.body, "nobody");
    machines.break_with(SimFault::status(500));
    assert_eq!(machines.ask("/optional", &machines.key()).await.body, "nobody");
}

#[tokio::test(start_paused = true)]
async fn a_route_that_accepts_no_kind_rejects_everything() {
    for policy in [RoutePolicy::required().accepts([]), RoutePolicy::optional().accepts([])] {
        let world = World::with(|builder| builder.policy(policy)).await;
        let session = world.sim.sign_in("user_1");
        let tokens = [world.sim.mint(&session), m2m(&world.sim).sign(), oauth(&world.sim).sign()];
        for token in tokens.iter().map(String::as_str).chain(["ak_1", "mt_1", "oat_1", "x"]) {
            let answer = world.get(token).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.body);
        }
    }
}
