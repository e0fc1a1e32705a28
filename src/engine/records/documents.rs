//! Documents that are written to the store when their content changes.

use std::time::Duration;

use clerk_verify::clock::{Moment, Timestamp};

use super::Trust;
use super::keys::LastKeys;
use super::outages::OutageHistory;
use crate::engine::store_client::StoreClient;

/// Interval at which the task looks for changes.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Maximum time to read another instance's document.
const PATIENCE: Duration = Duration::from_secs(2);

/// A document with its content at one moment.
pub(super) trait StoredDocument: Sized {
    /// The document's name in the store, and the purpose of its MAC.
    const NAME: &str;

    /// Returns the current content; `None` if there is nothing to store.
    fn present(link: &StoreClient) -> Option<Self>;

    /// Whether this content has more information than the stored one.
    fn is_news(&self, left: &Self) -> bool;

    /// The document is written again after this time even without changes: it may contain a
    /// timestamp, and a store may lose it.
    fn lasts(&self) -> Duration;

    fn to_json(&self, instance: &str, now: Timestamp) -> Vec<u8>;

    /// Merges the content with the document that another instance stored.
    #[must_use]
    fn joined_with(&self, _left: &[u8], _instance: &str, _now: Timestamp) -> Option<Self> {
        None
    }
}

/// The documents of this process, with their content and time of the last write.
#[derive(Debug)]
pub(super) struct Documents {
    link: StoreClient,
    trust: Trust,
    instance: String,
    keys: Option<(LastKeys, Moment)>,
    outage_history: Option<(OutageHistory, Moment)>,
}

impl Documents {
    pub(super) fn new(link: StoreClient, trust: Trust, instance: String) -> Self {
        Self { link, trust, instance, keys: None, outage_history: None }
    }

    /// Writes documents whenever they change, until the task is dropped.
    pub(super) async fn leave(&mut self) {
        loop {
            self.look().await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Writes all documents with their current content.
    pub(super) async fn finish(&mut self) {
        (self.keys, self.outage_history) = (None, None);
        self.look().await;
    }

    /// Writes the documents that are due.
    async fn look(&mut self) {
        if let Some(left) = self.renew(self.keys.as_ref()).await {
            self.keys = Some(left);
        }
        if let Some(left) = self.renew(self.outage_history.as_ref()).await {
            self.outage_history = Some(left);
        }
    }

    async fn renew<T: StoredDocument>(&self, last: Option<&(T, Moment)>) -> Option<(T, Moment)> {
        let (now, present) = (self.link.now(), T::present(&self.link)?);
        let lasts = |left: &T, at| now.since(at) < left.lasts() && !present.is_news(left);
        if last.is_some_and(|(left, at)| lasts(left, *at)) {
            return None;
        }
        let joined = self.joined_with_others(&present).await;
        let json = joined.as_ref().unwrap_or(&present).to_json(&self.instance, now.wall);
        let record = self.trust.close(T::NAME, json);
        let left = self.link.written(self.link.store.put_document(T::NAME, record)).await;
        left.ok().map(|()| (present, now))
    }

    /// Merges a document with the stored one, so that a shared store loses no data of other
    /// instances.
    async fn joined_with_others<T: StoredDocument>(&self, present: &T) -> Option<T> {
        if !self.link.is_shared() {
            return None;
        }
        let reading = tokio::time::timeout(PATIENCE, self.link.store.record(T::NAME)).await;
        let record = reading.ok()?.ok()??;
        let left = self.trust.open(T::NAME, &record)?;
        present.joined_with(left, &self.instance, self.link.now().wall)
    }
}
