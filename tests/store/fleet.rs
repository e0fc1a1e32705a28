//! What every engine does that instances share. It is opened twice: two members of one fleet.

use std::collections::HashSet;
use std::time::Duration;

use clerk_resilience::internals::revocation::Denial;
use clerk_resilience::store::{Feed, FeedMark, FeedPart, FollowUp, InboxEvent, SharedStore, Store};

use crate::{entry, session, sighted, user};

const MINUTE: Duration = Duration::from_secs(60);

fn fleet(store: &dyn Store) -> &dyn SharedStore {
    store.fleet().expect("an engine that is shared")
}

async fn follow(store: &dyn Store, after: Option<&FeedMark>) -> Feed {
    fleet(store).follow(after.cloned()).await.expect("followed")
}

async fn deny(store: &dyn Store, denials: Vec<Denial>) {
    store.deny(denials).await.expect("kept");
}

async fn a_full_read_has_the_denials_of_every_instance(one: impl Store, two: impl Store) {
    deny(&one, vec![session("sess_1", 60)]).await;
    deny(&two, vec![user("user_1", 60), session("sess_1", 90)]).await;
    let feed = follow(&one, None).await;
    let denials: HashSet<_> = feed.denials.into_iter().collect();
    assert_eq!(denials, HashSet::from([session("sess_1", 90), user("user_1", 60)]));
    assert_eq!((feed.part, feed.more), (FeedPart::First, false));
}

async fn a_feed_continues_with_new_denials_in_order(one: impl Store, two: impl Store) {
    deny(&one, vec![session("sess_1", 60)]).await;
    let start = follow(&two, None).await;
    deny(&one, vec![session("sess_2", 60)]).await;
    let event =
        InboxEvent { denials: vec![user("user_1", 60)], ..entry("msg_1", FollowUp::Nothing) };
    one.accept(event).await.expect("accepted");
    let feed = follow(&two, Some(&start.mark)).await;
    assert_eq!(feed.denials, [session("sess_2", 60), user("user_1", 60)]);
    assert_eq!((feed.part, feed.more), (FeedPart::News, false));
    deny(&one, vec![session("sess_3", 60)]).await;
    assert_eq!(follow(&two, Some(&feed.mark)).await.denials, [session("sess_3", 60)]);
}

async fn a_waiting_reader_is_notified_at_once(one: impl Store, two: impl Store) {
    let start = follow(&two, None).await;
    let heard = follow(&two, Some(&start.mark));
    let told = async {
        tokio::task::yield_now().await;
        deny(&one, vec![session("sess_1", 60)]).await;
    };
    let (feed, ()) = futures_util::future::join(heard, told).await;
    assert_eq!(feed.denials, [session("sess_1", 60)]);
}

async fn a_second_delivery_is_not_in_the_feed(one: impl Store, two: impl Store) {
    let start = follow(&two, None).await;
    let event =
        InboxEvent { denials: vec![session("sess_1", 60)], ..entry("msg_1", FollowUp::Nothing) };
    for store in [&one as &dyn Store, &two, &one] {
        store.accept(event.clone()).await.expect("accepted");
    }
    deny(&one, vec![user("user_1", 60)]).await;
    let feed = follow(&two, Some(&start.mark)).await;
    assert_eq!(feed.denials, [session("sess_1", 60), user("user_1", 60)]);
}

async fn a_cursor_before_the_feed_needs_a_full_read(one: impl Store, two: impl Store) {
    deny(&one, vec![session("sess_1", 60)]).await;
    for mark in ["1-1", "999999999999999-1", "999999999999999"] {
        let feed = follow(&two, Some(&FeedMark(mark.to_owned()))).await;
        assert_eq!((feed.part, feed.more), (FeedPart::First, false), "{mark}");
        assert_eq!(feed.denials, [session("sess_1", 60)], "{mark}");
    }
}

