//! One receiver and its file.

mod audit;
mod failures;

use std::path::{Path, PathBuf};
use std::time::Duration;

use self::audit::Audit;
use self::failures::Failures;
use crate::child::{Child, Orders};
use crate::plan::Plan;
use crate::sender::Sender;

pub(crate) fn file(dir: &Path) -> PathBuf {
    dir.join("webhooks.db")
}

/// Says what was found, when all of it holds.
pub(crate) async fn crash(plan: &Plan, seed: u64) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let orders = Orders { dir: dir.path().to_owned(), server: None, ahead: Duration::ZERO };
    let audit = Audit::open(dir.path());
    let sender = Sender::start(plan);
    let mut failures = Failures::new(plan, dir.path(), seed);
    let mut child = Child::start(&orders);

    loop {
        let answered = sender.answered();
        audit.must_hold(&answered, child.revoked);
        if answered.len() == plan.deliveries.len() {
            break;
        }
        sender.resume(vec![child.address()]);
        failures.until_the_next_kill(&sender, &child).await;
        child.kill();
        sender.pause().await;
        child = Child::start(&orders);
    }

    child.kill();
    let mut last = Child::start(&orders.later());
    audit.hooks_must_be_done().await;
    last.kill();
    format!("{sender}\n{failures}; {}", audit.must_balance(plan))
}
