//! Instances that share a real Redis server, which is killed, stopped and started again under them. Time is
//! real here: nothing is judged by it, what was measured is printed.
#![cfg(feature = "redis")]

mod failures;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use clerk_resilience::internals::snapshot::DenyList;
use clerk_resilience::store::RedisStore;
use clerk_resilience::webhook_signature::WebhookSecret;
use clerk_resilience::{Builder, Event, GracePolicy};
use http::{Request, StatusCode};
use serde_json::json;
use test_support::redis_server::Server;
use test_support::world::World;
use tokio::time::Instant;

/// What hooks heard: the attempts of each event.
type Heard = Arc<Mutex<HashMap<String, Vec<u32>>>>;

fn secret() -> WebhookSecret {
    WebhookSecret::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").expect("a secret")
}

async fn store(server: &Server) -> RedisStore {
    RedisStore::connect(&server.url(), "test").await.expect("a running server")
}

/// Two instances and their server.
async fn two(heard: &Heard) -> (Server, World, World) {
    let server = Server::start();
    let store = store(&server).await;
    let first = {
        let heard = Arc::clone(heard);
        World::with(move |builder| {
            let builder = builder.grace(GracePolicy::balanced()).webhook_secret(secret());
            hook(builder.store(store), &heard)
        })
        .await
    };
    let second = beside(&first, &server, heard).await;
    (server, first, second)
}

async fn beside(first: &World, server: &Server, heard: &Heard) -> World {
    let store = store(server).await;
    let world = World::beside(first.clock.clone(), first.sim.clone(), |builder| {
        let builder = builder.grace(GracePolicy::balanced()).webhook_secret(secret());
        hook(builder.store(store), heard)
    });
    world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    eventually("it was read", || complete_within(&world, Duration::from_secs(30))).await;
    world
}

fn hook(builder: Builder, heard: &Heard) -> Builder {
    let heard = Arc::clone(heard);
    builder.on_event(["session.revoked"], move |event: Event| {
        heard.lock().expect("whole").entry(event.id).or_default().push(event.attempts);
        async { Ok::<_, String>(()) }
    })
}

fn complete_within(world: &World, span: Duration) -> bool {
    use clerk_resilience::clock::Clock as _;
    let list = world.clerk.snapshot().feeds.deny_list;
    assert!(matches!(list, DenyList::External { .. }));
    list.is_complete(world.clock.now(), span)
}

fn denied(world: &World) -> HashSet<String> {
    let known = world.clerk.snapshot();
    known.revocations.sessions().map(|(id, _)| id.to_string()).collect()
}

/// Waits for it as long as it takes, within reason.
async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..6_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

/// Delivers the end of a session, as often as Clerk would: until it is kept.
async fn deliver(world: &World, session: &str) -> u32 {
    let body = json!({ "type": "session.revoked", "data": { "id": session } }).to_string();
    for tries in 1..600 {
        let now = world.now_secs();
        let signature = secret().sign(session, now, body.as_bytes());
        let request = Request::post("/auth/webhooks")
            .header("svix-id", session)
            .header("svix-timestamp", now.to_string())
            .header("svix-signature", signature)
            .body(Body::from(body.clone()))
            .expect("a request");
        if world.send(request).await.status == StatusCode::NO_CONTENT {
            return tries;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never kept: {session}");
}

fn percentile(mut spans: Vec<Duration>, percent: usize) -> Duration {
    spans.sort_unstable();
    spans[(spans.len() * percent).div_ceil(100).max(1) - 1]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_reaches_the_other_instance() {
    let heard = Heard::default();
    let (_server, one, two) = two(&heard).await;
    let mut spans = Vec::new();
    for n in 0..300 {
        let session = one.sim.sign_in(format!("user_{n}"));
        let token = one.sim.mint(&session);
        assert_eq!(two.get(&token).await.status, StatusCode::OK);
        let revoked = Instant::now();
        if n % 2 == 0 {
            one.clerk.revoke_session(session.id.as_str());
        } else {
            deliver(&one, session.id.as_str()).await;
        }
        while two.get(&token).await.status != StatusCode::UNAUTHORIZED {
            tokio::task::yield_now().await;
        }
        spans.push(revoked.elapsed());
    }
    println!(
        "revoked by one instance, refused by the other after p50 {:?}, p99 {:?}",
        percentile(spans.clone(), 50),
        percentile(spans, 99)
    );
    eventually("each event is heard of", || heard.lock().expect("whole").len() == 150).await;
    let heard = heard.lock().expect("whole");
    assert!(heard.values().all(|attempts| *attempts == [1]), "each once, by one of the two");
}
