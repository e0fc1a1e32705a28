//! Whatever one instance denies, all deny.
//!
//! A member reads all denials once, page by page, and follows the feed from there. After an error, and every
//! few minutes, it reads all of them again, and gives the store those that it lacks: a store that was down,
//! or that lost what it had, learns them that way. A page that cannot be read is tried again; only a store
//! that lost its place makes it begin anew.

use std::sync::Arc;
use std::time::Duration;

use clerk_verify::clock::Moment;

use super::aside;
use super::seen::Seen;
use crate::engine::shared::Core;
use crate::engine::store_client::StoreClient;
use crate::state::revocation::{Denial, Revocations};
use crate::state::snapshot::{DenyList, SyncStatus};
use crate::store::{Feed, FeedMark, Part, Store, StoreError};

/// FeedReader a page, or waiting for news, is over by then.
const READING: Duration = Duration::from_secs(30);
/// After a failure.
const RETRY: Duration = Duration::from_secs(1);
/// All is read again after this time in any case.
const READ_ALL: Duration = Duration::from_secs(5 * 60);
/// When the store did not take what it lacks.
const READ_AGAIN: Duration = Duration::from_secs(15);
/// So many go to the store at once.
const BATCH: usize = 250;

#[derive(Debug)]
pub(super) struct Denials(StoreClient);

/// How far a member is.
struct FeedCursor {
    /// From here it goes on; without one, all is read.
    mark: Option<FeedMark>,
    /// While all is read.
    reading: Option<FeedReader>,
    /// All is read again then.
    due: Moment,
}

/// What was met while all is read, and when that began.
struct FeedReader {
    began: Moment,
    seen: Seen,
    /// Something went wrong meanwhile, so that what was met may be there no more.
    disturbed: bool,
}

impl FeedCursor {
    /// News may be lost with the store, and a page can be read again.
    fn disturb(&mut self) {
        match &mut self.reading {
            Some(reading) => reading.disturbed = true,
            None => self.mark = None,
        }
    }
}

impl Denials {
    pub(super) fn new(store: &Arc<dyn Store>, core: &Arc<Core>) -> Self {
        Self(StoreClient::new(store, core))
    }

    /// Hears of what others deny, for good.
    pub(super) async fn follow(&self) {
        let mut course = FeedCursor { mark: None, reading: None, due: self.0.now() };
        loop {
            let began = self.0.now();
            if course.reading.is_none() && began.mono >= course.due.mono {
                course.mark = None;
            }
            let hearing = self.hear(course.mark.clone());
            let heard = if course.reading.is_some() {
                // What the store lacks is looked for when all was read.
                hearing.await
            } else {
                tokio::select! {
                    heard = hearing => heard,
                    () = self.0.core.denial_queue.lacking.notified() => {
                        course.mark = None;
                        continue;
                    }
                }
            };
            self.0.note_read(&heard);
            let failed = heard.is_err();
            match heard {
                Ok(feed) => self.take(feed, began, &mut course).await,
                Err(_) => course.disturb(),
            }
            if failed || course.mark.is_none() {
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    async fn hear(&self, after: Option<FeedMark>) -> Result<Feed, StoreError> {
        let following = self.0.fleet()?.follow(after);
        tokio::time::timeout(READING, following).await.unwrap_or(Err(StoreError::Busy))
    }

    /// Denies what was read. The list is complete as of when reading began, when there is no more to read.
    async fn take(&self, feed: Feed, began: Moment, course: &mut FeedCursor) {
        let Feed { denials, mark, part, more } = feed;
        let before = course.reading.take();
        let reading = match part {
            Part::News => None,
            Part::First => Some(FeedReader { began, seen: Seen::default(), disturbed: false }),
            Part::Next => before,
        };
        course.mark = Some(mark);
        let Some(reading) = self.join(denials, reading).await else {
            course.mark = None;
            return;
        };
        if more {
            course.reading = reading;
            return;
        }
        let complete = reading.as_ref().map_or(began, |reading| reading.began);
        let deny_list = DenyList::External { complete: Some(complete) };
        self.0.core.feed(|feeds| SyncStatus { deny_list, ..feeds });
        if let Some(FeedReader { began, seen, disturbed }) = reading {
            let made_up = self.make_up(seen).await.is_some();
            course.due = began.plus(if made_up && !disturbed { READ_ALL } else { READ_AGAIN });
        }
    }

    /// Takes in what was read, and remembers of all that there are that they were met. None when that broke
    /// off.
    async fn join(
        &self,
        denials: Vec<Denial>,
        mut reading: Option<FeedReader>,
    ) -> Option<Option<FeedReader>> {
        if denials.is_empty() {
            return Some(reading);
        }
        let core = Arc::clone(&self.0.core);
        aside(move || {
            if let Some(reading) = &mut reading {
                reading.seen.add(&denials);
            }
            let (known, now) = (core.load(), core.clock.now());
            let certain = known.certain(now).unwrap_or_default();
            let theirs = Revocations::default().with_all(&denials);
            core.adopt(&theirs.beyond(&known.revocations, certain));
            reading
        })
        .await
    }

    /// Gives the store what is denied here and was not met there. None when it did not take it.
    async fn make_up(&self, seen: Seen) -> Option<()> {
        let core = Arc::clone(&self.0.core);
        let lacking = aside(move || {
            let (known, now) = (core.load(), core.clock.now());
            let certain = known.certain(now).unwrap_or_default();
            let lacking = seen.missing(&known.revocations, certain);
            lacking.denials().collect::<Vec<_>>()
        })
        .await?;
        for batch in lacking.chunks(BATCH) {
            self.0.written(self.0.store.deny(batch.to_vec())).await.ok()?;
        }
        Some(())
    }
}
