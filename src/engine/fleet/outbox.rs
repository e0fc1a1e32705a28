//! Denials on their way from whoever makes them to the store. Nobody waits for it: what finds no room is
//! found again by comparing with the store.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use crate::engine::shared::Core;
use crate::revocation::Denial;
use crate::store::Store;

/// So many wait.
const ROOM: usize = 4096;
/// So many go to the store at once.
const BATCH: usize = 1_000;
/// Writing is over by then.
const WRITING: Duration = Duration::from_secs(2);
/// After a failure.
const RETRY: Duration = Duration::from_secs(5);

/// Where denials are put.
#[derive(Debug)]
pub(crate) struct Outbox {
    letters: mpsc::Sender<Denial>,
    /// The store may lack some.
    pub(super) lacking: Notify,
}

/// Where they are taken from.
pub(crate) type Letters = mpsc::Receiver<Denial>;

impl Outbox {
    pub(crate) fn new() -> (Self, Letters) {
        let (letters, taken) = mpsc::channel(ROOM);
        (Self { letters, lacking: Notify::new() }, taken)
    }

    pub(crate) fn put(&self, denials: impl Iterator<Item = Denial>) {
        for denial in denials {
            if self.letters.try_send(denial).is_err() {
                return self.lacking.notify_one();
            }
        }
    }
}

/// Gives a store that nobody shares, and that outlives the process, what is denied here, until it has
/// taken it; for good.
pub(crate) async fn keep(mut letters: Letters, store: Arc<dyn Store>, core: Arc<Core>) {
    let mut batch = Vec::new();
    while !batch.is_empty() || letters.recv_many(&mut batch, BATCH).await > 0 {
        let writing = store.deny(batch.clone());
        if let Ok(Ok(())) = tokio::time::timeout(WRITING, writing).await {
            batch.clear();
        } else {
            core.counters.store_failed();
            tokio::time::sleep(RETRY).await;
        }
    }
    std::future::pending::<()>().await;
}
