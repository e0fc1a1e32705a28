//! The response, as it comes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, SET_COOKIE};
use http::{HeaderValue, Request};
use pin_project_lite::pin_project;
use tower::Service;

use super::service::{Gate, Heard, Judged, Passage, is_grace};
use crate::decide::{Rejection, Unavailable};
use crate::engine::Payload;
use crate::respond::{Shape, detour};

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
        Inner { #[pin] future: F, after: After },
        /// The layer has answered.
        Answered { response: Option<Response> },
        /// Something is being asked; then the request is judged again.
        Waiting {
            hearing: Pin<Box<dyn Future<Output = Heard> + Send>>,
            gate: Arc<Gate>,
            held: Option<(S, Request<B>)>,
        },
    }
}

/// What the application's response still gets.
pub(super) struct After {
    pub(super) in_grace: bool,
    pub(super) cookies: Vec<HeaderValue>,
}

/// What a request waits for.
pub(super) enum Wait {
    Keys,
    Payload(String),
}

impl Wait {
    fn begin(self, gate: &Arc<Gate>) -> Pin<Box<dyn Future<Output = Heard> + Send>> {
        let gate = Arc::clone(gate);
        match self {
            Self::Keys => Box::pin(async move {
                gate.shared.keys_refreshed().await;
                Heard { settled: true, payload: None }
            }),
            Self::Payload(nonce) => Box::pin(async move {
                let payload = match &gate.visits.exchange {
                    Some(exchange) => exchange.payload(&nonce).await,
                    None => Payload::Unknown,
                };
                Heard { settled: true, payload: Some(payload) }
            }),
        }
    }
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn inner(future: S::Future, after: After) -> Self {
        Self { kind: Kind::Inner { future, after } }
    }

    pub(super) fn answered(response: Response, cookies: Vec<HeaderValue>) -> Self {
        Self { kind: Kind::Answered { response: Some(with_cookies(response, cookies)) } }
    }

    pub(super) fn waiting(gate: &Arc<Gate>, wait: Wait, service: S, request: Request<B>) -> Self {
        let (hearing, gate) = (wait.begin(gate), Arc::clone(gate));
        Self { kind: Kind::Waiting { hearing, gate, held: Some((service, request)) } }
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
                KindProj::Inner { future, after } => {
                    let response = ready!(future.poll(cx))?.into_response();
                    return Poll::Ready(Ok(after.dress(response)));
                }
                KindProj::Answered { response } => {
                    return Poll::Ready(Ok(response.take().expect("polled after completion")));
                }
                KindProj::Waiting { hearing, gate, held } => {
                    let heard = ready!(hearing.as_mut().poll(cx));
                    let (service, request) = held.take().expect("polled after completion");
                    judge_again(gate, &heard, service, request)
                }
            };
            kind.set(next);
        }
    }
}

/// What was waited for once is not waited for again; after keys, a nonce may be asked about.
fn judge_again<S, B>(
    gate: &Arc<Gate>,
    heard: &Heard,
    mut service: S,
    mut request: Request<B>,
) -> Kind<S, B, S::Future>
where
    S: Service<Request<B>>,
{
    let Judged { passage, cookies } = gate.judge(&request, heard);
    let shape = Shape::of(request.method(), request.headers());
    let response = match passage {
        Passage::Open(outcome) => {
            let after = After { in_grace: is_grace(outcome.auth.as_ref()), cookies };
            request.extensions_mut().insert(outcome);
            return Kind::Inner { future: service.call(request), after };
        }
        Passage::Closed(rejection) => gate.reject(rejection, shape),
        Passage::Detour(location) => detour(location),
        Passage::AwaitKeys => gate.reject(Rejection::Unavailable(Unavailable::UnknownKey), shape),
        Passage::Exchange(nonce) if heard.payload.is_none() => {
            let hearing = Wait::Payload(nonce).begin(gate);
            return Kind::Waiting {
                hearing,
                gate: Arc::clone(gate),
                held: Some((service, request)),
            };
        }
        Passage::Exchange(_) => gate.reject(Rejection::Unavailable(Unavailable::Uncertain), shape),
    };
    Kind::Answered { response: Some(with_cookies(response, cookies)) }
}

impl After {
    fn dress(&mut self, response: Response) -> Response {
        let response = with_cookies(response, std::mem::take(&mut self.cookies));
        if self.in_grace { mark(response) } else { response }
    }
}

fn with_cookies(mut response: Response, cookies: Vec<HeaderValue>) -> Response {
    for cookie in cookies {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// What was shown in grace is for this user's eyes and this moment only.
fn mark(mut response: Response) -> Response {
    let private = HeaderValue::from_static("private, no-store");
    response.headers_mut().insert(CACHE_CONTROL, private);
    response
}
