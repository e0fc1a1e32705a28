//! No more nonces are asked for than can be exchanged.

use std::sync::atomic::{AtomicU64, Ordering};

use clerk_verify::clock::Moment;

/// Half of what the exchange takes, so that browsers which come back together still find room.
const PER_SECOND: u64 = 10;

/// How many browsers were sent for a nonce in the present second.
#[derive(Debug, Default)]
pub(crate) struct NonceBudget(AtomicU64);

impl NonceBudget {
    pub(super) fn have_room(&self, now: Moment) -> bool {
        sent_in(self.0.load(Ordering::Relaxed), now) < PER_SECOND
    }

    /// The second and the count share one word, which changes in one step.
    pub(super) fn count(&self, now: Moment) {
        let counted = |word| {
            let count = sent_in(word, now) + 1;
            Some((now.mono.as_secs() << 8) | count.min(0xff))
        };
        let _before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted);
    }
}

fn sent_in(word: u64, now: Moment) -> u64 {
    if word >> 8 == now.mono.as_secs() { word & 0xff } else { 0 }
}
