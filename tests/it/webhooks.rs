//! Webhooks: who is believed, what follows at once, what hooks hear, and what a failure costs.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use clerk_resilience::clock::Timestamp;
use clerk_resilience::id::UserId;
use clerk_resilience::internals::Sealed;
use clerk_resilience::internals::revocation::Denial;
use clerk_resilience::profile::{Change, Person};
use clerk_resilience::sim::{SimClerk, SimClock, SimOrganization};
#[cfg(feature = "sqlite")]
use clerk_resilience::store::SqliteStore;
use clerk_resilience::store::{
    Accepted, DeadLetter, InboxEvent, MemoryStore, Pending, Store, StoreError, Task, TaskOutcome,
};
use clerk_resilience::webhook_signature::WebhookSecret;
use clerk_resilience::{Builder, ClerkConfig, ClerkResilience, Event, GracePolicy, Verdict};
use http::{Request, StatusCode};
use serde_json::{Value, json};
use test_support::world::{Answer, Log, World, anonymous};

use crate::restart::until_saved;

pub(crate) const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const PATH: &str = "/auth/webhooks";

fn secret(text: &str) -> WebhookSecret {
    WebhookSecret::parse(text).expect("a secret")
}

pub(crate) async fn with(choose: impl FnOnce(Builder) -> Builder) -> World {
    World::with(|builder| {
        choose(builder.grace(GracePolicy::balanced()).webhook_secret(secret(SECRET)))
    })
    .await
}

/// A world that knows nothing yet, at another time.
fn at(now: i64, text: &str) -> World {
    let clock = SimClock::starting_at(Timestamp::from_secs(now));
    let sim = SimClerk::builder().clock(clock.clone()).seed(7).build();
    World::beside(clock, sim, |builder| builder.webhook_secret(secret(text)))
}

pub(crate) fn post(fields: &Value, body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::post(PATH);
    for (name, value) in fields.as_object().expect("fields") {
        request = request.header(name, value.as_str().expect("text"));
    }
    request.body(body.into()).expect("a request")
}

fn signed(world: &World, id: &str, body: &str) -> Request<Body> {
    let now = world.now_secs();
    let signature = secret(SECRET).sign(id, now, body.as_bytes());
    let fields =
        json!({ "svix-id": id, "svix-timestamp": now.to_string(), "svix-signature": signature });
    post(&fields, body.to_owned())
}

pub(crate) async fn deliver(world: &World, id: &str, body: &str) -> Answer {
    world.send(signed(world, id, body)).await
}

fn revoked(session: &str) -> String {
    json!({ "type": "session.revoked", "data": { "id": session } }).to_string()
}

