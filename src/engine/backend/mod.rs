//! Calls to Clerk's Backend API on behalf of requests and handlers.
//!
//! A request exchanges a handshake nonce, refreshes an expired session, or verifies an opaque
//! machine token. A handler looks up a user's profile.
//!
//! Clerk allows a production instance a hundred calls a second. Anybody can invent nonces and
//! opaque tokens, so these cause at most twenty calls a second each. Requests with proof from Clerk
//! use separate rate limiters, so that a flood does not delay them.

mod machine;
mod nonce;
mod refresh;
mod trip;
mod user;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use url::Url;

use clerk_verify::key::SecretKey;
use clerk_verify::transport::{ApiRequest, ApiResponse, Transport};
pub(crate) use machine::MachineLookup;
pub(crate) use nonce::NoncePayload;
pub(crate) use refresh::Refreshed;
pub(crate) use trip::{Departure, HandshakeTrips, NonceTrust, TripReturn};
pub(super) use user::Described;

use super::counters::Counters;
use super::keyed_hasher::KeyedHasher;
use super::rate_limiter::RateLimiter;

/// The field that says which version of the Backend API is spoken, and the version.
pub(super) const API_VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("clerk-api-version"), HeaderValue::from_static("2026-05-12"));
/// So many questions of one sort may be under way at once; further ones are not begun.
const AT_ONCE: usize = 256;
/// Calls a second for what anybody can make up.
const STRANGERS: f64 = 20.0;
/// Calls a second for those who showed something of Clerk's.
const KNOWN: f64 = 40.0;
/// A wrong secret key is complained about this often a second.
const COMPLAINTS: f64 = 1.0 / 60.0;

/// Asks the Backend API.
#[derive(Debug)]
pub(crate) struct BackendApi {
    wire: Arc<Wire>,
    names: KeyedHasher,
    nonces: nonce::NonceLimits,
    refreshes: refresh::Refreshes,
    machines: machine::Machines,
    users: user::Users,
}

/// Where the Backend API is, and what to ask it with.
#[derive(Clone, Debug)]
pub(crate) struct BackendAccess {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) address: Url,
    pub(crate) secret: SecretKey,
    /// Each call is over after this.
    pub(crate) deadline: Duration,
}

impl BackendApi {
    pub(crate) fn new(access: BackendAccess, counters: Arc<Counters>) -> Self {
        Self {
            names: KeyedHasher::random(),
            nonces: nonce::NonceLimits::new(),
            refreshes: refresh::Refreshes::new(),
            machines: machine::Machines::new(),
            users: user::Users::new(),
            wire: Arc::new(Wire { access, counters, complaints: RateLimiter::new(COMPLAINTS) }),
        }
    }
}

/// One call at a time.
#[derive(Debug)]
struct Wire {
    access: BackendAccess,
    counters: Arc<Counters>,
    complaints: RateLimiter,
}

impl Wire {
    fn url(&self, path: &str) -> Url {
        let mut url = self.access.address.clone();
        let base = self.access.address.path().trim_end_matches('/');
        url.set_path(&format!("{base}/{path}"));
        url.set_query(None);
        url
    }

    /// The answer, whatever it is; `None` when there was none in time.
    async fn send(&self, call: ApiRequest) -> Option<ApiResponse> {
        let deadline = self.access.deadline;
        let call = call
            .bearer(self.access.secret.expose())
            .header(API_VERSION.0, API_VERSION.1)
            .deadline(deadline);
        self.counters.asked_backend();
        let timely = tokio::time::timeout(deadline, self.access.transport.call(call)).await;
        let reply = timely.ok()?.ok();
        let answered = reply.as_ref().is_some_and(|reply| {
            !reply.status.is_server_error() && reply.status != http::StatusCode::TOO_MANY_REQUESTS
        });
        if !answered {
            self.counters.unanswered_by_backend();
        }
        reply
    }

    /// Nothing works until somebody corrects it, so that it is said loudly, once a minute.
    fn secret_is_refused(&self) {
        if self.complaints.take() {
            tracing::error!(
                event = "clerk.secret_key.refused",
                "Clerk's Backend API refuses CLERK_SECRET_KEY; copy the key again from the API keys page of the Clerk dashboard. Until then, opaque machine tokens get 503 and sessions are not refreshed"
            );
        }
    }
}
