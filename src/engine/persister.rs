//! What is kept in a store beside the driver: denials at once, the rest by and by, and what still waits
//! when the driver ends.

use std::sync::Arc;
use std::time::Duration;

use super::denial_queue::{DenialReceiver, DenialWriter};
use super::records::{Records, Trust};
use super::shared::Core;
use crate::store::{Sightings, Store};

/// What waits when the driver ends is kept by then, or lost.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Keeps what is to outlive this process.
#[derive(Debug)]
pub(crate) struct Persister {
    post: DenialWriter,
    /// When there is a way to believe them.
    records: Option<Records>,
}

impl Persister {
    /// None when nothing in the store outlives this process, and nobody shares it.
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
        lasting.then(|| Self { post: DenialWriter::new(letters, store, core), records })
    }

    /// Works for good.
    pub(super) async fn work(&mut self) {
        let Self { post, records } = self;
        let leave = async {
            if let Some(records) = records {
                records.leave().await;
            }
        };
        tokio::join!(post.carry(), leave);
    }

    /// Keeps what waits, and does not take long for it.
    pub(super) async fn finish(&mut self) {
        let Self { post, records } = self;
        let leave = async {
            if let Some(records) = records {
                records.finish().await;
            }
        };
        let all = async { tokio::join!(post.finish(), leave) };
        drop(tokio::time::timeout(LAST_WORDS, all).await);
    }
}
