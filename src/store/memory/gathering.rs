//! What instances that share one [`MemoryStore`] exchange.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::MemoryStore;
use crate::state::revocation::Denial;
use crate::store::fleet::{Feed, FeedMark, FeedPart, SharedStore};
use crate::store::inbox::{Pending, Store as _};
use crate::store::sighting::Sightings;

/// Maximum time to wait for a new denial.
const WAIT: Duration = Duration::from_secs(5);
/// Number of denials that the feed holds.
const LENGTH: usize = 10_000;

#[derive(Default)]
pub(super) struct Gathering {
    talk: Mutex<Talk>,
    news: Notify,
}

#[derive(Default)]
struct Talk {
    feed: VecDeque<Denial>,
    /// Number of denials that were dropped from the start of the feed.
    cut: u64,
    told: HashMap<String, (Instant, Vec<u8>)>,
    first: HashMap<String, Instant>,
}

impl Gathering {
    pub(super) fn spread(&self, denials: Vec<Denial>) {
        let mut talk = self.talk();
        talk.feed.extend(denials);
        while talk.feed.len() > LENGTH {
            talk.feed.pop_front();
            talk.cut += 1;
        }
        drop(talk);
        self.news.notify_waiters();
    }

    fn talk(&self) -> MutexGuard<'_, Talk> {
        self.talk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Talk {
    fn mark(&self) -> FeedMark {
        FeedMark((self.cut + self.feed.len() as u64).to_string())
    }

    /// Returns the denials after the mark, or `None` if the feed no longer reaches back to it.
    fn since(&self, mark: &FeedMark) -> Option<Vec<Denial>> {
        let from = mark.0.parse::<u64>().ok()?.checked_sub(self.cut)?;
        let from = usize::try_from(from).ok().filter(|from| *from <= self.feed.len())?;
        Some(self.feed.range(from..).cloned().collect())
    }
}

impl MemoryStore {
    fn whole(&self, gathering: &Gathering) -> Feed {
        let mark = gathering.talk().mark();
        let denials = self.denials().unwrap_or_default();
        Feed { denials, mark, part: FeedPart::First, more: false }
    }

    fn gathered(&self) -> Arc<Gathering> {
        self.gathering.clone().unwrap_or_default()
    }
}

impl SharedStore for MemoryStore {
    fn follow(&self, after: Option<FeedMark>) -> Pending<Feed> {
        let (store, gathering) = (self.clone(), self.gathered());
        Box::pin(async move {
            let Some(after) = after else { return Ok(store.whole(&gathering)) };
            let news = gathering.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            let quiet = |talk: &Talk| talk.since(&after).is_some_and(|news| news.is_empty());
            if quiet(&gathering.talk()) {
                drop(tokio::time::timeout(WAIT, news).await);
            }
            let (denials, mark) = {
                let talk = gathering.talk();
                (talk.since(&after), talk.mark())
            };
            Ok(denials.map_or_else(
                || store.whole(&gathering),
                |denials| Feed { denials, mark, part: FeedPart::News, more: false },
            ))
        })
    }

    fn tell(&self, member: &str, news: Vec<u8>, ttl: Duration) -> Pending<()> {
        let (gathering, member) = (self.gathered(), member.to_owned());
        Box::pin(async move {
            gathering.talk().told.insert(member, (Instant::now() + ttl, news));
            Ok(())
        })
    }

    fn told(&self) -> Pending<Vec<(String, Vec<u8>)>> {
        let gathering = self.gathered();
        Box::pin(async move {
            let mut talk = gathering.talk();
            talk.told.retain(|_, (until, _)| *until > Instant::now());
            Ok(talk.told.iter().map(|(name, (_, news))| (name.clone(), news.clone())).collect())
        })
    }

    fn sighted(&self, after: Option<FeedMark>) -> Pending<Sightings> {
        let store = self.clone();
        Box::pin(async move { Ok(store.state().seen.since(after.as_ref())) })
    }

    fn first(&self, what: &str, ttl: Duration) -> Pending<bool> {
        let (gathering, what) = (self.gathered(), what.to_owned());
        Box::pin(async move {
            let (mut talk, now) = (gathering.talk(), Instant::now());
            talk.first.retain(|_, until| *until > now);
            let first = !talk.first.contains_key(&what);
            if first {
                talk.first.insert(what, now + ttl);
            }
            Ok(first)
        })
    }
}
