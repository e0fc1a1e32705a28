//! What a million denials on a Redis server cost an instance that starts or reads them again, the server,
//! and others who use it. Run with `cargo bench --features redis --bench denials`; it starts the server
//! itself, reports, and never fails on timing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clerk_resilience::clock::{Clock as _, SystemClock};
use clerk_resilience::internals::revocation::Denial;
use clerk_resilience::internals::snapshot::DenyList;
use clerk_resilience::sim::SimClerk;
use clerk_resilience::store::{RedisStore, Store as _};
use clerk_resilience::{ClerkConfig, ClerkResilience};
use test_support::redis_server::Server;
use tokio::time::Instant;

const COUNT: usize = 1_000_000;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(measure());
}

async fn measure() {
    let server = Server::start();
    let store = connect(&server).await;
    let _: String = server.ask(&["CONFIG", "SET", "slowlog-log-slower-than", "500"]);
    println!(
        "| what | s | memory here, MB more | others wait, p99 ms | longest | slowest command ms |"
    );
    println!("|---|--:|--:|--:|--:|--:|");
    row(&server, "nothing, for comparison", async {
        tokio::time::sleep(Duration::from_secs(3)).await;
    })
    .await;
    row(&server, "all are denied", load(&store)).await;
    let clerk = row(&server, "an instance is built", async {
        let builder = builder(connect(&server).await);
        tokio::task::spawn_blocking(move || builder.build().expect("it runs")).await.expect("whole")
    })
    .await;
    row(&server, "its list is complete", async {
        while !matches!(clerk.snapshot().feeds.deny_list, DenyList::External { complete: Some(_) })
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(clerk.snapshot().revocations.sessions().count(), COUNT);
    row(&server, "all are read again, and not kept", read_all(&store)).await;
    println!("\nthe server has {} MB in use", used(&server));
}

async fn connect(server: &Server) -> RedisStore {
    RedisStore::connect(&server.url(), "test").await.expect("a running server")
}

async fn load(store: &RedisStore) {
    let until = SystemClock::new().now().wall.plus(DAY);
    for batch in 0..COUNT / 1_000 {
        let sessions = (0..1_000).map(|n| {
            // As long as Clerk's.
            let id = format!("sess_2k{:08}aUv3Qw7Xy9Zb1Cd5Ef", batch * 1_000 + n);
            Denial::Session(id.into(), until.plus(Duration::from_millis(batch as u64 / 4)))
        });
        store.deny(sessions.collect()).await.expect("kept");
    }
}

fn builder(store: RedisStore) -> clerk_resilience::Builder {
    let sim = SimClerk::builder().clock(SystemClock::new()).build();
    let config = ClerkConfig::new(sim.publishable_key().clone())
        .frontend_api(sim.frontend_api_url())
        .backend_api(sim.backend_api_url())
        .status_page(None);
    ClerkResilience::builder(config).transport(sim.transport()).store(store)
}

async fn read_all(store: &RedisStore) {
    let fleet = store.fleet().expect("it is shared");
    let (mut mark, mut read) = (None, 0);
    loop {
        let feed = fleet.follow(mark).await.expect("read");
        read += feed.denials.len();
        if !feed.more {
            break;
        }
        mark = Some(feed.mark);
    }
    assert_eq!(read, COUNT);
}

/// What something takes, and what somebody else waits for a `PING` meanwhile.
async fn row<T>(server: &Server, what: &str, work: impl Future<Output = T>) -> T {
    let _: String = server.ask(&["SLOWLOG", "RESET"]);
    let before = resident();
    let other = Other::begin(server.url());
    let begun = Instant::now();
    let done = work.await;
    let secs = begun.elapsed().as_secs_f64();
    let more = resident() - before;
    let waits = other.end();
    let p99 = waits[(waits.len() - 1) * 99 / 100];
    let longest = waits.last().expect("some");
    println!("| {what} | {secs:.2} | {more:.0} | {p99:.2} | {longest:.2} | {} |", slowest(server));
    done
}

/// Another client of the server's.
struct Other {
    enough: Arc<AtomicBool>,
    waits: std::thread::JoinHandle<Vec<f64>>,
}

impl Other {
    fn begin(url: String) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&enough);
        let waits = std::thread::spawn(move || {
            let client = redis::Client::open(url).expect("an address");
            let mut wire = client.get_connection().expect("it runs");
            let mut waits = Vec::new();
            while !until.load(Ordering::Relaxed) || waits.is_empty() {
                let asked = Instant::now();
                let _: String = redis::cmd("PING").query(&mut wire).expect("answered");
                waits.push(asked.elapsed().as_secs_f64() * 1e3);
                std::thread::sleep(Duration::from_micros(500));
            }
            waits
        });
        Self { enough, waits }
    }

    /// In milliseconds, the shortest first.
    fn end(self) -> Vec<f64> {
        self.enough.store(true, Ordering::Relaxed);
        let mut waits = self.waits.join().expect("whole");
        waits.sort_by(f64::total_cmp);
        waits
    }
}

/// Milliseconds, of those commands that took half a millisecond or more.
fn slowest(server: &Server) -> String {
    let rows: Vec<Vec<redis::Value>> = server.ask(&["SLOWLOG", "GET", "128"]);
    let micros = rows.iter().filter_map(|row| redis::from_redis_value_ref::<u64>(row.get(2)?).ok());
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    micros.max().map_or("< 0.5".to_owned(), |micros| format!("{:.1}", micros as f64 / 1e3))
}

fn used(server: &Server) -> String {
    let info: String = server.ask(&["INFO", "memory"]);
    let bytes = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("said");
    let bytes: f64 = bytes.trim().parse().expect("a number");
    format!("{:.0}", bytes / 1e6)
}

/// Megabytes of this process.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or_default() * 1024.0 / 1e6
}
