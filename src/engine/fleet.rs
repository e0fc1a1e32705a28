//! What this instance and the others of its application tell each other, beside the driver.
//!
//! Each loop has a store that may fail or hang to itself; what it learns goes into the snapshot, and
//! requests hear of it there.

mod denials;
mod keys;
mod outages;
mod outbox;
mod seen;
mod views;

use std::sync::Arc;

use self::denials::Denials;
use self::keys::Legacy;
pub(crate) use self::keys::left;
use self::outages::Calendar;
pub(crate) use self::outages::past;
pub(crate) use self::outbox::{Outbox, keep};
use self::views::Views;
use super::shared::Core;
use crate::clock::Moment;
use crate::seal::Seal;
use crate::snapshot::{Feeds, StoreHealth};
use crate::store::{self, Store, StoreError};

/// This member of a fleet.
#[derive(Debug)]
pub(crate) struct Fleet {
    store: Arc<dyn Store>,
    outbox: outbox::Letters,
    seal: Option<Seal>,
    instance: String,
}

impl Fleet {
    /// None when the store is this process's own.
    pub(crate) fn new(
        store: &Arc<dyn Store>,
        outbox: outbox::Letters,
        seal: Option<Seal>,
        instance: &str,
    ) -> Option<Self> {
        store.fleet()?;
        Some(Self { store: Arc::clone(store), outbox, seal, instance: instance.to_owned() })
    }

    /// Works for good.
    pub(crate) async fn work(self, core: Arc<Core>) {
        let Self { store, outbox, seal, instance } = self;
        let denials = Denials::new(&store, &core);
        let views = Views::new(&store, &core, seal.clone());
        let legacy = Legacy::new(&store, &core, seal.clone(), instance.clone());
        let calendar = Calendar::new(&store, &core, seal, instance);
        tokio::join!(
            denials.follow(),
            denials.send(outbox),
            views.confer(),
            legacy.leave(),
            calendar.leave()
        );
    }
}

/// The store as its members use it.
#[derive(Debug)]
struct Link {
    store: Arc<dyn Store>,
    core: Arc<Core>,
}

impl Link {
    fn fleet(&self) -> Result<&dyn store::Fleet, StoreError> {
        self.store.fleet().ok_or_else(|| StoreError::Failed("nobody shares it".to_owned()))
    }

    fn now(&self) -> Moment {
        self.core.clock.now()
    }

    /// Notes whether the store can be read.
    fn note_read<T>(&self, result: &Result<T, StoreError>) {
        let before = self.core.load().feeds.store.unread_since;
        let now = self.note(result, before, "read");
        if now != before {
            self.publish(|store| StoreHealth { unread_since: now, ..store });
        }
    }

    /// Notes whether the store takes what is written.
    fn note_written<T>(&self, result: &Result<T, StoreError>) {
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
                tracing::info!(
                    event = "clerk.store.back",
                    secs,
                    "the shared store can be {verb} again"
                );
                None
            }
            (Err(error), _) => {
                self.core.counters.store_failed();
                if before.is_none() {
                    tracing::warn!(event = "clerk.store.down", %error, "the shared store cannot be {verb}; instances do not hear of each other's revocations, and while it cannot be read there is no grace after a minute");
                }
                before.or_else(|| Some(self.now()))
            }
        }
    }

    fn publish(&self, change: impl Fn(StoreHealth) -> StoreHealth) {
        self.core.feed(|feeds| Feeds { store: change(feeds.store), ..feeds });
    }
}

/// Many denials are compared where nothing waits for it.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}
