//! What webhooks missed is found by reading users back.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use clerk_resilience::sim::{SimClerk, SimClock, SimFault, SimSurface};
use clerk_resilience::store::MemoryStore;
use clerk_resilience::upstream::{Call, Calling, Upstream};
use clerk_resilience::webhook_signature::WebhookSecret;
use clerk_resilience::{Builder, Progress, Verdict};
use http::StatusCode;
use serde_json::json;
use tokio::time::Instant;

use crate::support::{World, start_of_time};

/// A wire that notes when which page of users is asked for.
#[derive(Clone, Debug)]
struct Ear {
    inner: Arc<dyn Upstream>,
    pages: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Upstream for Ear {
    fn call(&self, call: Call) -> Calling {
        if call.url.path() == "/v1/users" {
            let page = call.url.query().unwrap_or_default().to_owned();
            self.pages.lock().expect("sound").push((Instant::now(), page));
        }
        self.inner.call(call)
    }
}

impl Ear {
    /// From which users on pages were asked for, and how long after the first.
    fn heard(&self) -> Vec<(u64, Duration)> {
        let pages = std::mem::take(&mut *self.pages.lock().expect("sound"));
        let first = pages.first().map(|(at, _)| *at);
        let offset = |page: &str| page.split_once("&offset=").expect("an offset").1.parse();
        let since = |at: Instant| at - first.expect("there is one");
        pages.iter().map(|(at, page)| (offset(page).expect("a number"), since(*at))).collect()
    }
}

fn secret() -> WebhookSecret {
    WebhookSecret::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").expect("a secret")
}

/// An application with a store, and so many users at Clerk, who changed ten seconds apart.
async fn with(users: u32, choose: impl FnOnce(Builder) -> Builder) -> (World, Ear) {
    let clock = SimClock::starting_at(start_of_time());
    let sim = SimClerk::builder().clock(clock.clone()).seed(7).build();
    for n in 0..users {
        sim.update_user(format!("user_{n}"), json!({ "first_name": "Ada" }));
        clock.jump(10_000);
    }
    let ear = Ear { inner: Arc::new(sim.upstream()), pages: Arc::default() };
    let wire = ear.clone();
    let world = World::beside(clock, sim, |builder| {
        let builder = builder.webhook_secret(secret()).store(MemoryStore::new());
        choose(builder.upstream(wire))
    });
    world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    (world, ear)
}

async fn ended(world: &World) -> Progress {
    let mut progress = world.clerk.reconcile().expect("there is a store");
    let before = progress.borrow_and_update().ended;
    let over = progress.wait_for(|now| now.ended > before);
    over.await.expect("it goes on").clone()
}

#[tokio::test(start_paused = true)]
async fn at_the_start_all_users_are_read_and_afterwards_only_those_who_changed() {
    let (world, ear) = with(250, |builder| builder).await;
    world.pass(1).await;
    assert_eq!(ear.pages.lock().expect("sound").len(), 3, "as soon as Clerk is known to be well");
    let millis = Duration::from_millis;
    assert_eq!(ear.heard(), [(0, millis(0)), (90, millis(250)), (180, millis(500))]);
    world.pass(600).await;
    assert_eq!(ear.heard(), [], "and then it is quiet");

    world.sim.update_user("user_3", json!({ "first_name": "Eve" }));
    let progress = ended(&world).await;
    assert_eq!(ear.heard(), [(0, millis(0))]);
    assert_eq!((progress.users, progress.total, progress.trouble), (100, None, None));
    assert_eq!(progress.synced, Some(world.now()));
    world.pass(3601).await;
    assert_eq!(ear.heard().len(), 1, "once an hour");
}

#[tokio::test(start_paused = true)]
async fn a_ban_of_which_no_webhook_told_is_found_after_the_outage() {
    let (world, ear) = with(3, |builder| builder).await;
    world.pass(30).await;
    let session = world.sim.sign_in("user_1");
    world.break_clerk();
    world.until(Verdict::Outage).await;
    ear.heard();
    world.sim.update_user("user_1", json!({ "banned": true }));
    world.sim.heal_all();
    let mut token = world.sim.mint(&session);
    while world.clerk.verdict() != Verdict::Healthy {
        assert_eq!(world.get(&token).await.status, StatusCode::OK);
        token = world.sim.mint(&session);
        world.pass(1).await;
    }
    world.pass(1).await;
    assert_eq!(ear.heard().len(), 1);
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn clerk_is_left_alone_for_as_long_as_it_wishes_and_else_ever_longer() {
    let busy = SimFault::status(429).retry_after(Duration::from_secs(120));
    for (fault, wanted) in [(busy, [0, 120, 240]), (SimFault::status(500), [0, 5, 15])] {
        let (world, ear) = with(3, Builder::reconcile_on_demand).await;
        world.pass(30).await;
        assert_eq!(ear.heard(), [], "nobody wished for it");
        world.sim.break_with(SimSurface::BACKEND, fault);
        let progress = world.clerk.reconcile().expect("there is a store");
        world.pass(wanted[2] + 1).await;
        let times: Vec<_> = ear.heard().iter().map(|(_, since)| since.as_secs()).collect();
        assert_eq!(times, wanted);
        let now = progress.borrow().clone();
        assert!(now.under_way && now.trouble.is_some(), "{now:?}");
        world.sim.heal_all();
        world.pass(300).await;
        let now = progress.borrow().clone();
        assert_eq!((now.under_way, now.ended, now.trouble), (false, 1, None));
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_key_that_clerk_refuses_is_named_and_asked_with_once() {
    let (world, ear) = with(3, Builder::reconcile_on_demand).await;
    world.sim.break_with(SimSurface::BACKEND, SimFault::status(401));
    let progress = ended(&world).await;
    assert!(progress.trouble.expect("trouble").contains("CLERK_SECRET_KEY"));
    assert_eq!((progress.synced, ear.heard().len()), (None, 1));
    world.pass(600).await;
    assert_eq!(ear.heard(), []);
}

#[tokio::test(start_paused = true)]
async fn whoever_watches_the_first_walk_is_told_how_many_there_are() {
    let (world, _) = with(250, Builder::reconcile_on_demand).await;
    let progress = ended(&world).await;
    assert_eq!((progress.total, progress.users), (Some(250), 270), "pages overlap");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_while_clerk_is_down() {
    let (world, ear) = with(3, Builder::reconcile_on_demand).await;
    world.break_clerk();
    world.until(Verdict::Outage).await;
    let progress = world.clerk.reconcile().expect("there is a store");
    world.pass(600).await;
    assert_eq!((ear.heard(), progress.borrow().under_way), (vec![], true));
    world.sim.heal_all();
    world.until(Verdict::Healthy).await;
    world.pass(1).await;
    assert_eq!((ear.heard().len(), progress.borrow().ended), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn without_a_store_there_is_nothing_to_reconcile() {
    let world = World::new().await;
    assert!(world.clerk.reconcile().is_none());
}

#[cfg(feature = "sqlite")]
#[tokio::test(start_paused = true)]
async fn a_walk_goes_on_after_a_restart_where_it_was() {
    use clerk_resilience::store::SqliteStore;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("store.sqlite");
    let clock = SimClock::starting_at(start_of_time());
    let sim = SimClerk::builder().clock(clock.clone()).seed(7).build();
    for n in 0..250 {
        sim.update_user(format!("user_{n}"), json!({ "first_name": "Ada" }));
    }
    let ear = Ear { inner: Arc::new(sim.upstream()), pages: Arc::default() };
    let start = |store: SqliteStore| {
        let (sim, clock, wire) = (sim.clone(), clock.clone(), ear.clone());
        World::beside(clock, sim, |builder| {
            builder.webhook_secret(secret()).store(store).upstream(wire)
        })
    };
    let world = start(SqliteStore::open(&file).expect("a new file"));
    let mut progress = world.clerk.reconcile().expect("there is a store");
    progress.wait_for(|now| now.users == 200).await.expect("it goes on");
    drop((world, progress));
    let mut store = SqliteStore::open(&file);
    while store.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
        store = SqliteStore::open(&file);
    }
    ear.heard();
    let world = start(store.expect("it is free again"));
    world.pass(10).await;
    let offsets: Vec<_> = ear.heard().iter().map(|(offset, _)| *offset).collect();
    assert_eq!(offsets, [180]);
}
