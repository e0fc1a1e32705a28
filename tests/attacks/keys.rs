//! Keys: stolen, rotated, replaced.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use clerk_resilience::jwks::KeySet;
use clerk_resilience::sim::{SimClerk, SimFault, SimSurface};
use clerk_resilience::token::{Expectations, TokenKind};
use clerk_resilience::verify::verify;
use clerk_resilience::{Auth, GraceAccess, Machine, RoutePolicy, Verdict};
use futures_util::stream;
use http::StatusCode;
use test_support::world::{Answer, World, anonymous, bearer, until_saved};
use tower::ServiceExt as _;

use crate::{denied, with_pem, with_this_pem};

#[tokio::test(start_paused = true)]
async fn a_rotation_in_an_outage_neither_ends_nor_starts_grace() {
    let world = World::new().await;
    let (session, old) = world.outage().await;
    world.sim.rotate_key();
    let new = world.sim.mint(&session);
    assert_eq!(world.get(&old).await.body, "user_1 outage");
    denied(&world.get(&new).await);
}

#[tokio::test(start_paused = true)]
async fn a_new_key_with_the_same_id_replaces_the_first() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let old = world.sim.mint(&session);
    assert_eq!(world.get(&old).await.status, StatusCode::OK);
    world.sim.replace_key();
    world.pass(90).await;
    let stolen = old;
    let new = world.sim.mint(&session);
    assert_eq!(world.get(&new).await.status, StatusCode::OK);
    assert_eq!(world.get(&stolen).await.status, StatusCode::UNAUTHORIZED);
    world.break_clerk();
    world.until(Verdict::Outage).await;
    assert_eq!(world.get(&stolen).await.status, StatusCode::UNAUTHORIZED, "no grace either");
}

#[tokio::test(start_paused = true)]
async fn a_machine_token_with_a_distrusted_key_is_rejected() {
    async fn who(machine: Machine) -> String {
        machine.subject().to_owned()
    }
    let world = World::new().await;
    let policy = RoutePolicy::required().accepts(TokenKind::MACHINES);
    let app = Router::new().route("/m", get(who)).route_layer(world.clerk.policy(policy));
    let m2m = || {
        let token = world.sim.token(&world.sim.sign_in("user_1")).claim("sub", "mch_1");
        token.header("cat", "cl_B7d4PD333AAA").without_claim("sid").sign()
    };
    let before = m2m();
    assert_eq!(World::ask(&app, bearer("GET", "/m", &before)).await.status, StatusCode::OK);
    world.clerk.distrust_key(world.sim.key_id());
    for _ in ["healthy", "outage"] {
        for token in [&before, &m2m()] {
            let answer = World::ask(&app, bearer("GET", "/m", token)).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.body);
        }
        world.break_clerk();
        world.until(Verdict::Outage).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_distrusted_key_stays_distrusted_under_another_id() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = with_pem(dir.path()).await;
    let pem = world.sim.public_key_pem();
    let session = world.sim.sign_in("user_1");
    let token = || world.sim.token(&session).kid("ins_made_up");
    let renamed = || token().sign();
    let lasting = token().lifetime(Duration::from_secs(3_600)).sign();
    let of_old_name = world.sim.token(&session).lifetime(Duration::from_secs(3_600)).sign();
    assert_eq!(world.get(&renamed()).await.status, StatusCode::OK, "the PEM is good for any name");
    world.clerk.distrust_key(world.sim.key_id());
    assert_eq!(world.get(&world.sim.mint(&session)).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.get(&renamed()).await.status, StatusCode::UNAUTHORIZED);
    world.pass(120).await;
    assert_eq!(world.get(&renamed()).await.status, StatusCode::UNAUTHORIZED, "after a refresh");

    world.sim.rotate_key();
    world.sim.retire_keys();
    world.pass(30 * 60).await;
    assert_eq!(world.clerk.snapshot().keys.set.key_ids().count(), 1, "Clerk has dropped it");
    let stolen = [lasting, of_old_name];
    for token in &stolen {
        assert_eq!(world.get(token).await.status, StatusCode::UNAUTHORIZED, "after Clerk did");
    }
    until_saved(dir.path(), |record| record["distrusted_keys"][0].is_array()).await;
    let (clock, sim) = (world.clock.clone(), world.sim.clone());
    drop(world);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let next = with_this_pem(clock, sim, &pem, dir.path());
    for token in &stolen {
        assert_eq!(next.get(token).await.status, StatusCode::UNAUTHORIZED, "at the next start");
    }
    next.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    for token in &stolen {
        assert_eq!(next.get(token).await.status, StatusCode::UNAUTHORIZED, "and after it");
    }
}

