//! When the outages of the last day began and how long they took, for an instance that starts: no bound of
//! grace begins anew with it. That Clerk is down it has to see for itself.

use std::sync::Arc;
use std::time::Duration;

use super::Link;
use crate::clock::Moment;
use crate::engine::shared::Core;
use crate::health::Outages;
use crate::revocation::Revocations;
use crate::seal::Seal;
use crate::store::{OutageRecord, Store, StoreError};

/// The record's name, and what the mark is for.
const NAME: &str = "outages";
/// Whether there is something new is looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// While an outage lasts, how long it has lasted is left this often.
const LEAVE_EVERY: Duration = Duration::from_secs(15);
/// Writing is over by then.
const PATIENCE: Duration = Duration::from_secs(2);

/// What another instance of this application left.
pub(crate) fn past(
    records: &[(String, Vec<u8>)],
    seal: Option<&Seal>,
    instance: &str,
) -> Option<OutageRecord> {
    let (_, record) = records.iter().find(|(name, _)| name == NAME)?;
    OutageRecord::parse(seal?.open(NAME, record)?, instance)
}

#[derive(Debug)]
pub(super) struct Calendar {
    link: Link,
    seal: Option<Seal>,
    instance: String,
}

impl Calendar {
    pub(super) fn new(
        store: &Arc<dyn Store>,
        core: &Arc<Core>,
        seal: Option<Seal>,
        instance: String,
    ) -> Self {
        let link = Link { store: Arc::clone(store), core: Arc::clone(core) };
        Self { link, seal, instance }
    }

    /// Leaves the outages whenever there is more to tell of them, for good. Who knows of none leaves what
    /// there is.
    pub(super) async fn leave(&self) {
        let Some(seal) = &self.seal else { return };
        let mut last: Option<(Outages, Moment)> = None;
        loop {
            let (outages, now) = (self.link.core.load().health.outages.clone(), self.link.now());
            let news = last.as_ref().is_none_or(|(known, at)| {
                let lasts = outages.current().is_some();
                *known != outages || (lasts && now.since(*at) >= LEAVE_EVERY)
            });
            if news
                && !outages.intervals().is_empty()
                && self.keep(seal, &outages, now).await.is_ok()
            {
                last = Some((outages, now));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Without saying that Clerk is down now, and without anybody's sessions.
    async fn keep(&self, seal: &Seal, outages: &Outages, now: Moment) -> Result<(), StoreError> {
        let none = Revocations::default();
        let record = OutageRecord::new(&self.instance, now.wall, None, outages, Vec::new(), &none);
        let keeping = self.link.store.keep(NAME, seal.close(NAME, &record.to_json()));
        let kept = tokio::time::timeout(PATIENCE, keeping).await;
        let kept = kept.unwrap_or(Err(StoreError::Busy));
        self.link.note_written(&kept);
        kept
    }
}
