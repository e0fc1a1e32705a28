//! The page on which one breaks Clerk: both applications, a signed-in user, and the switches.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use clerk_resilience::clock::{Clock, SystemClock};
use clerk_resilience::fetch::HttpUpstream;
use clerk_resilience::key::{InstanceKind, PublishableKey};
use clerk_resilience::sim::SimClerk;
use clerk_resilience::{Builder, ClerkResilience, ConfigError, GracePolicy};
use demo_support::account::Doors;
use demo_support::address::{Address, config};
use demo_support::app::Notes;
use demo_support::plain::Plain;
use demo_support::renewal::RENEW_AFTER;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::RwLock;
use tower::ServiceExt as _;
use url::Url;

use crate::browser::{self, Browser, Kind};
use crate::counted::Counted;
use crate::log::Log;
use crate::protected::Protected;
use crate::unprotected;
use crate::{Trouble, desk, serve};

pub(crate) async fn run(port: u16, span: Option<Duration>) -> Result<(), Trouble> {
    let listener = serve::bind(port).await?;
    let stage = Stage::new(listener.local_addr()?.port()).await?;
    println!("a simulated Clerk, and one application twice; Ctrl-C ends it");
    println!("to sign in yourself, open {}", stage.doors.application);
    println!("to break Clerk, open this in a browser");
    tokio::spawn(stage.ada.clone().keep_renewing(RENEW_AFTER));
    tokio::spawn(stage.clone().use_both());
    serve::serve(listener, desk::by_host(&stage), span).await
}

/// Where the application is for a browser with its own session.
pub(crate) const OWN_HOST: &str = "notes.localhost";

/// Everything there is.
pub(crate) struct Stage {
    clock: SystemClock,
    pub(crate) sim: SimClerk,
    state: TempDir,
    canary: Url,
    pub(crate) doors: Doors,
    notes: Notes,
    wires: [Counted; 2],
    protected: RwLock<Protected>,
    plain: Router,
    pub(crate) ada: Arc<Browser>,
    log: Mutex<Log>,
}

impl Stage {
    async fn new(port: u16) -> Result<Arc<Self>, Trouble> {
        let key = PublishableKey::for_host("clerk.sim.example", InstanceKind::Development);
        let sim = SimClerk::builder().publishable_key(key.expect("a plain host")).start().await?;
        let clock = SystemClock::new();
        let canary = address("127.0.0.1", port, "canary");
        let doors = doors(&sim, port);
        let http = Arc::new(HttpUpstream::new().map_err(Trouble::Other)?);
        let wires = [(); 2].map(|()| Counted::new(http.clone()));
        let (state, notes) = (tempfile::tempdir()?, Notes::default());
        let builder = builder(&sim, &wires[0], &state, &canary, &doors);
        let protected = RwLock::new(Protected::start(builder, notes.clone())?);
        let plain = Arc::new(plain(&sim, &clock, &wires[1]));
        let plain = unprotected::application(plain, Notes::default());
        let session = sim.sign_in("Ada");
        let token = sim.mint(&session);
        let ada = Arc::new(Browser::new(session, token, &Address::of(&sim), http));
        let log = Mutex::default();
        Ok(Arc::new(Self {
            clock,
            sim,
            state,
            canary,
            doors,
            notes,
            wires,
            protected,
            plain,
            ada,
            log,
        }))
    }

    pub(crate) async fn routers(&self) -> [Router; 2] {
        [self.protected.read().await.router.clone(), self.plain.clone()]
    }

    /// Ada uses both applications, once a second.
    async fn use_both(self: Arc<Self>) {
        let mut beat = tokio::time::interval(Duration::from_secs(1));
        loop {
            beat.tick().await;
            let (number, kind) = self.log(Log::begin);
            for server in 0..2 {
                tokio::spawn(self.clone().use_one(server, number, kind));
            }
        }
    }

    async fn use_one(self: Arc<Self>, server: usize, number: u64, kind: Kind) {
        let router = self.routers().await[server].clone();
        let request = browser::request(kind, Some(&self.ada.token()));
        let outcome = browser::ask(router, request).await;
        self.log(|log| log.note(number, server, outcome));
    }

    pub(crate) fn log<T>(&self, change: impl FnOnce(&mut Log) -> T) -> T {
        change(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) async fn restart(&self) -> Result<(), ConfigError> {
        let mut protected = self.protected.write().await;
        protected.kill().await;
        let builder = builder(&self.sim, &self.wires[0], &self.state, &self.canary, &self.doors);
        *protected = Protected::start(builder, self.notes.clone())?;
        self.log(|log| log.lives += 1);
        Ok(())
    }

    pub(crate) async fn report(&self) -> Value {
        let expires = self.ada.expires().unwrap_or_default().as_millis();
        let left = (expires - self.clock.now().wall.as_millis()).div_euclid(1000);
        let verdict = self.protected.read().await.clerk.verdict().name();
        let mut report = self.log(|log| log.report());
        report["verdict"] = verdict.into();
        report["tokenLeft"] = left.into();
        report["asked"] = json!([self.wires[0].asked(), self.wires[1].asked()]);
        report["health"] = self.health().await;
        report
    }

    /// What the application's own health endpoint says.
    async fn health(&self) -> Value {
        let request = Request::builder().uri("/auth/health").body(Body::empty());
        let request = request.expect("a path makes a request");
        let [router, _] = self.routers().await;
        let Ok(response) = router.oneshot(request).await;
        let body = axum::body::to_bytes(response.into_body(), 64 * 1024).await;
        body.ok().and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default()
    }
}

/// Two hosts that share no cookies, with each other or with anything else on this machine but
/// `localhost`. Every browser finds them here.
fn doors(sim: &SimClerk, port: u16) -> Doors {
    let frontend_api = sim.frontend_api_url().port().expect("a listener's address has a port");
    Doors {
        frontend_api: address("localhost", frontend_api, ""),
        application: address(OWN_HOST, port, ""),
    }
}

fn address(host: &str, port: u16, path: &str) -> Url {
    Url::parse(&format!("http://{host}:{port}/{path}")).expect("a host and a port")
}

fn builder(
    sim: &SimClerk,
    wire: &Counted,
    state: &TempDir,
    canary: &Url,
    doors: &Doors,
) -> Builder {
    let config = config(sim).sign_in_url(doors.sign_in());
    ClerkResilience::builder(config)
        .site(|site| doors.site(site))
        .grace(GracePolicy::balanced())
        .state_dir(state.path())
        .egress_canary(canary.clone())
        .transport(wire.clone())
}

fn plain(sim: &SimClerk, clock: &SystemClock, wire: &Counted) -> Plain {
    Plain {
        transport: Arc::new(wire.clone()),
        clock: Arc::new(clock.clone()),
        address: Address::of(sim),
        publishable: sim.publishable_key().clone(),
        secret: sim.secret_key().clone(),
        cache: Mutex::default(),
    }
}
