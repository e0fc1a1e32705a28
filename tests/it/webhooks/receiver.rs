//! The receiver: signatures, limits, secrets, and what health reports of webhooks.

use std::time::Duration;

use axum::body::Body;
use clerk_resilience::store::MemoryStore;
use clerk_resilience::{ClerkConfig, ClerkResilience, GracePolicy, Verdict};
use http::StatusCode;
use serde_json::json;
use test_support::world::{Log, World, anonymous};

use super::{PATH, SECRET, at, deliver, parsed, post, revoked, secret, with};

#[tokio::test(start_paused = true)]
async fn every_svix_vector_is_accepted_or_rejected_as_stated() {
    let vectors = parsed("svix-vectors.json");
    let rows = vectors["verify"].as_array().expect("rows");
    let mut refused = 0;
    for row in rows {
        let Some(accept) = row["accept"].as_bool() else { continue };
        let world = at(row["now"].as_i64().expect("a time"), row["secret"].as_str().expect("text"));
        let payload = row["payload"].as_str().expect("text").to_owned();
        let answer = world.send(post(&row["headers"], payload)).await;
        // The payloads are no events, which is told apart once the signature is believed.
        let status =
            if accept { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
        assert_eq!(answer.status, status, "{}", row["name"]);
        if !accept {
            refused += 1;
            assert_eq!(answer.header("content-type"), "application/problem+json");
            assert_eq!(world.clerk.counts().webhooks_refused, 1);
            assert!(world.clerk.dead_letters().await.expect("readable").is_empty());
        }
    }
    assert!(refused >= 18, "{refused} rows are to be refused");
}

#[tokio::test(start_paused = true)]
async fn signed_nonsense_is_a_dead_letter() {
    let world = with(|builder| builder).await;
    for (id, body) in [
        ("msg_1", "481516, your code"),
        ("msg_2", "{}"),
        ("msg_3", r#"{"type":"session.revoked","data":{}}"#),
        ("msg_4", r#"{"type":"user.updated","data":{"first_name":"Ada"}}"#),
    ] {
        for _ in 0..2 {
            let answer = deliver(&world, id, body).await;
            assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
            assert_eq!(answer.header("webhook-delivery"), "abort-message");
        }
    }
    let letters = world.clerk.dead_letters().await.expect("readable");
    assert_eq!(letters.len(), 4);
    assert!(!format!("{letters:?}").contains("481516"));
    assert!(!world.clerk.replay("msg_1").await.expect("answered"), "nothing is there to replay");
    assert_eq!(world.clerk.counts().webhooks_nonsense, 4);
}

#[tokio::test(start_paused = true)]
async fn oversized_and_non_post_requests_are_rejected_first() {
    let world = with(|builder| builder).await;
    let long = "x".repeat(1024 * 1024 + 1);
    assert_eq!(deliver(&world, "msg_1", &long).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let claim = json!({
        "svix-id": "msg_1",
        "svix-timestamp": world.now_secs().to_string(),
        "svix-signature": format!("v1,{}=", "A".repeat(43)),
    });
    let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>(long.clone())]);
    let answer = world.send(post(&claim, Body::from_stream(chunks))).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let announced = json!({ "content-length": "2000000" });
    let answer = world.send(post(&announced, "short")).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(deliver(&world, "msg_2", &long[1..]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let answer = world.send(anonymous("GET", PATH, &[])).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    let stuck =
        || Body::from_stream(futures_util::stream::pending::<Result<String, std::io::Error>>());
    let answer = world.send(post(&claim, stuck())).await;
    assert_eq!(answer.status, StatusCode::REQUEST_TIMEOUT);
    // Nobody waits for the body of what cannot be true.
    let before = tokio::time::Instant::now();
    for (field, value) in [("svix-timestamp", "1"), ("svix-signature", "v1,"), ("svix-id", " ")] {
        let mut claim = claim.clone();
        claim[field] = value.into();
        let answer = world.send(post(&claim, stuck())).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{field}");
    }
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_verified_delivery_counts_as_webhook_activity() {
    for (delivered, status) in [(true, StatusCode::OK), (false, StatusCode::SERVICE_UNAVAILABLE)] {
        let world =
            with(|builder| builder.grace(GracePolicy::balanced().webhooks_within("5min"))).await;
        let body = r#"{"type":"passkey.rotated"}"#;
        if delivered {
            deliver(&world, "msg_1", body).await;
        } else {
            world.send(post(&json!({ "svix-id": "msg_1" }), body)).await;
        }
        let (_, token) = world.outage().await;
        assert_eq!(world.get(&token).await.status, status);
    }
}

/// How often it was said that webhooks had been silent when an outage began, of outages after so many
/// seconds of health each.
async fn warnings(world: &World, healthy: &[u64], heard: bool) -> usize {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut warned = 0;
    for (turn, healthy) in healthy.iter().enumerate() {
        world.pass(*healthy).await;
        if heard {
            deliver(world, &format!("msg_{turn}"), r#"{"type":"passkey.rotated"}"#).await;
        }
        world.break_clerk();
        world.until(Verdict::Outage).await;
        world.pass(60).await;
        world.sim.heal_all();
        world.until(Verdict::Healthy).await;
        let text = log.text();
        let said = text.matches("clerk.webhooks.silent").count();
        assert!(said <= warned + 1, "{text}");
        warned = said;
    }
    warned
}

#[tokio::test(start_paused = true)]
async fn webhook_silence_before_an_outage_is_warned_once() {
    // While there is but one, a call site that another test's thread meets first is switched off.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let with = |policy: GracePolicy| with(move |builder| builder.grace(policy));
    let on = GracePolicy::balanced;
    let (off, dry, long) = (GracePolicy::disabled(), on().report_only(), 3_700);
    assert_eq!(warnings(&with(on()).await, &[long, 300, long], false).await, 2, "two episodes");
    assert_eq!(warnings(&with(dry).await, &[long], false).await, 1);
    assert_eq!(warnings(&with(on()).await, &[600], false).await, 0, "it had just been started");
    assert_eq!(warnings(&with(on()).await, &[long], true).await, 0);
    assert_eq!(warnings(&with(off).await, &[long], false).await, 0);
    assert_eq!(warnings(&World::new().await, &[long], false).await, 0, "there is no feed");
}

#[tokio::test(start_paused = true)]
async fn a_missing_secret_receives_nothing_and_a_bad_one_fails() {
    let world = World::new().await;
    let answer = deliver(&world, "msg_1", &revoked("sess_1")).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(world.clerk.snapshot().revocations.sessions().count(), 0);

    let vectors = parsed("svix-vectors.json");
    let key = "pk_test_Y2xlcmsuY2xlcmsuZGV2JA".to_owned();
    let read = |secret: &str| {
        ClerkConfig::from_vars(|name| match name {
            "CLERK_PUBLISHABLE_KEY" => Some(key.clone()),
            "CLERK_WEBHOOK_SIGNING_SECRET" => Some(secret.to_owned()),
            _ => None,
        })
    };
    for bad in vectors["secrets"]["reject"].as_array().expect("secrets") {
        let bad = bad.as_str().expect("text");
        for text in [bad.to_owned(), format!("{SECRET},{bad}")] {
            let error = read(&text).expect_err(&text).to_string();
            assert!(error.contains("CLERK_WEBHOOK_SIGNING_SECRET"), "{error}");
            assert!(bad.len() < 10 || !error.contains(bad), "{error}");
        }
    }
    for good in vectors["secrets"]["accept"].as_array().expect("secrets") {
        read(good.as_str().expect("text")).expect("a good secret");
    }
    let several = read(&format!("{SECRET}, whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    let clerk = ClerkResilience::new(several.expect("two secrets"));
    assert!(clerk.webhook_service().is_some());
}

#[tokio::test(start_paused = true)]
async fn either_of_two_secrets_is_accepted_during_rotation() {
    let old = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let world = with(|builder| builder.webhook_secret(secret(old))).await;
    for (n, text) in [SECRET, old].into_iter().enumerate() {
        let (id, now, body) = (format!("msg_{n}"), world.now_secs(), revoked("sess_1"));
        let signature = secret(text).sign(&id, now, body.as_bytes());
        let fields = json!({ "webhook-id": id, "webhook-timestamp": now.to_string(), "webhook-signature": signature });
        assert_eq!(world.send(post(&fields, body)).await.status, StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn options_without_a_secret_or_storing_codes_fail_the_start() {
    let key = World::new().await.sim.publishable_key().clone();
    let builder = || ClerkResilience::builder(ClerkConfig::new(key.clone()));
    let hooked = builder().on_event(["user.created"], |_| async { Ok::<(), String>(()) });
    let error = hooked.pair().expect_err("no secret").to_string();
    assert!(error.contains("CLERK_WEBHOOK_SIGNING_SECRET"), "{error}");
    drop(builder().store(MemoryStore::new()).pair().expect("profiles are kept there"));
    for kind in ["email.created", "sms.created"] {
        let builder = builder().webhook_secret(secret(SECRET));
        let builder = builder.on_event([kind], |_| async { Ok::<(), String>(()) });
        let error = builder.pair().expect_err("codes").to_string();
        assert!(error.contains(kind) && error.contains("one-time codes"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn health_shows_the_delay_and_absence_of_webhooks() {
    let world = with(|builder| builder).await;
    let check = async || {
        let document = world.send(anonymous("GET", "/auth/health", &[])).await.json();
        let check = document["checks"]["clerk:webhooks"][0].clone();
        (check["status"].as_str().unwrap_or_default().to_owned(), check, document["status"].clone())
    };
    let (status, silent, whole) = check().await;
    assert_eq!(
        (status.as_str(), &silent["advisory"], &whole),
        ("warn", &json!(true), &json!("pass"))
    );

    // What comes again, or was sent again by hand after a month, says nothing of how late Clerk is.
    let month = 30 * 24 * 60 * 60;
    for (id, late, wanted, shown) in [
        ("msg_1", 300, "pass", 300),
        ("msg_2", 301, "warn", 301),
        ("msg_3", 1, "pass", 1),
        ("msg_2", 302, "pass", 1),
        ("msg_4", month, "pass", 1),
    ] {
        let happened = world.now_secs() - late;
        let user = json!({ "id": "user_1", "updated_at": happened });
        let body = json!({ "type": "user.created", "timestamp": happened, "data": user });
        let answer = deliver(&world, id, &body.to_string()).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        let (status, found, whole) = check().await;
        assert_eq!((status.as_str(), whole.as_str()), (wanted, Some(wanted)), "{found}");
        assert_eq!(found["observedValue"], shown * 1000, "{id}");
    }
    let other = World::with(|builder| builder).await;
    let document = other.send(anonymous("GET", "/auth/health", &[])).await.json();
    assert!(document["checks"].get("clerk:webhooks").is_none(), "nobody asked for them");
}
