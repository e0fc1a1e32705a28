//! What outlives this process in the store: the keys, the outages and whom it saw, for whoever starts next.
//!
//! These decide who gets in. With Clerk's secret key they are under a mark that takes it, and
//! nothing else is believed. Without one nothing is left in a store that is shared, and nothing taken.
//! A store of one's own may do without: its file is this user's alone, as the files of a state directory
//! are.

mod documents;
mod keys;
mod outages;
mod sightings;
mod trust;

use std::sync::Arc;
use std::time::Duration;

use clerk_verify::clock::Timestamp;
use clerk_verify::jwks::KeySet;

use self::documents::{Document, Documents};
use self::keys::LastKeys;
use self::outages::OutageHistory;
use self::sightings::SightingWriter;
pub(crate) use self::trust::Trust;
use super::shared::Core;
use super::store_client::StoreClient;
use crate::store::{OutageRecord, Sightings, Store, StoreError};

/// What an earlier process, or another instance, left.
#[derive(Debug, Default)]
pub(crate) struct StoredState {
    /// The keys, and when Clerk confirmed them.
    pub(crate) keys: Option<(KeySet, Timestamp)>,
    pub(crate) outages: Option<OutageRecord>,
    /// Whom it saw.
    pub(crate) sightings: Sightings,
}

impl StoredState {
    pub(crate) fn read(
        store: &dyn Store,
        trust: &Trust,
        instance: &str,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let records = store.documents()?;
        let find = |name: &str| {
            let (_, record) = records.iter().find(|(found, _)| found == name)?;
            trust.open(name, record)
        };
        let keys = find(LastKeys::NAME).and_then(|json| keys::parse(json, instance, now));
        let outages =
            find(OutageHistory::NAME).and_then(|json| OutageRecord::parse(json, instance));
        Ok(Self { keys, outages, sightings: store.sightings()? })
    }
}

/// What this process leaves.
#[derive(Debug)]
pub(super) struct Records {
    documents: Documents,
    register: SightingWriter,
}

impl Records {
    pub(super) fn new(
        store: &Arc<dyn Store>,
        core: &Arc<Core>,
        trust: Trust,
        instance: String,
        left: Sightings,
    ) -> Self {
        let link = StoreClient::new(store, core);
        let register = SightingWriter::new(link.clone(), trust.clone(), left);
        Self { documents: Documents::new(link, trust, instance), register }
    }

    /// Leaves whatever there is to tell, for good.
    pub(super) async fn leave(&mut self) {
        tokio::join!(self.documents.leave(), self.register.share());
    }

    /// Leaves what there is now.
    pub(super) async fn finish(&mut self) {
        tokio::join!(self.documents.finish(), self.register.tell(Duration::ZERO));
    }
}
