//! What is known of users: filled by webhooks and by Clerk, told from memory and the store, in an outage
//! too.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use clerk_resilience::clock::Timestamp;
use clerk_resilience::id::UserId;
use clerk_resilience::internals::Sealed;
use clerk_resilience::internals::revocation::Denial;
use clerk_resilience::profile::{Change, Person, Profile};
use clerk_resilience::sim::{SimClerk, SimClock, SimFault, SimOrganization, SimSurface};
use clerk_resilience::store::{
    Accepted, DeadLetter, Feed, FeedMark, InboxEvent, MemoryStore, Pending, SharedStore, Store,
    StoreError, Task, TaskOutcome,
};
use clerk_resilience::transport::{ApiRequest, Calling, Transport};
use clerk_resilience::webhook_signature::WebhookSecret;
use clerk_resilience::{
    Builder, Event, FromEvent, KnownUser, ProfileError, RoutePolicy, Source, UserChanged,
    UserProfile, Verdict,
};
use http::StatusCode;
use serde_json::{Value, json};
use test_support::world::{Answer, World, anonymous, bearer, start_of_time};
use tokio::time::Instant;

use crate::webhooks::{SECRET, data, deliver, parsed, post, with};

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

#[tokio::test(start_paused = true)]
async fn every_clerk_sample_gives_the_documented_profile() {
    let index = parsed("webhook-samples/index.json");
    let secret = WebhookSecret::parse(index["secret"].as_str().expect("text")).expect("a secret");
    for (file, body, row) in samples() {
        let sent: i64 =
            row["headers"]["svix-timestamp"].as_str().expect("text").parse().expect("n");
        let clock = SimClock::starting_at(Timestamp::from_secs(sent));
        let sim = SimClerk::builder().clock(clock.clone()).build();
        let world = World::beside(clock, sim, |builder| builder.webhook_secret(secret.clone()));
        let answer =
            world.send(post(&row["headers"], data(&format!("webhook-samples/{file}")))).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{file}");
        let expected = row["expect"].to_string();
        let user = match body["type"].as_str().expect("a type") {
            "user.created" | "user.updated" => &body["data"],
            kind if kind.starts_with("session.") => &body["data"]["user"],
            _ => &Value::Null,
        };
        let upsert = expected.contains("upsert_profile") || expected.contains("upsert embedded");
        assert!(!upsert || user.is_object(), "{file}");
        let told = known(&world, ADA).await;
        if user.is_object() {
            let KnownUser { profile, .. } = told.expect(&file).expect(&file);
            assert_eq!(profile.first_name.as_deref(), user["first_name"].as_str(), "{file}");
            assert_eq!(profile.email.as_deref(), Some("ada.okafor@northwind.example"), "{file}");
            let latest = Timestamp::from_secs(sent + 300);
            let since = Timestamp::from_millis(user["updated_at"].as_i64().expect("a time"));
            assert_eq!(profile.updated_at, since.min(latest), "{file}");
            assert_eq!(profile.heard_at, Some(world.now()), "{file}");
            assert_eq!(profile.banned, expected.contains("while banned"), "{file}");
            assert_eq!(profile.locked, file.contains("locked"), "{file}");
            assert_eq!(profile.external_id.as_deref(), Some("crm-10442"), "{file}");
            assert_eq!(profile.private_metadata, None, "{file}");
        } else if file == "user.deleted.json" {
            assert_eq!(told, Ok(None), "{file}");
        } else {
            assert!(told.is_err(), "nothing is known of Ada after {file}");
        }
        if file == "user.deleted.minimal.json" {
            assert_eq!(known(&world, BEN).await, Ok(None), "{file}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn memberships_follow_the_samples() {
    let world = Samples::world();
    world.told("Ben", &[updated(BEN, "Ben", world.0.now())]).await;
    let roles = async || -> Vec<(String, Vec<String>, Option<String>)> {
        let known = known(&world.0, BEN).await.expect("told").expect("known");
        known.memberships.into_iter().map(|m| (m.role, m.permissions, m.name)).collect()
    };
    assert_eq!(roles().await, []);
    world.told("1", &[data("webhook-samples/organizationMembership.created.json")]).await;
    let first = roles().await;
    assert_eq!((first[0].0.as_str(), first.len()), ("org:member", 1));
    assert_eq!(first[0].2.as_deref(), Some("Northwind Traders"));
    world.told("2", &[data("webhook-samples/organizationMembership.updated.json")]).await;
    let second = roles().await;
    assert_eq!(second[0].0, "org:admin");
    assert!(second[0].1.contains(&"org:invoices:write".to_owned()));
    world.told("3", &[data("webhook-samples/organization.updated.json")]).await;
    assert_eq!(roles().await, second, "a name stays until the membership changes");
    world.told("4", &[data("webhook-samples/organizationMembership.deleted.json")]).await;
    world.told("5", &[data("webhook-samples/organizationMembership.created.json")]).await;
    assert_eq!(roles().await, [], "a late event brings nobody back");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_organization_has_no_members() {
    let world = Samples::world();
    world.told("Ben", &[updated(BEN, "Ben", world.0.now())]).await;
    let places = async || known(&world.0, BEN).await.expect("told").expect("known").memberships;
    world.told("1", &[data("webhook-samples/organizationMembership.created.json")]).await;
    assert_eq!(places().await.len(), 1);
    world.told("2", &[data("webhook-samples/organization.deleted.json")]).await;
    assert_eq!(places().await, []);
}

/// A world a moment after all samples happened, which does not know them yet.
struct Samples(World);

impl Samples {
    fn world() -> Self {
        let clock = SimClock::starting_at(Timestamp::from_secs(1_791_000_100));
        let sim = SimClerk::builder().clock(clock.clone()).build();
        let secret = WebhookSecret::parse(SECRET).expect("a secret");
        Self(World::beside(clock, sim, |builder| builder.webhook_secret(secret)))
    }

    async fn told(&self, delivery: &str, bodies: &[String]) {
        for (n, body) in bodies.iter().enumerate() {
            let answer = deliver(&self.0, &format!("msg_{delivery}_{n}"), body).await;
            assert_eq!(answer.status, StatusCode::NO_CONTENT);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn repeated_and_reordered_events_give_the_same_profile() {
    let files = samples();
    for seed in 0..12 {
        let dice = &mut fastrand::Rng::with_seed(seed);
        let deleted = seed % 2 == 1;
        let mut bodies: Vec<String> = files
            .iter()
            .filter(|(file, ..)| deleted || !file.starts_with("user.deleted"))
            .map(|(file, ..)| data(&format!("webhook-samples/{file}")))
            .collect();
        let world = Samples::world();
        bodies.push(updated(BEN, "Ben", Timestamp::from_secs(1_791_000_000)));
        for round in 0..2 {
            dice.shuffle(&mut bodies);
            world.told(&format!("{seed}_{round}"), &bodies).await;
            // Whoever is asked for meanwhile is in memory, and has to hear what follows.
            let (ada, ben) = (known(&world.0, ADA).await, known(&world.0, BEN).await);
            if deleted {
                assert_eq!((ada, ben), (Ok(None), Ok(None)), "{seed}");
                continue;
            }
            let ada = ada.expect("told").expect("known").profile;
            assert_eq!(ada.updated_at, Timestamp::from_millis(1_791_000_009_000), "{seed}");
            assert_eq!((ada.banned, ada.locked), (false, false), "{seed}");
            assert_eq!(ben.expect("told").expect("known").memberships, [], "{seed}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn memory_and_store_apply_events_in_any_order_alike() {
    let world = Samples::world();
    world.told("first", &[updated(ADA, "Ada", Timestamp::from_secs(1_790_000_000))]).await;
    assert_eq!(name(&world.0, ADA).await, called("Ada", Source::Store));
    world.told("new", &[data("webhook-samples/user.updated.json")]).await;
    assert_eq!(name(&world.0, ADA).await, called("Adaeze", Source::Memory));
    world.told("late", &[data("webhook-samples/user.updated.older-arrives-late.json")]).await;
    assert_eq!(name(&world.0, ADA).await, called("Adaeze", Source::Memory));
    world.told("gone", &[data("webhook-samples/user.deleted.json")]).await;
    assert_eq!(known(&world.0, ADA).await, Ok(None));
}

/// A page that greets, one that must know whom, and one for all.
fn pages(world: &World) -> Router {
    async fn hello(user: Option<UserProfile>) -> String {
        let name = user.and_then(|user| user.profile.first_name.clone());
        format!("Hello, {}", name.as_deref().unwrap_or("you"))
    }
    async fn account(user: UserProfile) -> String {
        format!("{} {:?}", user.profile.id, user.source)
    }
    let strict = Router::new().route("/account", get(account)).route("/hello", get(hello));
    let open = Router::new().route("/", get(hello)).route("/must", get(account));
    let optional = world.clerk.policy(RoutePolicy::optional());
    strict.route_layer(world.clerk.clone()).merge(open.route_layer(optional))
}

async fn page(world: &World, path: &str, token: &str) -> (u16, String) {
    let answer = World::ask(&pages(world), bearer("GET", path, token)).await;
    (answer.status.as_u16(), answer.body)
}

fn text(status: u16, body: &str) -> (u16, String) {
    (status, body.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_page_shows_the_user_in_an_outage_without_a_call() {
    let world = with(|builder| builder).await;
    hear(&world, "msg_1", "user_1", "Ada").await;
    let (_, token) = world.outage().await;
    let (asked_before, begun) = (asked(&world), Instant::now());
    assert_eq!(page(&world, "/hello", &token).await, text(200, "Hello, Ada"));
    assert_eq!(page(&world, "/account", &token).await, text(200, "user_1 Memory"));
    assert_eq!((asked(&world), begun.elapsed()), (asked_before, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_an_unknown_user_is_reported_at_once() {
    let world = with(|builder| builder).await;
    let (_, token) = world.outage().await;
    let (asked_before, begun) = (asked(&world), Instant::now());
    assert_eq!(known(&world, "user_1").await, Err(ProfileError::ClerkUnwell));
    assert_eq!(page(&world, "/hello", &token).await, text(200, "Hello, you"));
    let answer = World::ask(&pages(&world), bearer("GET", "/account", &token)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["code"], "profile_unavailable");
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!((asked(&world), begun.elapsed()), (asked_before, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn no_session_or_user_means_no_profile() {
    let world = with(|builder| builder).await;
    let nobody = World::ask(&pages(&world), anonymous("GET", "/", &[])).await;
    assert_eq!(nobody.body, "Hello, you");
    let refused = World::ask(&pages(&world), anonymous("GET", "/must", &[])).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    world.sim.delete_user(&"user_1".into());
    assert_eq!(page(&world, "/account", &token).await.0, 401, "Clerk knows no such user");
    assert_eq!(page(&world, "/hello", &token).await, text(200, "Hello, you"));
    let bare = Router::new().route("/", get(async |_: Option<UserProfile>| "never"));
    let answer = World::ask(&bare, anonymous("GET", "/", &[])).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "there is no layer");
}

#[tokio::test(start_paused = true)]
async fn unknown_users_are_looked_up_once_and_cached() {
    let store = Watched::default();
    let world = with(|builder| builder.store(store.clone()).reconcile_on_demand()).await;
    world.sim.update_user("user_1", json!({ "first_name": "Ada" }));
    world.sim.break_with(SimSurface::BackendApi, SimFault::Latency(Duration::from_millis(200)));
    let all = (0..100).map(|_| name(&world, "user_1"));
    for found in futures_util::future::join_all(all).await {
        assert_eq!(found, called("Ada", Source::Clerk));
    }
    assert_eq!((asked(&world), store.reads()), (2, 1), "the user, and where they belong");
    for _ in 0..10 {
        assert_eq!(name(&world, "user_1").await, called("Ada", Source::Memory));
    }
    assert_eq!((asked(&world), store.reads()), (2, 1), "memory is enough");

    world.break_clerk();
    let next = World::beside(world.clock.clone(), world.sim.clone(), |builder| {
        builder.store(store.clone()).reconcile_on_demand()
    });
    assert_eq!(name(&next, "user_1").await, called("Ada", Source::Store));
    assert_eq!(name(&next, "user_1").await, called("Ada", Source::Memory));
    assert_eq!((asked(&next), store.reads()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_missing_user_is_cached_briefly_and_webhooks_apply() {
    let world = with(|builder| builder).await;
    for _ in 0..5 {
        assert_eq!(known(&world, "user_9").await, Ok(None));
    }
    assert_eq!(asked(&world), 1);
    world.pass(10).await;
    assert_eq!(known(&world, "user_9").await, Ok(None));
    assert_eq!(asked(&world), 2);
    hear(&world, "msg_1", "user_9", "Ada").await;
    assert_eq!(name(&world, "user_9").await, called("Ada", Source::Memory));
}

#[tokio::test(start_paused = true)]
async fn only_valid_ids_become_part_of_a_url() {
    let world = with(|builder| builder).await;
    let long = "u".repeat(129);
    for id in ["", ".", "..", "a/b", "user_1?x=1", "user_1#", "user 1", "user_ä", long.as_str()] {
        assert_eq!(known(&world, id).await, Ok(None), "{id}");
    }
    assert_eq!(asked(&world), 0);
    assert_eq!(known(&world, "count").await, Err(ProfileError::Unanswered), "that is no user");
    world.sim.update_user("user_1", json!({ "id": "user_2" }));
    assert_eq!(known(&world, "user_1").await, Err(ProfileError::Unanswered), "that is another");
}

#[tokio::test(start_paused = true)]
async fn after_a_429_no_profile_is_fetched_until_retry_after() {
    let world = with(|builder| builder).await;
    world.sim.update_user("user_1", json!({ "first_name": "Ada" }));
    let limited = SimFault::status(429).retry_after(Duration::from_secs(30));
    world.sim.break_with(SimSurface::BackendApi, limited);
    assert_eq!(known(&world, "user_1").await, Err(ProfileError::Limited));
    assert_eq!(asked(&world), 1);
    world.sim.heal_all();
    for n in 0..29 {
        world.pass(1).await;
        assert_eq!(known(&world, &format!("user_{n}")).await, Err(ProfileError::Limited), "{n}");
    }
    assert_eq!(asked(&world), 1);
    world.pass(1).await;
    assert_eq!(name(&world, "user_1").await, called("Ada", Source::Clerk));
}

#[tokio::test(start_paused = true)]
async fn at_most_twenty_users_a_second_are_fetched() {
    let world = with(|builder| builder).await;
    let told = futures_util::future::join_all((0..60).map(|n| {
        let world = &world;
        async move { known(world, &format!("user_{n}")).await }
    }))
    .await;
    let limited = told.iter().filter(|told| **told == Err(ProfileError::Limited)).count();
    assert_eq!((limited, asked(&world)), (40, 20));
}

#[tokio::test(start_paused = true)]
async fn bad_backend_answers_change_no_profile() {
    for fault in [SimFault::status(500), SimFault::InvalidJson, SimFault::Html, SimFault::Hang] {
        let world = with(|builder| builder).await;
        world.sim.update_user("user_1", json!({ "first_name": "Ada" }));
        world.sim.break_with(SimSurface::BackendApi, fault.clone());
        let begun = Instant::now();
        assert_eq!(known(&world, "user_1").await, Err(ProfileError::Unanswered), "{fault:?}");
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(3), "{fault:?}");
        assert_eq!(known(&world, "user_1").await, Err(ProfileError::Unanswered), "{fault:?}");
        assert_eq!(
            (begun.elapsed(), asked(&world)),
            (took, 1),
            "for a moment it is not asked again"
        );
        world.sim.heal_all();
        world.pass(1).await;
        assert_eq!(name(&world, "user_1").await, called("Ada", Source::Clerk), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_store_leaves_memory_and_clerk() {
    for hangs in [false, true] {
        let store = Watched::default();
        let world = with(|builder| builder.store(store.clone()).reconcile_on_demand()).await;
        hear(&world, "msg_1", "user_1", "Ada").await;
        assert_eq!(name(&world, "user_1").await, called("Ada", Source::Store));
        world.sim.update_user("user_2", json!({ "first_name": "Ben" }));
        if hangs {
            store.hang();
        } else {
            store.fail();
        }
        world.pass(1).await;
        let begun = Instant::now();
        assert_eq!(name(&world, "user_1").await, called("Ada", Source::Memory));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let (kept, heard) = tokio::join!(hear(&world, "msg_2", "user_1", "Adaeze"), async {
            tokio::task::yield_now().await;
            (name(&world, "user_1").await, begun.elapsed())
        });
        assert_eq!(kept.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(heard, (called("Adaeze", Source::Memory), Duration::ZERO), "news count at once");
        assert_eq!(name(&world, "user_2").await, called("Ben", Source::Clerk));

        world.break_clerk();
        world.until(Verdict::Outage).await;
        assert_eq!(known(&world, "user_3").await, Err(ProfileError::Store), "hangs: {hangs}");
        let begun = Instant::now();
        for n in 4..50 {
            let told = known(&world, &format!("user_{n}")).await;
            assert_eq!(told, Err(ProfileError::Store));
        }
        assert_eq!(begun.elapsed(), Duration::ZERO, "a failed store is left alone for a while");
        assert_eq!(name(&world, "user_1").await, called("Adaeze", Source::Memory));
    }
}

#[tokio::test(start_paused = true)]
async fn a_concurrent_read_does_not_overwrite_a_webhook() {
    let store = Watched::default();
    let world = with(|builder| builder.store(store.clone()).reconcile_on_demand()).await;
    hear(&world, "msg_1", "user_1", "Ada").await;
    store.slow(1_000);
    let news = async {
        world.pass(0).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        hear(&world, "msg_2", "user_1", "Adaeze").await
    };
    let (read, _) = tokio::join!(name(&world, "user_1"), news);
    assert_eq!(read, called("Ada", Source::Store), "it was read before");
    assert_eq!(name(&world, "user_1").await, called("Adaeze", Source::Store));
}

#[tokio::test(start_paused = true)]
async fn a_webhook_updates_a_profile_read_just_before() {
    let store = Watched::default();
    let world = with(|builder| builder.store(store.clone()).reconcile_on_demand()).await;
    hear(&world, "msg_1", "user_1", "Ada").await;
    world.pass(1).await;
    store.0.slow_to_accept.store(1_000, Ordering::Relaxed);
    let read = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        name(&world, "user_1").await
    };
    let (_, read) = tokio::join!(hear(&world, "msg_2", "user_1", "Adaeze"), read);
    assert_eq!(read, called("Ada", Source::Store), "the store did not know yet");
    assert_eq!(name(&world, "user_1").await, called("Adaeze", Source::Memory));
}

#[tokio::test(start_paused = true)]
async fn fetched_profiles_do_not_hide_stored_ones() {
    let store = Watched::default();
    let world = with(|builder| builder.store(store.clone()).reconcile_on_demand()).await;
    hear(&world, "msg_1", BEN, "Ben").await;
    deliver(&world, "msg_2", &data("webhook-samples/organizationMembership.created.json")).await;
    world.sim.update_user(BEN, json!({ "first_name": "Ben" }));
    store.fail();
    let told = known(&world, BEN).await.expect("told").expect("known");
    assert_eq!((told.source, told.memberships.len()), (Source::Clerk, 0));
    store.heal();
    world.pass(5).await;
    let told = known(&world, BEN).await.expect("told").expect("known");
    assert_eq!((told.source, told.memberships.len()), (Source::Store, 1));
}

#[tokio::test(start_paused = true)]
async fn many_users_are_read_from_the_store_in_an_outage() {
    let store = Watched::default();
    let world = with(|builder| builder.store(store.clone()).reconcile_on_demand()).await;
    for n in 0..1_000 {
        hear(&world, &format!("msg_{n}"), &format!("user_{n}"), "Ada").await;
    }
    world.break_clerk();
    world.until(Verdict::Outage).await;
    store.slow(10);
    let all = (0..1_000).map(|n| {
        let world = &world;
        async move { name(world, &format!("user_{n}")).await }
    });
    for found in futures_util::future::join_all(all).await {
        assert_eq!(found, called("Ada", Source::Store));
    }
    assert_eq!(store.0.most_at_once.load(Ordering::Relaxed), 64);
}

#[tokio::test(start_paused = true)]
async fn a_shared_store_is_read_again_and_its_failure_reported() {
    for (shared, name_after) in [(true, "Adaeze"), (false, "Ada")] {
        let store = Watched::default();
        let store = if shared { store.shared() } else { store };
        let world = with(|builder| builder.store(store.clone()).reconcile_on_demand()).await;
        hear(&world, "msg_1", "user_1", "Ada").await;
        name(&world, "user_1").await;
        let mut profile = Profile::new("user_1".into(), world.now().plus(Duration::from_secs(1)));
        profile.first_name = Some("Adaeze".to_owned());
        store.merge(vec![Change::User(Box::new(profile))]).await.expect("another instance told");
        world.pass(59).await;
        assert_eq!(name(&world, "user_1").await, called("Ada", Source::Memory));
        world.pass(1).await;
        let (found, _) = name(&world, "user_1").await.expect("known");
        assert_eq!(found, name_after, "shared: {shared}");
        store.fail();
        world.pass(60).await;
        assert_eq!(name(&world, "user_1").await, called(name_after, Source::Memory));
    }
}

#[tokio::test(start_paused = true)]
async fn without_webhooks_an_old_profile_is_served_and_refreshed() {
    let store = Watched::default();
    let world = World::with(|builder| builder.store(store.clone()).reconcile_on_demand()).await;
    world.sim.update_user("user_1", json!({ "first_name": "Ada" }));
    assert_eq!(name(&world, "user_1").await, called("Ada", Source::Clerk));
    world.pass(299).await;
    world.sim.update_user("user_1", json!({ "first_name": "Adaeze" }));
    assert_eq!(name(&world, "user_1").await, called("Ada", Source::Memory));
    world.pass(1).await;
    assert_eq!(asked(&world), 2, "it is not old before");
    let begun = Instant::now();
    assert_eq!(name(&world, "user_1").await, called("Ada", Source::Memory));
    assert_eq!(begun.elapsed(), Duration::ZERO);
    world.pass(1).await;
    assert_eq!(name(&world, "user_1").await, called("Adaeze", Source::Memory));
    assert_eq!(asked(&world), 4);
    // Hearing the same again is fresh, too.
    world.pass(300).await;
    name(&world, "user_1").await;
    world.pass(61).await;
    name(&world, "user_1").await;
    world.pass(1).await;
    assert_eq!(asked(&world), 6);
    world.pass(300).await;
    world.sim.break_with(SimSurface::BackendApi, SimFault::status(400));
    for _ in 0..30 {
        assert_eq!(name(&world, "user_1").await, called("Adaeze", Source::Memory));
        world.pass(1).await;
    }
    assert_eq!(asked(&world), 7, "at most once a minute");
    let person = store.0.store.user(&"user_1".into()).await.expect("kept").expect("known");
    assert_eq!(person.profile().and_then(|kept| kept.first_name.as_deref()), Some("Adaeze"));
}

#[tokio::test(start_paused = true)]
async fn without_webhooks_deletions_and_departures_are_noticed() {
    let store = Watched::default();
    let world = World::with(|builder| builder.store(store.clone()).reconcile_on_demand()).await;
    let org = SimOrganization::new("org_1", "one");
    for user in ["user_1", "user_2"] {
        world.sim.join(user, &org);
        assert_eq!(places(&world, user).await, ["org_1"]);
    }
    let sessions = ["user_1", "user_2"].map(|user| world.sim.sign_in(user));
    // What is new may not be known to all of Clerk's machines, and counts for longer.
    world.sim.delete_user(&"user_1".into());
    world.pass(301).await;
    for _ in 0..2 {
        assert_eq!(places(&world, "user_1").await, ["org_1"], "that is too soon");
        world.pass(1).await;
    }
    world.sim.join("user_1", &org);
    world.pass(300).await;
    let tokens = [&sessions[0], &sessions[1]].map(|session| world.sim.mint(session));
    world.sim.delete_user(&"user_1".into());
    world.sim.leave(&"user_2".into(), &org.id);
    for user in ["user_1", "user_2"] {
        assert_eq!(places(&world, user).await, ["org_1"], "what is old is told meanwhile");
    }
    world.pass(1).await;
    assert_eq!(known(&world, "user_1").await, Ok(None));
    assert_eq!(places(&world, "user_2").await, [""; 0]);
    assert_eq!(world.get(&tokens[0]).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.get(&tokens[1]).await.status, StatusCode::OK);
    let person = store.0.store.user(&"user_1".into()).await.expect("kept").expect("known");
    assert!(person.deleted().is_some());
}

async fn places(world: &World, id: &str) -> Vec<String> {
    let known = known(world, id).await.expect("told").expect("a user");
    known.memberships.iter().map(|place| place.organization.as_str().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_fetched_user_has_the_memberships_from_clerk() {
    let world = with(|builder| builder).await;
    world.sim.join("user_1", &SimOrganization::new("org_1", "one").role("admin"));
    world.sim.join("user_1", &SimOrganization::new("org_2", "two"));
    world.sim.join("user_2", &SimOrganization::new("org_1", "one"));
    let mut found = known(&world, "user_1").await.expect("told").expect("a user").memberships;
    found.sort_by(|one, other| one.organization.cmp(&other.organization));
    let roles: Vec<_> = found.iter().map(|place| place.role.as_str()).collect();
    assert_eq!(roles, ["org:admin", "org:member"]);
    assert_eq!(found[0].heard_at, Some(world.now()));
    world.sim.switch_organizations_off();
    assert_eq!(places(&world, "user_2").await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_partly_read_user_is_not_returned() {
    let (world, ear) = overheard(|path| {
        path.ends_with("/organization_memberships").then_some((StatusCode::OK, "{}"))
    });
    world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    world.sim.update_user("user_1", json!({ "first_name": "Ada" }));
    assert_eq!(known(&world, "user_1").await, Err(ProfileError::Unanswered));
    assert_eq!(*ear.lock().expect("sound"), 1, "the second half was asked for");
}

/// A Clerk whose answers to some paths are others'; and how often they were.
fn overheard(
    instead: impl Fn(&str) -> Option<(StatusCode, &'static str)> + Send + Sync + 'static,
) -> (World, Arc<Mutex<u32>>) {
    struct Ear(Arc<dyn Transport>, Instead, Arc<Mutex<u32>>);
    type Instead = Box<dyn Fn(&str) -> Option<(StatusCode, &'static str)> + Send + Sync>;
    impl std::fmt::Debug for Ear {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Ear")
        }
    }
    impl Transport for Ear {
        fn call(&self, call: ApiRequest) -> Calling {
            let (instead, answer) = ((self.1)(call.url.path()), self.0.call(call));
            if instead.is_some() {
                *self.2.lock().expect("sound") += 1;
            }
            Box::pin(async move {
                let mut reply = answer.await?;
                if let Some((status, body)) = instead {
                    (reply.status, reply.body) = (status, body.into());
                }
                Ok(reply)
            })
        }
    }
    let (clock, heard) = (SimClock::starting_at(start_of_time()), Arc::new(Mutex::new(0)));
    let sim = SimClerk::builder().clock(clock.clone()).seed(7).build();
    let ear = Ear(Arc::new(sim.transport()), Box::new(instead), Arc::clone(&heard));
    (World::beside(clock, sim, |builder| builder.transport(ear)), heard)
}

#[tokio::test(start_paused = true)]
async fn a_user_is_missing_only_by_this_instances_secret_key() {
    for (fault, reason) in [
        (SimFault::ForeignKeys, ProfileError::SecretKeyForeign),
        (SimFault::status(500), ProfileError::Unanswered),
    ] {
        let world = with(|builder| builder).await;
        let token = world.sim.mint(&world.sim.sign_in("user_1"));
        world.sim.delete_user(&"user_1".into());
        world.sim.break_with(SimSurface::BackendJwks, fault);
        assert_eq!(known(&world, "user_1").await, Err(reason));
        assert_eq!(page(&world, "/account", &token).await.0, 503, "{reason:?}");
        world.sim.heal_all();
        world.pass(60).await;
        let token = world.sim.mint(&world.sim.sign_in("user_1"));
        world.sim.delete_user(&"user_1".into());
        assert_eq!(page(&world, "/account", &token).await.0, 401, "then it is certain");
    }
}

#[tokio::test(start_paused = true)]
async fn a_404_from_another_server_deletes_no_user() {
    let (world, _) = overheard(|path| {
        let elsewhere = r#"{"message":"no Route matched with those values"}"#;
        (path == "/v1/users/user_1").then_some((StatusCode::NOT_FOUND, elsewhere))
    });
    world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    assert_eq!(known(&world, "user_1").await, Err(ProfileError::Unanswered));
    assert_eq!(known(&world, "user_2").await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn with_webhooks_an_old_profile_is_not_fetched_again() {
    let world = with(|builder| builder).await;
    world.sim.update_user("user_1", json!({ "first_name": "Ada" }));
    name(&world, "user_1").await;
    world.pass(24 * 60 * 60).await;
    name(&world, "user_1").await;
    world.pass(5).await;
    assert_eq!(asked(&world), 2);
}

#[tokio::test(start_paused = true)]
async fn without_a_secret_key_only_webhooks_give_profiles() {
    let world = with(|builder| builder).await;
    let key = world.sim.publishable_key().clone();
    let config = clerk_resilience::ClerkConfig::new(key).frontend_api(world.sim.frontend_api_url());
    let builder = clerk_resilience::ClerkResilience::builder(config).clock(world.clock.clone());
    let clerk = builder.transport(world.sim.transport()).build().expect("a good configuration");
    let told = clerk.profiles().get(&"user_1".into()).await;
    assert_eq!(told, Err(ProfileError::NoSecretKey));
}

#[tokio::test(start_paused = true)]
async fn private_metadata_is_stored_only_if_enabled() {
    let private = json!({ "ref": "do-not-keep" });
    for keep in [false, true] {
        let store = Watched::default();
        let choose = |builder: Builder| {
            builder.store(store.clone()).reconcile_on_demand().keep_private_metadata(keep)
        };
        let world = with(choose).await;
        let members = json!({ "first_name": "Ada", "private_metadata": private });
        world.sim.update_user("user_1", members.clone());
        let mut user = members;
        user["id"] = json!("user_2");
        let event = json!({ "type": "user.created", "data": user });
        deliver(&world, "msg_1", &event.to_string()).await;
        for id in ["user_1", "user_2"] {
            let found = known(&world, id).await.expect("told").expect("known");
            assert_eq!(found.profile.private_metadata, keep.then(|| private.clone()), "{id}");
            world.pass(1).await;
            let kept = store.0.store.user(&id.into()).await.expect("kept").expect("known");
            let text = serde_json::to_string(&kept).expect("JSON");
            assert_eq!(text.contains("do-not-keep"), keep, "{id}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn stored_private_metadata_is_hidden_if_not_enabled() {
    let store = MemoryStore::new();
    let start = |keep: bool| {
        let store = store.clone();
        move |builder: Builder| builder.store(store).keep_private_metadata(keep)
    };
    let before = with(start(true)).await;
    let user = json!({ "id": "user_2", "private_metadata": { "a": 1 } });
    let event = json!({ "type": "user.created", "data": user });
    deliver(&before, "msg_1", &event.to_string()).await;
    for keep in [true, false] {
        let world = with(start(keep)).await;
        world.break_clerk();
        let found = known(&world, "user_2").await.expect("told").expect("known");
        assert_eq!(found.profile.private_metadata.is_some(), keep);
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test(start_paused = true)]
async fn no_private_metadata_of_a_sample_is_in_the_file() {
    use clerk_resilience::store::SqliteStore;
    let dir = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::open(dir.path().join("clerk.db")).expect("a store");
    let world = with(|builder| builder.store(store)).await;
    let mut names = 0;
    for (n, (file, body, _)) in samples().into_iter().enumerate() {
        names += u32::from(body.to_string().contains("do-not-cache"));
        deliver(&world, &format!("msg_{n}"), &data(&format!("webhook-samples/{file}"))).await;
    }
    assert!(names > 5, "the samples have some");
    world.sim.update_user("user_1", json!({ "private_metadata": { "ref": "do-not-cache" } }));
    assert!(known(&world, "user_1").await.expect("told").is_some());
    world.pass(1).await;
    let holds = |text: &str| {
        std::fs::read_dir(dir.path()).expect("readable").any(|entry| {
            let bytes = std::fs::read(entry.expect("an entry").path()).expect("readable");
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        })
    };
    assert!(holds("user_1") && holds("northwind"), "what is public is there");
    assert!(!holds("do-not-cache"));
}

#[tokio::test]
async fn a_full_memory_store_evicts_the_oldest_user() {
    let store = MemoryStore::new();
    let described = |n: u32| {
        let profile = Profile::new(UserId::new(format!("user_{n}")), Timestamp::from_secs(1));
        Change::User(Box::new(profile))
    };
    store.merge((0..100_000).map(described).collect()).await.expect("merged");
    store.merge(vec![described(0), described(100_000)]).await.expect("merged");
    let has = async |id: &str| store.user(&id.into()).await.expect("answered").is_some();
    assert!(!has("user_0").await && has("user_1").await && has("user_100000").await);
}

/// An event of the application's own.
#[derive(Debug, PartialEq)]
struct PastDue(String);

impl FromEvent for PastDue {
    const KINDS: &'static [&'static str] = &["subscription.pastDue"];

    fn from_event(event: &Event) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self(event.data["id"].as_str().ok_or("no id")?.to_owned()))
    }
}

#[tokio::test(start_paused = true)]
async fn typed_hooks_receive_their_types_and_fail_on_bad_data() {
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let world = with(|builder| {
        builder
            .on(noting(&heard, |told: UserChanged| {
                let name = told.profile.first_name.unwrap_or_default();
                format!("{} {name} {}", told.message, told.created)
            }))
            .on(noting(&heard, |PastDue(id): PastDue| id))
    })
    .await;
    let created = r#"{"type":"user.created","data":{"id":"user_1","first_name":"Ada","private_metadata":{"a":1}}}"#;
    for (id, body) in [
        ("msg_1", created),
        ("msg_2", r#"{"type":"user.updated","data":{"id":"user_1","first_name":"Adaeze"}}"#),
        ("msg_3", r#"{"type":"user.deleted","data":{"id":"user_2"}}"#),
        ("msg_4", r#"{"type":"subscription.pastDue","data":{"id":"sub_1"}}"#),
        ("msg_5", r#"{"type":"subscription.pastDue","data":{}}"#),
    ] {
        deliver(&world, id, body).await;
        world.pass(1).await;
    }
    assert_eq!(*heard.lock().expect("sound"), ["msg_1 Ada true", "msg_2 Adaeze false", "sub_1"]);
    assert_eq!(world.clerk.counts().hook_failures, 1);
}

/// A hook that notes what it heard.
fn noting<T: 'static>(
    heard: &Arc<Mutex<Vec<String>>>,
    line: fn(T) -> String,
) -> impl Fn(T) -> std::future::Ready<Result<(), String>> + Send + Sync + 'static {
    let heard = Arc::clone(heard);
    move |told| {
        heard.lock().expect("sound").push(line(told));
        std::future::ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn every_typed_event_parses_its_samples() {
    use clerk_resilience::{MembershipChanged, MembershipEnded, SessionEnded, UserDeleted};
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let world = with(|builder| {
        builder
            .on(noting(&heard, |told: UserDeleted| told.user.to_string()))
            .on(noting(&heard, |told: SessionEnded| format!("{} {}", told.session, told.user)))
            .on(noting(&heard, |told: MembershipChanged| {
                format!("{} {} {}", told.user, told.membership.role, told.created)
            }))
            .on(noting(&heard, |told: MembershipEnded| {
                format!("{} left {}", told.user, told.organization)
            }))
    })
    .await;
    for file in [
        "user.deleted",
        "session.revoked",
        "organizationMembership.created",
        "organizationMembership.updated",
        "organizationMembership.deleted",
    ] {
        deliver(&world, file, &data(&format!("webhook-samples/{file}.json"))).await;
        world.pass(1).await;
    }
    let wanted = [
        ADA.to_owned(),
        format!("sess_2qAda0000000000000000000S1 {ADA}"),
        format!("{BEN} org:member true"),
        format!("{BEN} org:admin false"),
        format!("{BEN} left org_2qNorthwind0000000000000001"),
    ];
    assert_eq!(*heard.lock().expect("sound"), wanted);
}
