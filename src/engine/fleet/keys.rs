//! The last good keys, for an instance that starts while Clerk is down. They decide who gets in, so they
//! are under a mark that takes Clerk's secret key; without one none are left, and none are taken.

use std::sync::Arc;
use std::time::Duration;

use super::Link;
use crate::clock::Timestamp;
use crate::engine::shared::Core;
use crate::jwks::KeySet;
use crate::seal::Seal;
use crate::snapshot::Keys;
use crate::store::{KeysRecord, Store, StoreError};

/// The record's name, and what the mark is for.
const NAME: &str = "keys";
/// Whether there is something new is looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Keys that did not change are left anew after this time, for their confirmation.
const LEAVE_EVERY: Duration = Duration::from_secs(15 * 60);
/// Writing is over by then.
const PATIENCE: Duration = Duration::from_secs(2);

/// The keys that another instance of this application left, and when Clerk confirmed them.
pub(crate) fn left(
    records: &[(String, Vec<u8>)],
    seal: Option<&Seal>,
    instance: &str,
    now: Timestamp,
) -> Option<(KeySet, Timestamp)> {
    let (_, record) = records.iter().find(|(name, _)| name == NAME)?;
    KeysRecord::parse(seal?.open(NAME, record)?, instance)?.keys(now)
}

#[derive(Debug)]
pub(super) struct Legacy {
    link: Link,
    seal: Option<Seal>,
    instance: String,
}

impl Legacy {
    pub(super) fn new(
        store: &Arc<dyn Store>,
        core: &Arc<Core>,
        seal: Option<Seal>,
        instance: String,
    ) -> Self {
        let link = Link { store: Arc::clone(store), core: Arc::clone(core) };
        Self { link, seal, instance }
    }

    /// Leaves the keys whenever they are others, for good.
    pub(super) async fn leave(&self) {
        let Some(seal) = &self.seal else { return };
        let mut last: Option<(KeySet, Timestamp)> = None;
        loop {
            let keys = self.link.core.load().keys.clone();
            if let Some(confirmed) = keys.confirmed.filter(|at| is_news(&keys, *at, last.as_ref()))
                && self.keep(seal, &keys, confirmed).await.is_ok()
            {
                last = Some((keys.set, confirmed));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn keep(&self, seal: &Seal, keys: &Keys, at: Timestamp) -> Result<(), StoreError> {
        let record = KeysRecord::new(&self.instance, &keys.set, at).to_json();
        let keeping = self.link.store.keep(NAME, seal.close(NAME, &record));
        let kept = tokio::time::timeout(PATIENCE, keeping).await;
        let kept = kept.unwrap_or(Err(StoreError::Busy));
        self.link.note_written(&kept);
        kept
    }
}

fn is_news(keys: &Keys, confirmed: Timestamp, last: Option<&(KeySet, Timestamp)>) -> bool {
    last.is_none_or(|(set, at)| {
        let same = set.len() == keys.set.len() && keys.set.keys().all(|key| set.holds(key));
        !same || confirmed.since(*at) >= LEAVE_EVERY
    })
}