pub(crate) fn data(path: &str) -> String {
    let path = format!("{}/tests/data/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).expect("test data")
}

pub(crate) fn parsed(path: &str) -> Value {
    serde_json::from_str(&data(path)).expect("JSON")
}

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
async fn every_clerk_sample_is_stored_and_takes_effect() {
    let index = parsed("webhook-samples/index.json");
    let files = index["files"].as_array().expect("files");
    assert_eq!(files.len(), 33);
    for file in files {
        let sent: i64 =
            file["headers"]["svix-timestamp"].as_str().expect("a time").parse().expect("a number");
        let world = at(sent, index["secret"].as_str().expect("text"));
        let name = file["file"].as_str().expect("a name");
        let answer =
            world.send(post(&file["headers"], data(&format!("webhook-samples/{name}")))).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{name}");
        let expected = file["expect"].to_string();
        let revocations = &world.clerk.snapshot().revocations;
        let denies = revocations.denials().map(|denial| match denial {
            Denial::Session(..) => "session",
            Denial::User(..) => "user",
            Denial::Member(..) => "member",
            Denial::Organization(..) => "organization",
            Denial::Outdated(..) => "outdated",
            Denial::Role(..) => "role",
            Denial::Permission(..) => "permission",
            _ => "something else",
        });
        let should = match file["type"].as_str().expect("a type") {
            _ if expected.contains("revoke_session") => Some("session"),
            _ if expected.contains("revoke_all_sessions") => Some("user"),
            "organizationMembership.deleted" => Some("member"),
            "organizationMembership.updated" => Some("outdated"),
            "organization.deleted" => Some("organization"),
            "role.updated" | "role.deleted" => Some("role"),
            "permission.deleted" => Some("permission"),
            _ => None,
        };
        assert_eq!(denies.collect::<Vec<_>>(), Vec::from_iter(should), "{name}: {expected}");
        let counts = world.clerk.counts();
        let tells = ["upsert_profile", "upsert embedded", "_membership", "iat"]
            .iter()
            .any(|effect| expected.contains(effect));
        let used =
            should.is_some() || tells || name == "session.pending.json" || name.contains("older");
        assert_eq!(counts.webhooks_accepted, u64::from(used), "{name}");
        assert_eq!(counts.webhooks_unused, u64::from(!used), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_revocation_event_applies_to_the_next_request() {
    let world = with(|builder| builder).await;
    let session = world.sim.sign_in("user_1");
    let (token, other) = (world.sim.mint(&session), world.sim.mint(&world.sim.sign_in("user_2")));
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    let answer = deliver(&world, "msg_1", &revoked(session.id.as_str())).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.get(&other).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_revocation_event_ends_grace_at_once() {
    let world = with(|builder| builder).await;
    let (session, token) = world.outage().await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    deliver(&world, "msg_1", &revoked(session.id.as_str())).await;
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn a_ban_ends_only_sessions_issued_before_it() {
    let world = with(|builder| builder).await;
    let session = world.sim.sign_in("user_1");
    let before = world.sim.mint(&session);
    let banned = world.now().as_millis();
    let ban = json!({ "type": "user.updated", "timestamp": banned, "data": { "id": "user_1", "banned": true, "updated_at": banned } });
    deliver(&world, "msg_1", &ban.to_string()).await;
    assert_eq!(world.get(&before).await.status, StatusCode::UNAUTHORIZED);

    world.pass(10).await;
    let after = world.sim.mint(&world.sim.sign_in("user_1"));
    for id in ["msg_1", "msg_2"] {
        deliver(&world, id, &ban.to_string()).await;
        assert_eq!(world.get(&after).await.status, StatusCode::OK, "{id}");
    }
    let deleted = json!({ "type": "user.deleted", "data": { "id": "user_1", "deleted": true } });
    deliver(&world, "msg_3", &deleted.to_string()).await;
    deliver(&world, "msg_4", &ban.to_string()).await;
    world.pass(30).await;
    let last = world.sim.mint(&world.sim.sign_in("user_1"));
    assert_eq!(world.get(&last).await.status, StatusCode::UNAUTHORIZED, "deleted is for good");
}

fn membership(world: &World, event: &str) -> String {
    let data = json!({
        "organization": { "id": "org_1" }, "public_user_data": { "user_id": "user_1" },
    });
    let kind = format!("organizationMembership.{event}");
    json!({ "type": kind, "timestamp": world.now().as_millis(), "data": data }).to_string()
}

fn member_of(world: &World, user: &str, organization: &str) -> String {
    let (id, slug) = (organization.to_owned(), organization.to_owned());
    world.sim.token(&world.sim.sign_in(user)).organization(SimOrganization::new(id, slug)).sign()
}

#[tokio::test(start_paused = true)]
async fn a_former_member_is_rejected_in_that_organization_only() {
    let world = with(|builder| builder).await;
    let token = member_of(&world, "user_1", "org_1");
    let others = [
        member_of(&world, "user_1", "org_2"),
        member_of(&world, "user_2", "org_1"),
        world.sim.mint(&world.sim.sign_in("user_1")),
    ];
    for _ in 0..2 {
        deliver(&world, "msg_1", &membership(&world, "deleted")).await;
        let answer = world.get(&token).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.json()["reason"], "no-member");
        for other in &others {
            assert_eq!(world.get(other).await.status, StatusCode::OK);
        }
    }
    world.pass(2).await;
    let again = member_of(&world, "user_1", "org_1");
    assert_eq!(world.get(&again).await.status, StatusCode::OK, "the user joined it anew");
    let gone = json!({ "type": "organization.deleted", "data": { "id": "org_1" } });
    deliver(&world, "msg_2", &gone.to_string()).await;
    for token in [&again, &others[1]] {
        assert_eq!(world.get(token).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(world.get(&others[0]).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_membership_end_is_401_in_grace_and_a_change_503() {
    for (event, status) in
        [("deleted", StatusCode::UNAUTHORIZED), ("updated", StatusCode::SERVICE_UNAVAILABLE)]
    {
        let world = with(|builder| builder).await;
        let token = member_of(&world, "user_1", "org_1");
        world.get(&token).await;
        world.break_clerk();
        world.until(Verdict::Outage).await;
        world.pass(70).await;
        assert_eq!(world.get(&token).await.body, "user_1 outage");
        deliver(&world, "msg_1", &membership(&world, event)).await;
        assert_eq!(world.get(&token).await.status, status, "{event}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_change_does_not_affect_unexpired_tokens() {
    let world = with(|builder| builder).await;
    let token = member_of(&world, "user_1", "org_1");
    deliver(&world, "msg_1", &membership(&world, "updated")).await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_lock_or_password_change_ends_sessions_if_configured() {
    type Choose = fn(Builder) -> Builder;
    let body = |world: &World, event: Value| {
        let mut data = json!({ "id": "user_1", "locked": false });
        data.as_object_mut().expect("members").extend(event.as_object().expect("members").clone());
        let now = world.now().as_millis();
        json!({ "type": "user.updated", "timestamp": now, "data": data }).to_string()
    };
    let choices: [(Choose, [u16; 2]); 3] = [
        (|builder| builder, [200, 200]),
        (|builder| builder.revoke_when_locked(true), [401, 200]),
        (|builder| builder.revoke_on_password_change(true), [200, 401]),
    ];
    for (choose, expected) in choices {
        let now = with(choose).await.now().as_millis();
        let events = [json!({ "locked": true }), json!({ "password_last_updated_at": now })];
        for (event, status) in events.into_iter().zip(expected) {
            let world = with(choose).await;
            let token = world.sim.mint(&world.sim.sign_in("user_1"));
            deliver(&world, "msg_1", &body(&world, event)).await;
            assert_eq!(world.get(&token).await.status.as_u16(), status);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn events_may_arrive_twice_and_in_any_order() {
    let world = with(|builder| builder).await;
    let mut deliveries: Vec<usize> = (0..100).flat_map(|n| [n, n]).collect();
    fastrand::Rng::with_seed(3).shuffle(&mut deliveries);
    for n in deliveries {
        let answer =
            deliver(&world, &format!("msg_{n}"), &revoked(&format!("sess_{}", n / 2))).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
    }
    let counts = world.clerk.counts();
    assert_eq!((counts.webhooks_accepted, counts.webhooks_repeated), (100, 100));
    assert_eq!(world.clerk.snapshot().revocations.sessions().count(), 50);
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

/// A store whose calls fail, or never come back.
#[derive(Debug)]
struct Sick {
    hangs: bool,
}

impl Sick {
    fn ill<T: Send + 'static>(&self) -> Pending<T> {
        let hangs = self.hangs;
        Box::pin(async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            Err(StoreError::Failed("the disk is full".to_owned()))
        })
    }
}

impl Sealed for Sick {}

impl Store for Sick {
    fn denials(&self) -> Result<Vec<Denial>, StoreError> {
        Ok(Vec::new())
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn accept(&self, _: InboxEvent) -> Pending<Accepted> {
        self.ill()
    }

    fn claim(&self, _: Timestamp, _: Duration) -> Pending<Option<Task>> {
        self.ill()
    }

    fn settle(&self, _: &str, _: u64, _: TaskOutcome) -> Pending<bool> {
        self.ill()
    }

    fn dead_letters(&self) -> Pending<Vec<DeadLetter>> {
        self.ill()
    }

    fn requeue(&self, _: &str, _: Timestamp) -> Pending<bool> {
        self.ill()
    }

    fn prune(&self, _: Timestamp) -> Pending<()> {
        self.ill()
    }

    fn deny(&self, _: Vec<Denial>) -> Pending<()> {
        self.ill()
    }

    fn user(&self, _: &UserId) -> Pending<Option<Person>> {
        self.ill()
    }

    fn merge(&self, _: Vec<Change>) -> Pending<()> {
        self.ill()
    }

    fn documents(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        Ok(Vec::new())
    }

    fn put_document(&self, _: &str, _: Vec<u8>) -> Pending<()> {
        self.ill()
    }
}

#[tokio::test(start_paused = true)]
async fn revocations_apply_while_the_store_fails() {
    for hangs in [false, true] {
        let world = with(|builder| builder.store(Sick { hangs })).await;
        let session = world.sim.sign_in("user_1");
        let token = world.sim.mint(&session);
        let begun = tokio::time::Instant::now();
        assert_eq!(world.get(&token).await.status, StatusCode::OK);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let body = revoked(session.id.as_str());
        let meanwhile = async {
            tokio::task::yield_now().await;
            (world.get(&token).await.status, begun.elapsed())
        };
        let (answer, meanwhile) = tokio::join!(deliver(&world, "msg_1", &body), meanwhile);
        assert_eq!(meanwhile, (StatusCode::UNAUTHORIZED, Duration::ZERO), "hangs: {hangs}");
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.header("retry-after"), "5");
        assert!(begun.elapsed() < Duration::from_secs(3));
        let document = world.send(anonymous("GET", "/auth/health", &[])).await.json();
        assert_eq!(document["status"], "warn", "tokens can be verified");
        assert_eq!(document["checks"]["store:own"][0]["status"], "fail");
        assert_eq!(document["counts"]["webhooksNotKept"], 1);
        world.pass(5).await;
        assert_eq!(world.clerk.counts().webhooks_not_kept, 1);
        assert!(world.clerk.counts().store_failures > 0);
        assert!(world.clerk.dead_letters().await.is_err());
    }
}

/// Whether a denial is in the state directory when one that this application made later is.
async fn is_written(world: &World, dir: &Path, body: &str, id: &str) -> bool {
    deliver(world, "msg_1", body).await;
    world.clerk.revoke_session("sess_own");
    let listed = |json: &Value, id: &str| json["revoked_sessions"].to_string().contains(id);
    until_saved(dir, |json| listed(json, "sess_own")).await;
    let saved = std::fs::read_to_string(dir.join("outages.json")).expect("there");
    listed(&saved.parse().expect("JSON"), id)
}

#[tokio::test(start_paused = true)]
async fn unstored_revocations_go_to_the_state_directory() {
    for choose in [|builder| builder, |builder: Builder| builder.store(Sick { hangs: false })] {
        let dir = tempfile::tempdir().expect("a directory");
        let world = with(|builder| choose(builder.state_dir(dir.path()))).await;
        let session = world.sim.sign_in("user_1");
        let (id, token) = (session.id.as_str(), world.sim.mint(&session));
        assert!(is_written(&world, dir.path(), &revoked(id), id).await);
        let World { clock, sim, .. } = world;
        let next = World::beside(clock, sim, |builder| builder.state_dir(dir.path()));
        let other = next.sim.mint(&next.sim.sign_in("user_2"));
        next.pass(1).await;
        assert_eq!(next.get(&token).await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(next.get(&other).await.status, StatusCode::OK);
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test(start_paused = true)]
async fn stored_revocations_are_not_written_to_a_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::open(dir.path().join("inbox.db")).expect("a store");
    let world = with(|builder| builder.state_dir(dir.path()).store(store)).await;
    let session = world.sim.sign_in("user_1");
    let (id, token) = (session.id.as_str(), world.sim.mint(&session));
    assert!(!is_written(&world, dir.path(), &revoked(id), id).await);
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
    let own = world
        .clerk
        .snapshot()
        .revocations
        .sessions()
        .map(|(id, _)| id.to_owned())
        .collect::<Vec<_>>();
    assert_eq!(own, ["sess_own"]);
    assert_eq!(
        world.clerk.snapshot().kept.sessions().next().map(|(id, _)| id.to_owned()),
        Some(id.to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn a_failing_store_is_logged_once() {
    let log = Log::default();
    // With two of them tracing asks each time who listens.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let world = with(|builder| builder.store(Sick { hangs: false })).await;
    for n in 0..50 {
        let answer = deliver(&world, &format!("msg_{n}"), &revoked("sess_1")).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    world.pass(60).await;
    let said = log.text();
    assert_eq!(said.matches("clerk.store.failed").count(), 1, "{said}");
    assert!(said.contains("the disk is full"), "{said}");
    assert_eq!(world.clerk.counts().webhooks_not_kept, 50);
}

/// Every call of a hook, and how often it fails first.
#[derive(Clone, Default)]
struct Ear {
    heard: Arc<Mutex<Vec<Event>>>,
    failures: Arc<AtomicU32>,
}

impl Ear {
    fn failing(times: u32) -> Self {
        Self { failures: Arc::new(AtomicU32::new(times)), ..Self::default() }
    }

    fn on(&self, builder: Builder, kinds: &[&str]) -> Builder {
        let ear = self.clone();
        builder.on_event(kinds.iter().copied(), move |event| {
            let ear = ear.clone();
            async move {
                ear.heard.lock().expect("sound").push(event);
                let left = |left: u32| left.checked_sub(1);
                match ear.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left) {
                    Ok(left) if left % 2 == 0 => panic!("as asked"),
                    Ok(_) => Err("as asked"),
                    Err(_) => Ok(()),
                }
            }
        })
    }

    fn heard(&self) -> Vec<Event> {
        self.heard.lock().expect("sound").clone()
    }
}

const CREATED: &str = r#"{"type":"user.created","timestamp":1780000000,"data":{"id":"user_1","private_metadata":{"ref":"481516"},"public_metadata":{"plan":"team"}}}"#;

#[tokio::test(start_paused = true)]
async fn hooks_receive_their_events_once_without_private_data() {
    let ear = Ear::default();
    let world = with(|builder| ear.on(builder, &["user.created"])).await;
    for (id, body) in [
        ("msg_1", CREATED),
        ("msg_1", CREATED),
        ("msg_2", r#"{"type":"user.updated","data":{"id":"user_1"}}"#),
    ] {
        assert_eq!(deliver(&world, id, body).await.status, StatusCode::NO_CONTENT);
    }
    world.pass(60).await;
    let heard = ear.heard();
    let [event] = heard.as_slice() else { panic!("{heard:?}") };
    assert_eq!((event.id.as_str(), event.kind.as_str()), ("msg_1", "user.created"));
    assert_eq!(event.happened, Timestamp::from_secs(1_780_000_000));
    assert_eq!(event.data, json!({ "id": "user_1", "public_metadata": { "plan": "team" } }));
    assert!(!format!("{event:?}").contains("team"));
}

#[tokio::test(start_paused = true)]
async fn a_failing_hook_is_retried_with_growing_pauses() {
    let ear = Ear::failing(3);
    let world = with(|builder| ear.on(builder, &["user.created"])).await;
    deliver(&world, "msg_1", CREATED).await;
    for (secs, times) in [(1, 1), (9, 2), (15, 3), (25, 4), (3_600, 4)] {
        world.pass(secs).await;
        assert_eq!(ear.heard().len(), times, "after {secs} s more");
    }
    assert_eq!(world.clerk.counts().hook_failures, 3);
    assert_eq!(ear.heard().last().expect("heard").attempts, 4);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_listed_and_can_be_retried() {
    let ear = Ear::failing(12);
    let world = with(|builder| ear.on(builder, &["session.revoked"])).await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    deliver(&world, "msg_1", &revoked(session.id.as_str())).await;
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED, "it waits for no hook");
    world.pass(6 * 60 * 60).await;
    assert_eq!(ear.heard().len(), 12);
    let letters = world.clerk.dead_letters().await.expect("readable");
    assert_eq!((letters[0].id.as_str(), letters[0].attempts), ("msg_1", 12));
    assert!(world.clerk.replay("msg_1").await.expect("answered"));
    world.pass(1).await;
    assert_eq!(ear.heard().len(), 13);
    assert!(world.clerk.dead_letters().await.expect("readable").is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_immediately_panicking_hook_counts_as_failed() {
    let world = with(|builder| {
        builder.on_event(["user.created"], |event: Event| {
            assert!(event.attempts > 1, "as asked");
            async { Ok::<(), String>(()) }
        })
    })
    .await;
    deliver(&world, "msg_1", CREATED).await;
    world.pass(60).await;
    assert_eq!(world.clerk.counts().hook_failures, 1);
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    assert_eq!(world.get(&token).await.status, StatusCode::OK, "the driver lives");
    assert_eq!(world.clerk.verdict(), clerk_resilience::Verdict::Healthy);
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use std::path::Path;

    use clerk_resilience::store::SqliteStore;

    use super::*;

    fn open(dir: &Path) -> SqliteStore {
        SqliteStore::open(dir.join("webhooks.db")).expect("a store")
    }

    /// What a process that is killed at this moment leaves behind.
    fn crash(dir: &Path) -> tempfile::TempDir {
        let left = tempfile::tempdir().expect("a directory");
        for entry in std::fs::read_dir(dir).expect("readable") {
            let entry = entry.expect("an entry");
            std::fs::copy(entry.path(), left.path().join(entry.file_name())).expect("a copy");
        }
        left
    }

    #[tokio::test(start_paused = true)]
    async fn acknowledged_events_survive_a_killed_process() {
        let dir = tempfile::tempdir().expect("a directory");
        let deaf = Ear::failing(u32::MAX);
        let world = with(|builder| {
            deaf.on(builder.store(open(dir.path())), &["user.created", "session.revoked"])
        })
        .await;
        let session = world.sim.sign_in("user_1");
        let token = world.sim.mint(&session);
        deliver(&world, "msg_1", &revoked(session.id.as_str())).await;
        deliver(&world, "msg_2", CREATED).await;
        let left = crash(dir.path());

        let ear = Ear::default();
        let next = World::beside(world.clock.clone(), world.sim.clone(), |builder| {
            let builder = builder.webhook_secret(secret(SECRET)).store(open(left.path()));
            ear.on(builder, &["user.created", "session.revoked"])
        });
        next.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
        assert_eq!(next.get(&token).await.status, StatusCode::UNAUTHORIZED);
        next.pass(60).await;
        let mut heard: Vec<_> = ear.heard().into_iter().map(|event| event.id).collect();
        heard.sort();
        assert_eq!(heard, ["msg_1", "msg_2"]);
        assert_eq!(deliver(&next, "msg_2", CREATED).await.status, StatusCode::NO_CONTENT);
        assert_eq!(next.clerk.counts().webhooks_repeated, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn no_code_or_private_data_is_in_the_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let ear = Ear::default();
        let world =
            with(|builder| ear.on(builder.store(open(dir.path())), &["user.created"])).await;
        let mail = data("webhook-samples/email.created.json");
        assert!(mail.contains("481516"));
        deliver(&world, "msg_1", &mail).await;
        deliver(&world, "msg_2", &data("webhook-samples/sms.created.json")).await;
        deliver(&world, "msg_3", CREATED).await;
        for entry in std::fs::read_dir(dir.path()).expect("readable") {
            let bytes = std::fs::read(entry.expect("an entry").path()).expect("readable");
            for code in ["481516", "162342"] {
                assert!(!bytes.windows(6).any(|window| window == code.as_bytes()), "{code}");
            }
        }
        assert_eq!(world.clerk.counts().webhooks_unused, 2);
    }

    fn denials(dir: &Path) -> i64 {
        let tool = rusqlite::Connection::open(dir.join("webhooks.db")).expect("readable");
        tool.query_row("SELECT count(*) FROM denial", [], |row| row.get(0)).expect("a number")
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_ahead_for_a_while_ends_no_stored_denial() {
        const YEAR: i64 = 365 * 24 * 60 * 60 * 1000;
        let dir = tempfile::tempdir().expect("a directory");
        let world = with(|builder| builder.store(open(dir.path()))).await;
        deliver(&world, "msg_1", &revoked("sess_1")).await;
        // What is old is looked for once an hour.
        world.pass(60 * 60 - 30).await;
        world.clock.jump(YEAR);
        world.pass(60).await;
        assert_eq!(denials(dir.path()), 1);
        world.clock.jump(-YEAR);
        world.pass(60 * 60).await;
        assert_eq!(denials(dir.path()), 1);
        world.clock.jump(YEAR);
        world.pass(3 * 60 * 60).await;
        assert_eq!(denials(dir.path()), 0, "after so long it is believed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_is_not_taken_while_its_hooks_run() {
        let dir = tempfile::tempdir().expect("a directory");
        let stuck = |_| std::future::pending::<Result<(), String>>();
        let world = with(|builder| {
            let builder = builder.store(open(dir.path()));
            builder.on_event(["user.created"], stuck).on_event(["user.created"], stuck)
        })
        .await;
        deliver(&world, "msg_1", CREATED).await;
        world.pass(1).await;
        let tool = rusqlite::Connection::open(dir.path().join("webhooks.db")).expect("readable");
        let due = "SELECT next_at - received FROM inbox WHERE state = 'working'";
        let due: i64 = tool.query_row(due, [], |row| row.get(0)).expect("a task");
        assert!(due > 2 * 25_000, "{due} ms");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fallback_store_is_counted_and_still_receives() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("webhooks.db"), "no database at all".repeat(99))
            .expect("written");
        let store = SqliteStore::open_or_memory(dir.path().join("webhooks.db")).expect("memory");
        let world = with(|builder| builder.store(store)).await;
        assert_eq!(world.clerk.counts().store_fallen_back, 1);
        let answer = deliver(&world, "msg_1", &revoked("sess_1")).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        assert_eq!(with(|builder| builder).await.clerk.counts().store_fallen_back, 0);
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

/// The file, once the driver that had it has ended.
#[cfg(feature = "sqlite")]
pub(crate) async fn reopened(file: &Path) -> SqliteStore {
    for _ in 0..1000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if let Ok(store) = SqliteStore::open(file) {
            return store;
        }
    }
    panic!("the file is still in use");
}

#[cfg(feature = "sqlite")]
#[tokio::test(start_paused = true)]
async fn a_process_without_hooks_takes_no_hook_tasks() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("inbox.db");
    let ear = Ear::failing(1);
    let world = with(|builder| {
        ear.on(builder.store(SqliteStore::open(&file).expect("new")), &["user.created"])
    })
    .await;
    let body = json!({ "type": "user.created", "data": { "id": "user_1" } }).to_string();
    deliver(&world, "msg_1", &body).await;
    world.pass(1).await;
    assert_eq!(ear.heard().len(), 1, "it failed");
    let World { clock, sim, clerk, app } = world;
    drop((clerk, app));
    let store = reopened(&file).await;
    let choose = |builder: Builder| builder.webhook_secret(secret(SECRET)).store(store);
    let deaf = World::beside(clock, sim, choose);
    deaf.pass(60).await;
    let World { clock, sim, clerk, app } = deaf;
    drop((clerk, app));
    let store = reopened(&file).await;
    let choose = |builder: Builder| {
        ear.on(builder.webhook_secret(secret(SECRET)).store(store), &["user.created"])
    };
    let next = World::beside(clock, sim, choose);
    next.pass(60).await;
    assert_eq!(ear.heard().len(), 2, "it was still there");
}

#[cfg(feature = "sqlite")]
#[tokio::test(start_paused = true)]
async fn a_durable_store_keeps_local_revocations() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("store.db");
    let store = SqliteStore::open(&file).expect("new");
    let world = World::with(|builder| builder.store(store)).await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    world.clerk.revoke_session(session.id.clone());
    world.pass(1).await;
    let World { clock, sim, clerk, app } = world;
    drop((clerk, app));
    let store = reopened(&file).await;
    let next = World::beside(clock, sim, |builder| builder.store(store));
    next.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    assert_eq!(next.get(&token).await.status, StatusCode::UNAUTHORIZED);
}
