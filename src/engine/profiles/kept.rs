//! The store behind the memory. It may hang or fail: that costs whoever asks first two seconds, and
//! then nobody for a while.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::inbox::{report, within};
use crate::engine::shared::Core;
use crate::id::UserId;
use crate::profile::{Change, Person};
use crate::store::{Store, StoreError};

/// A store that failed is left alone for so long.
const REST: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Kept {
    store: Option<Arc<dyn Store>>,
    rests_until: Mutex<Option<Instant>>,
}

impl Kept {
    pub(super) fn new(store: Option<Arc<dyn Store>>) -> Self {
        Self { store, rests_until: Mutex::default() }
    }

    /// Who others may have changed, without this process being told.
    pub(super) fn is_shared(&self) -> bool {
        self.store.as_ref().is_some_and(|store| store.fleet().is_some())
    }

    pub(super) async fn read(&self, id: &UserId, core: &Core) -> Result<Option<Person>, ()> {
        let Some(store) = &self.store else { return Ok(None) };
        if self.rests() {
            return Err(());
        }
        let read = within(store.person(id)).await;
        self.note(read, core)
    }

    /// What cannot be written now is told again: by a webhook, or by Clerk when it is asked.
    pub(super) async fn write(&self, changes: Vec<Change>, core: &Core) {
        let Some(store) = self.store.as_ref().filter(|_| !self.rests()) else { return };
        let written = within(store.merge(changes)).await;
        let _noted = self.note(written, core);
    }

    fn rests(&self) -> bool {
        let until = *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn note<T>(&self, result: Result<T, StoreError>, core: &Core) -> Result<T, ()> {
        result.map_err(|error| {
            let until = Instant::now() + REST;
            *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
            report::<()>(core, Err(error));
        })
    }
}
