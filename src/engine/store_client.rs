//! The store, and what it costs when it fails: a bound for each call, a count, and a word in the snapshot.

use std::sync::Arc;
use std::time::Duration;

use clerk_verify::clock::Moment;

use super::shared::Core;
use crate::state::snapshot::{StoreHealth, SyncStatus};
use crate::store::{self, Pending, Store, StoreError};

/// Writing is over by then.
const PATIENCE: Duration = Duration::from_secs(2);

/// The store as those beside the driver use it.
#[derive(Clone, Debug)]
pub(super) struct StoreClient {
    pub(super) store: Arc<dyn Store>,
    pub(super) core: Arc<Core>,
}

impl StoreClient {
    pub(super) fn new(store: &Arc<dyn Store>, core: &Arc<Core>) -> Self {
        Self { store: Arc::clone(store), core: Arc::clone(core) }
    }

    pub(super) fn is_shared(&self) -> bool {
        self.store.fleet().is_some()
    }

    /// What came of writing something; nobody waits for it longer than two seconds.
    pub(super) async fn written(&self, writing: Pending<()>) -> Result<(), StoreError> {
        let written = tokio::time::timeout(PATIENCE, writing).await;
        let written = written.unwrap_or(Err(StoreError::Busy));
        self.note_written(&written);
        written
    }

    pub(super) fn fleet(&self) -> Result<&dyn store::SharedStore, StoreError> {
        self.store.fleet().ok_or_else(|| StoreError::Failed("nobody shares it".to_owned()))
    }

    pub(super) fn now(&self) -> Moment {
        self.core.clock.now()
    }

    /// Notes whether the store can be read.
    pub(super) fn note_read<T>(&self, result: &Result<T, StoreError>) {
        let before = self.core.load().feeds.store.unread_since;
        let now = self.note(result, before, "read");
        if now != before {
            self.publish(|store| StoreHealth { unread_since: now, ..store });
        }
    }

    /// Notes whether the store takes what is written.
    pub(super) fn note_written<T>(&self, result: &Result<T, StoreError>) {
        let before = self.core.load().feeds.store.unwritten_since;
        let now = self.note(result, before, "written");
        if now != before {
            self.publish(|store| StoreHealth { unwritten_since: now, ..store });
        }
    }

    /// Since when it fails; said aloud when that changes.
    fn note<T>(
        &self,
        result: &Result<T, StoreError>,
        before: Option<Moment>,
        verb: &str,
    ) -> Option<Moment> {
        match (result, before) {
            (Ok(_), None) => None,
            (Ok(_), Some(since)) => {
                let secs = self.now().since(since).as_secs();
                tracing::info!(event = "clerk.store.back", secs, "the store can be {verb} again");
                None
            }
            (Err(error), _) => {
                self.core.counters.store_failed();
                if before.is_none() && self.is_shared() {
                    tracing::warn!(event = "clerk.store.down", %error, "the shared store cannot be {verb}; instances do not hear of each other's revocations, and while it cannot be read there is no grace after a minute");
                } else if before.is_none() {
                    tracing::warn!(event = "clerk.store.down", %error, "the store cannot be {verb}; what is revoked here meanwhile is lost when this process ends before it can be again");
                }
                before.or_else(|| Some(self.now()))
            }
        }
    }

    pub(super) fn publish(&self, change: impl Fn(StoreHealth) -> StoreHealth) {
        self.core.feed(|feeds| SyncStatus { store: change(feeds.store), ..feeds });
    }
}
