//! A primary and its replica.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use clerk_resilience::store::{Accepted, FollowUp, RedisOptions, RedisStore, Store as _};
use test_support::redis_server::{Server, free_port};

use futures_util::StreamExt as _;

use super::connect;
use crate::{entry, hooks, session};

/// A primary, its replica, and a store that waits for the replica.
async fn pair() -> (Server, Server, RedisStore) {
    let port = free_port();
    let primary = Server::start_with(&[
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--repl-diskless-sync-delay",
        "0",
    ]);
    let replica = Server::start_with(&["--replicaof", &format!("127.0.0.1 {port}")]);
    for _ in 0..1_500 {
        let info: String = replica.ask(&["INFO", "replication"]);
        if info.contains("master_link_status:up") {
            let options = RedisOptions::new(primary.url(), "test");
            let store = options.replicas(1, Duration::from_millis(300)).connect().await;
            return (primary, replica, store.expect("a server that runs"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the replica never follows");
}

/// As Clerk does: until it is answered well, or nobody is there.
async fn deliver(store: &RedisStore, id: &str, killed: &AtomicBool) -> bool {
    for _ in 0..1_000 {
        if store.accept(entry(id, hooks("1"))).await.is_ok() {
            return true;
        }
        if killed.load(Ordering::Relaxed) {
            return false;
        }
    }
    panic!("{id} is never answered")
}

/// As many at once as webhooks come, so that one wait is for many of them.
#[tokio::test]
async fn acknowledged_events_reach_the_replica() {
    let (mut primary, replica, store) = pair().await;
    while store.deny(vec![session("sess_1", 60)]).await.is_err() {}
    let (killed, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let events = (0..2_000).map(|n| {
        let (store, killed, answered) = (&store, &killed, &answered);
        async move {
            let well = deliver(store, &format!("msg_{n}"), killed).await;
            answered.fetch_add(usize::from(well), Ordering::Relaxed);
            well
        }
    });
    let killer = async {
        while answered.load(Ordering::Relaxed) < 100 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        primary.kill();
        killed.store(true, Ordering::Relaxed);
    };
    let deliveries = futures_util::stream::iter(events).buffered(64).collect::<Vec<_>>();
    let (answers, ()) = futures_util::future::join(deliveries, killer).await;
    let _: String = replica.ask(&["REPLICAOF", "NO", "ONE"]);
    let promoted = connect(&replica).await;
    assert_eq!(promoted.denials().expect("read"), [session("sess_1", 60)]);
    for (n, _) in answers.iter().enumerate().filter(|(_, well)| **well) {
        let again = promoted.accept(entry(&format!("msg_{n}"), FollowUp::Nothing)).await;
        assert_eq!(
            again.expect("answered"),
            Accepted::Duplicate,
            "msg_{n} was answered and is lost"
        );
    }
}

#[tokio::test]
async fn unreplicated_events_are_not_acknowledged_on_retry() {
    let (_primary, replica, store) = pair().await;
    replica.pause();
    store.accept(entry("msg_1", hooks("1"))).await.expect_err("the replica does not say so");
    store.accept(entry("msg_1", hooks("1"))).await.expect_err("nor for what is known");
    store.deny(vec![session("sess_1", 60)]).await.expect_err("nor for a denial");
    replica.resume();
    let killed = AtomicBool::new(false);
    assert!(deliver(&store, "msg_1", &killed).await, "now it does");
}

/// Another connection of this instance's kept it: that one is gone, and this one wrote nothing.
#[tokio::test]
async fn unreplicated_events_of_a_peer_are_not_acknowledged() {
    let (primary, replica, store) = pair().await;
    replica.pause();
    let careless = connect(&primary).await;
    careless.accept(entry("msg_1", hooks("1"))).await.expect("kept at the primary");
    store.accept(entry("msg_1", hooks("1"))).await.expect_err("the replica does not have it");
    replica.resume();
}
