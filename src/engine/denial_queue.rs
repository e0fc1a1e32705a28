//! Denials on their way from whoever makes them to the store. Nobody waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use super::shared::Core;
use super::store_client::StoreClient;
use crate::state::revocation::Denial;
use crate::store::Store;

/// So many wait.
const ROOM: usize = 4096;
/// So many go to the store at once: what a store does in one step, with replicas to wait for.
const BATCH: usize = 250;
/// After a failure.
const RETRY: Duration = Duration::from_secs(1);

/// Where denials are put.
#[derive(Debug)]
pub(crate) struct DenialQueue {
    letters: mpsc::Sender<Denial>,
    /// The store may lack some.
    pub(super) lacking: Notify,
    /// Some found no room.
    overflowed: AtomicBool,
}

/// Where they are taken from.
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

/// Takes denials to a store until that has them.
#[derive(Debug)]
pub(super) struct DenialWriter {
    letters: DenialReceiver,
    /// On the way. What is broken off stays here.
    bag: Vec<Denial>,
    link: StoreClient,
}

impl DenialWriter {
    pub(super) fn new(letters: DenialReceiver, store: &Arc<dyn Store>, core: &Arc<Core>) -> Self {
        Self { letters, bag: Vec::new(), link: StoreClient::new(store, core) }
    }

    /// For good.
    pub(super) async fn carry(&mut self) {
        loop {
            self.collect().await;
            if !self.deliver().await {
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// All that waits now, unless the store fails.
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

    /// What found no room is in the snapshot. A store that is shared is compared with that by whoever
    /// follows its feed.
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
