//! User profiles: filled by webhooks and by Clerk, served from memory and the store, in an outage too.

mod events;
mod lookups;
mod private_metadata;
mod refresh;
mod store;
mod typed_hooks;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use clerk_resilience::clock::Timestamp;
use clerk_resilience::id::UserId;
use clerk_resilience::internals::Sealed;
use clerk_resilience::internals::revocation::Denial;
use clerk_resilience::profile::{Change, Person};
use clerk_resilience::store::{
    Accepted, DeadLetter, Feed, FeedMark, InboxEvent, MemoryStore, Pending, SharedStore, Store,
    StoreError, Task, TaskOutcome,
};
use clerk_resilience::{KnownUser, ProfileError, Source};
use serde_json::{Value, json};
use test_support::world::{Answer, World};

use crate::webhooks::{deliver, parsed};

/// A store that counts who is asked for, and fails or hangs on demand.
#[derive(Clone, Debug, Default)]
struct Watched(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    store: MemoryStore,
    reads: AtomicU32,
    hangs: AtomicBool,
    fails: AtomicBool,
    slow: AtomicU32,
    slow_to_accept: AtomicU32,
    at_once: AtomicU32,
    most_at_once: AtomicU32,
    fleet: AtomicBool,
}

impl Watched {
    fn reads(&self) -> u32 {
        self.0.reads.load(Ordering::Relaxed)
    }

    fn hang(&self) {
        self.0.hangs.store(true, Ordering::Relaxed);
    }

    fn fail(&self) {
        self.0.fails.store(true, Ordering::Relaxed);
    }

    /// Every read takes so many milliseconds, and tells what was so at its beginning.
    fn slow(&self, millis: u32) {
        self.0.slow.store(millis, Ordering::Relaxed);
    }

    fn heal(&self) {
        self.0.fails.store(false, Ordering::Relaxed);
    }

    fn shared(self) -> Self {
        self.0.fleet.store(true, Ordering::Relaxed);
        self
    }

    fn well<T: Send + 'static>(&self, work: Pending<T>) -> Pending<T> {
        if self.0.hangs.load(Ordering::Relaxed) {
            return Box::pin(std::future::pending());
        }
        if self.0.fails.load(Ordering::Relaxed) {
            return Box::pin(async { Err(StoreError::Failed("the disk is full".to_owned())) });
        }
        work
    }
}

impl Sealed for Watched {}

impl Store for Watched {
    fn denials(&self) -> Result<Vec<Denial>, StoreError> {
        self.0.store.denials()
    }

    fn deny(&self, denials: Vec<Denial>) -> Pending<()> {
        self.well(self.0.store.deny(denials))
    }

    fn accept(&self, entry: InboxEvent) -> Pending<Accepted> {
        let inner = Arc::clone(&self.0);
        self.well(Box::pin(async move {
            let slow = inner.slow_to_accept.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(slow.into())).await;
            inner.store.accept(entry).await
        }))
    }

    fn claim(&self, now: Timestamp, lease: Duration) -> Pending<Option<Task>> {
        self.well(self.0.store.claim(now, lease))
    }

    fn settle(&self, id: &str, claim: u64, outcome: TaskOutcome) -> Pending<bool> {
        self.well(self.0.store.settle(id, claim, outcome))
    }

    fn dead_letters(&self) -> Pending<Vec<DeadLetter>> {
        self.well(self.0.store.dead_letters())
    }

    fn requeue(&self, id: &str, now: Timestamp) -> Pending<bool> {
        self.well(self.0.store.requeue(id, now))
    }

    fn prune(&self, now: Timestamp) -> Pending<()> {
        self.well(self.0.store.prune(now))
    }

    fn user(&self, id: &UserId) -> Pending<Option<Person>> {
        self.0.reads.fetch_add(1, Ordering::Relaxed);
        let read = self.0.store.user(id);
        let slow = self.0.slow.load(Ordering::Relaxed);
        if slow > 0 {
            let inner = Arc::clone(&self.0);
            let at_once = inner.at_once.fetch_add(1, Ordering::Relaxed) + 1;
            inner.most_at_once.fetch_max(at_once, Ordering::Relaxed);
            return Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(slow.into())).await;
                inner.at_once.fetch_sub(1, Ordering::Relaxed);
                read.await
            });
        }
        self.well(read)
    }

    fn merge(&self, changes: Vec<Change>) -> Pending<()> {
        self.well(self.0.store.merge(changes))
    }

    fn documents(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.0.store.documents()
    }

    fn put_document(&self, name: &str, record: Vec<u8>) -> Pending<()> {
        self.well(self.0.store.put_document(name, record))
    }

    fn fleet(&self) -> Option<&dyn SharedStore> {
        self.0.fleet.load(Ordering::Relaxed).then_some(self)
    }
}

/// A fleet in which nothing happens.
impl SharedStore for Watched {
    fn follow(&self, _: Option<FeedMark>) -> Pending<Feed> {
        Box::pin(std::future::pending())
    }

    fn tell(&self, _: &str, _: Vec<u8>, _: Duration) -> Pending<()> {
        Box::pin(async { Ok(()) })
    }

    fn told(&self) -> Pending<Vec<(String, Vec<u8>)>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn first(&self, _: &str, _: Duration) -> Pending<bool> {
        Box::pin(async { Ok(true) })
    }
}

type Told = Result<Option<KnownUser>, ProfileError>;

async fn known(world: &World, id: &str) -> Told {
    world.clerk.profiles().get(&UserId::from(id)).await
}

/// The first name that is known, and where it was found.
async fn name(world: &World, id: &str) -> Option<(String, Source)> {
    let known = known(world, id).await.expect("told")?;
    Some((known.profile.first_name.expect("a name"), known.source))
}

#[expect(clippy::unnecessary_wraps, reason = "to be compared with what is known")]
fn called(name: &str, source: Source) -> Option<(String, Source)> {
    Some((name.to_owned(), source))
}

fn asked(world: &World) -> u64 {
    world.clerk.counts().backend_questions
}

fn updated(id: &str, name: &str, updated_at: Timestamp) -> String {
    let user = json!({ "id": id, "first_name": name, "updated_at": updated_at.as_millis() });
    json!({ "type": "user.updated", "data": user }).to_string()
}

async fn hear(world: &World, message: &str, id: &str, name: &str) -> Answer {
    deliver(world, message, &updated(id, name, world.now())).await
}

const ADA: &str = "user_2qAda00000000000000000000A";

const BEN: &str = "user_2qBen00000000000000000000B";

/// Every sample: its name, its body, and its row in the index.
fn samples() -> Vec<(String, Value, Value)> {
    let index = parsed("webhook-samples/index.json");
    let rows = index["files"].as_array().expect("files").iter();
    rows.map(|row| {
        let file = row["file"].as_str().expect("a name").to_owned();
        let body = parsed(&format!("webhook-samples/{file}"));
        (file, body, row.clone())
    })
    .collect()
}

fn text(status: u16, body: &str) -> (u16, String) {
    (status, body.to_owned())
}

async fn places(world: &World, id: &str) -> Vec<String> {
    let known = known(world, id).await.expect("told").expect("a user");
    known.memberships.iter().map(|place| place.organization.as_str().to_owned()).collect()
}
