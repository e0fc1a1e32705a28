//! A receiver that is killed, again and again, while webhooks come in.
//!
//! A child process receives over a loopback socket and keeps what comes in a SQLite file. This process
//! delivers, twice and shuffled, until each delivery was answered; kills the child with SIGKILL at random
//! moments; locks its file; and takes its disk away for a while. Triggers in the file note every effect
//! in the transaction that has it.
//!
//! Held to: what was answered is in the file whenever the child comes back, and in its memory; and at the
//! end every event took effect, and none twice. `CRASH_DELIVERIES=100000` makes it long, `CRASH_SEED=7`
//! another one.

mod books;
mod child;
mod plan;
mod receiver;
mod sender;
mod trouble;

use std::process::ExitCode;
use std::time::Duration;

use books::Books;
use child::Child;
use plan::Plan;
use sender::Sender;
use trouble::Trouble;

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
    let begun = tokio::time::Instant::now();
    let dir = tempfile::tempdir().expect("a directory");
    let books = Books::open(dir.path());
    let plan = Plan::new(deliveries, seed);
    let sender = Sender::start(&plan);
    let mut trouble = Trouble::new(&plan, dir.path(), seed);
    let mut child = Child::start(dir.path(), Duration::ZERO);

    loop {
        let answered = sender.answered();
        books.must_hold(&answered, child.revoked);
        if answered.len() == plan.deliveries.len() {
            break;
        }
        sender.resume(child.address());
        trouble.until_the_next_kill(&sender, &child).await;
        child.kill();
        sender.pause().await;
        child = Child::start(dir.path(), Duration::ZERO);
    }

    // What a killed child was at is due again after its lease; so the last one lives a little later.
    child.kill();
    let last = Child::start(dir.path(), Duration::from_secs(120));
    books.hooks_must_be_done().await;
    last.kill();
    let hooks = books.must_balance(&plan);
    let events = plan.events.len();
    println!(
        "{deliveries} deliveries of {events} events in {:.1} s (seed {seed}): {} sent, {} answered 503, {} broken off",
        begun.elapsed().as_secs_f64(),
        sender.sent(),
        sender.refused(),
        sender.broken(),
    );
    println!("{trouble}: 0 events lost, 0 applied twice; {hooks}");
}
