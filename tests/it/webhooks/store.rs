//! A store that fails, and what is written where.

use std::path::Path;
use std::time::Duration;

use clerk_resilience::Builder;
use clerk_resilience::clock::Timestamp;
use clerk_resilience::id::UserId;
use clerk_resilience::internals::Sealed;
use clerk_resilience::internals::revocation::Denial;
use clerk_resilience::profile::{Change, Person};
#[cfg(feature = "sqlite")]
use clerk_resilience::store::SqliteStore;
use clerk_resilience::store::{
    Accepted, DeadLetter, InboxEvent, Pending, Store, StoreError, Task, TaskOutcome,
};
use http::StatusCode;
use serde_json::Value;
use test_support::world::{Log, World, anonymous, until_saved};

#[cfg(feature = "sqlite")]
use super::reopened;
use super::{deliver, revoked, with};

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
