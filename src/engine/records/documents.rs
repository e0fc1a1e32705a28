//! Documents that are left in the store whenever there is more to tell.

use std::time::Duration;

use clerk_verify::clock::{Moment, Timestamp};

use super::Trust;
use super::keys::LastKeys;
use super::outages::OutageHistory;
use crate::engine::store_client::StoreClient;

/// Whether there is something new is looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Reading what others left is over by then.
const PATIENCE: Duration = Duration::from_secs(2);

/// A document as it is to be left at one moment.
pub(super) trait Document: Sized {
    /// The record's name, and what the mark is for.
    const NAME: &str;

    /// None when there is nothing to tell.
    fn present(link: &StoreClient) -> Option<Self>;

    /// Whether this tells more than what was left.
    fn is_news(&self, left: &Self) -> bool;

    /// It is left again after this time in any case: it may tell how late it is, and a store may lose it.
    fn lasts(&self) -> Duration;

    fn to_json(&self, instance: &str, now: Timestamp) -> Vec<u8>;

    /// The same with what another left.
    #[must_use]
    fn joined_with(&self, _left: &[u8], _instance: &str, _now: Timestamp) -> Option<Self> {
        None
    }
}

/// The documents of this process, and when they were left.
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

    /// Leaves them, for good.
    pub(super) async fn leave(&mut self) {
        loop {
            self.look().await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Leaves all, as it is now.
    pub(super) async fn finish(&mut self) {
        (self.keys, self.outage_history) = (None, None);
        self.look().await;
    }

    /// Leaves what is due now.
    async fn look(&mut self) {
        if let Some(left) = self.renew(self.keys.as_ref()).await {
            self.keys = Some(left);
        }
        if let Some(left) = self.renew(self.outage_history.as_ref()).await {
            self.outage_history = Some(left);
        }
    }

    async fn renew<T: Document>(&self, last: Option<&(T, Moment)>) -> Option<(T, Moment)> {
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

    /// Of a store that is shared nothing is overwritten that only others know.
    async fn joined_with_others<T: Document>(&self, present: &T) -> Option<T> {
        if !self.link.is_shared() {
            return None;
        }
        let reading = tokio::time::timeout(PATIENCE, self.link.store.record(T::NAME)).await;
        let record = reading.ok()?.ok()??;
        let left = self.trust.open(T::NAME, &record)?;
        present.joined_with(left, &self.instance, self.link.now().wall)
    }
}
