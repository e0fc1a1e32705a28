//! The connections between instances and the store that they share, each of which can be cut.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clerk_resilience::clock::Timestamp;
use clerk_resilience::id::UserId;
use clerk_resilience::internals::Sealed;
use clerk_resilience::internals::revocation::Denial;
use clerk_resilience::profile::{Change, Person};
use clerk_resilience::store::{
    Accepted, DeadLetter, Feed, FeedMark, FeedPart, InboxEvent, MemoryStore, Pending, SharedStore,
    Sightings, Store, StoreError, StoredSighting, Task, TaskOutcome,
};

/// A store whose connection to one member can be cut.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    store: Arc<Mutex<MemoryStore>>,
    state: Arc<AtomicU8>,
    own: bool,
    pages: Arc<Pages>,
}

/// How a store with many denials tells of them: so many at a time, which takes its time.
#[derive(Debug, Default)]
struct Pages {
    /// 0: all at once.
    size: AtomicUsize,
    /// What there was when a reading began, where the feed was, and how often one began.
    all: Mutex<(Vec<Denial>, String)>,
    begun: AtomicUsize,
}

const PAGE_TAKES: Duration = Duration::from_secs(5);

const WELL: u8 = 0;
const FAILING: u8 = 1;
const HANGING: u8 = 2;
const SLOW: u8 = 3;
const READ_ONLY: u8 = 4;
const PANICKING: u8 = 5;

impl Connection {
    pub(crate) fn to(store: &MemoryStore) -> Self {
        Self {
            store: Arc::new(Mutex::new(store.clone())),
            state: Arc::default(),
            own: false,
            pages: Arc::default(),
        }
    }

    /// To a store of one process's own, which outlives it.
    pub(crate) fn alone(store: &MemoryStore) -> Self {
        Self { own: true, ..Self::to(store) }
    }

    fn store(&self) -> MemoryStore {
        self.store.lock().expect("whole").clone()
    }

    /// The store loses all that it has.
    pub(crate) fn lose(&self) -> MemoryStore {
        let empty = MemoryStore::shared();
        *self.store.lock().expect("whole") = empty.clone();
        empty
    }

    pub(crate) fn fail(&self) {
        self.state.store(FAILING, Ordering::Relaxed);
    }

    pub(crate) fn hang(&self) {
        self.state.store(HANGING, Ordering::Relaxed);
    }

    /// To deny something takes a tenth of a second.
    pub(crate) fn slow(&self) {
        self.state.store(SLOW, Ordering::Relaxed);
    }

    /// Denials are not taken; all else works.
    pub(crate) fn refuse_writing(&self) {
        self.state.store(READ_ONLY, Ordering::Relaxed);
    }

    /// Each call panics.
    pub(crate) fn panic(&self) {
        self.state.store(PANICKING, Ordering::Relaxed);
    }

    pub(crate) fn heal(&self) {
        self.state.store(WELL, Ordering::Relaxed);
    }

    /// Tells of so many denials at a time, and takes five seconds for each page.
    pub(crate) fn in_pages_of(&self, size: usize) {
        self.pages.size.store(size, Ordering::Relaxed);
    }

    /// How often all was begun to be read, in pages.
    pub(crate) fn readings(&self) -> usize {
        self.pages.begun.load(Ordering::Relaxed)
    }

    fn through<T: Send + 'static>(&self, call: Pending<T>) -> Pending<T> {
        match self.state.load(Ordering::Relaxed) {
            WELL | SLOW | READ_ONLY => call,
            PANICKING => panic!("as asked"),
            FAILING => Box::pin(async { Err(StoreError::Failed("as asked".to_owned())) }),
            _ => Box::pin(std::future::pending()),
        }
    }

    /// What does not get through does not happen.
    fn attempt<T: Send + 'static>(
        &self,
        call: impl FnOnce(&MemoryStore) -> Pending<T>,
    ) -> Pending<T> {
        if [WELL, SLOW, READ_ONLY].contains(&self.state.load(Ordering::Relaxed)) {
            return call(&self.store());
        }
        self.through(Box::pin(std::future::pending()))
    }
}

impl Sealed for Connection {}

