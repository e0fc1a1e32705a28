//! A handshake's nonce is exchanged for cookies.

use std::sync::Arc;

use clerk_verify::transport::ApiRequest;
use http::StatusCode;

use super::super::rate_limiter::RateLimiter;
use super::super::single_flight::{Keep, SingleFlight};
use super::{AT_ONCE, BackendApi, KNOWN, NonceTrust, STRANGERS, Wire};

/// A longer nonce is none.
const MAX_NONCE: usize = 512;

/// What a nonce stood for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum NoncePayload {
    /// `Set-Cookie` lines.
    Lines(Vec<String>),
    /// Nothing: it was used before, or is too old.
    Gone,
    /// It cannot be told now.
    Unknown,
}

#[derive(Debug)]
pub(super) struct NonceLimits {
    flights: SingleFlight<NoncePayload>,
    strangers: RateLimiter,
    sent: RateLimiter,
    renewing: RateLimiter,
}

impl NonceLimits {
    pub(super) fn new() -> Self {
        Self {
            flights: SingleFlight::new(AT_ONCE, 1024),
            strangers: RateLimiter::new(STRANGERS),
            sent: RateLimiter::new(STRANGERS),
            renewing: RateLimiter::new(KNOWN),
        }
    }

    fn bucket(&self, standing: NonceTrust) -> &RateLimiter {
        match standing {
            NonceTrust::Stranger => &self.strangers,
            NonceTrust::Sent => &self.sent,
            NonceTrust::Renewing => &self.renewing,
        }
    }
}

impl BackendApi {
    /// What a nonce stands for.
    pub(crate) async fn payload(&self, nonce: String, standing: NonceTrust) -> NoncePayload {
        if nonce.len() > MAX_NONCE {
            return NoncePayload::Gone;
        }
        let (about, bucket) = (self.names.name("nonce", &[&nonce]), self.nonces.bucket(standing));
        let wire = Arc::clone(&self.wire);
        let asked = self.nonces.flights.ask(about, bucket, keep, || ask(wire, nonce));
        asked.await.unwrap_or(NoncePayload::Unknown)
    }
}

/// Cookies are handed to those who waited for them, and to nobody later.
fn keep(payload: &NoncePayload) -> Keep {
    match payload {
        NoncePayload::Gone => Keep::for_secs(10),
        NoncePayload::Lines(_) | NoncePayload::Unknown => Keep::default(),
    }
}

async fn ask(wire: Arc<Wire>, nonce: String) -> NoncePayload {
    let mut url = wire.url("v1/clients/handshake_payload");
    url.query_pairs_mut().append_pair("nonce", &nonce);
    let Some(reply) = wire.send(ApiRequest::get(url)).await else { return NoncePayload::Unknown };
    match reply.status {
        StatusCode::OK => lines(&reply.body).map_or(NoncePayload::Unknown, NoncePayload::Lines),
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::UNPROCESSABLE_ENTITY => {
            NoncePayload::Gone
        }
        StatusCode::UNAUTHORIZED => {
            wire.secret_is_refused();
            NoncePayload::Unknown
        }
        _ => NoncePayload::Unknown,
    }
}

fn lines(body: &[u8]) -> Option<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Document {
        directives: Vec<String>,
    }
    serde_json::from_slice::<Document>(body).ok().map(|document| document.directives)
}
