//! What a store of one process's own keeps for the next: all that grace needs, without a state directory.

use std::time::Duration;

use clerk_resilience::key::SecretKey;
use clerk_resilience::sim::{SimClerk, SimFault, SimSurface};
use clerk_resilience::store::MemoryStore;
use clerk_resilience::{Builder, ClerkConfig, GracePolicy, Verdict};
use http::{Request, StatusCode};
use test_support::world::{World, config, until_saved};

use crate::fleet::connection::Connection;

/// An application, and the way to its store.
struct App {
    world: World,
    connection: Connection,
    store: MemoryStore,
}

fn keeping(connection: &Connection) -> impl FnOnce(Builder) -> Builder + use<> {
    let connection = connection.clone();
    move |builder| builder.grace(GracePolicy::balanced()).store(connection)
}

impl App {
    async fn new() -> Self {
        let store = MemoryStore::new();
        let connection = Connection::alone(&store);
        Self { world: World::with(keeping(&connection)).await, connection, store }
    }

    /// Ends the application as a crash does: what it kept so far is all there is.
    fn restart(self) -> Self {
        let config = config(&self.world.sim);
        self.restart_as(config)
    }

    fn restart_as(self, config: ClerkConfig) -> Self {
        self.connection.fail();
        let World { clock, sim, clerk, app } = self.world;
        drop((clerk, app));
        let connection = Connection::alone(&self.store);
        let world = World::configured(config, clock, sim, keeping(&connection));
        Self { world, connection, store: self.store }
    }

    async fn status(&self, token: &str) -> StatusCode {
        self.world.get(token).await.status
    }
}

/// The configuration of an application that has no secret key.
fn without_secret(sim: &SimClerk) -> ClerkConfig {
    let status_page = sim.status_page_url().join("api/v2/summary.json").expect("an address");
    ClerkConfig::new(sim.publishable_key().clone())
        .frontend_api(sim.frontend_api_url())
        .backend_api(sim.backend_api_url())
        .status_page(Some(status_page))
}

#[tokio::test(start_paused = true)]
async fn a_restart_in_an_outage_keeps_proven_sessions() {
    let app = App::new().await;
    let (_, token) = app.world.outage().await;
    let start = app.world.clerk.snapshot().health.outages.current();
    let app = app.restart();
    for second in 0..120 {
        assert_eq!(app.status(&token).await, StatusCode::OK, "second {second}");
        app.world.pass(1).await;
    }
    assert_eq!(app.world.clerk.verdict(), Verdict::Outage);
    assert_eq!(app.world.clerk.snapshot().health.outages.current(), start);
}

#[tokio::test(start_paused = true)]
async fn restarts_extend_no_deadline_and_no_outage() {
    let mut app = App::new().await;
    let (_, token) = app.world.outage().await;
    let before = app.world.clerk.snapshot().health.outages.episode_start();
    app.world.pass(50 * 60).await;
    app = app.restart();
    assert_eq!(app.world.clerk.snapshot().health.outages.episode_start(), before);
    assert_eq!(app.status(&token).await, StatusCode::OK);
    // Nobody answers at all, so that no process learns anything of its own.
    app.world.sim.break_with(SimSurface::ALL, SimFault::Hang);
    for _ in 0..6 {
        app.world.clock.jump(60_000);
        app = app.restart();
        app.world.pass(3).await;
    }
    assert_ne!(app.world.clerk.verdict(), Verdict::Outage);
}

#[tokio::test(start_paused = true)]
async fn a_restart_in_a_forced_outage_gives_no_time_back() {
    let app = App::new().await;
    app.world.clerk.force_outage(Duration::from_secs(4 * 3_600));
    app.world.pass(40 * 60).await;
    let start = app.world.clerk.snapshot().health.outages.episode_start();
    let app = app.restart();
    app.world.pass(1).await;
    assert_ne!(app.world.clerk.verdict(), Verdict::Outage, "the word was the other process's");
    let outages = app.world.clerk.snapshot().health.outages.clone();
    assert_eq!(outages.episode_start(), start);
    assert!(outages.spent_in_episode(app.world.now()) > Duration::from_secs(39 * 60));
}

