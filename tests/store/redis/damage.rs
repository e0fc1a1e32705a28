//! What somebody else wrote under our keys: it costs what it replaced, and nothing besides.

use std::time::Duration;

use clerk_resilience::id::UserId;
use clerk_resilience::store::{FollowUp, InboxEvent, RedisStore, Store as _, TaskOutcome};
use test_support::redis_server::Server;

use super::new;
use crate::{at, entry, hooks, joined, session, sighted};

const LEASE: Duration = Duration::from_secs(30);

fn key(name: &str) -> String {
    format!("clerk-resilience:{{test}}:{name}")
}

/// Every call that there is, each as often as it takes; more than once is more than one thing broken.
async fn all_calls_work(store: &RedisStore) {
    for round in 0..40 {
        let id = format!("msg_{round}");
        let event = InboxEvent {
            denials: vec![session("sess_1", 60)],
            changes: vec![joined("org:member", 1)],
            ..entry(&id, hooks("1"))
        };
        let mut well = store.accept(event).await.is_ok();
        let claimed = store.claim(at(0), LEASE).await;
        well &= matches!(&claimed, Ok(Some(_)));
        if let Ok(Some(task)) = claimed {
            well &= store.settle(&task.id, task.claim, TaskOutcome::Done).await.is_ok();
        }
        well &= store.deny(vec![session("sess_2", 60)]).await.is_ok();
        well &= store.dead_letters().await.is_ok() && store.requeue("none", at(0)).await.is_ok();
        well &= store.merge(vec![joined("org:member", 1)]).await.is_ok();
        well &= store.user(&UserId::from("user_1")).await.is_ok();
        well &=
            store.prune(at(0)).await.is_ok() && store.put_document("name", vec![1]).await.is_ok();
        let fleet = store.fleet().expect("it is shared");
        well &= fleet.tell("one", vec![1], LEASE).await.is_ok() && fleet.told().await.is_ok();
        well &= matches!(fleet.follow(None).await, Ok(feed) if feed.denials.len() == 2);
        well &= store.record_sightings(vec![sighted("a", 1, 5)]).await.is_ok();
        well &= store.sightings().is_ok_and(|all| all.sighted.len() == 1);
        well &= store.documents().is_ok() && store.denials().is_ok_and(|all| all.len() == 2);
        if well {
            return;
        }
    }
    panic!("something never works again");
}

#[tokio::test]
async fn a_damaged_sighting_hides_no_other() {
    let (server, store) = new().await;
    let fleet = store.fleet().expect("it is shared");
    store.record_sightings(vec![sighted("a", 1, 5)]).await.expect("told");
    let mark = fleet.sighted(None).await.expect("heard").mark;
    let _: i64 = server.ask(&["HSET", &key("sighted"), "a", "x"]);
    let _: i64 = server.ask(&["ZADD", &key("sightings"), "inf", "nobody"]);
    store.record_sightings(vec![sighted("a", 1, 5), sighted("b", 1, 5)]).await.expect("told");
    let mut heard = fleet.sighted(Some(mark)).await.expect("heard").sighted;
    heard.sort_by(|a, b| a.session.cmp(&b.session));
    assert_eq!(heard, [sighted("a", 1, 5), sighted("b", 1, 5)]);
    // One of both is lost, and nobody notices but by what is told again.
    let _: i64 = server.ask(&["DEL", &key("sightings")]);
    store.record_sightings(vec![sighted("a", 1, 5)]).await.expect("told");
    assert_eq!(store.sightings().expect("readable").sighted, [sighted("a", 1, 5)]);
}

#[tokio::test]
async fn a_key_of_another_type_is_set_aside() {
    let (server, store) = new().await;
    let names = "done due dead event data attempts why people feed members told records sightings sighted \
                 denied:session denied:user denied:role";
    for name in names.split_whitespace() {
        let _: String = server.ask(&["FLUSHALL"]);
        let _: String = server.ask(&["SET", &key(name), "481516"]);
        all_calls_work(&store).await;
        let aside: String = server.ask(&["GET", &key(&format!("{name}:damaged"))]);
        assert_eq!(aside, "481516", "{name}");
    }
}

/// What breaks off in the middle is no event that is known: it comes again, and is kept then.
#[tokio::test]
async fn a_partly_stored_event_is_stored_on_retry() {
    for name in ["data", "due", "why", "dead"] {
        let (server, store) = new().await;
        let _: String = server.ask(&["SET", &key(name), "1"]);
        let rest = match name {
            "data" | "due" => hooks("1"),
            _ => FollowUp::Malformed("nonsense".to_owned()),
        };
        store.accept(entry("msg_1", rest.clone())).await.expect_err("it cannot be kept");
        store.accept(entry("msg_1", rest)).await.expect("kept");
        let open = store.claim(at(0), LEASE).await.expect("claimed").is_some();
        let dead = store.dead_letters().await.expect("read").len();
        assert!(open || dead == 1, "{name}: nothing is left of it");
    }
}

