//! A handshake's nonce is exchanged for cookies at the Backend API: the one thing besides keys that
//! a request may wait for. One call for each nonce, however many requests bring it, and over by the
//! deadline.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use tokio::sync::OnceCell;
use tokio::time::Instant;
use url::Url;

use crate::key::SecretKey;
use crate::upstream::{Call, Upstream};

const API_VERSION: HeaderName = HeaderName::from_static("clerk-api-version");
/// So many exchanges may go on at once; further ones are not begun.
const MAX_FLIGHTS: usize = 256;
/// So many exchanges may begin in a second, and as many again at once after a pause.
const PER_SECOND: f64 = 20.0;
/// A longer nonce is none.
const MAX_NONCE: usize = 512;

/// Asks the Backend API what a nonce stands for.
#[derive(Debug)]
pub(crate) struct Exchange {
    upstream: Arc<dyn Upstream>,
    backend_api: Url,
    secret: SecretKey,
    deadline: Duration,
    flights: Mutex<Flights>,
}

/// What is under way, and how much more may be.
#[derive(Debug, Default)]
struct Flights {
    by_nonce: HashMap<String, Flight>,
    spent: f64,
    last: Option<Instant>,
}

impl Flights {
    /// Anybody can make up nonces; whoever does must not use up the application's quota at Clerk.
    fn may_begin(&mut self) -> bool {
        let now = Instant::now();
        let passed = self.last.map_or(0.0, |last| (now - last).as_secs_f64());
        self.last = Some(now);
        self.spent = (self.spent - passed * PER_SECOND).max(0.0);
        let may = self.spent < PER_SECOND;
        self.spent += f64::from(u8::from(may));
        may
    }
}

type Flight = Arc<OnceCell<Payload>>;

/// What a nonce stood for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Payload {
    /// `Set-Cookie` lines.
    Lines(Vec<String>),
    /// Nothing: it was used before, or is too old.
    Gone,
    /// It cannot be told now.
    Unknown,
}

impl Exchange {
    pub(crate) fn new(
        upstream: Arc<dyn Upstream>,
        backend_api: Url,
        secret: SecretKey,
        deadline: Duration,
    ) -> Self {
        Self { upstream, backend_api, secret, deadline, flights: Mutex::default() }
    }

    pub(crate) async fn payload(&self, nonce: &str) -> Payload {
        if nonce.len() > MAX_NONCE {
            return Payload::Gone;
        }
        let Some(flight) = self.board(nonce) else { return Payload::Unknown };
        let payload = flight.get_or_init(|| self.ask(nonce)).await.clone();
        self.land(nonce, &flight);
        payload
    }

    fn board(&self, nonce: &str) -> Option<Flight> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever waited has gone away without landing.
        flights.by_nonce.retain(|_, flight| Arc::strong_count(flight) > 1);
        if let Some(flight) = flights.by_nonce.get(nonce) {
            return Some(Arc::clone(flight));
        }
        if flights.by_nonce.len() >= MAX_FLIGHTS || !flights.may_begin() {
            return None;
        }
        Some(Arc::clone(flights.by_nonce.entry(nonce.to_owned()).or_default()))
    }

    fn land(&self, nonce: &str, flight: &Flight) {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if flights.by_nonce.get(nonce).is_some_and(|found| Arc::ptr_eq(found, flight)) {
            flights.by_nonce.remove(nonce);
        }
    }

    async fn ask(&self, nonce: &str) -> Payload {
        let mut url = self.backend_api.clone();
        let base = self.backend_api.path().trim_end_matches('/');
        url.set_path(&format!("{base}/v1/clients/handshake_payload"));
        url.query_pairs_mut().clear().append_pair("nonce", nonce);
        let call = Call::get(url)
            .bearer(self.secret.expose())
            .header(API_VERSION, HeaderValue::from_static("2026-05-12"))
            .deadline(self.deadline);
        let timely = tokio::time::timeout(self.deadline, self.upstream.call(call)).await;
        let Ok(Ok(reply)) = timely else { return Payload::Unknown };
        match reply.status {
            StatusCode::OK => lines(&reply.body).map_or(Payload::Unknown, Payload::Lines),
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::UNPROCESSABLE_ENTITY => {
                Payload::Gone
            }
            _ => Payload::Unknown,
        }
    }
}

fn lines(body: &[u8]) -> Option<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Document {
        directives: Vec<String>,
    }
    serde_json::from_slice::<Document>(body).ok().map(|document| document.directives)
}