impl Store for Connection {
    fn denials(&self) -> Result<Vec<Denial>, StoreError> {
        self.store().denials()
    }
    fn deny(&self, denials: Vec<Denial>) -> Pending<()> {
        if self.state.load(Ordering::Relaxed) == SLOW {
            let store = self.store();
            return Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                store.deny(denials).await
            });
        }
        if self.state.load(Ordering::Relaxed) == READ_ONLY {
            return Box::pin(async { Err(StoreError::Failed("as asked".to_owned())) });
        }
        self.attempt(|store| store.deny(denials))
    }
    fn accept(&self, entry: InboxEvent) -> Pending<Accepted> {
        self.attempt(|store| store.accept(entry))
    }
    fn claim(&self, now: Timestamp, lease: Duration) -> Pending<Option<Task>> {
        self.attempt(|store| store.claim(now, lease))
    }
    fn settle(&self, id: &str, claim: u64, outcome: TaskOutcome) -> Pending<bool> {
        self.attempt(|store| store.settle(id, claim, outcome))
    }
    fn dead_letters(&self) -> Pending<Vec<DeadLetter>> {
        self.attempt(Store::dead_letters)
    }
    fn requeue(&self, id: &str, now: Timestamp) -> Pending<bool> {
        self.attempt(|store| store.requeue(id, now))
    }
    fn prune(&self, now: Timestamp) -> Pending<()> {
        self.attempt(|store| store.prune(now))
    }
    fn user(&self, id: &UserId) -> Pending<Option<Person>> {
        self.attempt(|store| store.user(id))
    }
    fn merge(&self, changes: Vec<Change>) -> Pending<()> {
        self.attempt(|store| store.merge(changes))
    }
    fn documents(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.store().documents()
    }
    fn put_document(&self, name: &str, record: Vec<u8>) -> Pending<()> {
        self.attempt(|store| store.put_document(name, record))
    }
    fn record_sightings(&self, sightings: Vec<StoredSighting>) -> Pending<()> {
        self.attempt(|store| store.record_sightings(sightings))
    }
    fn sightings(&self) -> Result<Sightings, StoreError> {
        self.store().sightings()
    }
    fn is_durable(&self) -> bool {
        self.own
    }
    fn fleet(&self) -> Option<&dyn SharedStore> {
        (!self.own).then_some(self as &dyn SharedStore)
    }
}

impl SharedStore for Connection {
    /// Who waits when the connection is cut hears nothing more.
    fn follow(&self, after: Option<FeedMark>) -> Pending<Feed> {
        let size = self.pages.size.load(Ordering::Relaxed);
        if size > 0 {
            let (connection, store, pages) = (self.clone(), self.store(), Arc::clone(&self.pages));
            return self.attempt(|_| {
                Box::pin(async move {
                    tokio::time::sleep(PAGE_TAKES).await;
                    let feed = pages.page(&store, after, size).await;
                    connection.through(Box::pin(async { feed })).await
                })
            });
        }
        let (connection, call) =
            (self.clone(), self.attempt(|store| SharedStore::follow(store, after)));
        Box::pin(async move {
            let heard = call.await;
            connection.through(Box::pin(async { heard })).await
        })
    }
    fn tell(&self, member: &str, news: Vec<u8>, ttl: Duration) -> Pending<()> {
        self.attempt(|store| store.tell(member, news, ttl))
    }
    fn told(&self) -> Pending<Vec<(String, Vec<u8>)>> {
        self.attempt(SharedStore::told)
    }
    fn sighted(&self, after: Option<FeedMark>) -> Pending<Sightings> {
        self.attempt(|store| store.sighted(after))
    }
    fn first(&self, what: &str, ttl: Duration) -> Pending<bool> {
        self.attempt(|store| store.first(what, ttl))
    }
}

impl Pages {
    async fn page(
        &self,
        store: &MemoryStore,
        after: Option<FeedMark>,
        size: usize,
    ) -> Result<Feed, StoreError> {
        let place = after.as_ref().and_then(|mark| mark.0.strip_prefix("page ")?.parse().ok());
        let from: usize = match (place, &after) {
            (Some(from), _) => from,
            (None, Some(mark)) => return news(store, mark, size).await,
            (None, None) => {
                self.begun.fetch_add(1, Ordering::Relaxed);
                let all = SharedStore::follow(store, None).await?;
                *self.all.lock().expect("whole") = (all.denials, all.mark.0);
                0
            }
        };
        let (all, origin) = &*self.all.lock().expect("whole");
        let to = all.len().min(from + size);
        let more = to < all.len();
        let mark = FeedMark(if more { format!("page {to}") } else { origin.clone() });
        let part = if place.is_some() { FeedPart::Next } else { FeedPart::First };
        Ok(Feed { denials: all[from..to].to_vec(), mark, part, more })
    }
}

/// The marks of a store in memory count denials.
async fn news(store: &MemoryStore, mark: &FeedMark, size: usize) -> Result<Feed, StoreError> {
    let feed = SharedStore::follow(store, Some(mark.clone())).await?;
    if feed.part != FeedPart::News || feed.denials.len() <= size {
        return Ok(feed);
    }
    let mark = mark.0.parse::<usize>().expect("a number") + size;
    let denials = feed.denials[..size].to_vec();
    Ok(Feed { denials, mark: FeedMark(mark.to_string()), more: true, ..feed })
}
