//! The server is killed, stopped and started again while instances serve.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use clerk_resilience::sim::SimSession;
use clerk_resilience::store::Store as _;
use http::StatusCode;
use test_support::redis_server::Server;
use test_support::world::{World, bearer};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::{Heard, beside, complete_within, deliver, denied, eventually, percentile, two};

const MOMENT: Duration = Duration::from_secs(2);

/// Somebody who asks all the time, and has to be let in each time.
struct Visitor {
    enough: Arc<AtomicBool>,
    visits: JoinHandle<Vec<Duration>>,
}

impl Visitor {
    fn of(world: &World) -> Self {
        let (app, sim): (Router, _) = (world.app.clone(), world.sim.clone());
        let session: SimSession = sim.sign_in("visitor");
        let enough = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&enough);
        let visits = tokio::spawn(async move {
            let mut spans = Vec::new();
            while !until.load(Ordering::Relaxed) {
                let token = sim.mint(&session);
                let asked = Instant::now();
                let answer = World::ask(&app, bearer("GET", "/me", &token)).await;
                spans.push(asked.elapsed());
                assert_eq!(answer.status, StatusCode::OK);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            spans
        });
        Self { enough, visits }
    }

    async fn leave(self, when: &str) {
        self.enough.store(true, Ordering::Relaxed);
        let spans = self.visits.await.expect("always let in");
        let p99 = percentile(spans.clone(), 99);
        println!("{when}: {} requests, p99 {p99:?}", spans.len());
    }
}

/// Does something to the server, during which nobody hears of anything, and undoes it.
async fn trouble(server: &mut Server, name: &str, worlds: [&World; 2], heal: fn(&mut Server)) {
    let visitor = Visitor::of(worlds[0]);
    for world in worlds {
        eventually("it is incomplete", || !complete_within(world, MOMENT)).await;
        eventually("it says so", || world.clerk.snapshot().feeds.store.unread_since.is_some())
            .await;
    }
    tokio::time::sleep(MOMENT).await;
    let missed = format!("sess_{name}");
    worlds[0].clerk.revoke_session(missed.as_str());
    assert!(denied(worlds[0]).contains(&missed), "here it acts at once");
    visitor.leave(name).await;
    assert!(!denied(worlds[1]).contains(&missed), "there it cannot be known");
    heal(server);
    eventually("it is known there", || denied(worlds[1]).contains(&missed)).await;
    for world in worlds {
        eventually("it says so", || world.clerk.snapshot().feeds.store.unread_since.is_none())
            .await;
        eventually("it is complete", || complete_within(world, 4 * MOMENT)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_failures_cost_no_request_and_no_denial() {
    let (mut server, one, two) = two(&Heard::default()).await;
    let visitor = Visitor::of(&one);
    tokio::time::sleep(MOMENT).await;
    visitor.leave("well").await;
    server.kill();
    trouble(&mut server, "killed", [&one, &two], Server::restart).await;
    server.pause();
    trouble(&mut server, "stopped", [&one, &two], |server| server.resume()).await;
    server.kill();
    trouble(&mut server, "emptied", [&two, &one], Server::restart_empty).await;
    let store = crate::store(&server).await;
    eventually("the server knows all again", || store.denials().expect("readable").len() == 3)
        .await;
    assert_eq!(denied(&beside(&one, &server, &Heard::default()).await), denied(&one));
}

/// Deliveries come to both instances, each twice, while the server goes away and comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_restarts_lose_and_repeat_no_event() {
    const EVENTS: usize = 400;
    let heard = Heard::default();
    let (mut server, one, two) = two(&heard).await;
    let (one, two) = (Arc::new(one), Arc::new(two));
    let deliveries = [Arc::clone(&one), Arc::clone(&two)].map(|world| {
        tokio::spawn(async move {
            let mut tries = 0;
            for n in 0..EVENTS {
                tries += deliver(&world, &format!("sess_{n}")).await;
            }
            tries
        })
    });
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        server.kill();
        tokio::time::sleep(Duration::from_millis(150)).await;
        server.restart();
        tokio::time::sleep(Duration::from_millis(150)).await;
        server.pause();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        server.resume();
    }
    let mut tries = 0;
    for delivery in deliveries {
        tries += delivery.await.expect("all are kept");
    }
    println!("{} deliveries took {tries} tries", 2 * EVENTS);
    eventually("all are heard of", || heard.lock().expect("whole").len() == EVENTS).await;
    for world in [&one, &two] {
        eventually("all are denied", || denied(world).len() == EVENTS).await;
    }
    let store = crate::store(&server).await;
    assert_eq!(store.denials().expect("readable").len(), EVENTS);
    let heard = heard.lock().expect("whole");
    for (id, attempts) in heard.iter() {
        let different: HashSet<u32> = attempts.iter().copied().collect();
        assert_eq!(different.len(), attempts.len(), "{id}: {attempts:?}");
    }
    let again = heard.values().filter(|attempts| attempts.len() > 1).count();
    println!(
        "{again} of {EVENTS} events were heard of again: that they were done could not be kept"
    );
}
