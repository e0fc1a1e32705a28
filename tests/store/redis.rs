//! The server: what it is not used for, and what it keeps.

mod damage;
mod failover;
mod hung;
mod pages;
mod setup;
mod tls;

use clerk_resilience::id::UserId;
use clerk_resilience::profile::{Change, Membership};
use clerk_resilience::store::{
    Accepted, FollowUp, InboxEvent, RedisStore, SharedStore, Store, StoreError, TaskOutcome,
};
use test_support::redis_server::Server;

use crate::{at, entry, hooks, session, sighted};

pub(crate) async fn new() -> (Server, RedisStore) {
    let server = Server::start();
    let store = connect(&server).await;
    (server, store)
}

pub(crate) async fn connect(server: &Server) -> RedisStore {
    RedisStore::connect(&server.url(), "test").await.expect("a running server")
}

#[tokio::test]
async fn a_missing_server_is_an_error_unless_lazy() {
    let dir = tempfile::tempdir().expect("a directory");
    let url = format!("unix://{}/none.sock", dir.path().display());
    assert!(matches!(RedisStore::connect(&url, "test").await, Err(StoreError::Failed(_))));
    let store = RedisStore::connect_lazy(&url, "test").expect("a good address");
    assert!(store.denials().expect("nothing is known").is_empty());
    assert!(store.documents().expect("nothing is known").is_empty());
    assert!(store.deny(vec![session("sess_1", 60)]).await.is_err());
}

#[tokio::test]
async fn a_lazy_store_finds_its_server_later() {
    let mut server = Server::start();
    let url = server.url();
    server.kill();
    let store = RedisStore::connect_lazy(&url, "test").expect("a good address");
    assert!(store.deny(vec![session("sess_1", 60)]).await.is_err());
    server.restart();
    store.deny(vec![session("sess_1", 60)]).await.expect("kept");
    assert_eq!(store.denials().expect("readable"), [session("sess_1", 60)]);
}

#[tokio::test]
async fn an_unreadable_store_is_an_error() {
    let (mut server, store) = new().await;
    server.kill();
    assert!(store.denials().is_err());
    assert!(store.documents().is_err());
}

#[tokio::test]
async fn no_output_shows_the_password_or_the_address() {
    let url = "redis://user:481516@127.0.0.1:9/0";
    let store = RedisStore::connect_lazy(url, "test").expect("a good address");
    let error = RedisStore::connect(url, "test").await.expect_err("nobody listens there");
    assert!(!format!("{store:?} {error:?} {error}").contains("481516"));
    let error = RedisStore::connect_lazy("481516", "test").expect_err("no address");
    assert!(!format!("{error:?} {error}").contains("481516"));
}

#[tokio::test]
async fn namespaces_are_plain_text_and_isolated() {
    let (server, store) = new().await;
    for name in ["", "a}b", "a b", "a:b"] {
        assert!(RedisStore::connect_lazy(&server.url(), name).is_err(), "{name:?}");
    }
    store.deny(vec![session("sess_1", 60)]).await.expect("kept");
    let other = RedisStore::connect(&server.url(), "other").await.expect("a server that runs");
    assert!(other.denials().expect("readable").is_empty());
    let keys: Vec<String> = server.ask(&["KEYS", "*"]);
    assert!(keys.iter().all(|key| key.starts_with("clerk-resilience:{test}:")), "{keys:?}");
}

#[tokio::test]
async fn acknowledged_events_survive_a_killed_server() {
    let (mut server, store) = new().await;
    let event = InboxEvent { denials: vec![session("sess_1", 60)], ..entry("msg_1", hooks("1")) };
    store.accept(event).await.expect("accepted");
    server.kill();
    assert!(store.accept(entry("msg_2", FollowUp::Nothing)).await.is_err());
    server.restart();
    assert_eq!(store.denials().expect("readable"), [session("sess_1", 60)]);
    let again = store.accept(entry("msg_1", hooks("1"))).await.expect("accepted");
    assert_eq!(again, Accepted::Duplicate);
}

