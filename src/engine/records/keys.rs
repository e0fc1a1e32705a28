//! The last good keys, for a process that starts while Clerk is down.

use std::time::Duration;

use clerk_verify::clock::Timestamp;
use clerk_verify::jwks::KeySet;

use super::documents::StoredDocument;
use crate::engine::store_client::StoreClient;
use crate::store::KeysRecord;

/// The record is written again after this time, because Clerk's confirmation may be newer.
const AGAIN: Duration = Duration::from_secs(60);

/// The keys, and when Clerk confirmed them.
#[derive(Debug)]
pub(super) struct LastKeys(KeySet, Timestamp);

pub(super) fn parse(json: &[u8], instance: &str, now: Timestamp) -> Option<(KeySet, Timestamp)> {
    KeysRecord::parse(json, instance)?.keys(now)
}

impl StoredDocument for LastKeys {
    const NAME: &str = "keys";

    fn present(link: &StoreClient) -> Option<Self> {
        let keys = &link.core.load().keys;
        keys.confirmed.map(|confirmed| Self(keys.set.clone(), confirmed))
    }

    fn is_news(&self, left: &Self) -> bool {
        self.0.len() != left.0.len() || self.0.keys().any(|key| !left.0.holds(key))
    }

    fn lasts(&self) -> Duration {
        AGAIN
    }

    fn to_json(&self, instance: &str, _: Timestamp) -> Vec<u8> {
        KeysRecord::new(instance, &self.0, self.1).to_json()
    }
}
