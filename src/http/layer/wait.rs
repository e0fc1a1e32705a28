//! Lookups that a request may wait for, once each: fresh keys, or an answer of the Backend API.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use clerk_verify::authenticate::{RefreshCall, RefreshDenial};

use super::service::Authenticator;
use crate::decide::Unavailable;
use crate::engine::{MachineLookup, NoncePayload, NonceTrust, Refreshed, Shared};

/// A lookup that a request waits for.
pub(super) enum Wait {
    /// A refresh of the keys, which all waiting requests share.
    Keys,
    /// The exchange of a handshake's nonce.
    Payload(String, NonceTrust),
    /// The renewal of an expired session, with the request header fields that Clerk receives.
    Renewal(Box<RefreshCall>, serde_json::Value),
    /// The verification of an opaque machine token.
    Machine(String),
}

/// The result of a lookup.
pub(super) enum LookupResult {
    Keys,
    Payload(NoncePayload),
    Renewal(Refreshed),
    Machine(MachineLookup),
}

/// The future of a lookup.
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
            (Self::Payload(..), None) => LookupResult::Payload(NoncePayload::Unknown),
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

/// The results of all lookups that a request has waited for.
#[derive(Default)]
pub(super) struct Resolved {
    /// True after a key refresh; the request does not wait for another one.
    pub(super) settled: bool,
    /// The result of a nonce exchange.
    pub(super) payload: Option<NoncePayload>,
    /// The new cookies, or the reason why there are none.
    pub(super) renewal: Option<Refreshed>,
    /// The result for an opaque machine token.
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

    /// Returns true if this kind of lookup was done; no request waits for the same kind twice.
    pub(super) fn has(&self, wait: &Wait) -> bool {
        match wait {
            Wait::Keys => self.settled,
            Wait::Payload(..) => self.payload.is_some(),
            Wait::Renewal(..) => self.renewal.is_some(),
            Wait::Machine(_) => self.told.is_some(),
        }
    }
}