/// Whoever has the key can name any session; it must not reach Clerk with our secret key.
#[tokio::test(start_paused = true)]
async fn a_distrusted_key_signs_nobody_out() {
    let world = World::new().await;
    let victim = world.sim.sign_in("user_1");
    world.clerk.distrust_key(world.sim.key_id());
    let stolen = world.sim.token(&victim).sign();
    world.send(bearer("POST", "/auth/sign-out", &stolen)).await;
    world.pass(120).await;
    assert!(world.sim.sessions().contains(&victim), "Clerk was not told");
    world.sim.rotate_key();
    world.pass(120).await;
    assert_eq!(world.get(&world.sim.mint(&victim)).await.status, StatusCode::OK);
}

/// A flood of tokens of many made-up users would otherwise look like a living Clerk.
#[tokio::test(start_paused = true)]
async fn a_distrusted_key_gives_no_proof_of_life_or_sighting() {
    let world = World::new().await;
    let stolen = world.sim.key_id();
    let forged = |n: usize| world.sim.mint(&world.sim.sign_in(format!("user_{n}")));
    let flood = async |from: usize, seconds: usize| {
        for second in 0..seconds {
            for n in 0..10 {
                world.get(&forged(from + second * 10 + n)).await;
            }
            world.pass(1).await;
        }
    };
    flood(0, 40).await;
    world.clerk.distrust_key(stolen);
    world.break_clerk();
    flood(1_000, 60).await;
    assert_eq!(world.clerk.verdict(), Verdict::Outage);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_by_a_distrusted_key_sets_no_cookies() {
    let world = World::production(|builder| builder).await;
    let session = world.sim.sign_in("user_1");
    world.clerk.distrust_key(world.sim.key_id());
    let line = format!("__session={}; Path=/", world.sim.mint(&session));
    let payload = world.sim.token(&session).without_claim("sub").without_claim("sid");
    let payload = payload.claim("handshake", serde_json::json!([line])).sign();
    let mut fields = test_support::world::NAVIGATION.to_vec();
    let cookie = format!("__clerk_redirect_count=1; __clerk_handshake={payload}");
    fields.extend([("host", "app.example.com"), ("cookie", cookie.as_str())]);
    let path = format!("/me?__clerk_handshake={payload}");
    let answer = world.send(anonymous("GET", &path, &fields)).await;
    assert_ne!(answer.status, StatusCode::OK);
    let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert!(
        cookies.iter().all(|line| !line.to_str().expect("text").starts_with("__session=ey")),
        "{cookies:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn keys_from_an_impostor_are_rejected() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    for fault in [
        SimFault::Tls,
        SimFault::Html,
        SimFault::Redirect("https://evil.example/".parse().expect("an address")),
    ] {
        world.sim.break_with([SimSurface::Jwks, SimSurface::BackendJwks], fault);
        world.pass(120).await;
        assert_eq!(world.get(&world.sim.mint(&session)).await.status, StatusCode::OK);
        assert_eq!(world.get(&world.sim.forge(&session)).await.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test(start_paused = true)]
async fn a_grace_stream_ends_when_its_key_is_distrusted() {
    async fn events(_: Auth) -> Sse<impl stream::Stream<Item = Result<Event, Infallible>>> {
        Sse::new(stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok(Event::default().data("tick")), ()))
        }))
    }
    let world = World::new().await;
    let (_, token) = world.outage().await;
    let policy = RoutePolicy::required().grace(GraceAccess::Full);
    let app = Router::new().route("/events", get(events)).route_layer(world.clerk.policy(policy));
    let response = app.oneshot(bearer("GET", "/events", &token)).await.expect("infallible");
    let clerk = world.clerk.clone();
    let key = world.sim.key_id();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        clerk.distrust_key(key);
    });
    let ticks = Answer::of(response).await.body.matches("tick").count();
    assert!((58..=66).contains(&ticks), "{ticks}");
}

#[test]
fn the_last_of_two_keys_with_one_id_counts() {
    let sim = SimClerk::in_memory();
    let session = sim.sign_in("user_1");
    let (first, of_first) = (sim.jwks()["keys"][0].clone(), sim.mint(&session));
    sim.replace_key();
    let (second, of_second) = (sim.jwks()["keys"][0].clone(), sim.mint(&session));
    assert_eq!(first["kid"], second["kid"]);
    let document = serde_json::json!({ "keys": [first, second] }).to_string();
    let keys = KeySet::parse(document.as_bytes()).expect("a key set");
    let expected = Expectations::session_tokens(sim.publishable_key().issuer());
    let good = |token: &str, keys: &KeySet| verify(token, keys, &expected).is_ok();
    for (token, is_good) in [(of_first, false), (of_second, true), (sim.forge(&session), false)] {
        assert_eq!(good(&token, &keys), is_good);
        assert!(!good(&token, &keys.distrusting(|id| *id == sim.key_id())));
    }
}
