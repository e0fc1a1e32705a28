//! The demo's application and a simulated Clerk on loopback, in time that stands still until it is moved.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use axum::extract::{Extension, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use clerk_resilience::key::{InstanceKind, PublishableKey};
use clerk_resilience::sim::{SimClerk, SimClock};
use clerk_resilience::{ClerkResilience, GracePolicy, Verdict};
use demo_support::account::Doors;
use demo_support::address::config;
use demo_support::app::{self, Notes};
use http::header::LOCATION;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use url::Url;

/// In such steps time goes on; every probe is over before the next.
const STEP: Duration = Duration::from_millis(250);

/// Where Clerk is asked for a session, and where a person signs in.
pub const HANDSHAKE: &str = "/v1/client/handshake";
pub const SIGN_IN: &str = "/sign-in";

/// What the application answered to a page visit.
#[derive(Clone, Debug)]
pub struct Hop {
    pub status: u16,
    /// The path it redirected to.
    pub to: Option<String>,
}

/// The application and its Clerk. Both end with this.
pub struct World {
    pub application: Url,
    pub sim: SimClerk,
    trail: Trail,
    orders: mpsc::UnboundedSender<Order>,
}

type Trail = Arc<Mutex<Vec<Hop>>>;

#[derive(Debug)]
struct Order {
    pass: Duration,
    done: oneshot::Sender<Verdict>,
}

impl World {
    /// Clerk's clock is so many seconds ahead of the application's, or behind it.
    pub fn new(ahead: i64) -> Self {
        let (send, receive) = oneshot::channel();
        let (orders, inbox) = mpsc::unbounded_channel();
        thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().start_paused(true).build().expect("a runtime");
            runtime.block_on(async {
                // Paused time jumps when nothing is left to do but to wait, for a browser too. It does
                // not while a blocking task runs.
                let (_end, ended) = std::sync::mpsc::channel::<()>();
                drop(tokio::task::spawn_blocking(move || ended.recv()));
                let house = House::build(ahead).await;
                assert!(send.send(house.face()).is_ok(), "the test waits for this");
                house.follow(inbox).await;
            });
        });
        let (application, sim, trail) = receive.blocking_recv().expect("the world is built");
        Self { application, sim, trail, orders }
    }

    /// Lets time go on, and tells what is then thought of Clerk.
    pub async fn pass(&self, seconds: u64) -> Verdict {
        let (done, told) = oneshot::channel();
        let order = Order { pass: Duration::from_secs(seconds), done };
        self.orders.send(order).expect("the world lives as long as this");
        told.await.expect("the world lives as long as this")
    }

    /// The page visits since the last call.
    pub fn visits(&self) -> Vec<Hop> {
        std::mem::take(&mut *self.trail.lock().expect("nobody panics with it"))
    }
}

/// How often the application redirected to an address with this path.
pub fn sent_to(path: &str, visits: &[Hop]) -> usize {
    visits.iter().filter(|hop| hop.to.as_deref() == Some(path)).count()
}

struct House {
    application: Url,
    sim: SimClerk,
    clerk: ClerkResilience,
    trail: Trail,
}

impl House {
    async fn build(ahead: i64) -> Self {
        let clock = SimClock::starting_now();
        let theirs = clock.skewed(ahead * 1000);
        let key = PublishableKey::for_host("clerk.sim.example", InstanceKind::Development);
        let key = key.expect("a plain host");
        let sim = SimClerk::builder().clock(theirs).publishable_key(key).start().await;
        let sim = sim.expect("free ports");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let doors = Doors {
            frontend_api: renamed(&sim.frontend_api_url(), "localhost"),
            application: address("notes.localhost", listener.local_addr().expect("bound").port()),
        };
        let config = config(&sim).sign_in_url(doors.sign_in());
        let clerk = ClerkResilience::builder(config)
            .site(|site| doors.site(site))
            .grace(GracePolicy::balanced())
            .clock(clock)
            .transport(sim.transport())
            .build()
            .expect("a good configuration");
        let trail = Trail::default();
        let router = app::protected(&clerk, Notes::default())
            .layer(Extension(doors.clone()))
            .layer(from_fn_with_state(trail.clone(), note));
        tokio::spawn(axum::serve(listener, router).into_future());
        let house = Self { application: doors.application, sim, clerk, trail };
        house.pass(Duration::from_secs(5)).await;
        house
    }

    fn face(&self) -> (Url, SimClerk, Trail) {
        (self.application.clone(), self.sim.clone(), self.trail.clone())
    }

    async fn follow(&self, mut inbox: mpsc::UnboundedReceiver<Order>) {
        while let Some(Order { pass, done }) = inbox.recv().await {
            self.pass(pass).await;
            // A test that has failed does not wait for it.
            let _ = done.send(self.clerk.verdict());
        }
    }

    async fn pass(&self, span: Duration) {
        for _ in 0..span.as_millis() / STEP.as_millis() {
            tokio::time::advance(STEP).await;
            for _ in 0..30 {
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn note(State(trail): State<Trail>, request: Request, next: Next) -> Response {
    let page = request.headers().get("sec-fetch-dest").is_some_and(|dest| dest == "document");
    let response = next.run(request).await;
    if page {
        let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
        let base = address("notes.localhost", 80);
        let to = to.and_then(|to| base.join(to).ok()).map(|to| to.path().to_owned());
        let hop = Hop { status: response.status().as_u16(), to };
        trail.lock().expect("nobody panics with it").push(hop);
    }
    response
}

fn address(host: &str, port: u16) -> Url {
    Url::parse(&format!("http://{host}:{port}/")).expect("a host and a port")
}

fn renamed(url: &Url, host: &str) -> Url {
    address(host, url.port().expect("a listener's address has a port"))
}
