//! `POST /auth/webhooks`: what Clerk tells by itself.
//!
//! It stands beside the layer, never behind it: Clerk signs its webhooks and has no session. A delivery
//! is answered when it is kept; what it revokes is refused from the next request on.

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

/// No webhook of Clerk's is anywhere near as large.
const MAX_BYTES: usize = 1024 * 1024;
/// A body has to be here within this time; Clerk itself waits 15 s for the answer.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// `POST /auth/webhooks` as a tower service, for hyper, or to mount at another path. Never put it behind
/// the layer, nor behind anything that changes the body.
///
/// | delivery | answer |
/// |---|---|
/// | kept, known already, or of a kind that nothing here acts on | 204 |
/// | no good signature, sent more than 300 s from now, or broken off | 400 |
/// | longer than 1 MiB | 413 |
/// | no `POST`; a body that takes longer than 10 s | 405; 408 |
/// | a good signature over something that makes no sense | 422, not to be sent again; a dead letter |
/// | cannot be kept | 503, to be sent again; what it revokes is revoked here all the same |
/// | there is no signing secret | 503, to be sent again |
#[derive(Clone, Debug)]
pub struct WebhookService {
    shared: Arc<Shared>,
    webhooks: Arc<Webhooks>,
}

impl WebhookService {
    /// None without a signing secret.
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
        // What cannot be true whatever follows need not be read.
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

/// As far as that is known before it is read.
fn is_too_long(headers: &HeaderMap, body: &Body) -> bool {
    let said = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let length = body.size_hint().lower().max(said.unwrap_or_default());
    length > MAX_BYTES as u64
}

/// The body, exactly as it came: the signature is over its bytes.
async fn whole(body: Body) -> Result<Bytes, StatusCode> {
    let body = Limited::new(body, MAX_BYTES).collect();
    match tokio::time::timeout(BODY_DEADLINE, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// Clerk is to send it again.
fn again(mut response: Response) -> Response {
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// Says nothing more: who cannot sign learns nothing.
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

/// `/auth/webhooks`. Without a signing secret nothing is taken in, and nothing must be lost: what answers in
/// its place, as an application's own page might, would tell Clerk that all is well.
pub(crate) fn routes(shared: &Arc<Shared>) -> Router {
    let route = match WebhookService::new(shared) {
        Some(service) => any_service(service),
        None => post(async || again(problem(StatusCode::SERVICE_UNAVAILABLE))),
    };
    Router::new().route("/auth/webhooks", route)
}
