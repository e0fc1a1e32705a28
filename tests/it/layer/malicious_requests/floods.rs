//! Floods of bad requests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clerk_resilience::Verdict;
use clerk_resilience::sim::{SimSession, SimSurface};
use http::StatusCode;
use serde_json::json;
use test_support::world::World;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use super::{encode, generous};

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
