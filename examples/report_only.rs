//! A dry run: `cargo run --example report_only`.
//!
//! Responses are those of grace switched off. The audit records what grace would have done, so an
//! operator can see the effect before anybody depends on it. In an application for real users
//! `CLERK_RESILIENCE_GRACE=report-only` does the same without a line of code.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use clerk_resilience::audit::GraceEvent;
use clerk_resilience::sim::{SimClerk, SimFault, SimSurface};
use clerk_resilience::{Auth, ClerkResilience, GracePolicy, SimClerkExt as _};

fn app(clerk: &ClerkResilience) -> Router {
    Router::new().route("/me", get(async |_: Auth| "hello")).route_layer(clerk.clone())
}

/// Runs while a request waits, so it only stores the event. A real one sends it to a channel.
fn record(records: &Arc<Mutex<Vec<String>>>) -> impl Fn(&GraceEvent) + Send + Sync + 'static {
    let records = Arc::clone(records);
    move |event| {
        let line = format!("{} {:?}: {:?}", event.method, event.route, event.ruling);
        records.lock().expect("no holder of the lock panics").push(line);
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let records = Arc::default();
    let sim = SimClerk::in_memory();
    let clerk = sim.layer(|builder| {
        builder.grace(GracePolicy::balanced().report_only()).audit(record(&records))
    });
    let app = app(&clerk);
    let request = sim.get("/me", &sim.sign_in("user_1"));
    assert_eq!(sim.send(&app, &request).await.status(), 200);

    sim.break_with(SimSurface::CLERK, SimFault::status(503));
    sim.pass(Duration::from_secs(120)).await;
    assert_eq!(sim.send(&app, &request).await.status(), 503, "the answer of grace switched off");

    let records = records.lock().expect("no holder of the lock panics");
    assert!(records.iter().any(|line| line.contains("ReportOnly")), "{records:?}");
    for line in records.iter() {
        println!("report_only: {line}");
    }
}
