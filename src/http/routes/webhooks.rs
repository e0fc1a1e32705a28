//! `POST /auth/webhooks`: receives Clerk's webhooks.
//!
//! The route stands beside the layer, never behind it: Clerk signs its webhooks and has no session.
//! The receiver answers after the event is stored. A revocation applies from the next request on.
//!
//! | kind | effect |
//! |---|---|
//! | `session.ended`, `session.removed`, `session.revoked` | the session is rejected |
//! | `user.deleted`; `user.updated` of a banned or deprovisioned user | the user's earlier tokens are rejected |
//! | `organizationMembership.deleted`, `organization.deleted` | earlier tokens with that organization are rejected |
//! | `organizationMembership.updated`, `role.*`, `permission.*` | earlier tokens get no grace |
//! | `user.*`, `organizationMembership.*` | the stored profile changes |
//! | any kind that a hook names | the hook runs |
//! | any other | none; the response is 204 |

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::{any_service, post};
use bytes::Bytes;
use clerk_verify::webhook_signature::Claim;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body::Body as HttpBody;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tower::{BoxError, Service};

use crate::engine::{Delivered, Shared, Webhooks};

/// Maximum size of a body, far above that of Clerk's webhooks.
const MAX_BYTES: usize = 1024 * 1024;
/// Deadline of the body. Clerk waits 15 s for the response.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// `POST /auth/webhooks` as a tower service, for hyper, or for another path. Never put it behind
/// the layer, nor behind a layer that changes the body.
///
/// If the store fails, the receiver answers 503 so that Clerk retries; the revocation still applies
/// in memory.
///
/// | delivery | response |
/// |---|---|
/// | stored, a duplicate, or of a kind without effect here | 204 |
/// | no valid signature, a timestamp more than 300 s from now, or an interrupted body | 400 |
/// | larger than 1 MiB | 413 |
/// | another method than `POST` | 405 |
/// | a body that takes longer than 10 s | 408 |
/// | malformed with a valid signature | 422, without a retry; stored as a dead letter |
/// | not stored, because the store fails | 503, with a retry; revocations apply in memory |
/// | no signing secret is configured (the route of [`ClerkResilience::routes`](crate::ClerkResilience::routes)) | 503, with a retry |
///
/// The signature is that of Svix: HMAC-SHA256 over id, timestamp and body, in the header fields
/// `svix-id`, `svix-timestamp` and `svix-signature`, or `webhook-…` of [Standard
/// Webhooks](https://www.standardwebhooks.com). The rules are those of `verifyWebhook` in Clerk's
/// backend SDK. Clerk retries an unanswered delivery for 28 hours.
///
/// # Examples
///
/// [`ClerkResilience::routes`](crate::ClerkResilience::routes) mounts the service at
/// `/auth/webhooks`. To mount it at another path:
///
/// ```
/// use axum::{Router, routing::any_service};
/// use clerk_resilience::ClerkResilience;
///
/// fn app(clerk: &ClerkResilience, protected: Router) -> Router {
///     let app = protected.route_layer(clerk.clone());
///     match clerk.webhook_service() {
///         Some(webhooks) => app.route("/hooks/clerk", any_service(webhooks)),
///         None => app, // no signing secret is configured
///     }
/// }
/// # let _ = app;
/// ```
///
/// In a test, the simulated Clerk signs the deliveries. A second one is a duplicate, and a changed
/// one is rejected:
///
/// ```
/// use clerk_resilience::sim::SimClerk;
/// use clerk_resilience::SimClerkExt;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let sim = SimClerk::in_memory();
/// let clerk = sim.layer(|builder| builder);
/// let app = clerk.routes();
/// let mut webhook = sim.session_ended(&sim.sign_in("user_1"));
/// assert_eq!(sim.send(&app, &webhook).await.status(), 204);
/// assert_eq!(sim.send(&app, &webhook).await.status(), 204);
/// let counts = clerk.counts();
/// assert_eq!((counts.webhooks_accepted, counts.webhooks_repeated), (1, 1));
///
/// webhook.body_mut().push(' ');
/// assert_eq!(sim.send(&app, &webhook).await.status(), 400);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct WebhookService {
    shared: Arc<Shared>,
    webhooks: Arc<Webhooks>,
}

impl WebhookService {
    /// Returns `None` without a signing secret.
    pub(crate) fn new(shared: &Arc<Shared>) -> Option<Self> {
        let webhooks = Arc::clone(shared.webhooks.as_ref()?);
        Some(Self { shared: Arc::clone(shared), webhooks })
    }

    async fn answer(self, method: Method, headers: HeaderMap, body: Body) -> Response {
        if method != Method::POST {
            return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "POST")]).into_response();
        }
        if is_too_long(&headers, &body) {
            return problem(StatusCode::PAYLOAD_TOO_LARGE);
        }
        // A delivery without plausible signature headers is rejected before its body is read.
        let Ok(claim) = Claim::of(&headers, self.shared.now().wall) else { return self.refuse() };
        let body = match whole(body).await {
            Ok(body) => body,
            Err(status) => return problem(status),
        };
        let Ok(delivery) = self.webhooks.verifier.check(&claim, &body) else {
            return self.refuse();
        };
        match self.shared.deliver(&self.webhooks, delivery.id, &body).await {
            Delivered::Kept => StatusCode::NO_CONTENT.into_response(),
            Delivered::Nonsense => {
                let mut response = problem(StatusCode::UNPROCESSABLE_ENTITY);
                let abort = HeaderValue::from_static("abort-message");
                response.headers_mut().insert(HeaderName::from_static("webhook-delivery"), abort);
                response
            }
            Delivered::NotKept => again(problem(StatusCode::SERVICE_UNAVAILABLE)),
        }
    }

    fn refuse(&self) -> Response {
        self.shared.core.counters.webhook_refused();
        problem(StatusCode::BAD_REQUEST)
    }
}

/// Returns true if the known length of the body exceeds the limit, before it is read.
fn is_too_long(headers: &HeaderMap, body: &Body) -> bool {
    let said = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let length = body.size_hint().lower().max(said.unwrap_or_default());
    length > MAX_BYTES as u64
}

/// Reads the body unchanged, because the signature covers its bytes.
async fn whole(body: Body) -> Result<Bytes, StatusCode> {
    let body = Limited::new(body, MAX_BYTES).collect();
    match tokio::time::timeout(BODY_DEADLINE, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// Asks Clerk to retry, with `Retry-After`.
fn again(mut response: Response) -> Response {
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// Builds a response without details, so that an unauthenticated sender learns nothing.
fn problem(status: StatusCode) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    let json =
        serde_json::json!({ "type": "about:blank", "title": title, "status": status.as_u16() });
    let fields = [(CONTENT_TYPE, "application/problem+json"), (CACHE_CONTROL, "no-store")];
    (status, fields, json.to_string()).into_response()
}

impl<B> Service<Request<B>> for WebhookService
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = self.clone();
        let (parts, body) = request.into_parts();
        Box::pin(
            async move { Ok(service.answer(parts.method, parts.headers, Body::new(body)).await) },
        )
    }
}

/// The route `/auth/webhooks`. Without a signing secret it answers 503, so that Clerk retries and
/// loses no event. A success response from the application's fallback would make Clerk drop it.
pub(crate) fn routes(shared: &Arc<Shared>) -> Router {
    let route = match WebhookService::new(shared) {
        Some(service) => any_service(service),
        None => post(async || again(problem(StatusCode::SERVICE_UNAVAILABLE))),
    };
    Router::new().route("/auth/webhooks", route)
}
