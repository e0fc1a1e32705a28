//! The persister writes denials and records to the store, beside the driver.
//!
//! Denials are written at once, records on their schedules. When the driver ends, the persister
//! writes pending data.

use std::sync::Arc;
use std::time::Duration;

use super::denial_queue::{DenialReceiver, DenialWriter};
use super::records::{Records, Trust};
use super::shared::Core;
use crate::store::{Sightings, Store};

/// Deadline for writing pending data after the driver ends. Data not written by then is lost.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Writes the data that survives this process, or that other instances share.
#[derive(Debug)]
pub(crate) struct Persister {
    core: Arc<Core>,
    post: DenialWriter,
    /// Writes records, if a key can authenticate them.
    records: Option<Records>,
}

impl Persister {
    /// Creates a persister. Returns `None` if the store is neither durable nor shared.
    pub(crate) fn new(
        store: &Arc<dyn Store>,
        core: &Arc<Core>,
        letters: DenialReceiver,
        trust: Option<Trust>,
        instance: String,
        left: Sightings,
    ) -> Option<Self> {
        let lasting = store.is_durable() || store.fleet().is_some();
        let records = trust.map(|trust| Records::new(store, core, trust, instance, left));
        let post = DenialWriter::new(letters, store, core);
        lasting.then(|| Self { core: Arc::clone(core), post, records })
    }

    /// Writes denials and records, forever.
    pub(super) async fn work(&mut self) {
        let Self { core, post, records } = self;
        let carry = async {
            let mut part = core.parts.part("denial writer");
            while !part.survives(post.carry()).await {}
        };
        let leave = async {
            let Some(records) = records else { return };
            let mut part = core.parts.part("records");
            while !part.survives(records.leave()).await {}
        };
        tokio::join!(carry, leave);
    }

    /// Writes pending data, for at most [`LAST_WORDS`].
    pub(super) async fn finish(&mut self) {
        let Self { post, records, .. } = self;
        let leave = async {
            if let Some(records) = records {
                records.finish().await;
            }
        };
        let all = async { tokio::join!(post.finish(), leave) };
        drop(tokio::time::timeout(LAST_WORDS, all).await);
    }
}
