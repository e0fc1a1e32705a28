//! [`MemoryStore`]: a store that lasts as long as its process.

mod gathering;
mod seen;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::future::ready;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clerk_verify::clock::Timestamp;
use clerk_verify::id::UserId;

use self::gathering::Gathering;
use self::seen::SightingTable;
use super::fleet::{FeedMark, SharedStore};
use super::inbox::{
    Accepted, DeadLetter, FollowUp, InboxEvent, MEMORY, Pending, SHELF, SHOWN, Store, StoreError,
    Task, TaskOutcome, UserPage,
};
use super::sealed::Sealed;
use super::sighting::{Sightings, StoredSighting};
use crate::decide::policy::MAX_GRACE;
use crate::state::profile::{Change, Person};
use crate::state::revocation::{Denial, Revocations};

/// Maximum number of event ids. Beyond it, the store forgets the oldest ids.
const IDS: usize = 100_000;
/// Maximum number of tasks and dead letters. Beyond it, the store drops the oldest dead letter, or
/// rejects the event if there is none.
const OPEN: usize = 10_000;
/// Maximum number of users. Beyond it, the store forgets the users that it stored first.
const PEOPLE: usize = 100_000;

/// Number of users on a page.
const ROLL: usize = 100;

/// A store in memory, which needs no setup. All data is lost when the process ends, including
/// accepted events that were not processed. The layer uses it by default if it receives webhooks.
///
/// The store holds up to 100,000 event ids, up to 10,000 events that wait or failed, and up to
/// 100,000 users. When 10,000 events are held, a new one replaces the oldest dead letter. If all of
/// them wait, the new event is rejected with [`StoreError::Busy`].
///
/// # Examples
///
/// Two instances of one fleet in a test, which share a store:
///
/// ```
/// use std::time::Duration;
/// use axum::{Router, routing::get};
/// use clerk_resilience::sim::SimClerk;
/// use clerk_resilience::store::MemoryStore;
/// use clerk_resilience::{Auth, ClerkResilience, SimClerkExt};
///
/// fn app(clerk: &ClerkResilience) -> Router {
///     Router::new().route("/me", get(async |_: Auth| "hello")).route_layer(clerk.clone())
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let (sim, store) = (SimClerk::in_memory(), MemoryStore::shared());
/// let one = sim.layer(|builder| builder.store(store.clone()));
/// let other = sim.layer(|builder| builder.store(store.clone()));
/// let session = sim.sign_in("user_1");
/// let request = sim.get("/me", &session);
/// assert_eq!(sim.send(&app(&other), &request).await.status(), 200);
///
/// one.revoke_session(session.id.clone());
/// sim.pass(Duration::from_secs(2)).await;
/// assert_eq!(sim.send(&app(&other), &request).await.status(), 401);
/// # }
/// ```
#[derive(Clone, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<MemoryState>>,
    gathering: Option<Arc<Gathering>>,
}

#[derive(Default)]
struct MemoryState {
    /// Tasks and dead letters by event id.
    open: HashMap<String, QueuedItem>,
    done: HashSet<String>,
    /// The ids of `done` in the order in which they were done, with the time of their delivery.
    order: VecDeque<(Timestamp, String)>,
    denials: Revocations,
    people: BTreeMap<UserId, Person>,
    /// The ids of `people` in the order in which they were first stored.
    met: VecDeque<UserId>,
    records: HashMap<String, Vec<u8>>,
    seen: SightingTable,
}

#[derive(Debug)]
struct QueuedItem {
    kind: String,
    happened: Timestamp,
    received: Timestamp,
    data: Option<String>,
    attempts: u32,
    /// The number of the last claim. It changes whenever the task is claimed, settled or requeued.
    claim: u64,
    stage: Stage,
    why: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// The task is due at this time. A claimed task is due again when its lease ends.
    Due(Timestamp),
    Dead,
}

impl MemoryStore {
    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates an empty store for several instances in one process, each with a clone. It simulates
    /// a fleet in tests.
    #[must_use]
    pub fn shared() -> Self {
        Self { gathering: Some(Arc::default()), ..Self::default() }
    }

    fn state(&self) -> MutexGuard<'_, MemoryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes denials to the other instances.
    fn spread(&self, denials: Vec<Denial>) {
        if let Some(gathering) = &self.gathering {
            gathering.spread(denials);
        }
    }

