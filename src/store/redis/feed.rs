//! [`SharedStore`] on Redis: the denial feed, published data and claims.

use std::collections::HashMap;
use std::time::Duration;

use clerk_verify::clock::Timestamp;
use redis::{Value, cmd};

use super::pages::{self, PagePosition};
use super::{RedisInner, RedisStore, denials, script};
use crate::state::revocation::Denial;
use crate::store::fleet::{Feed, FeedMark, FeedPart, SharedStore};
use crate::store::inbox::{Pending, StoreError};
use crate::store::sighting::Sightings;

/// Maximum time to wait for a new denial.
const WAIT: Duration = Duration::from_secs(5);
/// Number of feed entries that one call reads.
const PAGE: usize = 1_000;

/// Maximum number of members that are read. Beyond it, the members whose data expires last are
/// read.
const MEMBERS: usize = 1_000;

/// An entry of the stream: its id and its fields.
type FeedRow = (String, HashMap<String, String>);

impl SharedStore for RedisStore {
    fn follow(&self, after: Option<FeedMark>) -> Pending<Feed> {
        self.run(|store| async move {
            store.0.examine().await;
            let feed = match after {
                None => None,
                Some(mark) => match PagePosition::of(&mark) {
                    None => store.0.since(&mark).await?,
                    Some(place) => store.0.all_from(place).await?,
                },
            };
            match feed {
                Some(feed) => Ok(feed),
                None => store.0.all().await,
            }
        })
    }

    fn tell(&self, member: &str, news: Vec<u8>, ttl: Duration) -> Pending<()> {
        let member = member.to_owned();
        self.run(move |store| async move {
            let mut call = script::TELL.prepare_invoke();
            call.key(store.0.keys.named("members")).key(store.0.keys.named("told"));
            call.arg(member).arg(news).arg(millis(ttl));
            store.0.run(&call).await
        })
    }

    fn told(&self) -> Pending<Vec<(String, Vec<u8>)>> {
        self.run(|store| async move {
            let mut call = script::TOLD.prepare_invoke();
            call.key(store.0.keys.named("members")).key(store.0.keys.named("told"));
            call.arg(MEMBERS);
            let told: Vec<(Vec<u8>, _)> = store.0.run(&call).await?;
            let named = |(name, news)| Some((String::from_utf8(name).ok()?, news));
            Ok(told.into_iter().filter_map(named).collect())
        })
    }

    fn sighted(&self, after: Option<FeedMark>) -> Pending<Sightings> {
        self.run(|store| async move { store.0.sighted(after.as_ref()).await })
    }

    fn first(&self, what: &str, ttl: Duration) -> Pending<bool> {
        let key = self.0.keys.named(&format!("first:{what}"));
        self.run(move |store| async move {
            let mut set = cmd("SET");
            set.arg(key).arg(1).arg("NX").arg("PX").arg(millis(ttl).max(1));
            let set: Option<String> = store.0.ask(&set).await?;
            Ok(set.is_some())
        })
    }
}

impl RedisInner {
    /// Starts to read all denials. The end of the feed is noted first, so that the feed after it
    /// contains everything that is added meanwhile.
    async fn all(&self) -> Result<Feed, StoreError> {
        let origin: String = self.run(&script::ORIGIN.call(&self.keys)).await?;
        let feed = self.all_from(PagePosition::first(origin)).await?;
        feed.ok_or_else(|| StoreError::Failed("the feed was lost while all was read".to_owned()))
    }

    /// Reads a page of all denials. Returns `None` if the feed no longer reaches back to its end at
    /// the start of the reading, because denials added since may then be on no page.
    async fn all_from(&self, place: PagePosition) -> Result<Option<Feed>, StoreError> {
        let part = if place.is_first() { FeedPart::First } else { FeedPart::Next };
        let origin = FeedMark(place.origin.clone());
        let (denials, next) = self.mended(pages::read(&self.link, &self.keys, place).await).await?;
        let (mark, more) = next.map_or((origin.clone(), false), |place| (place.mark(), true));
        let reaches = self.reaches(&origin).await?;
        Ok(reaches.then_some(Feed { denials, mark, part, more }))
    }

    /// Reads new denials. Returns `None` if the feed no longer reaches back to the mark, because it
    /// was trimmed or lost. This is checked before and after reading.
    async fn since(&self, mark: &FeedMark) -> Result<Option<Feed>, StoreError> {
        if !self.reaches(mark).await? {
            return Ok(None);
        }
        let rows = self.news(mark).await?;
        if !self.reaches(mark).await? {
            return Ok(None);
        }
        let mark = rows.last().map_or_else(|| mark.clone(), |(id, _)| FeedMark(id.clone()));
        let denials = rows.iter().filter_map(|(_, fields)| denial(fields)).collect();
        Ok(Some(Feed { denials, mark, part: FeedPart::News, more: rows.len() >= PAGE }))
    }

    async fn reaches(&self, mark: &FeedMark) -> Result<bool, StoreError> {
        let mut find = cmd("XRANGE");
        find.arg(self.keys.named("feed")).arg(&mark.0).arg(&mark.0);
        let found: Vec<Value> = self.ask(&find).await?;
        Ok(!found.is_empty())
    }

    /// Waits for new entries of the stream. A connection on which this fails is dropped.
    async fn news(&self, mark: &FeedMark) -> Result<Vec<FeedRow>, StoreError> {
        let mut place = self.follower.lock().await;
        let follower = match place.take() {
            Some(follower) => follower,
            None => self.link.follower().await?,
        };
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(PAGE).arg("BLOCK").arg(millis(WAIT));
        read.arg("STREAMS").arg(self.keys.named("feed")).arg(&mark.0);
        let streams: Option<Vec<(String, Vec<FeedRow>)>> = follower.wait(&read, WAIT).await?;
        *place = Some(follower);
        Ok(streams.into_iter().flatten().flat_map(|(_, rows)| rows).collect())
    }
}

/// Parses a feed entry. Returns `None` for a kind that this version does not know.
fn denial(fields: &HashMap<String, String>) -> Option<Denial> {
    let at = Timestamp::from_millis(fields.get("at")?.parse().ok()?);
    denials::read(fields.get("kind")?, fields.get("id")?, at)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
