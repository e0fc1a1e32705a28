//! HTTP: forged fields, other sites, logs.

use clerk_resilience::sim::{SimFault, SimSurface};
use clerk_resilience::{GracePolicy, Verdict};
use http::StatusCode;
use test_support::world::{Answer, Log, NAVIGATION, World, anonymous, bearer, expired};

use crate::balanced;

/// A browser sends a password for the site by itself, whoever made it ask.
#[tokio::test(start_paused = true)]
async fn another_site_cannot_sign_out_behind_basic_auth() {
    let world = World::new().await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    let cookie = format!("__session={token}; __client_uat=1");
    let basic = ("authorization", "Basic dXNlcjpwYXNz");
    let fields = [basic, ("cookie", cookie.as_str()), ("sec-fetch-site", "cross-site")];
    let answer = world.send(anonymous("POST", "/auth/sign-out", &fields)).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(!answer.headers.contains_key("set-cookie"));
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    let own = [basic, ("cookie", cookie.as_str()), ("sec-fetch-site", "same-origin")];
    let answer = world.send(anonymous("POST", "/auth/sign-out", &own)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
}

#[tokio::test(start_paused = true)]
async fn a_sign_out_redirects_home_for_any_forged_host() {
    let world = World::new().await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    let cookie = format!("__session={token}; __client_uat=1");
    let fields = [
        ("cookie", cookie.as_str()),
        ("sec-fetch-site", "same-origin"),
        ("accept", "text/html"),
        ("host", "app.example.com"),
        ("x-forwarded-host", "evil.example"),
        ("referer", "https://evil.example/"),
    ];
    let path = "/auth/sign-out?redirect_url=https://evil.example/";
    let answer = world.send(anonymous("POST", path, &fields)).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/"));
}

/// The origin counts by the host that the browser named, not by one that a field names.
#[tokio::test(start_paused = true)]
async fn a_forwarded_host_does_not_make_a_request_same_origin() {
    let world = World::new().await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    let cookie = format!("__session={token}; __client_uat=1");
    for name in ["x-forwarded-host", "x-host", "forwarded", "x-original-host"] {
        let fields = [
            ("cookie", cookie.as_str()),
            ("origin", "https://evil.example"),
            ("host", "app.example.com"),
            (name, "evil.example"),
        ];
        let answer = world.send(anonymous("POST", "/auth/sign-out", &fields)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name}");
    }
}

/// A shared cache must not keep an address that one visitor's field has named.
#[tokio::test(start_paused = true)]
async fn redirects_go_only_to_clerk_and_are_not_cached() {
    let world = World::production(|builder| builder).await;
    let (_, token) = expired(&world).await;
    let cookie = format!("__session={token}; __client_uat=1");
    for (name, value) in [
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-host", "evil.example/..//\\x"),
        ("x-forwarded-proto", "javascript"),
        ("host", "evil.example"),
    ] {
        let mut fields = NAVIGATION.to_vec();
        fields.push(("cookie", cookie.as_str()));
        fields.push((name, value));
        if name != "host" {
            fields.push(("host", "app.example.com"));
        }
        for path in ["/me", "/me?__clerk_redirect_url=https://evil.example/"] {
            let answer = world.send(anonymous("GET", path, &fields)).await;
            assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT, "{name}: {value}");
            let there = answer.header("location");
            assert!(there.starts_with("https://clerk.sim.example/v1/client/handshake?"), "{there}");
            assert_eq!(answer.header("cache-control"), "no-store");
        }
    }
}

