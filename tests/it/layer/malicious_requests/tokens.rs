//! Forged and malformed tokens.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clerk_resilience::AzpPolicy;
use clerk_resilience::key::{InstanceKind, PublishableKey};
use clerk_resilience::sim::{SimClerk, SimFault, SimSession, SimSurface};
use clerk_resilience::{GraceAccess, GracePolicy, RoutePolicy, Verdict};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use test_support::world::{World, bearer};

use super::{encode, generous, raw};

/// Parts that look like a token, with a signature of nothing.
fn unsigned(header: &str, payload: &str) -> String {
    format!("{}.{}.{}", encode(header), encode(payload), URL_SAFE_NO_PAD.encode([7; 256]))
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

async fn reason(world: &World, token: &str) -> (u16, String) {
    let answer = world.get(token).await;
    let reason = answer.json()["reason"].as_str().unwrap_or_default().to_owned();
    (answer.status.as_u16(), reason)
}

#[tokio::test(start_paused = true)]
async fn malformed_tokens_are_rejected() {
    let world = generous().await;
    let header =
        format!(r#"{{"alg":"RS256","kid":"{}","typ":"JWT"}}"#, world.sim.key_id().as_str());
    let good = world.sim.mint(&world.sim.sign_in("user_1"));
    let long_kid = format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(64 * 1024));
    let megabyte = "A".repeat(1024 * 1024);
    for token in [
        ".....".to_owned(),
        "a.b.c.d.e.f".to_owned(),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.{good}"),
        megabyte.clone(),
        format!("{megabyte}.{megabyte}.{megabyte}"),
        ".".repeat(1024 * 1024),
        unsigned(&long_kid, "{}"),
        unsigned(&header, &format!(r#"{{"sub":{}}}"#, nested(5_000))),
        unsigned(&header, &nested(5_000)),
        unsigned(&nested(5_000), "{}"),
        unsigned(&format!(r#"{{"alg":{}}}"#, nested(5_000)), "{}"),
        unsigned(&header, &format!(r#"{{"aud":{}}}"#, nested(4_000))),
        unsigned("null", "null"),
        unsigned("{", "}"),
        unsigned(&header, "{\"sub\":\"a\"} trailing"),
    ] {
        let shown = &token[..token.len().min(60)];
        let (status, reason) = reason(&world, &token).await;
        assert_eq!(status, 401, "{shown}");
        // Where the form will do, the signature decides before anything that is said.
        let refused = ["token-invalid", "token-invalid-signature", "jwk-kid-mismatch"];
        assert!(refused.contains(&&*reason), "{reason}: {shown}");
    }
    let session = world.sim.sign_in("user_2");
    for (size, status) in [(8 * 1024, 200), (16 * 1024, 401)] {
        let token = world.sim.token(&session).claim("long", "x".repeat(size)).sign();
        assert_eq!(world.get(&token).await.status.as_u16(), status, "well signed, {size} bytes");
    }
    for bytes in [&b"Bearer \xff\xfe\xfd"[..], b"\xff", b"Bearer \xc3\x28.\xa0.\xf0"] {
        let request = raw("authorization", bytes).expect("a field value");
        assert_eq!(world.send(request).await.status, StatusCode::UNAUTHORIZED, "{bytes:?}");
        let request = raw("cookie", &[b"__session=", bytes].concat()).expect("a field value");
        assert_eq!(world.send(request).await.status, StatusCode::UNAUTHORIZED, "{bytes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_huge_unused_claim_is_harmless() {
    let world = generous().await;
    let session = world.sim.sign_in("user_1");
    let mut bomb = json!([]);
    for _ in 0..100 {
        bomb = json!([bomb]);
    }
    for claim in ["unheard_of", "sid", "azp", "act", "aud", "o", "fva", "org_permissions"] {
        let token = world.sim.token(&session).claim(claim, bomb.clone()).sign();
        let status = world.get(&token).await.status;
        assert_eq!(status, StatusCode::OK, "{claim}");
    }
    let many: BTreeMap<String, Value> = (0..800).map(|n| (format!("c{n}"), n.into())).collect();
    let token = world.sim.token(&session).claim("many", json!(many)).sign();
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_session_is_found_among_thousands_of_cookies() {
    let world = generous().await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    let junk: Vec<String> = (0..5_000).map(|n| format!("c{n}={n}")).collect();
    let one = format!("{}; __session={token}", junk.join("; "));
    let request = raw("cookie", one.as_bytes()).expect("a field value");
    assert_eq!(world.send(request).await.status, StatusCode::OK);
    let mut many = raw("cookie", b"").expect("a field value");
    for cookie in junk.iter().chain([&format!("__session={token}")]) {
        let value = HeaderValue::try_from(cookie.as_str()).expect("a field value");
        many.headers_mut().append("cookie", value);
    }
    assert_eq!(world.send(many).await.status, StatusCode::OK);
    let huge = ["x=".to_owned(), "y".repeat(4 * 1024 * 1024)].concat();
    let request = raw("cookie", huge.as_bytes()).expect("a field value");
    assert_eq!(world.send(request).await.status, StatusCode::UNAUTHORIZED);
    let same = vec!["__session=bad"; 5_000].join("; ");
    let request = raw("cookie", same.as_bytes()).expect("a field value");
    assert_eq!(world.send(request).await.status, StatusCode::UNAUTHORIZED);
}

/// HS256 over the public key, which everybody has: the classic confusion of algorithms.
fn signed_with_the_public_key(sim: &SimClerk, session: &SimSession, secret: &[u8]) -> String {
    let token = sim.token(session).header("alg", "HS256").sign();
    let message = token.rsplit_once('.').expect("three parts").0.to_owned();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    let tag = aws_lc_rs::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

#[tokio::test(start_paused = true)]
async fn an_outage_accepts_no_token_that_was_invalid_before() {
    let world = World::with(|builder| {
        let full = RoutePolicy::required().grace(GraceAccess::Full);
        let builder = builder.grace(GracePolicy::available()).policy(full);
        builder.authorized_parties(["https://app.example.com"]).azp(AzpPolicy::Required)
    })
    .await;
    let sim = &world.sim;
    let session = sim.sign_in("user_1");
    let ours = || sim.token(&session).authorized_party("https://app.example.com");
    let seen = ours().sign();
    assert_eq!(world.get(&seen).await.status, StatusCode::OK);

    let key = PublishableKey::for_host("clerk.other.example", InstanceKind::Production);
    let key = key.expect("a plain host");
    let other = SimClerk::builder().publishable_key(key).clock(world.clock.clone()).build();
    let theirs = other.sign_in("user_1");
    let theirs = || other.token(&theirs).authorized_party("https://app.example.com");
    let pem = sim.public_key_pem();
    let none = {
        let token = ours().header("alg", "none").sign();
        format!("{}.", token.rsplit_once('.').expect("three parts").0)
    };
    let later = i64::from(u32::MAX);
    for state in ["health", "an outage"] {
        let hour = Duration::from_secs(3600);
        for (name, token, expected) in [
            ("alg none", none.clone(), "token-invalid-algorithm"),
            (
                "HS256 with the PEM",
                signed_with_the_public_key(sim, &session, pem.as_bytes()),
                "token-invalid-algorithm",
            ),
            (
                "HS256 with the PEM's body",
                signed_with_the_public_key(sim, &session, pem.trim().as_bytes()),
                "token-invalid-algorithm",
            ),
            ("RS512 in name", ours().header("alg", "RS512").sign(), "token-invalid-algorithm"),
            ("a forgery", ours().forged().sign(), "token-invalid-signature"),
            ("a forgery, expired", ours().ago(hour).forged().sign(), "token-invalid-signature"),
            ("another instance's", theirs().sign(), "jwk-kid-mismatch"),
            (
                "another instance's under our key's name",
                theirs().kid(sim.key_id().as_str()).sign(),
                "token-invalid-signature",
            ),
            (
                "another instance's that claims to be ours",
                theirs()
                    .kid(sim.key_id().as_str())
                    .claim("iss", sim.publishable_key().issuer())
                    .sign(),
                "token-invalid-signature",
            ),
            (
                "another party's",
                ours().authorized_party("https://evil.example").sign(),
                "token-invalid-authorized-parties",
            ),
            (
                "another party's, expired",
                ours().authorized_party("https://evil.example").ago(Duration::from_secs(90)).sign(),
                "token-invalid-authorized-parties",
            ),
            ("no party's", sim.token(&session).sign(), "token-invalid-authorized-parties"),
            (
                "a party with a slash more",
                ours().authorized_party("https://app.example.com/").sign(),
                "token-invalid-authorized-parties",
            ),
            ("not yet", ours().claim("nbf", later).sign(), "token-not-active-yet"),
            ("from the future", ours().claim("iat", later).sign(), "token-iat-in-the-future"),
            (
                "expired and not yet",
                ours().ago(Duration::from_secs(90)).claim("nbf", later).sign(),
                "token-expired",
            ),
            (
                "expired and from the future",
                ours().ago(Duration::from_secs(90)).claim("iat", later).sign(),
                "token-expired",
            ),
            ("a machine's", ours().claim("sub", "mch_1").sign(), "token-type-mismatch"),
            ("an OAuth token", ours().header("typ", "at+jwt").sign(), "token-type-mismatch"),
        ] {
            let result = reason(&world, &token).await;
            assert_eq!(result, (401, expected.to_owned()), "{name}, in {state}");
        }
        if state == "health" {
            world.pass(20).await;
            world.break_clerk();
            world.until(Verdict::Outage).await;
            world.pass(60).await;
            assert_eq!(world.get(&seen).await.body, "user_1 outage", "what is ours has grace");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalid_exp_never_extends_a_token() {
    let world = generous().await;
    let session = world.sim.sign_in("user_1");
    assert_eq!(world.get(&world.sim.mint(&session)).await.status, StatusCode::OK);
    let now = test_support::world::start_of_time().as_secs();
    let values = [
        (json!(null), 401),
        (json!("tomorrow"), 401),
        (json!(format!("{}", now + 3600)), 401),
        (json!(true), 401),
        (json!([now + 3600]), 401),
        (json!({}), 401),
        (json!(1e300), 401),
        (json!(-1e300), 401),
        (json!(u64::MAX), 401),
        (json!(i64::MIN), 401),
        (json!(0), 503),
        (json!(-1), 503),
        (json!(-1.5), 503),
    ];
    let missing = world.sim.token(&session).without_claim("exp").sign();
    for (exp, _) in &values {
        let token = world.sim.token(&session).claim("exp", exp.clone()).sign();
        assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED, "{exp}");
    }
    assert_eq!(world.get(&missing).await.status, StatusCode::UNAUTHORIZED);
    #[expect(clippy::cast_precision_loss, reason = "a time of this century")]
    let float = world.sim.token(&session).claim("exp", json!(now as f64 + 30.5)).sign();
    assert_eq!(world.get(&float).await.status, StatusCode::OK, "fractions are cut off");

    world.break_clerk();
    world.until(Verdict::Outage).await;
    for (exp, status) in &values {
        let token = world.sim.token(&session).claim("exp", exp.clone()).sign();
        assert_eq!(world.get(&token).await.status.as_u16(), *status, "{exp}, in an outage");
    }
    assert_eq!(world.get(&missing).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn a_long_lived_token_gets_no_grace() {
    let world = generous().await;
    let session = world.sim.sign_in("user_1");
    let tokens: Vec<_> = [600, 601]
        .map(|secs| world.sim.token(&session).lifetime(Duration::from_secs(secs)).sign())
        .into();
    for token in &tokens {
        assert_eq!(world.get(token).await.status, StatusCode::OK);
    }
    world.pass(560).await;
    world.break_clerk();
    world.until(Verdict::Outage).await;
    world.pass(60).await;
    assert_eq!(world.get(&tokens[0]).await.body, "user_1 outage");
    assert_eq!(world.get(&tokens[1]).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn forged_times_and_key_sources_gain_nothing() {
    let world = World::new().await;
    world.pass(20).await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    // Somebody answers in Clerk's place with keys of their own, or with none.
    for fault in [SimFault::EmptyKeys, SimFault::Html, SimFault::InvalidJson, SimFault::Huge] {
        world.sim.break_with([SimSurface::Jwks, SimSurface::BackendJwks], fault.clone());
        world.pass(75).await;
        let fresh = world.sim.mint(&session);
        assert_eq!(world.get(&fresh).await.status, StatusCode::OK, "{fault:?} kept the good keys");
    }
    let elsewhere = "https://clerk.evil.example/jwks.json".parse().expect("an address");
    world.sim.break_with(SimSurface::Jwks, SimFault::Redirect(elsewhere));
    world.pass(75).await;
    let request = bearer("GET", "/me", &world.sim.mint(&session));
    assert_eq!(world.send(request).await.status, StatusCode::OK, "redirects are not followed");
}
