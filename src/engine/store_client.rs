//! The store client: bounds writes to the store, counts failures and publishes the store's health.

use std::sync::Arc;
use std::time::Duration;

use clerk_verify::clock::Moment;

use super::shared::Core;
use crate::state::snapshot::{StoreHealth, SyncStatus};
use crate::store::{self, Pending, Store, StoreError};

/// Deadline for one write.
const PATIENCE: Duration = Duration::from_secs(2);

/// The store, as used by the tasks beside the driver.
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

    /// Awaits a write for at most [`PATIENCE`], and records the result.
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

    /// Records whether a read of the store succeeded.
    pub(super) fn note_read<T>(&self, result: &Result<T, StoreError>) {
        let before = self.core.load().feeds.store.unread_since;
        let now = self.note(result, before, "read");
        if now != before {
            self.publish(|store| StoreHealth { unread_since: now, ..store });
        }
    }

    /// Records whether a write to the store succeeded.
    pub(super) fn note_written<T>(&self, result: &Result<T, StoreError>) {
        let before = self.core.load().feeds.store.unwritten_since;
        let now = self.note(result, before, "written");
        if now != before {
            self.publish(|store| StoreHealth { unwritten_since: now, ..store });
        }
    }

    /// Returns the time since when the store fails. Logs the first failure and the recovery.
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
                    tracing::warn!(event = "clerk.store.down", %error, "the shared store cannot be {verb}; revocations do not reach other instances, and after a minute without reads grace ends. Restore the store");
                } else if before.is_none() {
                    tracing::warn!(event = "clerk.store.down", %error, "the store cannot be {verb}; revocations made now are lost if this process ends before the store recovers. Restore the store");
                }
                before.or_else(|| Some(self.now()))
            }
        }
    }

    pub(super) fn publish(&self, change: impl Fn(StoreHealth) -> StoreHealth) {
        self.core.feed(|feeds| SyncStatus { store: change(feeds.store), ..feeds });
    }
}
