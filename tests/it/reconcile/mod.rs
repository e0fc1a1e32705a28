//! What webhooks missed is found by reading back from Clerk.

mod fleet;
mod repairs;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clerk_resilience::sim::{SimClerk, SimClock, SimFault, SimSurface};
use clerk_resilience::store::MemoryStore;
use clerk_resilience::transport::{ApiRequest, Calling, Transport};
use clerk_resilience::webhook_signature::WebhookSecret;
use clerk_resilience::{Builder, Progress, Verdict};
use http::StatusCode;
use serde_json::{Value, json};
use test_support::world::{World, start_of_time};
use tokio::time::Instant;

/// What a wire makes of an answer, by the path and the query that were asked for.
type Tamper = Box<dyn Fn(&str, &str, &mut Value) + Send>;

/// A wire that notes when which page is asked for, and says something else when it is told to.
#[derive(Clone)]
struct Ear {
    inner: Arc<dyn Transport>,
    pages: Arc<Mutex<Vec<(Instant, String)>>>,
    tamper: Arc<Mutex<Option<Tamper>>>,
    /// Each page takes so long.
    slow: Duration,
}

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ear")
    }
}

impl Transport for Ear {
    fn call(&self, call: ApiRequest) -> Calling {
        let (ear, asked) = (self.clone(), Instant::now());
        let path = call.url.path().to_owned();
        let query = call.url.query().unwrap_or_default().to_owned();
        let page = query.contains("&offset=");
        if page {
            self.pages.lock().expect("sound").push((asked, format!("{path}?{query}")));
        }
        Box::pin(async move {
            if page {
                tokio::time::sleep(ear.slow).await;
            }
            let mut reply = ear.inner.call(call).await?;
            let tamper = ear.tamper.lock().expect("sound");
            if let Some(tamper) = &*tamper
                && let Ok(mut told) = serde_json::from_slice(&reply.body)
            {
                tamper(&path, &query, &mut told);
                reply.body = told.to_string().into();
            }
            Ok(reply)
        })
    }
}

impl Ear {
    fn at(sim: &SimClerk) -> Self {
        let (inner, slow) = (Arc::new(sim.transport()), Duration::ZERO);
        Self { inner, pages: Arc::default(), tamper: Arc::default(), slow }
    }

    /// From which users on pages were asked for, and how long after the first.
    fn heard(&self) -> Vec<(u64, Duration)> {
        self.heard_of("/v1/users?")
    }

    /// The same of another list.
    fn heard_of(&self, list: &str) -> Vec<(u64, Duration)> {
        let mut all = self.pages.lock().expect("sound");
        let pages: Vec<_> = all.extract_if(.., |(_, page)| page.starts_with(list)).collect();
        let first = pages.first().map(|(at, _)| *at);
        let offset = |page: &str| page.split_once("&offset=").expect("an offset").1.parse();
        let since = |at: Instant| at - first.expect("there is one");
        pages.iter().map(|(at, page)| (offset(page).expect("a number"), since(*at))).collect()
    }

