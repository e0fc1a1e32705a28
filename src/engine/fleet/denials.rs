//! Whatever one instance denies, all deny.
//!
//! A member reads all denials once and follows the feed from there. After an error, and every few
//! minutes, it reads all of them again, and gives the store those that it lacks: a store that was down,
//! or that lost what it had, learns them that way.

use std::sync::Arc;
use std::time::Duration;

use super::{Lacking, Link, aside};
use crate::clock::Moment;
use crate::engine::shared::Core;
use crate::revocation::{Denial, Revocations};
use crate::snapshot::{DenyList, Feeds};
use crate::store::{Feed, Mark, Store, StoreError};

/// Reading all, or waiting for news, is over by then.
const READING: Duration = Duration::from_secs(30);
/// Writing is over by then.
const WRITING: Duration = Duration::from_secs(2);
/// After a failure.
const RETRY: Duration = Duration::from_secs(1);
/// All is read again after this time in any case.
const READ_ALL: Duration = Duration::from_secs(5 * 60);
/// So many go to the store at once.
const BATCH: usize = 1_000;

#[derive(Debug)]
pub(super) struct Denials(Link);

impl Denials {
    pub(super) fn new(store: &Arc<dyn Store>, core: &Arc<Core>) -> Self {
        Self(Link { store: Arc::clone(store), core: Arc::clone(core) })
    }

    /// Hears of what others deny, for good.
    pub(super) async fn follow(&self) {
        let (mut mark, mut read_all) = (None, self.0.now());
        loop {
            let began = self.0.now();
            if began.since(read_all) >= READ_ALL {
                mark = None;
            }
            if mark.is_none() {
                read_all = began;
            }
            let heard = tokio::select! {
                heard = self.hear(mark.take()) => heard,
                () = self.0.core.outbox.lacking.notified() => continue,
            };
            self.0.note_read(&heard);
            if let Ok(feed) = heard {
                mark = self.take(feed, began).await;
            }
            if mark.is_none() {
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    async fn hear(&self, after: Option<Mark>) -> Result<Feed, StoreError> {
        let following = self.0.fleet()?.follow(after);
        tokio::time::timeout(READING, following).await.unwrap_or(Err(StoreError::Busy))
    }

    /// Denies what was read; then, and not before, the list is complete as of when reading began. None
    /// when all is to be read again.
    async fn take(&self, feed: Feed, began: Moment) -> Option<Mark> {
        let Feed { denials, mark, whole } = feed;
        let lacking = if whole { self.join(denials).await? } else { self.add(&denials) };
        self.0
            .core
            .feed(|feeds| Feeds { deny_list: DenyList::Fed { complete: Some(began) }, ..feeds });
        for batch in lacking.chunks(BATCH) {
            let kept = self.write(batch.to_vec()).await;
            self.0.note_written(&kept);
            kept.ok()?;
        }
        Some(mark)
    }

    fn add(&self, denials: &[Denial]) -> Lacking {
        if !denials.is_empty() {
            self.0.core.adopt(&Revocations::default().with_all(denials));
        }
        Vec::new()
    }

    /// Takes in all that the store has, and returns what it lacks.
    async fn join(&self, denials: Vec<Denial>) -> Option<Lacking> {
        let core = Arc::clone(&self.0.core);
        aside(move || {
            let theirs = Revocations::default().with_all(&denials);
            let (known, now) = (core.load(), core.clock.now());
            let certain = known.certain(now).unwrap_or_default();
            let lacking = known.revocations.beyond(&theirs, certain).denials().collect();
            core.adopt(&theirs.beyond(&known.revocations, certain));
            lacking
        })
        .await
    }

    async fn write(&self, denials: Vec<Denial>) -> Result<(), StoreError> {
        let writing = self.0.store.deny(denials);
        tokio::time::timeout(WRITING, writing).await.unwrap_or(Err(StoreError::Busy))
    }
}
