//! Several instances of one application that share a store: whatever one revokes all refuse, and a store
//! that fails costs grace and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use clerk_resilience::clock::Timestamp;
use clerk_resilience::id::UserId;
use clerk_resilience::profile::{Change, Person};
use clerk_resilience::revocation::Denial;
use clerk_resilience::store::{
    Accepted, DeadLetter, Entry, Feed, Fleet, Mark, MemoryStore, Outcome, Pending, Store,
    StoreError, Task,
};
use clerk_resilience::{Builder, GracePolicy};
use http::StatusCode;

use crate::support::World;

/// A store whose connection to one member can be cut.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    store: MemoryStore,
    state: Arc<AtomicU8>,
}

const WELL: u8 = 0;
const FAILING: u8 = 1;
const HANGING: u8 = 2;

impl Wire {
    pub(crate) fn to(store: &MemoryStore) -> Self {
        Self { store: store.clone(), state: Arc::default() }
    }

    pub(crate) fn fail(&self) {
        self.state.store(FAILING, Ordering::Relaxed);
    }

    pub(crate) fn hang(&self) {
        self.state.store(HANGING, Ordering::Relaxed);
    }

    pub(crate) fn heal(&self) {
        self.state.store(WELL, Ordering::Relaxed);
    }

    fn through<T: Send + 'static>(&self, call: Pending<T>) -> Pending<T> {
        match self.state.load(Ordering::Relaxed) {
            WELL => call,
            FAILING => Box::pin(async { Err(StoreError::Failed("as asked".to_owned())) }),
            _ => Box::pin(std::future::pending()),
        }
    }

    /// What does not get through does not happen.
    fn attempt<T: Send + 'static>(
        &self,
        call: impl FnOnce(&MemoryStore) -> Pending<T>,
    ) -> Pending<T> {
        if self.state.load(Ordering::Relaxed) == WELL {
            return call(&self.store);
        }
        self.through(Box::pin(std::future::pending()))
    }
}

impl Store for Wire {
    fn denials(&self) -> Result<Vec<Denial>, StoreError> {
        self.store.denials()
    }
    fn deny(&self, denials: Vec<Denial>) -> Pending<()> {
        self.attempt(|store| store.deny(denials))
    }
    fn accept(&self, entry: Entry) -> Pending<Accepted> {
        self.attempt(|store| store.accept(entry))
    }
    fn claim(&self, now: Timestamp, lease: Duration) -> Pending<Option<Task>> {
        self.attempt(|store| store.claim(now, lease))
    }
    fn settle(&self, id: &str, outcome: Outcome) -> Pending<()> {
        self.attempt(|store| store.settle(id, outcome))
    }
    fn dead(&self) -> Pending<Vec<DeadLetter>> {
        self.attempt(Store::dead)
    }
    fn revive(&self, id: &str, now: Timestamp) -> Pending<bool> {
        self.attempt(|store| store.revive(id, now))
    }
    fn prune(&self, now: Timestamp) -> Pending<()> {
        self.attempt(|store| store.prune(now))
    }
    fn person(&self, id: &UserId) -> Pending<Option<Person>> {
        self.attempt(|store| store.person(id))
    }
    fn merge(&self, changes: Vec<Change>) -> Pending<()> {
        self.attempt(|store| store.merge(changes))
    }
    fn records(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.store.records()
    }
    fn keep(&self, name: &str, record: Vec<u8>) -> Pending<()> {
        self.attempt(|store| store.keep(name, record))
    }
    fn fleet(&self) -> Option<&dyn Fleet> {
        Some(self)
    }
}

impl Fleet for Wire {
    /// Who waits when the connection is cut hears nothing more.
    fn follow(&self, after: Option<Mark>) -> Pending<Feed> {
        let (wire, call) = (self.clone(), self.attempt(|store| Fleet::follow(store, after)));
        Box::pin(async move {
            let heard = call.await;
            wire.through(Box::pin(async { heard })).await
        })
    }
    fn tell(&self, member: &str, news: Vec<u8>, ttl: Duration) -> Pending<()> {
        self.attempt(|store| store.tell(member, news, ttl))
    }
    fn told(&self) -> Pending<Vec<(String, Vec<u8>)>> {
        self.attempt(Fleet::told)
    }
    fn first(&self, what: &str, ttl: Duration) -> Pending<bool> {
        self.attempt(|store| store.first(what, ttl))
    }
}

/// Two instances, each with its own connection to one store, and one Clerk.
async fn two(choose: impl Fn(Builder) -> Builder) -> (World, Wire, World, Wire) {
    let store = MemoryStore::shared();
    let (one, two) = (Wire::to(&store), Wire::to(&store));
    let balanced = |wire: &Wire| {
        let (choose, wire) = (&choose, wire.clone());
        move |builder: Builder| choose(builder.grace(GracePolicy::balanced()).store(wire))
    };
    let first = World::with(balanced(&one)).await;
    let second = World::beside(first.clock.clone(), first.sim.clone(), balanced(&two));
    second.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    first.pass(1).await;
    (first, one, second, two)
}

