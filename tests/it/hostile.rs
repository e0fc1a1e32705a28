//! Requests that mean harm.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clerk_resilience::key::{InstanceKind, PublishableKey};
use clerk_resilience::sim::{SimClerk, SimFault, SimSession, SimSurface};
use clerk_resilience::{AzpPolicy, GraceAccess, GracePolicy, RoutePolicy, Verdict};
use http::{HeaderName, HeaderValue, Request, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};
use test_support::world::{World, bearer};
use tracing_subscriber::layer::{Context, SubscriberExt as _};

/// As open as a configuration can be, so that only the checks themselves are in the way.
async fn generous() -> World {
    World::with(|builder| {
        let full = RoutePolicy::required().grace(GraceAccess::Full).accept_pending();
        builder.grace(GracePolicy::available()).policy(full)
    })
    .await
}

fn raw(name: &str, value: &[u8]) -> Option<Request<Body>> {
    let name = HeaderName::try_from(name).expect("a name");
    let value = HeaderValue::from_bytes(value).ok()?;
    let mut request = Request::builder().uri("/me").body(Body::empty()).expect("a request");
    request.headers_mut().insert(name, value);
    Some(request)
}

fn encode(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(json)
}

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
    for weather in ["health", "an outage"] {
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
            assert_eq!(result, (401, expected.to_owned()), "{name}, in {weather}");
        }
        if weather == "health" {
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

/// Many tokens with keys that nobody has heard of.
async fn flood(world: &World, session: &SimSession, seconds: usize) -> BTreeMap<u16, usize> {
    let mut answers = BTreeMap::new();
    let template = world.sim.mint(session);
    let signature = template.rsplit_once('.').expect("three parts").1;
    for second in 0..seconds {
        for n in 0..10 {
            let header =
                json!({ "alg": "RS256", "typ": "JWT", "kid": format!("ins_{second}_{n}") });
            let now = world.sim.clock().now().wall.as_secs();
            let payload = json!({
                "sub": "user_1", "iss": world.sim.publishable_key().issuer(),
                "iat": now, "nbf": now, "exp": now + 60,
            });
            let (header, payload) = (encode(&header.to_string()), encode(&payload.to_string()));
            let answer = world.get(&format!("{header}.{payload}.{signature}")).await;
            *answers.entry(answer.status.as_u16()).or_default() += 1;
        }
        world.pass(1).await;
    }
    answers
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_unknown_keys_causes_one_refresh_in_30_s() {
    let world = World::new().await;
    world.pass(20).await;
    let session = world.sim.sign_in("user_1");
    world.sim.forget_requests();
    let started = tokio::time::Instant::now();
    let answers = flood(&world, &session, 100).await;
    assert_eq!(answers.values().sum::<usize>(), 1000);
    assert!(answers.keys().all(|status| matches!(status, 401 | 503)), "{answers:?}");
    let times = world.sim.request_times(SimSurface::Jwks);
    assert!((3..=4).contains(&times.len()), "{} refreshes in 100 s", times.len());
    for pair in times.windows(2) {
        assert!(pair[1].since(pair[0]) >= Duration::from_secs(30), "{times:?}");
    }
    let waited = started.elapsed().saturating_sub(Duration::from_secs(100));
    assert!(waited < Duration::from_secs(5), "the flood waited {waited:?} in all");
    assert_eq!(world.clerk.counts().signals_dropped, 0);
    assert_eq!(world.get(&world.sim.mint(&session)).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn unknown_keys_in_an_outage_get_503_without_calls() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    world.break_clerk();
    world.until(Verdict::Outage).await;
    world.pass(60).await;
    world.sim.forget_requests();
    let answers = flood(&world, &session, 60).await;
    assert_eq!(answers, BTreeMap::from([(503, 600)]));
    let calls = world.sim.requests(SimSurface::Jwks);
    assert!(calls <= 6, "{calls} requests in a minute, those of the schedule included");
}

#[tokio::test(start_paused = true)]
async fn expired_tokens_with_unknown_keys_cause_no_refresh() {
    let world = World::new().await;
    world.pass(20).await;
    let session = world.sim.sign_in("user_1");
    // Made after the keys were confirmed, and over already.
    let expired = |n: u32| {
        let token = world.sim.token(&session).ago(Duration::from_secs(8));
        token.lifetime(Duration::from_secs(1)).kid(format!("k{n}")).sign()
    };
    world.sim.forget_requests();
    for n in 0..200 {
        assert_eq!(world.get(&expired(n)).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(world.sim.requests(SimSurface::Jwks), 0);
    world.break_clerk();
    world.until(Verdict::Outage).await;
    world.pass(60).await;
    world.sim.forget_requests();
    for n in 0..200 {
        assert_eq!(world.get(&expired(n)).await.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(world.sim.requests(SimSurface::Jwks), 0, "in an outage");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_forgeries_causes_no_call() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let forged = world.sim.forge(&session);
    let (message, signature) = forged.rsplit_once('.').expect("three parts");
    world.sim.forget_requests();
    let before = world.clerk.counts();
    for n in 0..1000_usize {
        let mut signature = signature.to_owned();
        let place = n % 300;
        let other = if signature.as_bytes()[place] == b'A' { "B" } else { "A" };
        signature.replace_range(place..=place, other);
        let answer = world.get(&format!("{message}.{signature}")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(world.sim.total_requests(), 0);
    let counts = world.clerk.counts();
    assert_eq!(counts.upstream_calls, before.upstream_calls);
    assert_eq!(counts.unauthorized - before.unauthorized, 1000);
}

struct Counting(Arc<AtomicUsize>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Counting {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() <= tracing::Level::INFO {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_bad_requests_log_nothing() {
    // While there is but one, a call site that another test's thread meets first is switched off.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let events = Arc::new(AtomicUsize::new(0));
    let subscriber = tracing_subscriber::registry().with(Counting(events.clone()));
    let _guard = tracing::subscriber::set_default(subscriber);
    tracing::info!("the count works");
    assert_eq!(events.swap(0, Ordering::Relaxed), 1);

    let world = generous().await;
    let session = world.sim.sign_in("user_1");
    let expired = world.sim.token(&session).ago(Duration::from_secs(600)).sign();
    let revoked = world.sim.sign_in("user_2");
    world.clerk.revoke_session(revoked.id.as_str());
    let bad = [
        "nonsense".to_owned(),
        world.sim.forge(&session),
        world.sim.mint(&revoked),
        world.sim.token(&session).kid("ins_unheard").sign(),
        expired,
    ];
    let healthy = async || {
        for _ in 0..200 {
            for token in &bad {
                assert_ne!(world.get(token).await.status, StatusCode::OK);
            }
        }
    };
    world.pass(20).await;
    events.store(0, Ordering::Relaxed);
    healthy().await;
    assert_eq!(events.load(Ordering::Relaxed), 0, "in health");
    world.break_clerk();
    world.until(Verdict::Outage).await;
    let transitions = events.swap(0, Ordering::Relaxed);
    assert!((1..=3).contains(&transitions), "{transitions} events for two transitions");
    healthy().await;
    assert_eq!(events.load(Ordering::Relaxed), 0, "in an outage");
}

/// One world for many cases.
struct Arena {
    runtime: tokio::runtime::Runtime,
    world: World,
    token: String,
}

impl Arena {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let world = runtime.block_on(generous());
        let token = world.sim.mint(&world.sim.sign_in("user_1"));
        Self { runtime, world, token }
    }

    fn status(&self, name: &str, value: &[u8]) -> Option<u16> {
        let request = raw(name, value)?;
        Some(self.runtime.block_on(self.world.send(request)).status.as_u16())
    }
}

#[test]
fn arbitrary_bytes_neither_pass_nor_panic() {
    let arena = Arena::new();
    assert_eq!(
        arena.status("authorization", format!("Bearer {}", arena.token).as_bytes()),
        Some(200)
    );
    let json = "[{}\\[\\]\":,a-z0-9.eE+-]{0,60}";
    let token = (json, json, "[A-Za-z0-9_-]{0,40}").prop_map(|(header, payload, signature)| {
        format!("{}.{}.{signature}", encode(&header), encode(&payload)).into_bytes()
    });
    let header = prop_oneof![
        r#"\{"alg":"(RS256|none|HS256|ES256|RS512|)","kid":"[a-z_]{0,9}","typ":"(JWT|at\+jwt|)"\}"#,
        r#"\{"kid":(1|null|\[\]|\{\}|"__proto__"),"alg":"RS256","crit":\["exp"\]\}"#,
    ];
    let claims = r#"\{"sub":"u","exp":[0-9]{1,12},"iat":-?[0-9]{1,12},"iss":"https://clerk\.sim\.example"\}"#;
    let plausible = (header, claims, prop::collection::vec(any::<u8>(), 0..300)).prop_map(
        |(header, claims, signature)| {
            let signature = URL_SAFE_NO_PAD.encode(signature);
            format!("{}.{}.{signature}", encode(&header), encode(&claims)).into_bytes()
        },
    );
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "[ -~]{0,100}".prop_map(String::into_bytes),
        "[.=; ,%_A-Za-z]{0,60}".prop_map(String::into_bytes),
        token,
        plausible,
    ];
    let prefix = prop_oneof![
        Just(("authorization", "Bearer ")),
        Just(("authorization", "")),
        Just(("cookie", "__session=")),
        Just(("cookie", "a=b; __session=")),
        Just(("cookie", "")),
    ];
    proptest!(ProptestConfig::with_cases(1024), |((name, prefix) in prefix, bytes in bytes)| {
        let status = arena.status(name, &[prefix.as_bytes(), &bytes].concat());
        prop_assert!(matches!(status, None | Some(401 | 503)), "{:?}", status);
    });
}

#[test]
fn no_altered_token_passes() {
    let arena = Arena::new();
    let length = arena.token.len();
    let change = prop_oneof![Just(None), "[A-Za-z0-9_.=%+/ -]".prop_map(|c| c.bytes().next())];
    proptest!(ProptestConfig::with_cases(512), |(place in 0..length, change in change)| {
        let mut token = arena.token.clone().into_bytes();
        match change {
            None => drop(token.remove(place)),
            Some(byte) if byte == token[place] => return Ok(()),
            Some(byte) => token[place] = byte,
        }
        let value = [b"Bearer ", &*token].concat();
        let status = arena.status("authorization", &value);
        prop_assert!(matches!(status, Some(401 | 503)), "{} {:?}: {:?}", place, change, status);
    });
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
