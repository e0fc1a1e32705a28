//! Shares denials: a denial of one instance reaches every instance of the fleet.
//!
//! An instance reads all denials once, page by page, and then follows the feed. Every few minutes,
//! and soon after an error, it reads all denials again and stores those that the store lacks. A
//! store that was down or lost data recovers its denials that way. A page that cannot be read is
//! retried; only a store that lost its feed makes the reading start again.

use std::sync::Arc;
use std::time::Duration;

use clerk_verify::clock::Moment;

use super::aside;
use super::seen::SeenDenials;
use crate::engine::shared::Core;
use crate::engine::store_client::StoreClient;
use crate::state::revocation::{Denial, Revocations};
use crate::state::snapshot::{DenyList, SyncStatus};
use crate::store::{Feed, FeedMark, FeedPart, Store, StoreError};

/// Maximum time to read a page or to wait for new denials.
const READING: Duration = Duration::from_secs(30);
/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(1);
/// All denials are read again after this time at the latest.
const READ_ALL: Duration = Duration::from_secs(5 * 60);
/// All denials are read again this soon after errors, or if the store did not accept missing
/// denials.
const READ_AGAIN: Duration = Duration::from_secs(15);
/// Number of denials per call to the store.
const BATCH: usize = 250;

#[derive(Debug)]
pub(super) struct Denials(StoreClient);

/// The position of this instance in the feed.
struct FeedCursor {
    /// The position to continue from; `None` starts a full reading.
    mark: Option<FeedMark>,
    /// The full reading in progress, if any.
    reading: Option<FeedReader>,
    /// When the next full reading is due.
    due: Moment,
}

/// A full reading: when it began, and which denials the store returned.
struct FeedReader {
    began: Moment,
    seen: SeenDenials,
    /// Whether an error occurred during the reading, after which the store may have lost denials.
    disturbed: bool,
}

impl FeedCursor {
    /// Records an error. The store may have lost new denials, whereas a page can be read again.
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

    /// Follows the denials of other instances until the task is dropped.
    pub(super) async fn follow(&self) {
        let mut course = FeedCursor { mark: None, reading: None, due: self.0.now() };
        loop {
            let began = self.0.now();
            if course.reading.is_none() && began.mono >= course.due.mono {
                course.mark = None;
            }
            let hearing = self.hear(course.mark.clone());
            let heard = if course.reading.is_some() {
                // Denials that the store lacks are determined after the full reading.
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

    /// Applies denials that were read. After the last page, the deny list is complete as of when
    /// the reading began.
    async fn take(&self, feed: Feed, began: Moment, course: &mut FeedCursor) {
        let Feed { denials, mark, part, more } = feed;
        let before = course.reading.take();
        let reading = match part {
            FeedPart::News => None,
            FeedPart::First => {
                Some(FeedReader { began, seen: SeenDenials::default(), disturbed: false })
            }
            FeedPart::Next => before,
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

    /// Applies denials, and records them as seen if a full reading is in progress. Returns `None`
    /// if the blocking task was aborted.
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

    /// Stores the denials that are known here and that the store lacks. Returns `None` if the store
    /// did not accept them.
    async fn make_up(&self, seen: SeenDenials) -> Option<()> {
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