#[tokio::test(start_paused = true)]
async fn a_start_in_an_outage_verifies_with_stored_keys() {
    let app = App::new().await;
    let session = app.world.sim.sign_in("user_1");
    app.world.pass(5).await;
    app.world.break_clerk();
    let app = app.restart();
    assert_eq!(app.status(&app.world.sim.mint(&session)).await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_sign_out_survives_a_restart_and_still_reaches_clerk() {
    let app = App::new().await;
    let (session, token) = app.world.outage().await;
    let request = Request::post("/auth/sign-out").header("sec-fetch-site", "same-origin");
    let request = request.header("authorization", format!("Bearer {token}"));
    app.world.send(request.body(axum::body::Body::empty()).expect("a request")).await;
    app.world.pass(10).await;
    // Restarts leave it where it is.
    let app = app.restart().restart();
    app.world.pass(3).await;
    let app = app.restart();
    assert_eq!(app.status(&token).await, StatusCode::UNAUTHORIZED);
    app.world.sim.heal_all();
    app.world.until(Verdict::Healthy).await;
    app.world.pass(30).await;
    assert!(!app.world.sim.sessions().contains(&session), "Clerk was told");
    let before = app.world.sim.requests(SimSurface::BackendMutation);
    let app = app.restart();
    app.world.until(Verdict::Healthy).await;
    app.world.pass(30).await;
    assert_eq!(app.world.sim.requests(SimSurface::BackendMutation), before, "and but once");
}

/// Nothing is believed of what was left under another mark, or under none.
#[tokio::test(start_paused = true)]
async fn with_a_secret_key_only_authenticated_data_is_trusted() {
    for key in [Some("sk_test_another"), None] {
        let app = App::new().await;
        let other = without_secret(&app.world.sim);
        let key = key.map(|key| SecretKey::parse(key).expect("a key"));
        let other = key.into_iter().fold(other, ClerkConfig::secret_key);
        let (_, token) = app.world.outage().await;
        let (own, store) = (config(&app.world.sim), app.store.clone());
        let strange = App { store: MemoryStore::new(), ..app }.restart_as(other.clone());
        strange.world.clerk.force_outage(Duration::from_secs(600));
        strange.world.sim.heal_all();
        strange.world.pass(60).await;
        strange.world.break_clerk();
        let left_by_strange = strange.store.clone();
        let taken = App { store, ..strange }.restart_as(other);
        assert!(taken.world.clerk.snapshot().keys.set.is_empty());
        assert!(taken.world.clerk.snapshot().health.outages.intervals().is_empty());
        let taken = App { store: left_by_strange, ..taken }.restart_as(own);
        assert!(taken.world.clerk.snapshot().keys.set.is_empty());
        assert!(taken.world.clerk.snapshot().health.outages.intervals().is_empty());
        assert_eq!(taken.status(&token).await, StatusCode::SERVICE_UNAVAILABLE);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_secret_key_a_local_store_is_trusted() {
    let app = App::new().await;
    let config = without_secret(&app.world.sim);
    let app = App { store: MemoryStore::new(), ..app }.restart_as(config.clone());
    app.world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    let (_, token) = app.world.outage().await;
    let app = app.restart_as(config);
    assert_eq!(app.status(&token).await, StatusCode::OK);
}

/// A state directory that was left behind long ago knows less than the store.
#[tokio::test(start_paused = true)]
async fn outage_histories_of_directory_and_store_both_count() {
    let dir = tempfile::tempdir().expect("a directory");
    let App { world, store, .. } = App::new().await;
    let with_dir = |connection: &Connection, dir: &std::path::Path| {
        let (keep, dir) = (keeping(connection), dir.to_owned());
        move |builder: Builder| keep(builder).state_dir(dir)
    };
    // One outage in the directory alone, and another in the store alone.
    let outage = async |world: &World, minutes: u64| {
        world.clerk.force_outage(Duration::from_secs(minutes * 60));
        world.pass(minutes * 60 + 60).await;
        world.clerk.snapshot().health.outages.intervals().to_vec()
    };
    let (clock, sim) = (world.clock.clone(), world.sim.clone());
    drop(world);
    let elsewhere = Connection::alone(&MemoryStore::new());
    let first = World::beside(clock.clone(), sim.clone(), with_dir(&elsewhere, dir.path()));
    let in_dir = outage(&first, 40).await;
    until_saved(dir.path(), |json| json["intervals"][0][1].is_i64()).await;
    drop(first);
    sim.heal_all();
    let second = World::beside(clock.clone(), sim.clone(), keeping(&Connection::alone(&store)));
    second.pass(3_600).await;
    let in_store = outage(&second, 30).await;
    second.pass(10).await;
    drop(second);
    let last = World::beside(clock, sim, with_dir(&Connection::alone(&store), dir.path()));
    let known = last.clerk.snapshot().health.outages.clone();
    assert_eq!(known.intervals(), [in_dir, in_store.clone()].concat());
    assert_eq!(known.episode_start(), Some(in_store[0].start));
    assert!(known.spent_in_day(last.now()) >= Duration::from_secs(70 * 60));
}

#[cfg(feature = "sqlite")]
#[tokio::test(start_paused = true)]
async fn a_store_file_alone_keeps_grace_over_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("store.db");
    let open = |store| move |builder: Builder| builder.grace(GracePolicy::balanced()).store(store);
    let store = clerk_resilience::store::SqliteStore::open(&file).expect("new");
    let world = World::with(open(store)).await;
    let (_, token) = world.outage().await;
    let World { clock, sim, clerk, app } = world;
    drop((clerk, app));
    let store = crate::webhooks::reopened(&file).await;
    let world = World::beside(clock, sim, open(store));
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    assert_eq!(world.clerk.verdict(), Verdict::Outage);
}
