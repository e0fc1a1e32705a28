//! The response, as it comes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use http::{HeaderValue, Request};
use pin_project_lite::pin_project;
use tower::Service;

use super::service::{Gate, Passage, is_grace};
use crate::decide::{Rejection, Unavailable};
use crate::respond::Shape;

pin_project! {
    /// The future of [`Authenticate`](super::Authenticate).
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        kind: Kind<S, B, S::Future>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<S, B, F> {
        /// The application answers.
        Inner { #[pin] future: F, in_grace: bool },
        /// The layer has answered.
        Rejected { response: Option<Response> },
        /// Keys are being refreshed; then the request is judged again.
        AwaitingKeys {
            refreshed: Pin<Box<dyn Future<Output = ()> + Send>>,
            gate: Arc<Gate>,
            held: Option<(S, Request<B>)>,
        },
    }
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn inner(future: S::Future, in_grace: bool) -> Self {
        Self { kind: Kind::Inner { future, in_grace } }
    }

    pub(super) fn rejected(response: Response) -> Self {
        Self { kind: Kind::Rejected { response: Some(response) } }
    }

    pub(super) fn awaiting_keys(gate: Arc<Gate>, service: S, request: Request<B>) -> Self {
        let shared = Arc::clone(&gate.shared);
        let refreshed = Box::pin(async move { shared.keys_refreshed().await });
        Self { kind: Kind::AwaitingKeys { refreshed, gate, held: Some((service, request)) } }
    }
}

impl<S, B> std::fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

impl<S, B> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
    S::Response: IntoResponse,
{
    type Output = Result<Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut kind = self.project().kind;
        loop {
            let next = match kind.as_mut().project() {
                KindProj::Inner { future, in_grace } => {
                    let response = ready!(future.poll(cx))?.into_response();
                    return Poll::Ready(Ok(if *in_grace { mark(response) } else { response }));
                }
                KindProj::Rejected { response } => {
                    return Poll::Ready(Ok(response.take().expect("polled after completion")));
                }
                KindProj::AwaitingKeys { refreshed, gate, held } => {
                    ready!(refreshed.as_mut().poll(cx));
                    let (service, request) = held.take().expect("polled after completion");
                    judge_again(gate, service, request)
                }
            };
            kind.set(next);
        }
    }
}

fn judge_again<S, B>(gate: &Gate, mut service: S, mut request: Request<B>) -> Kind<S, B, S::Future>
where
    S: Service<Request<B>>,
{
    let rejection = match gate.judge(&request, true) {
        Passage::Open(outcome) => {
            let in_grace = is_grace(outcome.auth.as_ref());
            request.extensions_mut().insert(outcome);
            return Kind::Inner { future: service.call(request), in_grace };
        }
        Passage::Closed(rejection) => rejection,
        Passage::AwaitKeys => Rejection::Unavailable(Unavailable::UnknownKey),
    };
    let shape = Shape::of(request.method(), request.headers());
    Kind::Rejected { response: Some(gate.reject(rejection, shape)) }
}

/// What was shown in grace is for this user's eyes and this moment only.
fn mark(mut response: Response) -> Response {
    let private = HeaderValue::from_static("private, no-store");
    response.headers_mut().insert(CACHE_CONTROL, private);
    response
}
