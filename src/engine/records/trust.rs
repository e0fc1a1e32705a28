//! Why a store is believed in what decides who gets in.

use std::sync::Arc;

use crate::state::seal::Seal;
use crate::store::Store;

/// Why what is found in a store can be believed.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    /// It is under this mark.
    Mark(Arc<Seal>),
    /// Nobody else can write there.
    Place,
}

impl Trust {
    /// None when nothing can.
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
