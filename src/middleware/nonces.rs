//! No more nonces are asked for than can be exchanged.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Moment;

/// Half of what the exchange takes, so that browsers which come back together still find room.
const PER_SECOND: u64 = 10;

/// How many browsers were sent for a nonce in the present second.
#[derive(Debug, Default)]
pub(crate) struct Nonces(AtomicU64);

impl Nonces {
    pub(super) fn have_room(&self, now: Moment) -> bool {
        self.sent_in(now) < PER_SECOND
    }

    /// The second and the count share one word; a race may let one too many through.
    pub(super) fn count(&self, now: Moment) {
        let count = self.sent_in(now) + 1;
        self.0.store((now.mono.as_secs() << 8) | count.min(0xff), Ordering::Relaxed);
    }

    fn sent_in(&self, now: Moment) -> u64 {
        let word = self.0.load(Ordering::Relaxed);
        if word >> 8 == now.mono.as_secs() { word & 0xff } else { 0 }
    }
}
