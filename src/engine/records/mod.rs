//! Records of this process in the store, for the next process and other instances: keys, outages
//! and sightings.
//!
//! The records decide who is let in. With Clerk's secret key each record has a MAC under a key
//! derived from it, and records without a valid MAC are ignored. Without a secret key, a shared
//! store is neither written nor read. A store of a single process needs no MAC, because its file is
//! as private as those of a state directory.

mod documents;
mod keys;
mod outages;
mod sightings;
mod trust;

use std::sync::Arc;
use std::time::Duration;

use clerk_verify::clock::Timestamp;
use clerk_verify::jwks::KeySet;

use self::documents::{Documents, StoredDocument};
use self::keys::LastKeys;
use self::outages::OutageHistory;
use self::sightings::SightingWriter;
pub(crate) use self::trust::Trust;
use super::shared::Core;
use super::store_client::StoreClient;
use crate::store::{OutageRecord, Sightings, Store, StoreError};

/// State that an earlier process or another instance stored.
#[derive(Debug, Default)]
pub(crate) struct StoredState {
    /// The keys, and when Clerk confirmed them.
    pub(crate) keys: Option<(KeySet, Timestamp)>,
    pub(crate) outages: Option<OutageRecord>,
    /// Recorded sightings of sessions.
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

/// The writers of this process's records.
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

    /// Writes records whenever they change, until the task is dropped.
    pub(super) async fn leave(&mut self) {
        tokio::join!(self.documents.leave(), self.register.share());
    }

    /// Writes all current records once.
    pub(super) async fn finish(&mut self) {
        tokio::join!(self.documents.finish(), self.register.tell(Duration::ZERO));
    }
}