/// A task of which this and that cannot be read.
async fn poisoned(hash: &str, value: &str) -> (Server, RedisStore) {
    let (server, store) = new().await;
    store.accept(entry("msg_1", hooks("1"))).await.expect("accepted");
    store.accept(entry("msg_2", hooks("2"))).await.expect("accepted");
    let _: i64 = server.ask(&["HSET", &key(hash), "msg_1", value]);
    (server, store)
}

#[tokio::test]
async fn an_unreadable_task_delays_no_other() {
    for (hash, value) in [
        ("event", "481516"),
        ("event", "{"),
        ("event", r#"{"received":"soon"}"#),
        ("data", "\u{fffd}{"),
        ("attempts", "many"),
        ("attempts", "-3"),
        ("attempts", "nan"),
        ("attempts", "99999999999999999999"),
        ("claims", "many"),
        ("claims", "-3"),
        ("claims", "99999999999999999999"),
    ] {
        for outcome in [TaskOutcome::Done, TaskOutcome::Dead { why: "it failed".to_owned() }] {
            let (_server, store) = poisoned(hash, value).await;
            let mut claimed = Vec::new();
            while let Some(task) = store.claim(at(0), LEASE).await.expect("claimed") {
                let settled = store.settle(&task.id, task.claim, outcome.clone()).await;
                assert!(settled.expect("answered"));
                claimed.push((task.id, task.attempts));
            }
            let both = [("msg_1".to_owned(), 1), ("msg_2".to_owned(), 1)];
            assert_eq!(claimed, both, "{hash}: {value}");
            assert_eq!(store.claim(at(3_600), LEASE).await.expect("claimed"), None);
            // One that does not say when it came did not come long ago.
            store.prune(at(0)).await.expect("pruned");
            let dead = store.dead_letters().await.expect("read").len();
            assert_eq!(dead, if outcome == TaskOutcome::Done { 0 } else { 2 }, "{hash}: {value}");
        }
    }
}

#[tokio::test]
async fn an_unreadable_dead_letter_hides_no_other() {
    let (server, store) = new().await;
    store.accept(entry("msg_1", FollowUp::Malformed("why".to_owned()))).await.expect("accepted");
    store.accept(entry("msg_2", FollowUp::Malformed("why".to_owned()))).await.expect("accepted");
    let _: i64 = server.ask(&["HSET", &key("attempts"), "msg_1", "many"]);
    let _: i64 = server.ask(&["HSET", &key("event"), "msg_1", "{"]);
    assert_eq!(store.dead_letters().await.expect("read").len(), 2);
}

#[tokio::test]
async fn a_non_text_id_leaves_the_queue() {
    let (server, store) = new().await;
    let none: &[u8] = b"\xff\xfe";
    let _: i64 = server.ask_raw(&[b"ZADD", key("due").as_bytes(), b"0", none]);
    let _: i64 = server.ask_raw(&[b"ZADD", key("denied:session").as_bytes(), b"0", none]);
    let _: i64 = server.ask_raw(&[b"HSET", key("records").as_bytes(), none, b"1"]);
    store.accept(entry("msg_1", hooks("1"))).await.expect("accepted");
    assert_eq!(store.claim(at(0), LEASE).await.expect("claimed"), None);
    assert!(store.claim(at(0), LEASE).await.expect("claimed").is_some());
    let open: i64 = server.ask(&["ZCARD", &key("due")]);
    assert_eq!((open, store.dead_letters().await.expect("read").len()), (1, 1));
    assert!(
        store.documents().expect("read").is_empty() && store.denials().expect("read").is_empty()
    );
}

#[tokio::test]
async fn an_unreadable_user_is_replaced() {
    let (server, store) = new().await;
    for broken in [&b"{"[..], b"\xff"] {
        let _: i64 = server.ask_raw(&[b"HSET", key("people").as_bytes(), b"user_1", broken]);
        let changes = vec![joined("org:member", 1)];
        let id = format!("msg_{}", broken.len() + usize::from(broken[0]));
        store
            .accept(InboxEvent { changes, ..entry(&id, FollowUp::Nothing) })
            .await
            .expect("accepted");
        let person = store.user(&UserId::from("user_1")).await.expect("read").expect("known");
        assert_eq!(person.memberships().count(), 1);
    }
}

/// What is no denial, and what of the feed cannot be read, is left out; what comes after it is heard.
#[tokio::test]
async fn a_foreign_entry_does_not_stop_the_feed() {
    let (server, store) = new().await;
    let fleet = store.fleet().expect("it is shared");
    let start = fleet.follow(None).await.expect("read");
    let nonsense: &[&[&[u8]]] =
        &[&[b"kind", b"planet"], &[b"at", b"soon", b"kind", b"session"], &[b"\xff", b"\xff"]];
    for fields in nonsense {
        let feed = key("feed");
        let mut words = vec![&b"XADD"[..], feed.as_bytes(), b"*"];
        words.extend(*fields);
        let _: String = server.ask_raw(&words);
    }
    store.deny(vec![session("sess_1", 60)]).await.expect("kept");
    let mut mark = Some(start.mark);
    for _ in 0..10 {
        match fleet.follow(mark.take()).await {
            Ok(feed) if feed.denials == [session("sess_1", 60)] => return,
            Ok(feed) => mark = Some(feed.mark),
            Err(_) => {}
        }
    }
    panic!("nothing more is heard");
}
