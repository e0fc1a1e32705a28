//! The answer by the state of Clerk.

use axum::Router;
use axum::routing::get;
use clerk_resilience::sim::{SimFault, SimSurface};
use clerk_resilience::{AzpPolicy, GracePolicy, Verdict};
use http::StatusCode;
use test_support::world::{NAVIGATION, VERDICTS, World, anonymous, signed};

use super::{Form, check};

#[tokio::test(start_paused = true)]
async fn invalid_is_never_503_and_unverifiable_never_401() {
    const PARTY: &str = "https://app.example.com";
    let world = World::with_canary(|builder| {
        let builder = builder.grace(GracePolicy::balanced());
        builder.authorized_parties([PARTY]).azp(AzpPolicy::Required)
    })
    .await;
    let sim = &world.sim;
    let session = sim.sign_in("user_1");
    let gone = sim.sign_in("user_2");
    world.clerk.revoke_session(gone.id.as_str());
    let hour = std::time::Duration::from_secs(3600);
    for verdict in VERDICTS {
        world.reach(verdict).await;
        sim.break_with([SimSurface::Jwks, SimSurface::BackendJwks], SimFault::Refused);
        let token = || sim.token(&session).authorized_party(PARTY);
        let bad = [
            ("no token at all", "nonsense".to_owned()),
            ("three empty parts", "..".to_owned()),
            ("another's signature", token().forged().sign()),
            ("alg none", token().header("alg", "none").sign()),
            ("alg HS256", token().header("alg", "HS256").sign()),
            ("another issuer", token().claim("iss", "https://clerk.other.example").sign()),
            (
                "another instance",
                token().kid("ins_other").claim("iss", "https://clerk.other.example").sign(),
            ),
            ("another party", token().authorized_party("https://evil.example").sign()),
            ("no party", sim.token(&session).sign()),
            ("a revoked session", sim.token(&gone).authorized_party(PARTY).sign()),
            ("a revoked session, expired", {
                sim.token(&gone).authorized_party(PARTY).ago(hour).sign()
            }),
            ("not yet", token().claim("nbf", i64::from(u32::MAX)).sign()),
            ("issued in the future", token().claim("iat", i64::from(u32::MAX)).sign()),
            ("expired and not yet", token().ago(hour).claim("nbf", i64::from(u32::MAX)).sign()),
            ("no exp", token().without_claim("exp").sign()),
            ("no sub", token().without_claim("sub").sign()),
            ("a machine", token().claim("sub", "mch_1").sign()),
            ("a template", token().header("cat", "cl_B7d4PD222AAA").sign()),
            ("pending", token().claim("sts", "pending").sign()),
        ];
        for (name, bad) in &bad {
            let status = world.get(bad).await.status;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{name}, {verdict:?}");
        }
        assert_eq!(world.get(&token().sign()).await.status, StatusCode::OK, "good, {verdict:?}");

        let expired = token().ago(hour).sign();
        let known = matches!(verdict, Verdict::Healthy | Verdict::Recovering);
        let status = if known { 401 } else { 503 };
        assert_eq!(world.get(&expired).await.status.as_u16(), status, "expired, {verdict:?}");

        // Last, for it lets time pass.
        let before = world.clerk.verdict();
        let unknown = token().kid("ins_unheard").sign();
        let answer = world.get(&unknown).await;
        assert_eq!(answer.status.as_u16(), 503, "an unknown key, {before:?}: {answer:?}");
        if verdict != Verdict::Unknown {
            assert_eq!(world.clerk.verdict(), before, "the verdict changed");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pages_redirect_to_sign_in_only_while_clerk_is_healthy() {
    let mut world = World::with_canary(|builder| builder.grace(GracePolicy::balanced())).await;
    let config =
        test_support::world::config(&world.sim).sign_in_url("https://accounts.example.com/in");
    let canary = "https://canary.sim.example/".parse().expect("an address");
    world.clerk = clerk_resilience::ClerkResilience::builder(config)
        .clock(world.clock.clone())
        .transport(world.sim.transport())
        .egress_canary(canary)
        .build()
        .expect("a good configuration");
    world.clerk.ready(std::time::Duration::from_secs(5)).await.expect("a healthy Clerk");
    world.app = test_support::world::routes().route_layer(world.clerk.clone());
    for verdict in VERDICTS {
        world.reach(verdict).await;
        for form in Form::ALL {
            let answer = form.ask(&world, "/me", None).await;
            let at = format!("{verdict:?}, {form:?}: {answer:?}");
            let well = matches!(verdict, Verdict::Healthy | Verdict::Recovering);
            let expected = match verdict {
                _ if well && form.wants_page() => 307,
                Verdict::Outage => 503,
                _ if form.wants_page() => 503,
                _ => 401,
            };
            assert_eq!(answer.status.as_u16(), expected, "{at}");
            let redirected = expected == 307;
            assert_eq!(answer.headers.contains_key("location"), redirected, "{at}");
            if redirected {
                assert!(
                    answer.header("location").starts_with("https://accounts.example.com/in"),
                    "{at}"
                );
                assert_eq!(answer.header("cache-control"), "no-store", "{at}");
                assert_eq!(answer.body, "", "{at}");
                assert!(!answer.headers.contains_key("www-authenticate"), "{at}");
            }
        }
        let bad = world.send(signed("GET", "/me", "bad", &NAVIGATION)).await;
        assert_eq!(bad.status, StatusCode::UNAUTHORIZED, "a bad token, {verdict:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_page_redirects_to_sign_in_while_minting_is_down() {
    let mut world = World::new().await;
    let config = test_support::world::config(&world.sim).sign_in_url("/sign-in");
    let builder = clerk_resilience::ClerkResilience::builder(config);
    let builder = builder.clock(world.clock.clone()).transport(world.sim.transport());
    world.clerk = builder.build().expect("a good configuration");
    world.app = test_support::world::routes().route_layer(world.clerk.clone());
    world.until(Verdict::Healthy).await;
    let redirect = Form::Document.ask(&world, "/me", None).await;
    assert_eq!(redirect.header("location"), "/sign-in");
    world.sim.break_with(SimSurface::SessionMint, SimFault::status(429));
    world.until(Verdict::Suspect).await;
    check(
        &Form::Document.ask(&world, "/me", None).await,
        Form::Document,
        503,
        "authentication_unavailable",
        "a suspected outage",
    );
    world.clerk.force_healthy(std::time::Duration::from_secs(600));
    world.until(Verdict::Healthy).await;
    let answer = Form::Document.ask(&world, "/me", None).await;
    check(&answer, Form::Document, 503, "authentication_unavailable", "an operator's word");
}

#[tokio::test(start_paused = true)]
async fn expired_tokens_pass_in_grace_and_bridge_then_get_503() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    world.pass(40).await;
    assert_eq!(world.get(&token).await.body, "user_1 fresh");
    world.sim.break_with(SimSurface::SessionMint, SimFault::status(429));
    world.pass(48).await;
    assert_eq!(world.clerk.verdict(), Verdict::Suspect);
    let bridged = world.get(&token).await;
    assert_eq!(bridged.body, "user_1 bridge");
    assert_eq!(bridged.header("cache-control"), "private, no-store");
    world.pass(3).await;

    let mut waits = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let answer = world.get(&token).await;
        check(&answer, Form::Api, 503, "authentication_unavailable", "beyond the bridge");
        waits.insert(answer.header("retry-after").parse::<u32>().expect("seconds"));
    }
    assert_eq!(waits.into_iter().collect::<Vec<_>>(), [5, 6, 7, 8], "short, and jittered");
}

#[tokio::test(start_paused = true)]
async fn many_waiting_requests_cause_one_early_probe() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let expired = world.sim.token(&session).ago(std::time::Duration::from_secs(600)).sign();
    world.sim.break_with(SimSurface::SessionMint, SimFault::status(429));
    world.until(Verdict::Suspect).await;
    world.sim.forget_requests();
    for _ in 0..200 {
        for _ in 0..20 {
            assert_eq!(world.get(&expired).await.status, StatusCode::SERVICE_UNAVAILABLE);
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let probes = world.sim.requests(SimSurface::SessionMint);
    assert!((8..=11).contains(&probes), "{probes} probes in 20 s for 4000 requests");
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_preflight_is_not_a_preflight() {
    let world = World::new().await;
    let app = Router::new()
        .route("/api", get(async || "in").options(async || "in").put(async || "in"))
        .layer(world.clerk.clone());
    let origin = ("origin", "https://app.example.com");
    let wanted = ("access-control-request-method", "PUT");
    for (method, fields) in [
        ("OPTIONS", &[][..]),
        ("OPTIONS", &[origin]),
        ("OPTIONS", &[wanted]),
        ("GET", &[origin, wanted]),
        ("PUT", &[origin, wanted]),
    ] {
        let answer = World::ask(&app, anonymous(method, "/api", fields)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {fields:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_keys_every_token_gets_503() {
    let world = World::unready(|builder| builder.grace(GracePolicy::balanced()));
    world.sim.break_with([SimSurface::Jwks, SimSurface::BackendJwks], SimFault::status(503));
    world.pass(30).await;
    assert_eq!(world.clerk.verdict(), Verdict::Healthy);
    let session = world.sim.sign_in("user_1");
    let fresh = world.sim.mint(&session);
    let forged = world.sim.forge(&session);
    for form in Form::ALL {
        for token in [&fresh, &forged] {
            let answer = form.ask(&world, "/me", Some(token)).await;
            check(&answer, form, 503, "authentication_unavailable", "no keys");
        }
        let malformed = form.ask(&world, "/me", Some("nonsense")).await;
        check(&malformed, form, 401, "invalid_token", "malformed, no keys");
    }
    world.sim.heal_all();
    world.pass(70).await;
    assert_eq!(world.get(&world.sim.mint(&session)).await.status, StatusCode::OK);
    assert_eq!(world.get(&world.sim.forge(&session)).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_only_route_answers_503_with_retry_after_in_grace() {
    let mut world = World::new().await;
    let pay = get(async |auth: clerk_resilience::FreshAuth| auth.user_id().to_string());
    let pay = Router::new().route("/pay", pay).route_layer(world.clerk.clone());
    world.app = world.app.merge(pay);
    let (_, token) = world.outage().await;
    assert_eq!(world.get(&token).await.body, "user_1 outage");
    for form in Form::ALL.into_iter().filter(|form| !matches!(form, Form::Post | Form::WebSocket)) {
        let answer = form.ask(&world, "/pay", Some(&token)).await;
        // Grace marks what the handler answered, a refusal too.
        assert_eq!(answer.header("cache-control"), "private, no-store");
        let mut answer = answer;
        answer.headers.insert("cache-control", "no-store".parse().expect("a value"));
        check(&answer, form, 503, "step_up_unavailable", "a step-up");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_fetched_right_after_a_refresh() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    // Clerk's clock may also be a few seconds behind ours.
    for behind in [0, 4] {
        world.sim.rotate_key();
        let ago = std::time::Duration::from_secs(behind);
        let token = world.sim.token(&session).ago(ago).sign();
        assert_eq!(world.get(&token).await.status, StatusCode::OK, "{behind} s behind");
        world.pass(60).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_missing_from_fresh_keys_is_invalid() {
    let world = World::new().await;
    world.pass(45).await;
    let session = world.sim.sign_in("user_1");
    let unknown = world.sim.token(&session).kid("ins_unheard").sign();
    let answer = world.get(&unknown).await;
    assert_eq!(answer.json()["reason"], "jwk-kid-mismatch", "{answer:?}");
}
