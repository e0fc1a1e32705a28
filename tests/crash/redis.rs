//! Two receivers and the server that they share.

mod failures;
mod journal;

use std::collections::HashSet;
use std::time::Duration;

use test_support::redis_server::Server;

use self::failures::Failures;
use self::journal::Journal;
use crate::child::{Child, Orders};
use crate::plan::{Event, Plan};
use crate::sender::Sender;

pub(crate) const NAMESPACE: &str = "crash";

/// Says what was found, when all of it holds.
pub(crate) async fn crash(plan: &Plan, seed: u64) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let mut server = Server::start();
    let orders =
        Orders { dir: dir.path().to_owned(), server: Some(server.url()), ahead: Duration::ZERO };
    let sender = Sender::start(plan);
    let mut failures = Failures::new(plan, seed);
    let mut children = [Child::start(&orders), Child::start(&orders)];

    loop {
        sender.resume(children.iter().map(Child::address).collect());
        failures.until_the_next_kill(&sender, &mut server).await;
        let victim = &mut children[failures.victim()];
        victim.kill();
        let answered = sender.answered();
        must_hold(&server, &answered);
        let before = denied(&server).len();
        *victim = Child::start(&orders);
        let known = before..=denied(&server).len();
        assert!(known.contains(&victim.revoked), "{} in its memory, of {known:?}", victim.revoked);
        if answered.len() == plan.deliveries.len() {
            break;
        }
    }

    children.iter_mut().for_each(Child::kill);
    let mut last = Child::start(&orders.later());
    hooks_must_be_done(&server).await;
    last.kill();
    let found = Journal::of(&server).must_balance(plan, &orders.dir);
    format!("{sender}\n{failures}; {found}")
}

fn key(name: &str) -> String {
    format!("clerk-resilience:{{{NAMESPACE}}}:{name}")
}

fn denied(server: &Server) -> HashSet<String> {
    server.ask(&["ZRANGE", &key("denied:session"), "0", "-1"])
}

/// What was answered is here, whatever happened since.
fn must_hold(server: &Server, answered: &[&Event]) {
    let denied = denied(server);
    // In this order: what was open may be done by now, and not the reverse.
    let mut kept: HashSet<String> = server.ask(&["HKEYS", &key("event")]);
    kept.extend(server.ask::<Vec<String>>(&["ZRANGE", &key("done"), "0", "-1"]));
    for event in answered {
        assert!(kept.contains(&event.id), "{} was answered and is lost", event.id);
        let here = event.session.as_ref().is_none_or(|session| denied.contains(session));
        assert!(here, "{} was answered, and what it denies is not denied", event.id);
    }
}

/// What a killed child was at is due again after its lease.
async fn hooks_must_be_done(server: &Server) {
    for _ in 0..1_200 {
        if server.ask::<usize>(&["ZCARD", &key("due")]) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("hooks are never done");
}
