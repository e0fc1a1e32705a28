//! CORS preflights: the layer answers them, so that none reaches a protected service.
//!
//! A preflight carries no credentials, and any client can forge one. An application that routes by
//! the path alone, such as a tonic service, would treat it as a call.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::{Method, Request, StatusCode};
use tower::{BoxError, Layer, Service, ServiceExt as _};

/// The future of a CORS layer's response.
pub(super) type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// Returns true for a CORS preflight, by the Fetch standard: `OPTIONS` with `Origin` and
/// `Access-Control-Request-Method`.
pub(super) fn is_preflight<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    *request.method() == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The inner service of the CORS layer of [`Builder::cors`](crate::Builder::cors). It answers every
/// request with 204 and grants nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmptyService(());

impl Service<Request<Body>> for EmptyService {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        ready(Ok(no_grants()))
    }
}

fn no_grants() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// A CORS layer around an [`EmptyService`].
#[derive(Clone)]
pub(crate) struct Cors(Arc<dyn Fn(Request<Body>) -> Answering + Send + Sync>);

impl Cors {
    pub(crate) fn new<L, B>(layer: &L) -> Self
    where
        L: Layer<EmptyService>,
        L::Service: Service<Request<Body>, Response = http::Response<B>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        <L::Service as Service<Request<Body>>>::Future: Send,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let service = layer.layer(EmptyService::default());
        Self(Arc::new(move |request| {
            let answer = service.clone().oneshot(request);
            Box::pin(async move {
                let Ok(response) = answer.await;
                response.map(Body::new)
            })
        }))
    }
}

impl fmt::Debug for Cors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cors")
    }
}

/// Answers preflights, with the CORS layer if one is configured.
#[derive(Debug, Default)]
pub(crate) struct Preflights {
    cors: Option<Cors>,
    /// True once a preflight without a CORS layer was logged.
    warned: AtomicBool,
}

impl Preflights {
    pub(crate) fn new(cors: Option<Cors>) -> Self {
        Self { cors, warned: AtomicBool::new(false) }
    }

    /// Returns the response to a preflight, or the future of the CORS layer's response.
    pub(super) fn answer<B>(&self, request: &Request<B>) -> Result<Response, Answering> {
        if let Some(Cors(answer)) = &self.cors {
            return Err(answer(head_of(request)));
        }
        self.warn();
        Ok(no_grants())
    }

    fn warn(&self) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                event = "clerk.cors.no_layer",
                "the authentication layer answered a CORS preflight with 204 and granted nothing; if browsers call this application from other origins, add the CORS layer outside of this one (`.layer(clerk).layer(cors)` in axum), or pass it to `ClerkResilience::builder(..).cors(cors)`"
            );
        }
    }
}

/// Returns the request without its body.
fn head_of<B>(request: &Request<B>) -> Request<Body> {
    let mut head = Request::new(Body::empty());
    *head.method_mut() = request.method().clone();
    *head.uri_mut() = request.uri().clone();
    *head.version_mut() = request.version();
    *head.headers_mut() = request.headers().clone();
    *head.extensions_mut() = request.extensions().clone();
    head
}
