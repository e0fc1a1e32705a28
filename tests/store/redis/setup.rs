//! Servers that are set up otherwise.

use std::time::Duration;

use clerk_resilience::store::{
    Accepted, FollowUp, InboxEvent, RedisOptions, RedisStore, Store as _, StoreError,
};
use test_support::redis_server::{Server, free_port};

use super::{connect, new};
use crate::{at, entry, hooks, joined, session};

#[tokio::test]
async fn a_server_that_may_lose_data_is_warned_about() {
    let (_server, store) = new().await;
    assert!(store.config_warnings().is_empty(), "{:?}", store.config_warnings());
    let evicts = ["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"];
    let evicting = Server::start_with(&evicts);
    let config_warnings = connect(&evicting).await.config_warnings();
    assert!(
        matches!(&config_warnings[..], [one] if one.contains("allkeys-lru") && one.contains("noeviction"))
    );
    let forgetful = Server::start_with(&["--appendonly", "no"]);
    let config_warnings = connect(&forgetful).await.config_warnings();
    assert!(
        matches!(&config_warnings[..], [one] if one.contains("is gone when it restarts")),
        "{config_warnings:?}"
    );
}

#[tokio::test]
async fn a_reconnect_checks_the_server_again() {
    let (server, store) = new().await;
    let _: String = server.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-random"]);
    let _: String = server.ask(&["CONFIG", "SET", "maxmemory", "64mb"]);
    let _: i64 = server.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
    let fleet = store.fleet().expect("it is shared");
    for _ in 0..20 {
        drop(fleet.follow(None).await);
        if !store.config_warnings().is_empty() {
            return;
        }
    }
    panic!("nobody looked");
}

/// As on a managed server: no `CONFIG`, no `INFO`.
#[tokio::test]
async fn a_server_without_info_works_without_warnings() {
    let server = Server::start_with(&["--port", &free_port()]);
    let user = [
        "ACL",
        "SETUSER",
        "app",
        "on",
        ">481516",
        "~clerk-resilience:*",
        "+@all",
        "-@dangerous",
        "-@admin",
    ];
    let _: String = server.ask(&user);
    let port: Vec<String> = server.ask(&["CONFIG", "GET", "port"]);
    let url = |password| format!("redis://app:{password}@127.0.0.1:{}/0", port[1]);
    let store = RedisStore::connect(&url("481516"), "test").await.expect("it may");
    assert!(store.config_warnings().is_empty());
    let event = entry("msg_1", FollowUp::Nothing);
    assert_eq!(store.accept(event).await.expect("accepted"), Accepted::New);
    store.deny(vec![session("sess_1", 60)]).await.expect("kept");
    assert_eq!(store.denials().expect("read").len(), 1);
    let error = RedisStore::connect(&url("2342"), "test").await.expect_err("another password");
    let StoreError::Failed(why) = &error else { panic!("{error:?}") };
    assert!(why.to_lowercase().contains("auth") || why.contains("WRONGPASS"), "{why}");
    assert!(!format!("{error} {error:?} {store:?}").contains("2342"));
}

/// With `noeviction`: nothing is thrown away, and nothing is half done.
#[tokio::test]
async fn a_full_server_rejects_whole_events_and_still_reads() {
    let (server, store) = new().await;
    store.deny(vec![session("sess_1", 60)]).await.expect("kept");
    let fleet = store.fleet().expect("it is shared");
    let start = fleet.follow(None).await.expect("read");
    let _: String = server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let event = || InboxEvent {
        denials: vec![session("sess_2", 60)],
        changes: vec![joined("org:member", 1)],
        ..entry("msg_1", hooks("1"))
    };
    store.accept(event()).await.expect_err("there is no room");
    store.deny(vec![session("sess_3", 60)]).await.expect_err("there is no room");
    assert_eq!(store.denials().expect("read"), [session("sess_1", 60)]);
    assert_eq!(fleet.follow(None).await.expect("read").denials, start.denials);
    let _: String = server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(store.accept(event()).await.expect("accepted"), Accepted::New);
    assert_eq!(store.denials().expect("read").len(), 2);
    let due = store.claim(at(0), Duration::from_secs(30)).await.expect("claimed");
    assert_eq!(due.expect("a task").id, "msg_1");
}

#[tokio::test]
async fn a_single_node_cluster_works() {
    let server = Server::start_with(&[
        "--cluster-enabled",
        "yes",
        "--port",
        &free_port(),
        "--bind",
        "127.0.0.1",
    ]);
    let error = RedisStore::connect(&server.url(), "test").await.expect_err("it keeps nothing");
    assert!(error.to_string().contains("cluster"), "{error}");
    let slots: Vec<String> = (0..16_384).map(|slot| slot.to_string()).collect();
    let mut words = vec!["CLUSTER", "ADDSLOTS"];
    words.extend(slots.iter().map(String::as_str));
    let _: String = server.ask(&words);
    let mut connected = RedisStore::connect(&server.url(), "test").await;
    for _ in 0..600 {
        if connected.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        connected = RedisStore::connect(&server.url(), "test").await;
    }
    let store = connected.expect("it keeps all");
    store.deny(vec![session("sess_1", 60)]).await.expect("kept");
    store.accept(entry("msg_1", FollowUp::Nothing)).await.expect("accepted");
    assert_eq!(store.denials().expect("read").len(), 1);
    let fleet = store.fleet().expect("it is shared");
    assert_eq!(fleet.follow(None).await.expect("read").denials.len(), 1);
    assert!(fleet.first("outage", Duration::from_secs(5)).await.expect("said"));
    let _: String = server.ask(&["CLUSTER", "DELSLOTS", &slot(&server, "test")]);
    let error = store.deny(vec![session("sess_2", 60)]).await.expect_err("nobody has the slot");
    assert!(error.to_string().contains("cluster"), "{error}");
}

fn slot(server: &Server, namespace: &str) -> String {
    let slot: i64 = server.ask(&["CLUSTER", "KEYSLOT", namespace]);
    slot.to_string()
}

#[test]
fn impossible_options_are_rejected() {
    let options = || RedisOptions::new("redis://app:481516@127.0.0.1:9/0", "test");
    for within in [Duration::ZERO, Duration::from_secs(2)] {
        assert!(options().replicas(1, within).connect_lazy().is_err(), "{within:?}");
    }
    assert!(options().trust("").connect_lazy().is_err(), "certificates without TLS");
    assert!(!format!("{:?}", options()).contains("481516"));
}
