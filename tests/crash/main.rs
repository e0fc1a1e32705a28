//! Receivers that are killed, again and again, while webhooks come in.
//!
//! Child processes receive over loopback sockets and keep what comes in a SQLite file, or two of them at a
//! Redis server. This process delivers, twice and shuffled, until each delivery was answered; kills the
//! children with SIGKILL at random moments; and does to the file and to the server what happens to such.
//!
//! Held to: what was answered is kept whenever a child comes back, and in its memory; and at the end every
//! event took effect, and none twice. Triggers in the file note each effect in the transaction that has
//! it; of the server its own journal tells. `CRASH_DELIVERIES=100000` makes it long, `CRASH_SEED=7` another
//! one, and `CRASH_STORE=redis` or `sqlite` leaves the other out.

mod child;
mod hook_log;
mod plan;
mod receiver;
mod redis;
mod sender;
mod sqlite;

use std::process::ExitCode;

use plan::Plan;

const DELIVERIES: usize = 5_000;

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match child::orders() {
        Some(orders) => runtime.block_on(receiver::receive(orders)),
        None => runtime.block_on(crash()),
    }
    ExitCode::SUCCESS
}

fn chosen(name: &str) -> Option<usize> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

async fn crash() {
    let deliveries = chosen("CRASH_DELIVERIES").unwrap_or(DELIVERIES);
    let seed = chosen("CRASH_SEED").unwrap_or(1) as u64;
    let plan = Plan::new(deliveries, seed);
    let events = plan.events.len();
    let only = std::env::var("CRASH_STORE").ok();
    for store in ["sqlite", "redis"] {
        if only.as_ref().is_some_and(|only| only != store) {
            continue;
        }
        let begun = tokio::time::Instant::now();
        let found = match store {
            "sqlite" => sqlite::crash(&plan, seed).await,
            _ => redis::crash(&plan, seed).await,
        };
        let secs = begun.elapsed().as_secs_f64();
        println!(
            "{store}: {deliveries} deliveries of {events} events in {secs:.1} s (seed {seed})"
        );
        println!("{found}: 0 events lost, 0 applied twice");
    }
}