/// Without what is different each time.
fn told(answer: &Answer) -> (StatusCode, Vec<(String, String)>, String) {
    let mut fields: Vec<_> = answer
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned()))
        .filter(|(name, _)| !matches!(name.as_str(), "retry-after" | "content-length"))
        .collect();
    fields.sort();
    (answer.status, fields, answer.body.split(|c: char| c.is_ascii_digit()).collect())
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_answers_byte_for_byte_as_if_grace_were_off() {
    let answers = async |policy: GracePolicy| {
        let world = World::with(|builder| builder.grace(policy)).await;
        let mut heard = Vec::new();
        let session = world.sim.sign_in("user_1");
        let token = world.sim.mint(&session);
        let cookie = format!("__session={token}; __client_uat=1");
        let mut page = NAVIGATION.to_vec();
        page.push(("cookie", &cookie));
        let mut ask = async |world: &World| {
            for request in [
                bearer("GET", "/me", &token),
                bearer("POST", "/me", &token),
                bearer("HEAD", "/me", &token),
                anonymous("GET", "/me", &page),
                anonymous("GET", "/me", &[("cookie", &cookie), ("hx-request", "true")]),
                anonymous("GET", "/me", &[]),
            ] {
                heard.push(told(&world.send(request).await));
            }
        };
        ask(&world).await;
        world.pass(40).await;
        world.sim.break_with(SimSurface::SessionMint, SimFault::status(429));
        world.until(Verdict::Suspect).await;
        world.pass(30).await;
        ask(&world).await;
        world.break_clerk();
        world.until(Verdict::Outage).await;
        ask(&world).await;
        world.pass(600).await;
        ask(&world).await;
        world.sim.heal_all();
        world.until(Verdict::Recovering).await;
        ask(&world).await;
        heard
    };
    let off = answers(GracePolicy::disabled()).await;
    let dry = answers(GracePolicy::balanced().report_only()).await;
    assert_eq!(off.len(), 30);
    for (off, dry) in off.iter().zip(&dry) {
        assert_eq!(off, dry);
    }
}

#[tokio::test(start_paused = true)]
async fn no_foreign_name_forges_a_log_line() {
    // While there is but one, a call site that another test's thread meets first is switched off.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
    let subscriber = subscriber.with_ansi(false).with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let world = World::with(balanced).await;
    let injected = "x\n2026-01-01T00:00:00Z  WARN clerk.grace.passed\r\n\u{1b}[31m";
    let session = world.sim.sign_in("user_1");
    let odd = world.sim.token(&session).claim("sid", format!("sess_{injected}")).sign();
    assert_eq!(world.get(&odd).await.status, StatusCode::OK);
    world.outage().await;
    world.get(&world.sim.token(&session).kid(format!("ins_{injected}")).sign()).await;
    let app = test_support::world::routes().layer(world.clerk.clone());
    for path in ["/%0a%0d2026%1b[31m", "/me/\u{e9}", "/a%00b"] {
        let path: String = path
            .chars()
            .flat_map(|c| if c.is_ascii() { vec![c] } else { "%C3%A9".chars().collect() })
            .collect();
        World::ask(&app, bearer("GET", &path, &odd)).await;
    }
    world.clerk.revoke_session(format!("sess_{injected}"));
    world.get(&odd).await;
    world.send(bearer("POST", "/auth/sign-out", &odd)).await;
    world.pass(60).await;
    let said = log.text();
    assert!(said.contains("clerk.grace"), "the decisions are there");
    assert!(!said.contains('\u{1b}') && !said.contains('\r'), "{said}");
    assert!(!said.lines().any(|line| line.starts_with("2026-01-01T00:00:00Z  WARN")), "{said}");
}

#[tokio::test(start_paused = true)]
async fn grace_ends_at_different_seconds_per_session() {
    let world = World::new().await;
    let mut tokens = Vec::new();
    for n in 0..200 {
        let token = world.sim.mint(&world.sim.sign_in(format!("user_{n}")));
        assert_eq!(world.get(&token).await.status, StatusCode::OK);
        tokens.push(token);
    }
    world.break_clerk();
    world.until(Verdict::Outage).await;
    world.pass(300).await;
    world.sim.heal_all();
    world.until(Verdict::Recovering).await;
    let mut ends = Vec::new();
    while !tokens.is_empty() {
        let mut left = Vec::new();
        for token in tokens {
            if world.get(&token).await.status == StatusCode::OK {
                left.push(token);
            } else {
                ends.push(world.clock_secs());
            }
        }
        tokens = left;
        world.pass(1).await;
    }
    let most = ends.iter().map(|end| ends.iter().filter(|other| *other == end).count()).max();
    assert!(most.is_some_and(|most| most <= 40), "{ends:?}");
}
