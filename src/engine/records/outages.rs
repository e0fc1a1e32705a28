//! The outages of the last day in the store, so that a restart does not reset the limits of grace.
//!
//! In a store of a single process, the document also records that Clerk is down, and the pending
//! sign-outs. With a shared store, each instance proves an outage itself and ends its own sessions.

use std::sync::Arc;
use std::time::Duration;

use clerk_verify::clock::Timestamp;

use super::documents::StoredDocument;
use crate::engine::store_client::StoreClient;
use crate::state::health::Outages;
use crate::state::revocation::Revocations;
use crate::store::{OutageRecord, PendingSignOut};

/// Interval at which the document is written during an outage, to record its duration.
const WHILE_IT_LASTS: Duration = Duration::from_secs(15);
const AGAIN: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct OutageHistory {
    outages: Outages,
    /// When minting last failed, while an outage is proven or draining.
    failed: Option<Timestamp>,
    ending: Arc<[PendingSignOut]>,
}

impl StoredDocument for OutageHistory {
    const NAME: &str = "outages";

    /// With a shared store, an instance that knows no outage does not overwrite the document.
    fn present(link: &StoreClient) -> Option<Self> {
        let health = &link.core.load().health;
        let outages = health.outages.clone();
        if !link.is_shared() {
            let ending = link.core.ending.borrow().clone();
            return Some(Self { outages, failed: health.failed, ending });
        }
        let known = !outages.intervals().is_empty();
        known.then(|| Self { outages, failed: None, ending: Arc::default() })
    }

    fn is_news(&self, left: &Self) -> bool {
        self.outages != left.outages
            || self.failed.is_some() != left.failed.is_some()
            || self.ending != left.ending
    }

    fn lasts(&self) -> Duration {
        let lasting = self.outages.current().is_some() || self.failed.is_some();
        if lasting { WHILE_IT_LASTS } else { AGAIN }
    }

    /// Sightings and denials are stored elsewhere in a store.
    fn to_json(&self, instance: &str, now: Timestamp) -> Vec<u8> {
        let none = Revocations::default();
        let Self { outages, failed, ending } = self;
        let record = OutageRecord::new(instance, now, *failed, outages, Vec::new(), &none);
        record.ending(ending).to_json()
    }

    /// An outage that was current when another instance wrote the document ends at that time.
    fn joined_with(&self, left: &[u8], instance: &str, now: Timestamp) -> Option<Self> {
        let record = OutageRecord::parse(left, instance)?;
        let mut theirs = record.outages();
        theirs.end(record.saved());
        let mut outages = self.outages.joined_with(&theirs);
        outages.forget(now);
        Some(Self { outages, failed: self.failed, ending: Arc::clone(&self.ending) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::health::Interval;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(1_790_000_000 + secs)
    }

    fn outage_history(start: i64, end: Option<i64>) -> OutageHistory {
        let interval = Interval { start: at(start), end: end.map(at) };
        let outages = Outages::restore(vec![interval], Some(at(start)));
        OutageHistory { outages, failed: None, ending: Arc::default() }
    }

    #[test]
    fn merging_adds_an_outage_known_only_to_a_peer() {
        for (end, known) in [(Some(60), 60), (None, 100)] {
            let theirs = outage_history(0, end).to_json("one", at(100));
            let ours = outage_history(7_200, None);
            let joined = ours.joined_with(&theirs, "one", at(7_300)).expect("theirs can be read");
            let [first, last] = joined.outages.intervals() else { panic!("{joined:?}") };
            assert_eq!((first.start, first.end), (at(0), Some(at(known))), "as far as it knew");
            assert_eq!((last.start, last.end), (at(7_200), None), "ours lasts");
            assert!(ours.joined_with(&theirs, "two", at(7_300)).is_none());
        }
        let theirs = outage_history(0, Some(60)).to_json("one", at(100));
        let joined = outage_history(200_000, None).joined_with(&theirs, "one", at(200_000));
        assert_eq!(joined.map(|joined| joined.outages.intervals().len()), Some(1), "of a day ago");
    }
}
