//! [`RedisStore`]: a store on Redis or Valkey that several instances share.
//!
//! Every operation of more than one command is a Lua script, so that it happens completely or not
//! at all. All keys begin with `clerk-resilience:{namespace}:`; the braces (a hash tag) place them
//! in one slot of a cluster.
//!
//! | key | content |
//! |---|---|
//! | `done` | sorted set: ids of events without remaining work, by delivery time |
//! | `due`, `dead` | sorted sets: tasks by due time, dead letters by delivery time |
//! | `event`, `data`, `attempts`, `why`, `claims` | hashes by event id: tasks and dead letters |
//! | `people`, `records` | hashes: users as JSON by user id, documents by name |
//! | `denied:session`, `denied:user`, … | sorted sets: denials of one kind by their time |
//! | `feed` | stream: each denial that was new |
//! | `members`, `told` | sorted set and hash: expiry of each member's data, and the data |
//! | `sighted`, `sightings` | hash and sorted set: sightings by session, sessions by position |
//! | `first:…` | claims of [`SharedStore::first`] |
//! | `beat` | written before `WAIT`, so that replicas confirm all earlier writes |

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

use self::keys::RedisKeys;
use self::link::{Follower, RedisConnection};
pub use self::options::RedisOptions;
use self::replicas::{Promises, Replicas};
use super::fleet::{FeedMark, SharedStore};
use super::inbox::{
    Accepted, DeadLetter, InboxEvent, Pending, Store, StoreError, Task, TaskOutcome, UserPage,
};
use super::sealed::Sealed;
use super::sighting::{Sightings, StoredSighting};
use crate::state::profile::{Change, Person};
use crate::state::revocation::Denial;

/// After a failed start-up read, further start-up reads within this time are skipped.
const TOGETHER: Duration = Duration::from_secs(2);

/// A store that the instances of a fleet share, on Redis 6.2 or later, or on Valkey.
///
/// | shared | within |
/// |---|---|
/// | revocations, from webhooks and from `clerk.revoke_…` | 1 s |
/// | sightings of sessions, the evidence for grace | about 15 s |
/// | what each instance observes of Clerk | about 5 s |
/// | claims of hooks, reconciliation and transition alerts: one instance works for all | at once |
///
/// If the store was not read for 60 s, instances give no grace; everything else continues.
///
/// # Examples
///
/// ```no_run
/// use clerk_resilience::store::RedisStore;
/// use clerk_resilience::{ClerkConfig, ClerkResilience};
///
/// # async fn build() -> Result<(), Box<dyn std::error::Error>> {
/// let store = RedisStore::connect("rediss://:password@redis.internal:6379/0", "shop").await?;
/// for warning in store.config_warnings() {
///     eprintln!("redis: the server {warning}");
/// }
/// let clerk = ClerkResilience::builder(ClerkConfig::from_env()?).store(store).build()?;
/// # drop(clerk); Ok(())
/// # }
/// ```
///
/// # Setting up the server
///
/// Data survives whatever the server survives. Set `appendonly yes` and `maxmemory-policy
/// noeviction`, or revocations may be lost. The store warns about a server that is set up
/// otherwise; see [`config_warnings`](Self::config_warnings). [`RedisOptions::replicas`] protects
/// against losses in a failover.
///
/// Anyone who can write to the server can end sessions and delete revocations. Protect the server
/// with a password, and with TLS (`rediss://`) unless the network is trusted. In a cluster, name
/// the server that holds the namespace, because the store follows no redirection.
///
/// Each call ends within one second, or within two with replicas. After a broken connection, the
/// next call connects again. [`Builder::build`](crate::Builder::build) reads denials, documents and
/// sightings once and blocks its thread meanwhile. If the server does not answer, this takes one
/// second at most. Each of the reads ends within 30 seconds in any case.
#[derive(Clone)]
pub struct RedisStore(Arc<RedisInner>);

