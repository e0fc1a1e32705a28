//! What a request may wait for, once each: fresh keys, or an answer of the Backend API.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use clerk_verify::authenticate::{RefreshCall, RefreshDenial};

use super::service::Authenticator;
use crate::decide::Unavailable;
use crate::engine::{MachineLookup, NonceTrust, Payload, Refreshed, Shared};

/// What a request waits for.
pub(super) enum Wait {
    /// A refresh of the keys, which all such requests share.
    Keys,
    /// What a handshake's nonce stands for.
    Payload(String, NonceTrust),
    /// Fresh cookies for an expired session, and the header fields that Clerk is to see.
    Renewal(Box<RefreshCall>, serde_json::Value),
    /// What an opaque machine token stands for.
    Machine(String),
}

/// What came of it.
pub(super) enum LookupResult {
    Keys,
    Payload(Payload),
    Renewal(Refreshed),
    Machine(MachineLookup),
}

/// The future of it.
pub(super) type PendingLookup = Pin<Box<dyn Future<Output = LookupResult> + Send>>;

impl Wait {
    pub(super) fn begin(self, authenticator: &Authenticator) -> PendingLookup {
        let shared = Arc::clone(&authenticator.shared);
        Box::pin(async move { self.hear(&shared).await })
    }

    async fn hear(self, shared: &Shared) -> LookupResult {
        match (self, &shared.backend) {
            (Self::Keys, _) => {
                shared.keys_refreshed().await;
                LookupResult::Keys
            }
            (Self::Payload(nonce, standing), Some(backend)) => {
                LookupResult::Payload(backend.payload(nonce, standing).await)
            }
            (Self::Payload(..), None) => LookupResult::Payload(Payload::Unknown),
            (Self::Renewal(call, fields), Some(backend)) => {
                LookupResult::Renewal(backend.refreshed(*call, fields).await)
            }
            (Self::Renewal(..), None) => LookupResult::Renewal(Err(RefreshDenial::NoBackendApi)),
            (Self::Machine(token), Some(backend)) => {
                LookupResult::Machine(backend.tell(&token).await)
            }
            (Self::Machine(_), None) => {
                LookupResult::Machine(MachineLookup::Unavailable(Unavailable::NoSecretKey))
            }
        }
    }
}

/// What a request waited for, and heard.
#[derive(Default)]
pub(super) struct Resolved {
    /// Keys were refreshed; waiting for them is no longer an option.
    pub(super) settled: bool,
    /// What the nonce of a handshake stands for.
    pub(super) payload: Option<Payload>,
    /// Fresh cookies, or why there are none.
    pub(super) renewal: Option<Refreshed>,
    /// What a machine's token stands for.
    pub(super) told: Option<MachineLookup>,
}

impl Resolved {
    pub(super) fn hear(&mut self, news: LookupResult) {
        match news {
            LookupResult::Keys => self.settled = true,
            LookupResult::Payload(payload) => self.payload = Some(payload),
            LookupResult::Renewal(renewal) => self.renewal = Some(renewal),
            LookupResult::Machine(told) => self.told = Some(told),
        }
    }

    /// Nothing is waited for twice.
    pub(super) fn has(&self, wait: &Wait) -> bool {
        match wait {
            Wait::Keys => self.settled,
            Wait::Payload(..) => self.payload.is_some(),
            Wait::Renewal(..) => self.renewal.is_some(),
            Wait::Machine(_) => self.told.is_some(),
        }
    }
}