    fn tamper(&self, with: impl Fn(&str, &str, &mut Value) + Send + 'static) {
        *self.tamper.lock().expect("sound") = Some(Box::new(with));
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
    let ear = Ear::at(&sim);
    let wire = ear.clone();
    let world = World::beside(clock, sim, |builder| {
        let builder = builder.webhook_secret(secret()).store(MemoryStore::new());
        choose(builder.transport(wire))
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
async fn the_first_run_reads_all_users_and_later_runs_changes() {
    let (world, ear) = with(250, |builder| builder).await;
    world.pass(5).await;
    let millis = Duration::from_millis;
    // After the first it is asked how many there are.
    assert_eq!(ear.heard(), [(0, millis(0)), (90, millis(500)), (180, millis(750))]);
    world.pass(600).await;
    assert_eq!(ear.heard(), [], "and then it is quiet");

    world.sim.update_user("user_3", json!({ "first_name": "Eve" }));
    let changed = world.now();
    let progress = ended(&world).await;
    assert_eq!(ear.heard(), [(0, millis(0))]);
    assert_eq!((progress.users, progress.total, progress.trouble), (100, None, None));
    assert_eq!((progress.synced, progress.compared), (Some(changed), 250));
    world.pass(3601).await;
    assert_eq!(ear.heard().len(), 1, "once an hour");
}

#[tokio::test(start_paused = true)]
async fn a_missed_ban_is_found_after_the_outage() {
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
    world.pass(5).await;
    assert_eq!(ear.heard().len(), 1);
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn retries_obey_retry_after_and_else_back_off() {
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
async fn a_rejected_secret_key_is_reported_and_tried_once() {
    let (world, ear) = with(3, Builder::reconcile_on_demand).await;
    world.sim.break_with(SimSurface::BACKEND, SimFault::status(401));
    let progress = ended(&world).await;
    assert!(progress.trouble.expect("trouble").contains("CLERK_SECRET_KEY"));
    assert_eq!((progress.synced, ear.heard().len()), (None, 1));
    world.pass(600).await;
    assert_eq!(ear.heard(), []);
}

#[tokio::test(start_paused = true)]
async fn the_first_run_reports_the_number_of_users() {
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
    world.pass(10).await;
    assert_eq!((ear.heard().len(), progress.borrow().ended), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn without_a_store_there_is_nothing_to_reconcile() {
    let world = World::new().await;
    assert!(world.clerk.reconcile().is_none());
}

#[tokio::test(start_paused = true)]
async fn full_runs_follow_requests_outages_and_each_day() {
    let (world, ear) = with(3, |builder| builder).await;
    world.pass(10).await;
    assert_eq!(ear.heard_of("/v1/organization_memberships").len(), 1, "at the start");
    let heard = || world.clerk.snapshot().feeds.webhook;
    let at_the_start = heard();
    assert!(at_the_start.is_some(), "it is as good as a webhook");
    world.pass(23 * 3600).await;
    assert_eq!(ear.heard_of("/v1/organization_memberships").len(), 0);
    assert_eq!(heard(), at_the_start, "users alone are not");
    world.pass(3600).await;
    assert_eq!(ear.heard_of("/v1/organization_memberships").len(), 1);
    ended(&world).await;
    assert_eq!(ear.heard_of("/v1/organization_memberships").len(), 1);
    world.break_clerk();
    world.until(Verdict::Outage).await;
    world.sim.heal_all();
    world.until(Verdict::Healthy).await;
    world.pass(10).await;
    assert_eq!(ear.heard_of("/v1/organization_memberships").len(), 1);
}

#[cfg(feature = "sqlite")]
#[tokio::test(start_paused = true)]
async fn a_run_resumes_after_a_restart() {
    use clerk_resilience::sim::SimOrganization;
    use clerk_resilience::store::SqliteStore;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("store.sqlite");
    let clock = SimClock::starting_at(start_of_time());
    let sim = SimClerk::builder().clock(clock.clone()).seed(7).build();
    for n in 0..250 {
        sim.update_user(format!("user_{n}"), json!({ "first_name": "Ada" }));
    }
    for n in 0..600 {
        sim.join(format!("user_{n}"), &SimOrganization::new("org_1", "one"));
    }
    let ear = Ear::at(&sim);
    let start = |store: SqliteStore| {
        let (sim, clock, wire) = (sim.clone(), clock.clone(), ear.clone());
        World::beside(clock, sim, |builder| {
            builder.webhook_secret(secret()).store(store).transport(wire)
        })
    };
    let mut store = SqliteStore::open(&file).expect("a new file");
    let ends: [fn(&Progress) -> bool; 3] =
        [|now| now.users == 200, |now| now.memberships == 500, |now| now.compared == 100];
    for end in ends {
        let world = start(store);
        let mut progress = world.clerk.reconcile().expect("there is a store");
        progress.wait_for(end).await.expect("it goes on");
        drop((world, progress));
        store = again(&file).await;
    }
    let offsets = |list| ear.heard_of(list).into_iter().map(|(offset, _)| offset).collect();
    let users: Vec<u64> = offsets("/v1/users?");
    assert_eq!(users[..2], [0, 90]);
    assert_eq!(users[2..].iter().filter(|offset| **offset == 0).count(), 0, "{users:?}");
    let members: Vec<u64> = offsets("/v1/organization_memberships?");
    assert_eq!(members, [0, 240, 480], "none is read twice");
    let world = start(store);
    world.pass(60).await;
    let progress = world.clerk.reconcile().expect("there is a store").borrow().clone();
    assert_eq!((progress.ended, progress.users, progress.memberships), (1, 0, 0));
    assert_eq!(progress.compared, 500);
}

/// Until the process before has put the file down.
#[cfg(feature = "sqlite")]
async fn again(file: &std::path::Path) -> clerk_resilience::store::SqliteStore {
    for _ in 0..1000 {
        if let Ok(store) = clerk_resilience::store::SqliteStore::open_within(file, Duration::ZERO) {
            return store;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the file stays in use");
}