struct RedisInner {
    link: RedisConnection,
    keys: RedisKeys,
    replicas: Option<Replicas>,
    /// Waiting for the feed uses its own connection, so that it delays no other call.
    follower: Mutex<Option<Follower>>,
    /// Waiting for replicas uses its own connection, too.
    promising: Mutex<Option<Arc<Promises>>>,
    config_warnings: std::sync::Mutex<Vec<String>>,
    /// Whether the application may start while the server is unavailable.
    later: bool,
    /// When a start-up read last failed.
    unread: std::sync::Mutex<Option<Instant>>,
}

impl RedisInner {
    fn new(
        link: RedisConnection,
        keys: RedisKeys,
        replicas: Option<Replicas>,
        later: bool,
    ) -> Self {
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
    /// Opens the store on a server, such as `redis://:password@host:6379/0`, `rediss://…` or
    /// `unix:///run/redis.sock`. The namespace separates applications, and Clerk instances, on one
    /// server. It consists of letters, digits, `.`, `_` and `-`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`] when the address or the namespace is invalid, when the server does
    /// not answer within a second or is older than 6.2, or when another server of its cluster holds
    /// the namespace. No message contains the password.
    pub async fn connect(url: &str, namespace: &str) -> Result<Self, StoreError> {
        RedisOptions::new(url, namespace).connect().await
    }

    /// Opens the store without waiting for the server, for applications that must start in any
    /// case. Until the server was read, revocations that are stored only there are unknown, and
    /// there is no grace.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`] when the address or the namespace is invalid.
    pub fn connect_lazy(url: &str, namespace: &str) -> Result<Self, StoreError> {
        RedisOptions::new(url, namespace).connect_lazy()
    }

    /// Returns the reasons why the server may lose data, as far as its configuration shows: it
    /// evicts any key when memory is full, it does not persist writes, or it is a replica.
    ///
    /// Each entry is a sentence without its subject, "the server". The list is empty if no problem
    /// was found. The store examines the server after each new connection.
    #[must_use]
    pub fn config_warnings(&self) -> Vec<String> {
        self.0.config_warnings().clone()
    }

    /// Runs a call that owns a handle to the store.
    fn run<T, F>(&self, call: impl FnOnce(Self) -> F) -> Pending<T>
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        Box::pin(call(self.clone()))
    }

    /// Reads data before the first request. If the server was unavailable for one read, the reads
    /// that follow shortly after are skipped.
    fn read<T: Default>(
        &self,
        read: impl FnOnce(&RedisInner) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let RedisInner { later, unread, .. } = &*self.0;
        if held(unread).is_some_and(|since| since.elapsed() < TOGETHER) {
            return Ok(T::default());
        }
        match read(&self.0) {
            Err(error) if *later => {
                *held(unread) = Some(Instant::now());
                tracing::warn!(event = "clerk.store.later", %error, "started without its store; there is no grace until the store was read");
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
    /// Omits the address, which may contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("keys", &self.0.keys).finish_non_exhaustive()
    }
}

impl Sealed for RedisStore {}

impl Store for RedisStore {
    fn denials(&self) -> Result<Vec<Denial>, StoreError> {
        self.read(RedisInner::denials)
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

    fn settle(&self, id: &str, claim: u64, outcome: TaskOutcome) -> Pending<bool> {
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
        self.read(RedisInner::records)
    }

    fn put_document(&self, name: &str, record: Vec<u8>) -> Pending<()> {
        let name = name.to_owned();
        self.run(|store| async move { store.0.keep(&name, &record).await })
    }

    fn record_sightings(&self, sightings: Vec<StoredSighting>) -> Pending<()> {
        self.run(|store| async move { store.0.witness(&sightings).await })
    }

    fn sightings(&self) -> Result<Sightings, StoreError> {
        self.read(RedisInner::sightings)
    }

    fn fleet(&self) -> Option<&dyn SharedStore> {
        Some(self)
    }
}
