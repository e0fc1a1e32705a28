//! More denials than one page holds.

use std::collections::HashSet;

use clerk_resilience::internals::revocation::Denial;
use clerk_resilience::store::{Feed, FeedMark, FeedPart, RedisStore, Store as _};

use super::new;
use crate::{at, session, user};

async fn follow(store: &RedisStore, mark: Option<&FeedMark>) -> Feed {
    store.fleet().expect("it is shared").follow(mark.cloned()).await.expect("read")
}

/// Reads on behind a page.
async fn rest(store: &RedisStore, mut page: Feed, all: &mut Vec<Denial>) -> FeedMark {
    while page.more {
        page = follow(store, Some(&page.mark)).await;
        assert_eq!(page.part, FeedPart::Next);
        all.extend(page.denials);
    }
    page.mark
}

/// Many have the same time, as after a sign-out of all.
fn many(count: usize) -> Vec<Denial> {
    (0..count).map(|n| session(&format!("sess_{n:06}"), 60 + i64::from(n % 7 == 0))).collect()
}

#[tokio::test]
async fn each_denial_is_on_exactly_one_page() {
    let (_server, store) = new().await;
    let denials = [many(10_000), vec![user("user_1", 60)]].concat();
    store.deny(denials.clone()).await.expect("kept");
    let first = follow(&store, None).await;
    assert!(first.part == FeedPart::First && first.more && first.denials.len() <= 1_000);
    let mut all = first.denials.clone();
    rest(&store, first, &mut all).await;
    assert_eq!(all.len(), denials.len());
    let expected: HashSet<_> = denials.into_iter().collect();
    assert_eq!(all.into_iter().collect::<HashSet<_>>(), expected);
    let built = store.denials().expect("read");
    assert_eq!(built.into_iter().collect::<HashSet<_>>(), expected);
}

/// Between pages some get longer, some are forgotten, one of them the very last one read, and some come.
#[tokio::test]
async fn denials_moved_between_pages_are_not_missed() {
    let (server, store) = new().await;
    store.deny(many(10_000)).await.expect("kept");
    let first = follow(&store, None).await;
    let mut all = first.denials.clone();
    let key = "clerk-resilience:{test}:denied:session";
    let Some(Denial::Session(last, _)) = all.last().cloned() else { panic!("a session") };
    let _: i64 = server.ask(&["ZREM", key, last.as_str()]);
    let early: Vec<String> = server.ask(&["ZRANGE", key, "0", "999"]);
    let _: i64 = server.ask(&["ZREMRANGEBYRANK", key, "0", "999"]);
    let longer: Vec<_> = (5_000..5_100).map(|n| session(&format!("sess_{n:06}"), 600)).collect();
    store.deny([longer.clone(), vec![session("sess_new", 1)]].concat()).await.expect("kept");
    let mark = rest(&store, first, &mut all).await;
    let news = follow(&store, Some(&mark)).await;
    assert_eq!(news.part, FeedPart::News);
    all.extend(news.denials);
    let all: HashSet<_> = all.into_iter().collect();
    let gone: HashSet<_> = early.into_iter().collect();
    let still = many(10_000).into_iter().filter(|denial| match denial {
        Denial::Session(id, _) => {
            !gone.contains(id.as_str())
                && !longer.iter().any(|one| matches!(one, Denial::Session(other, _) if other == id))
        }
        _ => false,
    });
    for denial in still.chain(longer.clone()).chain([session("sess_new", 1)]) {
        assert!(all.contains(&denial), "{denial:?}");
    }
}

#[tokio::test]
async fn a_moved_last_entry_leaves_no_gap() {
    let (_server, store) = new().await;
    store.deny(many(10_000)).await.expect("kept");
    let first = follow(&store, None).await;
    let Some(Denial::Session(last, _)) = first.denials.last() else { panic!("a session") };
    store.deny(vec![session(last.as_str(), 600)]).await.expect("kept");
    let mut all = first.denials.clone();
    rest(&store, first, &mut all).await;
    let all: HashSet<_> = all.into_iter().collect();
    assert!(many(10_000).iter().all(|denial| all.contains(denial)));
}

#[tokio::test]
async fn a_read_resumes_after_a_restart_or_starts_over() {
    let (mut server, store) = new().await;
    store.deny(many(10_000)).await.expect("kept");
    let first = follow(&store, None).await;
    server.kill();
    assert!(store.fleet().expect("shared").follow(Some(first.mark.clone())).await.is_err());
    server.restart();
    let mut all = first.denials.clone();
    rest(&store, first.clone(), &mut all).await;
    assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), 10_000);
    server.kill();
    server.restart_empty();
    let lost = loop {
        // The first call after a restart may find the old connection.
        if let Ok(feed) = store.fleet().expect("shared").follow(Some(first.mark.clone())).await {
            break feed;
        }
    };
    assert_eq!((lost.part, lost.more, lost.denials.len()), (FeedPart::First, false, 0));
}

/// The server does it in portions.
#[tokio::test]
async fn all_expired_denials_are_deleted() {
    let (_server, store) = new().await;
    store.deny([many(5_000), vec![session("sess_new", 600)]].concat()).await.expect("kept");
    store.prune(at(120)).await.expect("pruned");
    assert_eq!(store.denials().expect("read"), [session("sess_new", 600)]);
}

#[tokio::test]
async fn a_full_feed_page_reports_more() {
    let (_server, store) = new().await;
    let start = follow(&store, None).await;
    store.deny(many(1_500)).await.expect("kept");
    let news = follow(&store, Some(&start.mark)).await;
    assert!(news.part == FeedPart::News && news.more, "{} were read", news.denials.len());
    let news = follow(&store, Some(&news.mark)).await;
    assert!(news.part == FeedPart::News && !news.more && news.denials.len() == 500);
}
