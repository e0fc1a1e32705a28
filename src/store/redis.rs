//! A store that several instances share: Redis, or Valkey, which speaks the same protocol.
//!
//! Whatever is more than one command is a script, so that it happens whole or not at all. All keys begin
//! with `clerk-resilience:{namespace}:`; the braces keep them in one slot of a cluster.
//!
//! | key | is |
//! |---|---|
//! | `done` | sorted set: ids that nothing is left to do for, by when they came |
//! | `due`, `dead` | sorted sets: tasks by when they are due, dead letters by when they came |
//! | `event`, `data`, `attempts`, `why`, `claims` | hashes by id: of tasks and dead letters |
//! | `people`, `records` | hashes: JSON by user, documents by name |
//! | `denied:session`, `denied:user`, … | sorted sets: denials of a kind by their time |
//! | `feed` | stream: each denial that was news |
//! | `members`, `told` | sorted set and hash: until when a member's news hold, and what they are |
//! | `sighted`, `sightings` | hash and sorted set: what was seen of a session, and in which order that came |
//! | `first:…` | what a member was the first to say |
//! | `beat` | nothing; it is written for replicas to say how far they are |

mod calls;
mod denials;
mod feed;
mod inbox;
mod keys;
mod link;
mod options;
mod pages;
mod people;
mod replicas;
mod script;
mod setup;
mod sightings;

use std::fmt;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use clerk_verify::clock::Timestamp;
use clerk_verify::id::UserId;
use tokio::sync::Mutex;
use tokio::time::Instant;

use self::keys::Keys;
use self::link::{Follower, Link};
pub use self::options::RedisOptions;
use self::replicas::{Promises, Replicas};
use super::fleet::{FeedMark, SharedStore};
use super::inbox::{
    Accepted, DeadLetter, InboxEvent, Outcome, Pending, Store, StoreError, Task, UserPage,
};
use super::sighting::{Sightings, StoredSighting};
use crate::state::profile::{Change, Person};
use crate::state::revocation::Denial;

/// What is read before the first request is read in one go.
const TOGETHER: Duration = Duration::from_secs(2);

/// The store of a fleet, on a Redis server (6.2 or later) or a Valkey server.
///
/// It outlives what the server outlives: let it append to its file (`appendonly yes`), and keep
/// `maxmemory-policy noeviction`, or revocations are lost; a server that is set up otherwise is warned of, and
/// [`doubts`](Self::doubts) says why. What a failover may lose, [`RedisOptions::replicas`] keeps. Who can write
/// there can end sessions and forget revocations; give it a password, and TLS (`rediss://`) unless the network
/// is trusted. Of a cluster, name the server that keeps the namespace; it is followed nowhere.
///
/// Each call is over within a second, or two with replicas. A connection that breaks is made anew by the
/// next call. [`Builder::build`](crate::Builder::build) reads all denials and records once, and blocks its
/// thread meanwhile: for a second at most when the server does not answer, and for 30 seconds in any case.
#[derive(Clone)]
pub struct RedisStore(Arc<Inner>);

struct Inner {
    link: Link,
    keys: Keys,
    replicas: Option<Replicas>,
    /// Waiting has a connection of its own, so that it keeps nothing else waiting.
    follower: Mutex<Option<Follower>>,
    /// So has waiting for replicas.
    promising: Mutex<Option<Arc<Promises>>>,
    config_warnings: std::sync::Mutex<Vec<String>>,
    /// It may start without its server.
    later: bool,
    /// When it did.
    unread: std::sync::Mutex<Option<Instant>>,
}

impl Inner {
    fn new(link: Link, keys: Keys, replicas: Option<Replicas>, later: bool) -> Self {
        Self {
            link,
            keys,
            replicas,
            follower: Mutex::default(),
            promising: Mutex::default(),
            config_warnings: std::sync::Mutex::default(),
            later,
            unread: std::sync::Mutex::default(),
        }
    }

    fn config_warnings(&self) -> MutexGuard<'_, Vec<String>> {
        held(&self.config_warnings)
    }
}

impl RedisStore {
    /// Opens the store on a server, as `redis://:password@host:6379/0`, `rediss://…` or
    /// `unix:///run/redis.sock`. The namespace tells applications, and Clerk's instances, apart on one
    /// server: letters, digits, `.`, `_` and `-`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`]: the address or the namespace is none, the server does not answer within a
    /// second, it is older than 6.2, or another one of its cluster keeps the namespace. No message holds the
    /// password.
    pub async fn connect(url: &str, namespace: &str) -> Result<Self, StoreError> {
        RedisOptions::new(url, namespace).connect().await
    }

