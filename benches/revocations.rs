//! What a million revoked sessions cost: memory, a look-up, and one more. Run with
//! `cargo bench --bench revocations`; it reports and never fails on timing.
//!
//! Times are thread CPU time. Memory is what the allocator was asked for, and what the kernel counts as
//! resident, which includes what the allocator needs for itself.

use std::alloc::System;
use std::hint::black_box;
use std::time::Duration;

use axum::body::Body;
use clerk_resilience::clock::{ClaimsTime, Clock as _, SystemClock, Timestamp};
use clerk_resilience::id::{SessionId, UserId};
use clerk_resilience::internals::revocation::{Denial, Revocations, TokenIdentity};
use clerk_resilience::sim::SimClerk;
use clerk_resilience::store::{FollowUp, InboxEvent, MemoryStore, Store as _};
use clerk_resilience::webhook_signature::WebhookSecret;
use clerk_resilience::{ClerkConfig, ClerkResilience};
use http::{Request, StatusCode};
use rustix::time::{ClockId, clock_gettime};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tower::ServiceExt as _;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const COUNT: u32 = 1_000_000;
/// Look-ups in one pass; the best pass counts.
const LOOKUPS: u32 = 200_000;
const PASSES: usize = 7;
/// Additions, one after the other.
const MORE: u32 = 1_000;
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn main() {
    let (region, resident) = (Region::new(ALLOCATOR), resident());
    let set = million();
    report_memory("the set", &region, resident);
    look_up(&set);
    add(&set);
    drop(set);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(publish());
}

/// As long as Clerk's, in no order.
fn session(number: u32) -> String {
    let mixed = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("sess_2q{mixed:020}{:05}", mixed % 99_991)
}

fn far() -> Timestamp {
    SystemClock::new().now().wall.plus(Duration::from_secs(30 * 24 * 60 * 60))
}

fn denials(from: u32, to: u32) -> Vec<Denial> {
    let until = far();
    (from..to).map(|n| Denial::Session(session(n).into(), until)).collect()
}

fn million() -> Revocations {
    let starts = (0..COUNT).step_by(10_000);
    starts.fold(Revocations::default(), |set, from| set.with_all(&denials(from, from + 10_000)))
}

fn look_up(set: &Revocations) {
    let mut random = fastrand::Rng::with_seed(1);
    let mut any = |from: u32| -> Vec<SessionId> {
        (0..LOOKUPS).map(|_| session(from + random.u32(0..COUNT)).into()).collect()
    };
    let (revoked, others) = (any(0), any(COUNT));
    let few: Vec<SessionId> = revoked.iter().take(1_000).cloned().collect();
    let few: Vec<SessionId> = few.iter().cycle().take(revoked.len()).cloned().collect();
    let none = Revocations::default();
    println!("a look-up, as the judgement makes it:");
    for (name, set, ids, found) in [
        ("an empty set", &none, &others, false),
        ("not revoked, any session", set, &others, false),
        ("revoked, a thousand sessions in turn", set, &few, true),
        ("revoked, any of the million", set, &revoked, true),
    ] {
        let pass = || {
            let nanos = measure(|| assert!(ids.iter().all(|id| denied(set, id) == found)));
            nanos / f64::from(LOOKUPS)
        };
        let best = (0..PASSES).map(|_| pass()).fold(f64::MAX, f64::min);
        println!("  {name:<40} {best:>6.0} ns");
    }
}

fn denied(set: &Revocations, id: &SessionId) -> bool {
    thread_local!(static USER: UserId = UserId::new("user_1"));
    USER.with(|user| {
        let bearer = TokenIdentity {
            session: Some(id),
            token: None,
            user,
            claims_as_of: ClaimsTime::read(None),
            organization: None,
            role: None,
            permissions: &[],
        };
        set.deny(black_box(&bearer)).is_some()
    })
}

fn add(set: &Revocations) {
    let (mut present, until) = (set.clone(), far());
    let mut one = |number: u32| {
        let id = session(2 * COUNT + number).into();
        measure(|| present = present.with_session(&id, until))
    };
    report_times("one more, in the set alone", (0..MORE).map(&mut one).collect());
}

/// The same through the handle: a new snapshot each, and the old one dropped.
async fn publish() {
    let (region, resident) = (Region::new(ALLOCATOR), resident());
    let (clerk, _driver) = application().await;
    report_memory("an application, its store in memory included", &region, resident);
    let revoke = |number: u32| {
        let id = session(3 * COUNT + number);
        measure(|| clerk.revoke_session(id.clone()))
    };
    report_times("revoke_session", (0..MORE).map(revoke).collect());
    let mut times = Vec::new();
    for number in 0..MORE {
        let request = webhook(number);
        let service = clerk.webhook_service().expect("a secret is set");
        let begun = cpu_time();
        let Ok(answer) = service.oneshot(request).await;
        times.push(nanos_since(begun));
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }
    report_times("a webhook that revokes a session", times);
    report_memory("after both", &region, resident);
}

async fn application() -> (ClerkResilience, clerk_resilience::Driver) {
    let store = MemoryStore::new();
    for from in (0..COUNT).step_by(10_000) {
        let entry = InboxEvent {
            id: format!("msg_{from}"),
            kind: "session.revoked".to_owned(),
            happened: Timestamp::default(),
            received: SystemClock::new().now().wall,
            denials: denials(from, from + 10_000),
            changes: Vec::new(),
            rest: FollowUp::Nothing,
        };
        store.accept(entry).await.expect("kept");
    }
    let sim = SimClerk::builder().clock(SystemClock::new()).build();
    let secret = WebhookSecret::parse(SECRET).expect("a secret");
    let config = ClerkConfig::new(sim.publishable_key().clone()).webhook_secret(secret);
    let builder = ClerkResilience::builder(config).transport(sim.transport()).store(store);
    builder.pair().expect("a good configuration")
}

fn webhook(number: u32) -> Request<Body> {
    let (id, now) = (format!("msg_more_{number}"), SystemClock::new().now().wall.as_secs());
    let session = session(4 * COUNT + number);
    let body = format!(r#"{{"type":"session.revoked","data":{{"id":"{session}"}}}}"#);
    let secret = WebhookSecret::parse(SECRET).expect("a secret");
    let signature = secret.sign(&id, now, body.as_bytes());
    Request::post("/auth/webhooks")
        .header("svix-id", id)
        .header("svix-timestamp", now)
        .header("svix-signature", signature)
        .body(Body::from(body))
        .expect("a request")
}

fn measure(work: impl FnOnce()) -> f64 {
    let begun = cpu_time();
    work();
    nanos_since(begun)
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn nanos_since(begun: Duration) -> f64 {
    cpu_time().saturating_sub(begun).as_nanos() as f64
}

fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("a time after zero")
}

fn report_times(what: &str, mut nanos: Vec<f64>) {
    nanos.sort_by(f64::total_cmp);
    let at = |percent: usize| nanos[(nanos.len() - 1) * percent / 100] / 1_000.0;
    println!("{what}: median {:.1} µs, p99 {:.1} µs, most {:.1} µs", at(50), at(99), at(100));
}

fn report_memory(what: &str, since: &Region<'_, System>, resident_before: usize) {
    let change = since.change();
    let asked = change.bytes_allocated - change.bytes_deallocated;
    let resident = resident().saturating_sub(resident_before);
    println!("{what}: {} MB asked for, {} MB resident", asked / 1_000_000, resident / 1_000_000);
}

/// What the kernel counts for this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kib.unwrap_or_default() * 1024
}
