//! What the receiver of webhooks bears: events a second, how long a delivery waits for its answer, and
//! how soon after it a revoked session is refused. Run with `cargo bench --features sqlite --bench webhooks`;
//! it reports and never fails on timing.
//!
//! Deliveries are signed and go through `WebhookService` in this process, without a network. The layer's
//! driver, the store and whoever delivers share the machine.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use clerk_resilience::clock::{Clock as _, SystemClock};
use clerk_resilience::sim::SimClerk;
use clerk_resilience::store::{MemoryStore, SqliteStore};
use clerk_resilience::webhook_signature::WebhookSecret;
use clerk_resilience::{ClerkConfig, ClerkResilience, WebhookService};
use http::header::AUTHORIZATION;
use http::{Request, StatusCode};
use serde_json::json;
use tokio::time::Instant;
use tower::ServiceExt as _;

/// So many deliveries are made as fast as they are answered,
const FLOOD: usize = 20_000;
/// by so many who wait for their answer each.
const AT_ONCE: usize = 256;
const RATE: u32 = 500;
const SPELL: Duration = Duration::from_secs(10);
const REVOCATIONS: usize = 300;
const ROWS: u32 = 1_000_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(measure());
}

async fn measure() {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    println!("{cores} cores; a sync of 4 KiB takes {:.1} ms here (median)\n", sync(dir.path()));

    println!("| as fast as they are answered | memory, events/s | SQLite, events/s |");
    println!("|---|--:|--:|");
    for kind in Kind::ALL {
        let memory = flood(&World::new(None).await, kind).await;
        let sqlite = flood(&World::new(Some(dir.path())).await, kind).await;
        println!("| {} | {memory:.0} | {sqlite:.0} |", kind.name());
    }

    println!("\n| {RATE} deliveries a second, {} s | p50 ms | p99 ms | longest |", SPELL.as_secs());
    println!("|---|--:|--:|--:|");
    for kind in Kind::ALL {
        for (name, dir) in [("memory", None), ("SQLite", Some(dir.path()))] {
            let times = steady(&World::new(dir).await, kind).await;
            println!("| {}, {name} | {} |", kind.name(), times.row());
        }
    }

    println!("\n| revoked, {REVOCATIONS} times | p50 ms | p99 ms | longest |");
    println!("|---|--:|--:|--:|");
    for (name, dir) in [("memory", None), ("SQLite", Some(dir.path()))] {
        let (answered, arrived) = revocations(&World::new(dir).await).await;
        println!("| the answer, to the next request's 401; {name} | {} |", answered.row());
        println!("| the arrival, to the first 401; {name} | {} |", arrived.row());
    }
    let opened = reopened(dir.path());
    println!("\na file of {ROWS} events is opened in {opened:.1} s");
}

/// What is delivered.
#[derive(Clone, Copy)]
enum Kind {
    /// Nothing here acts on it.
    Unused,
    /// A hook hears of it.
    Hook,
    /// A session ends.
    Revocation,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Unused, Self::Hook, Self::Revocation];

    fn name(self) -> &'static str {
        match self {
            Self::Unused => "kept by its id alone",
            Self::Hook => "for a hook",
            Self::Revocation => "revokes a session",
        }
    }

    fn body(self, number: usize) -> String {
        let user = json!({ "id": format!("user_{number}"), "first_name": "Ada", "public_metadata": { "plan": "team" } });
        let event = match self {
            Self::Unused => json!({ "type": "user.updated", "data": user }),
            Self::Hook => json!({ "type": "user.created", "data": user }),
            Self::Revocation => revoked(&format!("sess_{number}")),
        };
        event.to_string()
    }
}

fn revoked(session: &str) -> serde_json::Value {
    json!({ "type": "session.revoked", "data": { "id": session } })
}

/// A receiver with a store of its own.
struct World {
    sim: SimClerk,
    app: Router,
    service: WebhookService,
    secret: WebhookSecret,
}

impl World {
    async fn new(dir: Option<&Path>) -> Self {
        let sim = SimClerk::builder().clock(SystemClock::new()).build();
        let secret = || WebhookSecret::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
        let config = ClerkConfig::new(sim.publishable_key().clone())
            .frontend_api(sim.frontend_api_url())
            .backend_api(sim.backend_api_url())
            .status_page(None)
            .webhook_secret(secret().expect("a secret"));
        let builder = ClerkResilience::builder(config)
            .transport(sim.transport())
            .on_event(["user.created"], |_| async { Ok::<(), String>(()) });
        let builder = match dir {
            None => builder.store(MemoryStore::new()),
            Some(dir) => builder.store(SqliteStore::open(fresh(dir)).expect("a store")),
        };
        let clerk = builder.build().expect("a good configuration");
        clerk.ready(Duration::from_secs(10)).await.expect("a healthy Clerk");
        let app = Router::new().route("/me", get(async || "ok")).route_layer(clerk.clone());
        let service = clerk.webhook_service().expect("with a secret");
        Self { sim, app, service, secret: secret().expect("a secret") }
    }

    fn signed(&self, id: &str, body: &str) -> Request<Body> {
        let now = SystemClock::new().now().wall.as_secs();
        Request::post("/auth/webhooks")
            .header("svix-id", id)
            .header("svix-timestamp", now)
            .header("svix-signature", self.secret.sign(id, now, body.as_bytes()))
            .body(Body::from(body.to_owned()))
            .expect("a request")
    }