    /// The same without waiting for the server, for applications that are to start in any case. Until the
    /// server was read, revocations that were kept only there are not known here, and there is no grace.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`]: the address or the namespace is none.
    pub fn connect_lazy(url: &str, namespace: &str) -> Result<Self, StoreError> {
        RedisOptions::new(url, namespace).connect_lazy()
    }

    /// Why the server may lose what it is given, as far as it tells: its memory is bounded and it throws
    /// away what it likes, it writes nothing to its disk, it is a replica. Sentences without their subject,
    /// the server; empty when there is nothing to say. It is looked at after each new connection.
    #[must_use]
    pub fn config_warnings(&self) -> Vec<String> {
        self.0.config_warnings().clone()
    }

    /// Runs a call with its own handle to the store.
    fn run<T, F>(&self, call: impl FnOnce(Self) -> F) -> Pending<T>
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        Box::pin(call(self.clone()))
    }

    /// Reads what is needed before the first request. A server that was not there for the first part is not
    /// asked for the next ones.
    fn read<T: Default>(
        &self,
        read: impl FnOnce(&Inner) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Inner { later, unread, .. } = &*self.0;
        if held(unread).is_some_and(|since| since.elapsed() < TOGETHER) {
            return Ok(T::default());
        }
        match read(&self.0) {
            Err(error) if *later => {
                *held(unread) = Some(Instant::now());
                tracing::warn!(event = "clerk.store.later", %error, "starts without its store; there is no grace until it was read");
                Ok(T::default())
            }
            Err(error) => Err(StoreError::Failed(format!(
                "{error}; see that the Redis server runs and may be read, or open the store with connect_later to start without it"
            ))),
            read => read,
        }
    }
}

fn held<T>(lock: &std::sync::Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for RedisStore {
    /// Without the address, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("keys", &self.0.keys).finish_non_exhaustive()
    }
}

impl Store for RedisStore {
    fn denials(&self) -> Result<Vec<Denial>, StoreError> {
        self.read(Inner::denials)
    }

    fn deny(&self, denials: Vec<Denial>) -> Pending<()> {
        self.run(|store| async move { store.0.deny(&denials).await })
    }

    fn accept(&self, entry: InboxEvent) -> Pending<Accepted> {
        self.run(|store| async move { store.0.accept(&entry).await })
    }

    fn claim(&self, now: Timestamp, lease: Duration) -> Pending<Option<Task>> {
        self.run(move |store| async move { store.0.claim(now, now.plus(lease)).await })
    }

    fn settle(&self, id: &str, claim: u64, outcome: Outcome) -> Pending<bool> {
        let id = id.to_owned();
        self.run(move |store| async move { store.0.settle(id.as_bytes(), claim, &outcome).await })
    }

    fn dead_letters(&self) -> Pending<Vec<DeadLetter>> {
        self.run(|store| async move { store.0.dead().await })
    }

    fn requeue(&self, id: &str, now: Timestamp) -> Pending<bool> {
        let id = id.to_owned();
        self.run(move |store| async move { store.0.requeue(&id, now).await })
    }

    fn prune(&self, now: Timestamp) -> Pending<()> {
        self.run(move |store| async move {
            store.0.prune(now).await?;
            store.0.forget_sightings(now).await
        })
    }

    fn user(&self, id: &UserId) -> Pending<Option<Person>> {
        let id = id.clone();
        self.run(|store| async move { store.0.person(&id).await })
    }

    fn merge(&self, changes: Vec<Change>) -> Pending<()> {
        self.run(|store| async move { store.0.merge(&changes).await })
    }

    fn users(&self, after: Option<FeedMark>) -> Pending<UserPage> {
        self.run(|store| async move { store.0.roll(after).await })
    }

    fn record(&self, name: &str) -> Pending<Option<Vec<u8>>> {
        let name = name.to_owned();
        self.run(|store| async move { store.0.record(&name).await })
    }

    fn documents(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.read(Inner::records)
    }

    fn put_document(&self, name: &str, record: Vec<u8>) -> Pending<()> {
        let name = name.to_owned();
        self.run(|store| async move { store.0.keep(&name, &record).await })
    }

    fn record_sightings(&self, sightings: Vec<StoredSighting>) -> Pending<()> {
        self.run(|store| async move { store.0.witness(&sightings).await })
    }

    fn sightings(&self) -> Result<Sightings, StoreError> {
        self.read(Inner::sightings)
    }

    fn fleet(&self) -> Option<&dyn SharedStore> {
        Some(self)
    }
}