/// Each takes in another organisation of the same user: whoever overwrote another's would show.
#[tokio::test]
async fn concurrent_changes_to_a_user_are_all_stored() {
    let (_server, store) = new().await;
    let joined = |n: u8| {
        let membership = Membership::new(format!("org_{n}").into(), "org:member", at(1));
        Change::Joined(UserId::from("user_1"), Box::new(membership))
    };
    let accepted = (0..8).map(|n| {
        let changes = vec![joined(n)];
        store.accept(InboxEvent { changes, ..entry(&format!("msg_{n}"), FollowUp::Nothing) })
    });
    let merged = (8..16).map(|n| store.merge(vec![joined(n)]));
    let (accepted, merged) = futures_util::future::join(
        futures_util::future::join_all(accepted),
        futures_util::future::join_all(merged),
    )
    .await;
    assert!(accepted.iter().all(Result::is_ok) && merged.iter().all(Result::is_ok));
    let person = store.user(&UserId::from("user_1")).await.expect("answered").expect("known");
    assert_eq!(person.memberships().count(), 16);
}

/// A later version may know more kinds.
#[tokio::test]
async fn denials_of_an_unknown_kind_are_preserved() {
    let (server, store) = new().await;
    let _: i64 = server.ask(&["ZADD", "clerk-resilience:{test}:denied:planet", "5", "mars"]);
    store.prune(at(0)).await.expect("pruned");
    assert!(store.denials().expect("readable").is_empty());
    let kept: i64 = server.ask(&["ZCARD", "clerk-resilience:{test}:denied:planet"]);
    assert_eq!(kept, 1);
}

#[tokio::test]
async fn finished_tasks_leave_no_data() {
    let (server, store) = new().await;
    store.accept(entry("msg_1", hooks("481516"))).await.expect("accepted");
    let task = store.claim(at(0), std::time::Duration::from_secs(30)).await.expect("claimed");
    let claim = task.expect("a task").claim;
    assert!(store.settle("msg_1", claim, TaskOutcome::Done).await.expect("answered"));
    let keys: Vec<String> = server.ask(&["KEYS", "*"]);
    assert_eq!(keys, ["clerk-resilience:{test}:done"]);
}

#[tokio::test]
async fn after_a_loss_later_sightings_are_read() {
    let (server, store) = new().await;
    store.record_sightings(vec![sighted("a", 0, 0)]).await.expect("noted");
    let mark = store.sightings().expect("readable").mark;
    let read = || async { SharedStore::sighted(&store, Some(mark.clone())).await.expect("read") };
    assert!(!read().await.whole);
    let _: () = server.ask(&["FLUSHALL"]);
    assert!(read().await.whole);
    store.record_sightings(vec![sighted("b", 0, 0)]).await.expect("noted");
    let all = read().await;
    assert_eq!((all.sighted, all.whole), (vec![sighted("b", 0, 0)], true));
}

/// Another program may fill a hash beyond any use; the start must not read it all.
#[tokio::test]
async fn too_many_records_are_an_error() {
    let (server, store) = new().await;
    let records = "clerk-resilience:{test}:records";
    let fill = |from: u32, to: u32| {
        let pairs: Vec<String> =
            (from..to).flat_map(|n| [format!("name_{n}"), "x".into()]).collect();
        let command: Vec<&str> =
            ["HSET", records].into_iter().chain(pairs.iter().map(String::as_str)).collect();
        let _: i64 = server.ask(&command);
    };
    fill(0, 900);
    assert_eq!(store.documents().expect("readable").len(), 900);
    fill(900, 3_000);
    let error = store.documents().expect_err("too many");
    assert!(error.to_string().contains("1000 documents"), "{error}");
    let _: i64 = server.ask(&["DEL", records]);
    let large = "x".repeat(40 * 1024 * 1024);
    for name in ["one", "two"] {
        let _: i64 = server.ask(&["HSET", records, name, &large]);
    }
    assert!(store.documents().is_err(), "too many bytes");
}

#[tokio::test]
async fn no_more_peers_are_read_than_the_limit() {
    let (server, store) = new().await;
    let news = "clerk-resilience:{test}:told";
    let pairs: Vec<String> = (0..3_000).flat_map(|n| [format!("m_{n}"), "x".into()]).collect();
    let set = |command: &[&str], pairs: &[String]| -> i64 {
        let parts = command.iter().copied().chain(pairs.iter().map(String::as_str));
        server.ask(&parts.collect::<Vec<_>>())
    };
    set(&["HSET", news], &pairs);
    assert!(store.told().await.expect("read").is_empty(), "members alone count");
    let far = |n: u32| (9_000_000_000_000_u64 + u64::from(n)).to_string();
    let scores: Vec<String> = (0..3_000).flat_map(|n| [far(n), format!("m_{n}")]).collect();
    set(&["ZADD", "clerk-resilience:{test}:members"], &scores);
    let told = store.told().await.expect("read");
    assert_eq!((told.len(), told[0].0.as_str()), (1_000, "m_2999"));
}
