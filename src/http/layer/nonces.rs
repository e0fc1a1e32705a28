//! Limits requested nonces to the rate at which they can be exchanged.

use std::sync::atomic::{AtomicU64, Ordering};

use clerk_verify::clock::Moment;

/// Half the rate of nonce exchanges, so that browsers that return at the same time are not
/// rejected.
const PER_SECOND: u64 = 10;

/// Counts the browsers that were redirected for a nonce in the current second.
#[derive(Debug, Default)]
pub(crate) struct NonceBudget(AtomicU64);

impl NonceBudget {
    pub(super) fn have_room(&self, now: Moment) -> bool {
        sent_in(self.0.load(Ordering::Relaxed), now) < PER_SECOND
    }

    /// Second and count share one word, so that both change atomically.
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
