//! The health endpoint: for monitors, orchestrators and people.

use std::time::Duration;

use clerk_resilience::internals::health::{LocalFault, Status, Surface};
use clerk_resilience::key::SecretKey;
use clerk_resilience::sim::{SimFault, SimSurface};
use clerk_resilience::{ClerkResilience, GracePolicy, Verdict};
use http::StatusCode;
use serde_json::Value;
use test_support::world::{Answer, World, anonymous, config};
use tower::ServiceExt as _;

const SURFACES: [&str; 5] = ["session-mint", "handshake", "backend-api", "jwks", "status-page"];

async fn ask(world: &World, path: &str) -> Answer {
    world.send(anonymous("GET", path, &[])).await
}

async fn document(world: &World) -> Value {
    ask(world, "/auth/health").await.json()
}

fn check<'a>(document: &'a Value, name: &str) -> &'a Value {
    &document["checks"][format!("clerk:{name}")][0]
}

#[tokio::test(start_paused = true)]
async fn a_healthy_clerk_passes_with_every_surface_listed() {
    let world = World::new().await;
    world.pass(3).await;
    world.sim.break_with(SimSurface::SessionMint, SimFault::Latency(Duration::from_millis(120)));
    world.pass(60).await;
    let answer = ask(&world, "/auth/health").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), "application/health+json");
    assert_eq!(answer.header("cache-control"), "no-store");
    let document = answer.json();
    assert_eq!(document["status"], "pass");
    assert_eq!(document["verdict"], "healthy");
    assert!(document.get("output").is_none(), "{document}");
    for name in SURFACES {
        let check = check(&document, name);
        assert_eq!(check["status"], "pass", "{name}: {check}");
        assert_eq!(check["state"], "up", "{name}: {check}");
        assert_eq!(check["observedUnit"], "ms", "{name}: {check}");
        let since = check["since"].as_str().expect("a time");
        assert!(since.starts_with("2026-") && since.ends_with('Z'), "{name}: {since}");
        assert!(check["time"].as_str().expect("a time") >= since, "{name}: {check}");
        let expected = if name == "session-mint" { 120 } else { 0 };
        for latency in ["observedValue", "p50", "p95"] {
            assert_eq!(check[latency], expected, "{name}, {latency}: {check}");
        }
    }
    let keys = check(&document, "keys");
    assert_eq!((&keys["status"], &keys["observedValue"]), (&"pass".into(), &1.into()));
    assert_eq!(document["grace"]["mode"], "enabled");
    assert_eq!(document["grace"]["active"], false);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_a_warning_and_503_only_if_strict() {
    let world = World::new().await;
    world.outage().await;
    for (path, status, word) in [
        ("/auth/health", 200, "warn"),
        ("/auth/health?strict=0", 200, "warn"),
        ("/auth/health?strict=false", 200, "warn"),
        ("/auth/health?stricter", 200, "warn"),
        ("/auth/health?strict", 503, "fail"),
        ("/auth/health?strict=1", 503, "fail"),
        ("/auth/health?a=b&strict=true", 503, "fail"),
        ("/auth/health/live", 200, "pass"),
        ("/auth/health/live?strict", 200, "pass"),
        ("/auth/health/ready", 200, "pass"),
        ("/auth/health/ready?strict", 200, "pass"),
    ] {
        let answer = ask(&world, path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert_eq!(answer.json()["status"], word, "{path}");
    }
    let document = document(&world).await;
    assert_eq!(document["verdict"], "outage");
    assert_eq!(document["output"], "Clerk is down");
    assert_eq!(document["grace"]["active"], true);
    for time in ["outageSince", "episodeSince"] {
        assert!(document["grace"][time].is_string(), "{time}: {document}");
    }
    let mint = check(&document, "session-mint");
    assert_eq!((&mint["status"], &mint["state"]), (&"fail".into(), &"down".into()));
    assert_eq!(mint["output"], "answered 429");
    assert_eq!(check(&document, "status-page")["status"], "pass", "the page knows nothing yet");

    world.sim.heal_all();
    world.until(Verdict::Recovering).await;
    let answer = ask(&world, "/auth/health?strict").await;
    assert_eq!((answer.status, &answer.json()["status"]), (StatusCode::OK, &"warn".into()));
}

#[tokio::test(start_paused = true)]
async fn a_strict_endpoint_is_strict() {
    let world = World::with(|builder| builder.strict_health(true)).await;
    assert_eq!(ask(&world, "/auth/health").await.status, StatusCode::OK);
    world.outage().await;
    assert_eq!(ask(&world, "/auth/health").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ask(&world, "/auth/health/ready").await.status, StatusCode::OK);
    assert_eq!(ask(&world, "/auth/health/live").await.status, StatusCode::OK);
    let service = world.clerk.health_service();
    let answer = service.oneshot(anonymous("GET", "/anywhere", &[])).await.expect("infallible");
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn without_usable_keys_health_fails_but_liveness_passes() {
    let world = World::unready(|builder| builder);
    world.sim.break_with([SimSurface::Jwks, SimSurface::BackendJwks], SimFault::status(503));
    world.pass(20).await;
    for path in ["/auth/health", "/auth/health/ready"] {
        let answer = ask(&world, path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer.json()["status"], "fail", "{path}");
        let output = answer.json()["output"].as_str().expect("a sentence").to_owned();
        assert!(output.contains("no usable keys") && output.contains("CLERK_JWT_KEY"), "{output}");
    }
    assert_eq!(ask(&world, "/auth/health/live").await.status, StatusCode::OK);
    let document = document(&world).await;
    assert_eq!(check(&document, "keys")["status"], "fail");
    world.sim.heal_all();
    world.pass(70).await;
    assert_eq!(ask(&world, "/auth/health/ready").await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn the_endpoint_reports_an_unknown_state_at_start() {
    let world = World::unready(|builder| builder);
    let document = document(&world).await;
    assert_eq!(document["verdict"], "unknown");
    assert_eq!(document["status"], "fail");
    assert!(document["since"].is_null());
    assert_eq!(check(&document, "session-mint")["output"], "not watched, or not observed yet");
}

#[tokio::test(start_paused = true)]
async fn head_is_allowed_and_other_methods_are_rejected() {
    let world = World::new().await;
    for path in ["/auth/health", "/auth/health/live", "/auth/health/ready"] {
        let head = world.send(anonymous("HEAD", path, &[])).await;
        assert_eq!((head.status, &*head.body), (StatusCode::OK, ""), "{path}");
        assert_eq!(head.header("content-type"), "application/health+json", "{path}");
        let get = ask(&world, path).await;
        assert_eq!(head.header("content-length"), get.body.len().to_string(), "{path}");
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let answer = world.send(anonymous(method, path, &[])).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert!(answer.header("allow").contains("GET"), "{method} {path}: {answer:?}");
        }
    }
    let service = world.clerk.health_service();
    let answer = service.clone().oneshot(anonymous("POST", "/", &[])).await.expect("infallible");
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.headers()["allow"], "GET, HEAD");
    let answer = service.oneshot(anonymous("HEAD", "/", &[])).await.expect("infallible");
    assert_eq!(answer.status(), StatusCode::OK);
    let answer = Answer::of(answer).await;
    assert_eq!(answer.body, "", "a plain service leaves the body out by itself");
}

#[tokio::test(start_paused = true)]
async fn the_document_names_no_session_no_key_and_no_host() {
    let world = World::new().await;
    let (session, token) = world.outage().await;
    world.get(&token).await;
    world.clerk.revoke_session(session.id.as_str());
    let body = ask(&world, "/auth/health").await.body;
    let key = world.sim.key_id();
    for secret in [
        token.as_str(),
        session.id.as_str(),
        "user_1",
        key.as_str(),
        world.sim.secret_key().expose(),
        world.sim.publishable_key().as_str(),
        "sim.example",
        "https://",
    ] {
        assert!(!body.contains(secret), "{secret} in {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn slow_answers_are_degraded_and_not_down() {
    let world = World::new().await;
    world.sim.break_with(SimSurface::CLERK, SimFault::Latency(Duration::from_millis(100)));
    world.pass(60).await;
    assert_eq!(document(&world).await["status"], "pass");
    world.sim.break_with(SimSurface::CLERK, SimFault::Latency(Duration::from_secs(2)));
    for minute in 0..10 {
        for _ in 0..60 {
            world.pass(1).await;
            assert_eq!(world.clerk.verdict(), Verdict::Healthy, "minute {minute}");
        }
        if minute > 1 {
            let answer = ask(&world, "/auth/health?strict").await;
            assert_eq!(answer.status, StatusCode::OK);
            let document = answer.json();
            assert_eq!(document["status"], "warn");
            let mint = check(&document, "session-mint");
            assert_eq!((&mint["status"], &mint["state"]), (&"warn".into(), &"degraded".into()));
            assert_eq!(mint["observedValue"], 2000);
        }
    }
    world.sim.heal_all();
    world.pass(120).await;
    assert_eq!(document(&world).await["status"], "pass");
}

/// A world whose application has another secret key than Clerk.
fn with_a_wrong_secret() -> World {
    let mut world = World::unready(|builder| builder);
    let wrong = SecretKey::parse("sk_live_someone_else_s").expect("well-formed");
    world.clerk = ClerkResilience::builder(config(&world.sim).secret_key(wrong))
        .clock(world.clock.clone())
        .transport(world.sim.transport())
        .build()
        .expect("a good configuration");
    world.app =
        test_support::world::routes().route_layer(world.clerk.clone()).merge(world.clerk.routes());
    world
}

#[tokio::test(start_paused = true)]
async fn a_rejected_secret_key_is_a_local_fault() {
    let world = with_a_wrong_secret();
    world.pass(120).await;
    let document = document(&world).await;
    let api = check(&document, "backend-api");
    assert_eq!(api["ourFault"], true, "{api}");
    assert_eq!(api["output"], "the secret key is refused; check CLERK_SECRET_KEY");
    assert!(!document.to_string().contains("someone_else"), "{document}");
    assert_eq!((&document["status"], &document["verdict"]), (&"warn".into(), &"healthy".into()));
    // Minting alone fails: with the refusals counted this would be an outage.
    world.sim.break_with(SimSurface::SessionMint, SimFault::status(429));
    world.until(Verdict::Suspect).await;
    for _ in 0..300 {
        world.pass(1).await;
        assert_eq!(world.clerk.verdict(), Verdict::Suspect);
    }
}

#[tokio::test(start_paused = true)]
async fn an_exceeded_quota_is_a_local_fault() {
    let world = World::new().await;
    let quota = SimFault::status(429).retry_after(Duration::from_secs(10));
    world.sim.break_with(SimSurface::BACKEND, quota);
    world.pass(90).await;
    let document = document(&world).await;
    let api = check(&document, "backend-api");
    assert_eq!(api["ourFault"], true, "{api}");
    assert_eq!(api["output"], "the application's own Backend API quota is used up");
    world.sim.break_with(SimSurface::SessionMint, SimFault::status(429));
    world.until(Verdict::Suspect).await;
    for _ in 0..300 {
        world.pass(1).await;
        assert_eq!(world.clerk.verdict(), Verdict::Suspect);
    }
    let status = world.clerk.snapshot();
    assert_eq!(status.health.surface(Surface::BackendApi).own_fault(), Some(LocalFault::Quota));
    assert_ne!(status.health.surface(Surface::BackendApi).status(), Status::Down);
    // A 429 that is not our quota's is Clerk's trouble.
    world.sim.break_with(SimSurface::BACKEND, SimFault::status(429));
    world.until(Verdict::Outage).await;
}

#[tokio::test(start_paused = true)]
async fn clock_skew_is_reported_before_tokens_are_rejected() {
    let world = World::new().await;
    for (skew, warns) in
        [(0, false), (4_000, false), (-4_000, false), (8_000, true), (-8_000, true)]
    {
        world.sim.skew_date(skew);
        world.pass(30).await;
        let document = document(&world).await;
        let clock = check(&document, "clock-skew");
        let seen = clock["observedValue"].as_i64().expect("milliseconds");
        assert!((seen - skew).abs() <= 1_000, "{skew} ms: {clock}");
        assert_eq!(clock["status"], if warns { "warn" } else { "pass" }, "{skew} ms: {clock}");
        let advice = clock["output"].as_str().unwrap_or_default();
        assert_eq!(advice.contains("synchronise the clock"), warns, "{skew} ms: {clock}");
        assert_eq!(document["status"], if warns { "warn" } else { "pass" }, "{skew} ms");
        assert_eq!(world.clerk.verdict(), Verdict::Healthy, "{skew} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumped_is_reported_for_a_minute() {
    let world = World::new().await;
    world.clock.jump(5_000);
    world.pass(10).await;
    let document_then = document(&world).await;
    let clock = check(&document_then, "clock-skew");
    assert_eq!(clock["status"], "warn", "{clock}");
    assert!(clock["output"].as_str().is_some_and(|words| words.contains("jumped")), "{clock}");
    world.pass(70).await;
    assert_eq!(check(&document(&world).await, "clock-skew")["status"], "pass");
}

#[tokio::test(start_paused = true)]
async fn the_status_page_is_shown_and_decides_nothing() {
    let world = World::new().await;
    world.sim.set_component("Billing", clerk_resilience::sim::SimComponentState::MajorOutage);
    world.pass(160).await;
    let document = document(&world).await;
    assert_eq!(document["status"], "pass", "{document}");
    let reported = document["checks"]["clerk:reported"].as_array().expect("components");
    let billing = reported.iter().find(|row| row["componentId"] == "Billing").expect("Billing");
    assert_eq!((&billing["status"], &billing["advisory"]), (&"warn".into(), &true.into()));
    assert_eq!(world.clerk.verdict(), Verdict::Healthy);
}

#[tokio::test(start_paused = true)]
async fn one_answer_after_a_long_silence_is_not_an_outage() {
    let world = World::new().await;
    let keys = [SimSurface::Jwks, SimSurface::BackendJwks];
    world.sim.break_with(keys, SimFault::status(503));
    let before = world.sim.requests(SimSurface::Jwks);
    while world.sim.requests(SimSurface::Jwks) == before {
        world.pass(1).await;
    }
    world.sim.break_with(keys, SimFault::Hang);
    world.pass(120).await;
    world.sim.break_with(SimSurface::CLERK, SimFault::Hang);
    world.until(Verdict::Suspect).await;
    for _ in 0..120 {
        world.pass(1).await;
        assert_eq!(world.clerk.verdict(), Verdict::Suspect);
    }
}

#[tokio::test(start_paused = true)]
async fn the_details_can_require_the_operator_token() {
    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    let world = World::with(|builder| {
        builder.grace(GracePolicy::balanced()).private_health(TOKEN).strict_health(true)
    })
    .await;
    let (_, user) = world.outage().await;
    let wrong = format!("Bearer {}", TOKEN.to_uppercase());
    let (basic, user) = (format!("Basic {TOKEN}"), format!("Bearer {user}"));
    let ready = ask(&world, "/auth/health/ready").await.body;
    for path in ["/auth/health", "/auth/health?strict"] {
        for field in ["", TOKEN, "Bearer ", &wrong, &basic, &user, &format!("Bearer {TOKEN}0")] {
            let answer = world.send(anonymous("GET", path, &[("authorization", field)])).await;
            assert_eq!((answer.status, &answer.body), (StatusCode::OK, &ready), "{field}");
        }
        let shown = format!("Bearer {TOKEN}");
        let answer = world.send(anonymous("GET", path, &[("authorization", &shown)])).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "it is strict");
        assert_eq!(answer.json()["grace"]["active"], true);
    }
    for word in ["outage", "grace", "verdict", "warn"] {
        assert!(!ready.contains(word), "{ready}");
    }
    assert!(!format!("{:?}", world.clerk).contains(TOKEN));
}

#[tokio::test(start_paused = true)]
async fn a_guessable_operator_token_fails_the_start() {
    let world = World::new().await;
    for token in ["", "secret", "fifteen letters"] {
        let builder = ClerkResilience::builder(config(&world.sim)).private_health(token);
        let error = builder.build().expect_err(token).to_string();
        assert!(error.contains("private_health") && !error.contains("fifteen"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panicking_transition_hook_is_contained() {
    let hook = |_| -> std::future::Ready<()> { panic!("as asked") };
    let world = World::with(|builder| builder.on_transition(hook)).await;
    world.break_clerk();
    world.until(Verdict::Outage).await;
    world.sim.heal_all();
    world.until(Verdict::Healthy).await;
}

#[tokio::test(start_paused = true)]
async fn a_shared_store_is_the_only_source_of_its_deny_list() {
    let builder = clerk_resilience::ClerkResilience::builder(test_support::world::config(
        &clerk_resilience::sim::SimClerk::in_memory(),
    ));
    let shared = clerk_resilience::store::MemoryStore::shared();
    let error =
        builder.external_deny_list().store(shared).pair().expect_err("contradictory").to_string();
    assert!(error.contains("fed_deny_list") && error.contains("store"), "{error}");
}
