//! [`Trust`]: why records in a store are trusted.

use std::sync::Arc;

use crate::state::seal::Seal;
use crate::store::Store;

/// Why records in a store are trusted.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    /// Each record has a MAC under this key.
    Mark(Arc<Seal>),
    /// No other process can write to the store.
    Place,
}

impl Trust {
    /// Determines the trust in a store. Returns `None` if its records cannot be trusted.
    pub(crate) fn new(store: &dyn Store, seal: Option<Seal>) -> Option<Self> {
        let own = store.fleet().is_none() && store.is_durable();
        let shared = store.fleet().is_some();
        match seal {
            Some(seal) if own || shared => Some(Self::Mark(Arc::new(seal))),
            None if own => Some(Self::Place),
            _ => None,
        }
    }

    pub(super) fn mark(&self, purpose: &str, body: &[u8]) -> Vec<u8> {
        match self {
            Self::Mark(seal) => seal.mark(purpose, body),
            Self::Place => Vec::new(),
        }
    }

    pub(super) fn is_good(&self, purpose: &str, body: &[u8], mark: &[u8]) -> bool {
        match self {
            Self::Mark(seal) => seal.is_good(purpose, body, mark),
            Self::Place => true,
        }
    }

    pub(super) fn close(&self, name: &str, record: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Mark(seal) => seal.close(name, &record),
            Self::Place => record,
        }
    }

    pub(super) fn open<'a>(&self, name: &str, record: &'a [u8]) -> Option<&'a [u8]> {
        match self {
            Self::Mark(seal) => seal.open(name, record),
            Self::Place => Some(record),
        }
    }
}