    async fn status(&self, token: &str) -> StatusCode {
        let request = Request::get("/me").header(AUTHORIZATION, format!("Bearer {token}"));
        let request = request.body(Body::empty()).expect("a request");
        self.app.clone().oneshot(request).await.expect("infallible").status()
    }
}

/// A file that is not there yet.
fn fresh(dir: &Path) -> std::path::PathBuf {
    dir.join(format!("{:016x}.db", fastrand::u64(..)))
}

async fn deliver(service: WebhookService, request: Request<Body>) {
    let response = service.oneshot(request).await.expect("infallible");
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
}

/// Events a second.
async fn flood(world: &World, kind: Kind) -> f64 {
    let count = if matches!(kind, Kind::Hook) { FLOOD / 4 } else { FLOOD };
    let requests: VecDeque<_> =
        (0..count).map(|n| world.signed(&format!("msg_{n}"), &kind.body(n))).collect();
    let requests = Arc::new(Mutex::new(requests));
    let begun = Instant::now();
    let senders = (0..AT_ONCE).map(|_| {
        let (requests, service) = (Arc::clone(&requests), world.service.clone());
        tokio::spawn(async move {
            loop {
                let next = requests.lock().expect("sound").pop_front();
                let Some(request) = next else { return };
                deliver(service.clone(), request).await;
            }
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        sender.await.expect("all were kept");
    }
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let count = count as f64;
    count / begun.elapsed().as_secs_f64()
}

/// From the moment at which a delivery is due to its answer.
async fn steady(world: &World, kind: Kind) -> Times {
    let count = RATE * u32::try_from(SPELL.as_secs()).expect("some seconds");
    let begun = Instant::now();
    let mut answers = Vec::new();
    for n in 0..count {
        let request = world.signed(&format!("msg_{n}"), &kind.body(n as usize));
        let (due, service) = (begun + n * Duration::from_secs(1) / RATE, world.service.clone());
        tokio::time::sleep_until(due).await;
        answers.push(tokio::spawn(async move {
            deliver(service, request).await;
            due.elapsed()
        }));
    }
    let mut times = Vec::new();
    for answer in answers {
        times.push(answer.await.expect("kept"));
    }
    Times::of(&times)
}

/// How long it takes from the answer of a delivery to the 401 of the next request, and from the
/// delivery's arrival to the first 401 of somebody who keeps asking.
async fn revocations(world: &World) -> (Times, Times) {
    let (mut answered, mut arrived) = (Vec::new(), Vec::new());
    for n in 0..2 * REVOCATIONS {
        let session = world.sim.sign_in(format!("user_{n}"));
        let token = world.sim.mint(&session);
        assert_eq!(world.status(&token).await, StatusCode::OK);
        let body = revoked(session.id.as_str()).to_string();
        let request = world.signed(&format!("msg_{n}"), &body);
        let begun = Instant::now();
        let delivery = tokio::spawn(deliver(world.service.clone(), request));
        if n % 2 == 0 {
            delivery.await.expect("kept");
            let begun = Instant::now();
            assert_eq!(world.status(&token).await, StatusCode::UNAUTHORIZED);
            answered.push(begun.elapsed());
        } else {
            while world.status(&token).await == StatusCode::OK {
                tokio::task::yield_now().await;
            }
            arrived.push(begun.elapsed());
            delivery.await.expect("kept");
        }
    }
    (Times::of(&answered), Times::of(&arrived))
}

/// In milliseconds, the shortest first.
struct Times(Vec<f64>);

impl Times {
    fn of(times: &[Duration]) -> Self {
        let mut times: Vec<_> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    fn row(&self) -> String {
        let Self(times) = self;
        let at = |percent: usize| times[(times.len() - 1) * percent / 100];
        format!("{:.2} | {:.2} | {:.2}", at(50), at(99), at(100))
    }
}

/// What the disk takes to say that something is on it, in milliseconds.
fn sync(dir: &Path) -> f64 {
    use std::io::Write as _;
    let mut file = std::fs::File::create(dir.join("sync")).expect("writable");
    let once = |_| {
        let begun = Instant::now();
        file.write_all(&[0; 4096]).and_then(|()| file.sync_data()).expect("written");
        begun.elapsed()
    };
    Times::of(&(0..51).map(once).collect::<Vec<_>>()).0[25]
}

/// Seconds to open a file of so many events, each of which denied a session.
fn reopened(dir: &Path) -> f64 {
    let path = fresh(dir);
    drop(SqliteStore::open(&path).expect("a store"));
    let tool = rusqlite::Connection::open(&path).expect("writable");
    let fill = format!(
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {ROWS})
         INSERT INTO inbox (id, kind, happened, received, state, next_at)
         SELECT 'msg_' || hex(randomblob(14)), 'session.revoked', n, n, 'done', n FROM n;
         INSERT INTO denial (kind, id, at) SELECT 'session', 'sess_' || substr(id, 5), 0 FROM inbox;"
    );
    tool.execute_batch(&fill).expect("filled");
    drop(tool);
    let begun = Instant::now();
    drop(SqliteStore::open(&path).expect("sound"));
    begun.elapsed().as_secs_f64()
}
