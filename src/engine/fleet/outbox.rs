//! Denials on their way from whoever makes them to the store. Nobody waits for it: what finds no room is
//! found again by comparing with the store.

use tokio::sync::{Notify, mpsc};

use crate::revocation::Denial;

/// So many wait.
const ROOM: usize = 4096;

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
