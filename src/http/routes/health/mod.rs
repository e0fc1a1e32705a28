//! `/auth/health`: Clerk's state, for monitors and people.
//!
//! The document follows the draft *Health Check Response Format for HTTP APIs*
//! (`draft-inadarei-api-health-check-06`). A Clerk outage must not make an orchestrator restart or
//! drain a working application. The status is therefore 200 as long as tokens can be verified.
//! Monitors that read only the status, and alert on Clerk itself, use the strict form.
//!
//! | path | question | 503 if |
//! |---|---|---|
//! | `/auth/health/live` | does the process run? | a background part panicked and waits for its restart, or the driver stands still for 45 s |
//! | `/auth/health/ready` | can tokens be verified? | no usable keys are loaded |
//! | `/auth/health` | how is Clerk, as this instance sees it? | no usable keys are loaded |
//! | `/auth/health?strict` | the same | also while Clerk is down or not reachable |
//!
//! `/auth/health` lists each surface of Clerk, the keys, the clock difference, webhooks, the store,
//! the components of the status page and the counters. A check with `"advisory": true` never
//! decides about `status`.
//!
//! ```json
//! {
//!   "status": "warn",
//!   "verdict": "outage",
//!   "since": "2026-05-29T20:14:03Z",
//!   "output": "Clerk is down",
//!   "grace": { "mode": "enabled", "active": true, "outageSince": "…", "episodeSince": "…" },
//!   "checks": {
//!     "clerk:session-mint": [{ "status": "fail", "state": "down", "output": "…" }],
//!     "clerk:keys": [{ "status": "pass", "observedValue": 1, "ageSeconds": 812 }]
//!   },
//!   "counts": { "fresh": 10233, "grace": 412, "unavailable": 17 }
//! }
//! ```
//!
//! Other members are left out here. New members may appear in any version.

mod document;
mod readers;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::get_service;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode};
use tower::Service;

pub(crate) use readers::Readers;

use crate::engine::Shared;

/// The subject of a health endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HealthQuery {
    /// Clerk's state, in detail.
    Health,
    /// Whether the process runs; independent of Clerk.
    Live,
    /// Whether tokens can be verified.
    Ready,
}

/// The strictness and visibility of the health document.
#[derive(Clone, Debug, Default)]
pub(crate) struct Showing {
    /// True if the endpoint answers 503 while Clerk is down, also without `?strict`.
    pub(crate) strict: bool,
    /// The clients that may see the document; `None` for all.
    pub(crate) readers: Option<Readers>,
}

/// A health endpoint as a tower service, for hyper, tonic, or for another path.
///
/// The service answers `GET` and `HEAD` with `application/health+json`, and other methods with 405.
/// It answers 503 if no token can be verified. With `?strict`, or with
/// [`Builder::strict_health`](crate::Builder::strict_health), it also answers 503 while Clerk is
/// down.
///
/// | member | content |
/// |---|---|
/// | `status` | `pass`, `warn` or `fail`; `fail` goes with 503 |
/// | `verdict`, `since` | the verdict on Clerk, and when it began |
/// | `grace` | `mode`, `active`, `outageSince`, `episodeSince` |
/// | `checks` | an array for each check, such as `clerk:session-mint`, `clerk:keys`, `clerk:clock-skew` |
/// | `counts` | a part of [`Counts`](crate::Counts), in camel case |
/// | `output` | a sentence that says what is wrong; absent with `pass` |
///
/// The response is `no-store`. With [`Builder::private_health`](crate::Builder::private_health)
/// only requests with the operator's token get this document.
///
/// # Examples
///
/// ```
/// use axum::{Router, routing::get_service};
/// use clerk_resilience::ClerkResilience;
///
/// /// The same endpoint at another path, for a monitor.
/// fn app(clerk: &ClerkResilience) -> Router {
///     Router::new().route("/internal/clerk", get_service(clerk.health_service()))
/// }
/// # let _ = app;
/// ```
///
/// The status is about this instance, and about Clerk only with `?strict`:
///
/// ```
/// use std::time::Duration;
/// use clerk_resilience::sim::{SimClerk, SimFault, SimSurface};
/// use clerk_resilience::SimClerkExt;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let sim = SimClerk::in_memory();
/// let clerk = sim.layer(|builder| builder);
/// let app = clerk.routes();
/// sim.pass(Duration::from_secs(30)).await;
/// sim.break_with(SimSurface::CLERK, SimFault::status(503));
/// sim.pass(Duration::from_secs(120)).await;
/// for (path, status) in [
///     ("/auth/health/live", 200),
///     ("/auth/health/ready", 200),
///     ("/auth/health", 200),
///     ("/auth/health?strict", 503),
/// ] {
///     assert_eq!(sim.send(&app, &sim.page(path, None)).await.status(), status, "{path}");
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct HealthService {
    shared: Arc<Shared>,
    question: HealthQuery,
    showing: Showing,
}

impl HealthService {
    pub(crate) fn new(shared: Arc<Shared>, question: HealthQuery, showing: Showing) -> Self {
        Self { shared, question, showing }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response {
        let method = request.method();
        if method != Method::GET && method != Method::HEAD {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let now = self.shared.now();
        let known = self.shared.core.load();
        let strict = self.showing.strict || asks_strictly(request.uri().query());
        let readers = self.showing.readers.as_ref();
        let shown = readers.is_none_or(|readers| readers.include(request.headers()));
        let usable = known.keys.usable(now.wall, self.shared.rules.max_key_age);
        let (healthy, json) = match self.question {
            HealthQuery::Live => {
                let mut down = self.shared.core.parts.down();
                if known.is_stale(now) && !down.contains(&"driver") {
                    down.push("driver");
                }
                (down.is_empty(), document::live(&down))
            }
            HealthQuery::Health if shown => {
                document::health(&known, &self.shared, usable, strict, now)
            }
            HealthQuery::Health | HealthQuery::Ready => (usable, document::ready(usable)),
        };
        let json = json.to_string();
        let length = json.len();
        let head = method == Method::HEAD;
        let mut response = Response::new(if head { Body::empty() } else { Body::from(json) });
        if !healthy {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/health+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(CONTENT_LENGTH, length.into());
        response
    }
}

/// Returns true for `?strict`, `?strict=1` or `?strict=true`.
fn asks_strictly(query: Option<&str>) -> bool {
    let pairs = query.unwrap_or_default().split('&');
    pairs.into_iter().any(|pair| matches!(pair, "strict" | "strict=" | "strict=1" | "strict=true"))
}

impl<B> Service<Request<B>> for HealthService {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.answer(&request)))
    }
}

/// The routes `/auth/health`, `/auth/health/live` and `/auth/health/ready`.
pub(crate) fn routes(shared: &Arc<Shared>, showing: &Showing) -> Router {
    let service =
        |question| get_service(HealthService::new(Arc::clone(shared), question, showing.clone()));
    Router::new()
        .route("/auth/health", service(HealthQuery::Health))
        .route("/auth/health/live", service(HealthQuery::Live))
        .route("/auth/health/ready", service(HealthQuery::Ready))
}
