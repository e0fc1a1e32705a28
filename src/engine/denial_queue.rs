//! The queue of denials to write to the store. Requests add denials without waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use super::shared::Core;
use super::store_client::StoreClient;
use crate::state::revocation::Denial;
use crate::store::Store;

/// Capacity of the queue, in denials.
const ROOM: usize = 4096;
/// Maximum number of denials per call of the store, so that a replicated store meets its deadline.
const BATCH: usize = 250;
/// Delay after a failed write.
const RETRY: Duration = Duration::from_secs(1);

/// The sending end of the queue.
#[derive(Debug)]
pub(crate) struct DenialQueue {
    letters: mpsc::Sender<Denial>,
    /// Notified when the store may lack denials.
    pub(super) lacking: Notify,
    /// True once the queue was full and dropped a denial.
    overflowed: AtomicBool,
}

/// The receiving end of the queue.
pub(crate) type DenialReceiver = mpsc::Receiver<Denial>;

impl DenialQueue {
    pub(crate) fn new() -> (Self, DenialReceiver) {
        let (letters, taken) = mpsc::channel(ROOM);
        let overflowed = AtomicBool::new(false);
        (Self { letters, lacking: Notify::new(), overflowed }, taken)
    }

    pub(crate) fn put(&self, denials: impl Iterator<Item = Denial>) {
        for denial in denials {
            if self.letters.try_send(denial).is_err() {
                self.overflowed.store(true, Ordering::Release);
                return self.lacking.notify_one();
            }
        }
    }
}

/// Writes queued denials to a store, and retries until the store accepts them.
#[derive(Debug)]
pub(super) struct DenialWriter {
    letters: DenialReceiver,
    /// The batch to write. A cancelled or failed write leaves the batch unchanged.
    bag: Vec<Denial>,
    link: StoreClient,
}

impl DenialWriter {
    pub(super) fn new(letters: DenialReceiver, store: &Arc<dyn Store>, core: &Arc<Core>) -> Self {
        Self { letters, bag: Vec::new(), link: StoreClient::new(store, core) }
    }

    /// Writes denials as they are queued, forever.
    pub(super) async fn carry(&mut self) {
        loop {
            self.collect().await;
            if !self.deliver().await {
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Writes all pending denials, until the store fails.
    pub(super) async fn finish(&mut self) {
        while let Ok(denial) = self.letters.try_recv() {
            self.bag.push(denial);
        }
        let core = &self.link.core;
        if core.denial_queue.overflowed.load(Ordering::Acquire) {
            self.bag.extend(core.load().revocations.denials());
        }
        while !self.bag.is_empty() && self.deliver().await {}
    }

    /// Fills the batch from the queue, or from the snapshot if the queue dropped denials.
    ///
    /// For a shared store, the task that follows the store's feed compares the store with the
    /// snapshot instead.
    async fn collect(&mut self) {
        if !self.bag.is_empty() {
            return;
        }
        let core = &self.link.core;
        tokio::select! {
            _ = self.letters.recv_many(&mut self.bag, BATCH) => {}
            () = core.denial_queue.lacking.notified(), if !self.link.is_shared() => {
                self.bag.extend(core.load().revocations.denials());
            }
        }
    }

    async fn deliver(&mut self) -> bool {
        let some = self.bag.len().min(BATCH);
        let written = self.link.written(self.link.store.deny(self.bag[..some].to_vec())).await;
        if written.is_ok() {
            self.bag.drain(..some);
        }
        written.is_ok()
    }
}
