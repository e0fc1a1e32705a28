//! The fleet: instances that share a store exchange denials and health reports, beside the driver.
//!
//! Each loop handles a store that fails or hangs on its own. Results are published in the snapshot
//! and the driver's channels, so requests never wait for the store.

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

/// This instance's membership of a fleet.
#[derive(Debug)]
pub(crate) struct FleetTask {
    store: Arc<dyn Store>,
    seal: Option<Seal>,
}

impl FleetTask {
    /// Creates the member. Returns `None` if the store is not shared.
    pub(crate) fn new(store: &Arc<dyn Store>, seal: Option<Seal>) -> Option<Self> {
        store.fleet()?;
        Some(Self { store: Arc::clone(store), seal })
    }

    /// Exchanges denials and health reports with the other instances, forever.
    pub(crate) async fn work(self, core: Arc<Core>) {
        let Self { store, seal } = self;
        let denials = Denials::new(&store, &core);
        let views = Views::new(&store, &core, seal);
        tokio::join!(
            core.parts.keep("fleet denials", || denials.follow()),
            core.parts.keep("fleet reports", || views.exchange()),
        );
    }
}

/// Runs CPU-bound work, such as comparing many denials, on a blocking thread.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}
