//! The store behind the profile cache. If the store hangs or fails, the first look-ups wait two
//! seconds, and the following ones skip the store for a while.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clerk_verify::id::UserId;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::engine::inbox::PATIENCE;
use crate::engine::shared::Core;
use crate::state::profile::{Change, Person};
use crate::store::{Pending, Store, StoreError};

/// How long a store that failed is skipped.
const REST: Duration = Duration::from_secs(5);
/// Maximum number of concurrent store calls. Further calls wait, so that a crowd does not look like
/// a failure.
const AT_ONCE: usize = 64;

#[derive(Debug)]
pub(super) struct StoredProfiles {
    store: Option<Arc<dyn Store>>,
    rests_until: Mutex<Option<Instant>>,
    places: Semaphore,
    keep_private: bool,
}

impl StoredProfiles {
    pub(super) fn new(store: Option<Arc<dyn Store>>, keep_private: bool) -> Self {
        let places = Semaphore::new(AT_ONCE);
        Self { store, rests_until: Mutex::default(), places, keep_private }
    }

    /// Whether other instances may change the store without notifying this process.
    pub(super) fn is_shared(&self) -> bool {
        self.store.as_ref().is_some_and(|store| store.fleet().is_some())
    }

    pub(super) async fn read(&self, id: &UserId, core: &Core) -> Result<Option<Person>, ()> {
        let Some(store) = &self.store else { return Ok(None) };
        if self.rests() {
            return Err(());
        }
        let person = self.within(|| store.user(id), core).await?;
        // An earlier process may have been configured to store private metadata.
        Ok(person.map(|person| if self.keep_private { person } else { person.without_private() }))
    }

    /// Stores changes. A failed write is not retried: a later webhook or look-up delivers the data
    /// again.
    pub(super) async fn write(&self, changes: Vec<Change>, core: &Core) {
        let Some(store) = self.store.as_ref().filter(|_| !self.rests()) else { return };
        let _written = self.within(|| store.merge(changes), core).await;
    }

    fn rests(&self) -> bool {
        let until = *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Runs a store call within its deadline. A busy store is not skipped afterwards; one that
    /// fails or times out is.
    async fn within<T>(&self, work: impl FnOnce() -> Pending<T>, core: &Core) -> Result<T, ()> {
        let turn = async {
            let _place = self.places.acquire().await;
            work().await
        };
        let (ill, error) = match timeout(PATIENCE, turn).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => (!matches!(error, StoreError::Busy), error),
            Err(_) => (true, StoreError::Busy),
        };
        if ill {
            let until = Instant::now() + REST;
            *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
            tracing::warn!(event = "clerk.store.silent", %error, "the store does not tell who users are; it is left alone for 5 s");
        }
        core.counters.store_failed();
        Err(())
    }
}