async fn a_feed_truncated_past_the_cursor_needs_a_full_read(one: impl Store, two: impl Store) {
    let start = follow(&two, None).await;
    for n in 0..110 {
        let flood = (0..1_000).map(|m| session(&format!("sess_{n}_{m}"), 60));
        deny(&one, flood.collect()).await;
    }
    let mut feed = follow(&two, Some(&start.mark)).await;
    assert_eq!(feed.part, FeedPart::First);
    let mut read = feed.denials.len();
    while feed.more {
        feed = follow(&two, Some(&feed.mark)).await;
        assert_eq!(feed.part, FeedPart::Next);
        read += feed.denials.len();
    }
    assert_eq!(read, 110_000);
    deny(&one, vec![user("user_1", 60)]).await;
    let feed = follow(&two, Some(&feed.mark)).await;
    assert_eq!((feed.part, feed.denials), (FeedPart::News, vec![user("user_1", 60)]));
}

async fn a_view_replaces_the_previous_one_and_expires(one: impl Store, two: impl Store) {
    let tell = |member, news: &str, ttl| fleet(&one).tell(member, news.into(), ttl);
    tell("a", "1", MINUTE).await.expect("told");
    tell("b", "2", Duration::from_millis(30)).await.expect("told");
    tell("a", "3", MINUTE).await.expect("told");
    let told = || async { fleet(&two).told().await.expect("read") };
    assert!(told().await.contains(&("a".to_owned(), b"3".to_vec())));
    while told().await.len() > 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(told().await, [("a".to_owned(), b"3".to_vec())]);
}

async fn one_of_many_claims_first_until_it_expires(one: impl Store, two: impl Store) {
    let first = |store, ttl| async move { fleet(store).first("outage", ttl).await.expect("said") };
    assert!(first(&one as &dyn Store, MINUTE).await);
    assert!(!first(&two, MINUTE).await);
    assert!(!first(&one, MINUTE).await);
    assert!(fleet(&two).first("recovery", Duration::from_millis(30)).await.expect("said"));
    while !fleet(&one).first("recovery", MINUTE).await.expect("said") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn a_feed_continues_with_the_sightings_of_every_instance(one: impl Store, two: impl Store) {
    let read = |after: Option<&FeedMark>| {
        let read = fleet(&two).sighted(after.cloned());
        async { read.await.expect("read") }
    };
    one.record_sightings(vec![sighted("a", 0, 0), sighted("b", 0, 0)]).await.expect("noted");
    let all = read(None).await;
    assert_eq!((all.sighted.len(), all.whole), (2, true));
    let nothing = read(Some(&all.mark)).await;
    assert_eq!((nothing.sighted.len(), nothing.whole), (0, false));
    two.record_sightings(vec![sighted("b", 0, 1), sighted("a", 0, -1)]).await.expect("noted");
    one.record_sightings(vec![sighted("c", 0, 0)]).await.expect("noted");
    let news = read(Some(&all.mark)).await;
    assert_eq!(news.sighted, [sighted("b", 0, 1), sighted("c", 0, 0)]);
    assert!(!news.whole);
    for lost in ["1/1", "999999999999999", "other", ""] {
        let all = read(Some(&FeedMark(lost.to_owned()))).await;
        assert_eq!((all.sighted.len(), all.whole), (3, true), "{lost}");
        assert_eq!(all.mark, news.mark);
    }
}

macro_rules! contract {
    ($engine:ident, $open:expr, [$($promise:ident),* $(,)?]) => {
        mod $engine {
            $(#[tokio::test]
            async fn $promise() {
                let (_kept, one, two) = $open;
                super::$promise(one, two).await;
            })*
        }
    };
}

macro_rules! engines {
    ($($(#[$condition:meta])* $engine:ident => $open:expr;)*) => {$(
        $(#[$condition])*
        contract!($engine, $open, [
            a_full_read_has_the_denials_of_every_instance,
            a_feed_continues_with_new_denials_in_order,
            a_waiting_reader_is_notified_at_once,
            a_second_delivery_is_not_in_the_feed,
            a_cursor_before_the_feed_needs_a_full_read,
            a_feed_truncated_past_the_cursor_needs_a_full_read,
            a_view_replaces_the_previous_one_and_expires,
            one_of_many_claims_first_until_it_expires,
            a_feed_continues_with_the_sightings_of_every_instance,
        ]);
    )*};
}

engines! {
    memory => {
        let store = clerk_resilience::store::MemoryStore::shared();
        ((), store.clone(), store)
    };
    #[cfg(feature = "redis")]
    redis => {
        let (server, store) = crate::redis::new().await;
        let other = crate::redis::connect(&server).await;
        (server, store, other)
    };
}