#[tokio::test(start_paused = true)]
async fn whatever_one_instance_revokes_all_refuse_within_a_second() {
    let (one, _, two, _) = two(|builder| builder).await;
    let (session, other) = (one.sim.sign_in("user_1"), one.sim.sign_in("user_2"));
    let (token, others) = (one.sim.mint(&session), one.sim.mint(&other));
    assert_eq!(two.get(&token).await.status, StatusCode::OK);
    assert_eq!(two.get(&others).await.status, StatusCode::OK);
    one.clerk.revoke_session(session.id.as_str());
    one.clerk.revoke_user("user_2");
    one.pass(1).await;
    assert_eq!(two.get(&token).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(two.get(&others).await.status, StatusCode::UNAUTHORIZED);
    let third = one.sim.mint(&one.sim.sign_in("user_3"));
    assert_eq!(two.get(&third).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_starts_refuses_what_was_revoked_before() {
    let (one, wire, _two, _) = two(|builder| builder).await;
    let session = one.sim.sign_in("user_1");
    let token = one.sim.mint(&session);
    one.clerk.revoke_session(session.id.as_str());
    one.pass(1).await;
    let third = World::beside(one.clock.clone(), one.sim.clone(), |builder| builder.store(wire));
    third.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    assert_eq!(third.get(&token).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn what_a_store_does_not_take_acts_here_at_once_and_everywhere_when_it_is_back() {
    for cut in [Wire::fail, Wire::hang] {
        let (one, wire, two, _) = two(|builder| builder).await;
        let sessions: Vec<_> = (0..3).map(|n| one.sim.sign_in(format!("user_{n}"))).collect();
        let mint = || sessions.iter().map(|session| one.sim.mint(session));
        cut(&wire);
        for session in &sessions {
            one.clerk.revoke_session(session.id.as_str());
            one.pass(20).await;
        }
        for token in mint() {
            assert_eq!(one.get(&token).await.status, StatusCode::UNAUTHORIZED);
            assert_eq!(two.get(&token).await.status, StatusCode::OK);
        }
        assert!(one.clerk.status().feeds.store.unwritten_since.is_some());
        wire.heal();
        one.pass(40).await;
        for token in mint() {
            assert_eq!(two.get(&token).await.status, StatusCode::UNAUTHORIZED);
        }
        assert!(one.clerk.status().feeds.store.unwritten_since.is_none());
    }
}

/// More at once than the way to the store has room for.
#[tokio::test(start_paused = true)]
async fn a_flood_of_revocations_loses_none() {
    let (one, _, two, _) = two(|builder| builder).await;
    for n in 0..5_000 {
        one.clerk.revoke_session(format!("sess_{n}"));
    }
    one.pass(5).await;
    assert_eq!(two.clerk.status().revocations.sessions().count(), 5_000);
}

#[tokio::test(start_paused = true)]
async fn a_partition_costs_grace_after_a_minute_and_is_made_up_for_when_it_ends() {
    for cut in [Wire::fail, Wire::hang] {
        let (one, _, two, wire) = two(|builder| builder).await;
        let (session, other) = (one.sim.sign_in("user_1"), one.sim.sign_in("user_2"));
        let (token, others) = (one.sim.mint(&session), one.sim.mint(&other));
        for token in [&token, &others] {
            assert_eq!(two.get(token).await.status, StatusCode::OK);
        }
        one.break_clerk();
        two.until(clerk_resilience::Verdict::Outage).await;
        two.pass(60).await;
        assert_eq!(two.get(&token).await.status, StatusCode::OK, "in grace");
        cut(&wire);
        one.clerk.revoke_session(session.id.as_str());
        two.pass(50).await;
        assert_eq!(two.get(&others).await.status, StatusCode::OK, "the list is complete enough");
        two.pass(20).await;
        assert_eq!(two.get(&others).await.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(one.clerk.status().feeds.store.unread_since, None);
        assert!(two.clerk.status().feeds.store.unread_since.is_some());
        wire.heal();
        two.pass(35).await;
        assert_eq!(two.get(&token).await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(two.get(&others).await.status, StatusCode::OK, "in grace again");
        assert!(two.clerk.status().feeds.store.unread_since.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_lost_everything_is_told_again_by_those_who_know() {
    let empty = MemoryStore::shared();
    let wire = Wire::to(&empty);
    wire.hang();
    let world = World::with(|builder| builder.store(wire.clone())).await;
    world.clerk.revoke_session("sess_1");
    world.pass(100).await;
    assert!(empty.denials().expect("readable").is_empty());
    wire.heal();
    world.pass(40).await;
    assert_eq!(empty.denials().expect("readable").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn before_the_store_was_read_there_is_no_grace_and_a_session_that_is_good_passes() {
    let store = MemoryStore::shared();
    let wire = Wire::to(&store);
    wire.hang();
    let world = World::with(|builder| builder.grace(GracePolicy::balanced()).store(wire.clone()));
    let world = world.await;
    let (_, token) = world.outage().await;
    assert_eq!(world.get(&token).await.status, StatusCode::SERVICE_UNAVAILABLE);
    wire.heal();
    world.pass(35).await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
}
