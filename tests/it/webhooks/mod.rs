//! Webhooks: which are accepted, what they change at once, what hooks receive, and what failures
//! cost.

mod effects;
mod hooks;
mod inbox;
mod receiver;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;

#[cfg(feature = "sqlite")]
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
#[cfg(feature = "sqlite")]
use std::time::Duration;

use axum::body::Body;
use clerk_resilience::clock::Timestamp;
use clerk_resilience::sim::{SimClerk, SimClock};
#[cfg(feature = "sqlite")]
use clerk_resilience::store::SqliteStore;
use clerk_resilience::webhook_signature::WebhookSecret;
use clerk_resilience::{Builder, Event, GracePolicy};
use http::Request;
use serde_json::{Value, json};
use test_support::world::{Answer, World};

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

const CREATED: &str = r#"{"type":"user.created","timestamp":1780000000,"data":{"id":"user_1","private_metadata":{"ref":"481516"},"public_metadata":{"plan":"team"}}}"#;

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
