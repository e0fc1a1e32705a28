//! What this instance and the others of its application tell each other, beside the driver.
//!
//! Each loop has a store that may fail or hang to itself; what it learns goes into the snapshot, and
//! requests hear of it there.

mod denials;
mod seen;
mod views;

use std::sync::Arc;

use self::denials::Denials;
use self::views::Views;
use super::shared::Core;
use super::store_client::StoreClient;
use crate::state::seal::Seal;
use crate::store::Store;

/// This member of a fleet.
#[derive(Debug)]
pub(crate) struct Fleet {
    store: Arc<dyn Store>,
    seal: Option<Seal>,
}

impl Fleet {
    /// None when the store is this process's own.
    pub(crate) fn new(store: &Arc<dyn Store>, seal: Option<Seal>) -> Option<Self> {
        store.fleet()?;
        Some(Self { store: Arc::clone(store), seal })
    }

    /// Works for good.
    pub(crate) async fn work(self, core: Arc<Core>) {
        let Self { store, seal } = self;
        let denials = Denials::new(&store, &core);
        let views = Views::new(&store, &core, seal);
        tokio::join!(denials.follow(), views.exchange());
    }
}

/// Many denials are compared where nothing waits for it.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}