    fn at_once<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut MemoryState) -> Result<T, StoreError>,
    ) -> Pending<T> {
        Box::pin(ready(work(&mut self.state())))
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

impl Sealed for MemoryStore {}

impl Store for MemoryStore {
    fn denials(&self) -> Result<Vec<Denial>, StoreError> {
        Ok(self.state().denials.denials().collect())
    }

    fn deny(&self, denials: Vec<Denial>) -> Pending<()> {
        let pending = self.at_once(|state| {
            state.deny(&denials);
            Ok(())
        });
        self.spread(denials);
        pending
    }

    fn accept(&self, entry: InboxEvent) -> Pending<Accepted> {
        let denials = entry.denials.clone();
        let accepted = self.state().accept(entry);
        if let Ok(Accepted::New) = accepted {
            self.spread(denials);
        }
        Box::pin(ready(accepted))
    }

    fn claim(&self, now: Timestamp, lease: Duration) -> Pending<Option<Task>> {
        self.at_once(|state| Ok(state.claim(now, lease)))
    }

    fn settle(&self, id: &str, claim: u64, outcome: TaskOutcome) -> Pending<bool> {
        self.at_once(|state| Ok(state.settle(id, claim, outcome)))
    }

    fn dead_letters(&self) -> Pending<Vec<DeadLetter>> {
        self.at_once(|state| Ok(state.dead()))
    }

    fn requeue(&self, id: &str, now: Timestamp) -> Pending<bool> {
        self.at_once(|state| {
            let item = state.open.get_mut(id);
            let item = item.filter(|item| item.stage == Stage::Dead && item.data.is_some());
            let Some(item) = item else { return Ok(false) };
            (item.stage, item.attempts) = (Stage::Due(now), 0);
            item.claim += 1;
            Ok(true)
        })
    }

    fn prune(&self, now: Timestamp) -> Pending<()> {
        self.at_once(|state| {
            state.prune(now);
            Ok(())
        })
    }

    fn user(&self, id: &UserId) -> Pending<Option<Person>> {
        self.at_once(|state| Ok(state.people.get(id).cloned()))
    }

    fn merge(&self, changes: Vec<Change>) -> Pending<()> {
        self.at_once(|state| {
            state.merge(&changes);
            Ok(())
        })
    }

    fn users(&self, after: Option<FeedMark>) -> Pending<UserPage> {
        self.at_once(|state| Ok(state.roll(after)))
    }

    fn record(&self, name: &str) -> Pending<Option<Vec<u8>>> {
        self.at_once(|state| Ok(state.records.get(name).cloned()))
    }

    fn documents(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        Ok(self.state().records.clone().into_iter().collect())
    }

    fn put_document(&self, name: &str, record: Vec<u8>) -> Pending<()> {
        self.at_once(|state| {
            state.records.insert(name.to_owned(), record);
            Ok(())
        })
    }

    fn record_sightings(&self, sightings: Vec<StoredSighting>) -> Pending<()> {
        self.at_once(|state| {
            for sighted in sightings {
                state.seen.note(sighted);
            }
            Ok(())
        })
    }

    fn sightings(&self) -> Result<Sightings, StoreError> {
        Ok(self.state().seen.since(None))
    }

    fn fleet(&self) -> Option<&dyn SharedStore> {
        self.gathering.as_ref().map(|_| self as &dyn SharedStore)
    }
}

impl MemoryState {
    fn accept(&mut self, entry: InboxEvent) -> Result<Accepted, StoreError> {
        let senseless = |item: &QueuedItem| item.stage == Stage::Dead && item.data.is_none();
        match self.open.get(&entry.id) {
            // A malformed event that can be parsed now counts as new.
            Some(item) if senseless(item) && !matches!(entry.rest, FollowUp::Malformed(_)) => {
                self.open.remove(&entry.id);
            }
            Some(_) => return Ok(Accepted::Duplicate),
            None if self.done.contains(&entry.id) => return Ok(Accepted::Duplicate),
            None => {}
        }
        if entry.rest != FollowUp::Nothing && self.open.len() >= OPEN && !self.drop_dead() {
            return Err(StoreError::Busy);
        }
        self.deny(&entry.denials);
        self.merge(&entry.changes);
        let InboxEvent { id, kind, happened, received, rest, .. } = entry;
        let (stage, data, why) = match rest {
            FollowUp::Nothing => {
                self.remember(id, received);
                return Ok(Accepted::New);
            }
            FollowUp::Hooks(data) => (Stage::Due(received), Some(data), String::new()),
            FollowUp::Malformed(why) => (Stage::Dead, None, why),
        };
        let item = QueuedItem { kind, happened, received, data, attempts: 0, claim: 0, stage, why };
        self.open.insert(id, item);
        Ok(Accepted::New)
    }

    /// Drops the oldest dead letter to make room. Returns `false` if there is none.
    fn drop_dead(&mut self) -> bool {
        let dead = self.open.iter().filter(|(_, item)| item.stage == Stage::Dead);
        let oldest = dead.min_by_key(|(id, item)| (item.received, *id));
        let Some((id, received)) = oldest.map(|(id, item)| (id.clone(), item.received)) else {
            return false;
        };
        self.open.remove(&id);
        self.remember(id, received);
        true
    }

    fn deny(&mut self, denials: &[Denial]) {
        self.denials = std::mem::take(&mut self.denials).with_all(denials);
    }

    fn merge(&mut self, changes: &[Change]) {
        for change in changes {
            let id = change.user();
            if !self.people.contains_key(id) {
                self.meet(id);
            }
            self.people.entry(id.clone()).or_default().take(change);
        }
    }

    fn meet(&mut self, id: &UserId) {
        self.met.push_back(id.clone());
        if self.met.len() > PEOPLE
            && let Some(first) = self.met.pop_front()
        {
            self.people.remove(&first);
        }
    }

    fn roll(&self, after: Option<FeedMark>) -> UserPage {
        let from = after.map_or(Bound::Unbounded, |mark| Bound::Excluded(UserId::from(mark.0)));
        let rest = self.people.range((from, Bound::Unbounded)).take(ROLL);
        let people: Vec<_> = rest.map(|(id, person)| (id.clone(), person.clone())).collect();
        let last = people.last().filter(|_| people.len() == ROLL);
        UserPage { next: last.map(|(id, _)| FeedMark(id.as_str().to_owned())), people }
    }

    fn remember(&mut self, id: String, received: Timestamp) {
        self.done.insert(id.clone());
        self.order.push_back((received, id));
        if self.order.len() > IDS
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.done.remove(&oldest);
        }
    }

    fn claim(&mut self, now: Timestamp, lease: Duration) -> Option<Task> {
        let due = |item: &QueuedItem| match item.stage {
            Stage::Due(at) if at <= now => Some(at),
            Stage::Due(_) | Stage::Dead => None,
        };
        let open = self.open.iter_mut().filter_map(|(id, item)| Some((due(item)?, id, item)));
        let (_, id, item) = open.min_by_key(|(at, id, _)| (*at, *id))?;
        item.stage = Stage::Due(now.plus(lease));
        item.attempts += 1;
        item.claim += 1;
        Some(Task {
            id: id.clone(),
            kind: item.kind.clone(),
            happened: item.happened,
            data: item.data.clone().unwrap_or_default(),
            attempts: item.attempts,
            claim: item.claim,
        })
    }

    fn settle(&mut self, id: &str, claim: u64, outcome: TaskOutcome) -> bool {
        let claimed =
            |item: &&mut QueuedItem| matches!(item.stage, Stage::Due(_)) && item.claim == claim;
        let Some(item) = self.open.get_mut(id).filter(claimed) else { return false };
        item.claim += 1;
        match outcome {
            TaskOutcome::Done => {
                let received = item.received;
                self.open.remove(id);
                self.remember(id.to_owned(), received);
            }
            TaskOutcome::Retry { at, why } => (item.stage, item.why) = (Stage::Due(at), why),
            TaskOutcome::Dead { why } => (item.stage, item.why) = (Stage::Dead, why),
        }
        true
    }

    fn dead(&self) -> Vec<DeadLetter> {
        let dead = self.open.iter().filter(|(_, item)| item.stage == Stage::Dead);
        let mut dead: Vec<_> = dead
            .map(|(id, item)| DeadLetter {
                id: id.clone(),
                kind: item.kind.clone(),
                received: item.received,
                attempts: item.attempts,
                why: item.why.clone(),
            })
            .collect();
        dead.sort_by(|a, b| (b.received, &b.id).cmp(&(a.received, &a.id)));
        dead.truncate(SHOWN.into());
        dead
    }

    fn prune(&mut self, now: Timestamp) {
        let shelf = now.minus(SHELF);
        self.open.retain(|_, item| item.stage != Stage::Dead || item.received >= shelf);
        let memory = now.minus(MEMORY);
        self.order.retain(|(received, id)| {
            let old = *received < memory;
            if old {
                self.done.remove(id);
            }
            !old
        });
        self.denials = self.denials.pruned(now);
        self.seen.forget(now.minus(MAX_GRACE));
    }
}
