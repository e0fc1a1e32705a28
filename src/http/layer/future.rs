//! [`ResponseFuture`], the future of the layer's response.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, SET_COOKIE};
use http::{HeaderValue, Method, Request};
use pin_project_lite::pin_project;
use tower::Service;

use super::effects::Tally;
use super::grace_header;
use super::lease::{GraceBinding, GraceTerms};
use super::preflight::Answering;
use super::revocation_watch::RevocationWatch;
use super::service::{Authenticator, Decision, Judgement, admit};
use super::wait::{PendingLookup, Resolved, Wait};
use crate::decide::{Auth, Rejection, Unavailable};
use crate::http::outcome::RequestOutcome;
use crate::http::response::detour;

/// The rejection of a request that waited and would have to wait for the same lookup again.
pub(super) const NOTHING_HEARD: Rejection = Rejection::Unavailable(Unavailable::Uncertain);

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
        Inner { #[pin] future: F, after: ResponseEdits },
        /// The layer has answered.
        Answered { response: Option<Response> },
        /// The CORS layer answers a preflight.
        Preflight { answering: Answering },
        /// A lookup is pending; the decision is repeated after it.
        Waiting {
            hearing: PendingLookup,
            resolved: Resolved,
            authenticator: Arc<Authenticator>,
            held: Option<(S, Request<B>)>,
        },
    }
}

/// The layer's changes to the application's response.
pub(super) struct ResponseEdits {
    cookies: Vec<HeaderValue>,
    bound: Option<StreamBound>,
    tally: Tally,
}

/// The event that ends a streaming response.
enum StreamBound {
    /// A revocation.
    Revoked(RevocationWatch),
    /// The end of grace; boxed, because few requests are in grace.
    Grace(Box<GraceBinding>),
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn waiting(
        authenticator: &Arc<Authenticator>,
        wait: Wait,
        service: S,
        request: Request<B>,
    ) -> Self {
        Self { kind: wait_for(wait, Resolved::default(), authenticator, service, request) }
    }
}

fn wait_for<S, B>(
    wait: Wait,
    resolved: Resolved,
    authenticator: &Arc<Authenticator>,
    service: S,
    request: Request<B>,
) -> Kind<S, B, S::Future>
where
    S: Service<Request<B>>,
{
    let (hearing, authenticator) = (wait.begin(authenticator), Arc::clone(authenticator));
    Kind::Waiting { hearing, resolved, authenticator, held: Some((service, request)) }
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
                    return Poll::Ready(Ok(after.apply(response)));
                }
                KindProj::Answered { response } => {
                    return Poll::Ready(Ok(response.take().expect("polled after completion")));
                }
                KindProj::Preflight { answering } => return answering.as_mut().poll(cx).map(Ok),
                KindProj::Waiting { hearing, resolved, authenticator, held } => {
                    resolved.hear(ready!(hearing.as_mut().poll(cx)));
                    let (service, request) = held.take().expect("polled after completion");
                    judge_again(authenticator, std::mem::take(resolved), service, request)
                }
            };
            kind.set(next);
        }
    }
}

/// Decides again after a lookup. The request may wait for another lookup, but not for the same one.
fn judge_again<S, B>(
    authenticator: &Arc<Authenticator>,
    resolved: Resolved,
    mut service: S,
    request: Request<B>,
) -> Kind<S, B, S::Future>
where
    S: Service<Request<B>>,
{
    let judgement = authenticator.rule(&request, &resolved);
    match judgement.decision {
        Decision::Await(wait) if !resolved.has(&wait) => {
            wait_for(wait, resolved, authenticator, service, request)
        }
        _ => authenticator.carry_out(judgement, request, |request| service.call(request)),
    }
}

impl Authenticator {
    /// Executes a decision; `call` invokes the application.
    pub(super) fn respond<S, B>(
        &self,
        judgement: Judgement,
        request: Request<B>,
        call: impl FnOnce(Request<B>) -> S::Future,
    ) -> ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        ResponseFuture { kind: self.carry_out(judgement, request, call) }
    }

    fn carry_out<S, B, F>(
        &self,
        judgement: Judgement,
        mut request: Request<B>,
        call: impl FnOnce(Request<B>) -> F,
    ) -> Kind<S, B, F> {
        let mut tally = self.tally(&request, &judgement.decision);
        let Judgement { decision, cookies, terms, .. } = judgement;
        let response = match decision {
            Decision::Allow(outcome) => {
                let after = ResponseEdits::of(&request, &outcome, cookies, terms.as_ref(), tally);
                admit(&mut request, outcome, terms);
                return Kind::Inner { future: call(request), after };
            }
            Decision::Reject(rejection) => {
                self.answers.reject(rejection, &self.answers.shape(&request))
            }
            Decision::Await(_) => self.answers.reject(NOTHING_HEARD, &self.answers.shape(&request)),
            Decision::Redirect(location) => detour(location),
            Decision::Preflight => match self.preflights.answer(&request) {
                Ok(response) => response,
                Err(answering) => return Kind::Preflight { answering },
            },
        };
        let mut response = with_cookies(response, cookies);
        tally.settle(&mut response);
        Kind::Answered { response: Some(response) }
    }
}

impl ResponseEdits {
    pub(super) fn of<B>(
        request: &Request<B>,
        outcome: &RequestOutcome,
        cookies: Vec<HeaderValue>,
        terms: Option<&GraceTerms>,
        tally: Tally,
    ) -> Self {
        let tenancy = terms.map(|terms| {
            let shape = outcome.answers.shape(request);
            let (terms, answers) = (terms.clone(), Arc::clone(&outcome.answers));
            let connect = *request.method() == Method::CONNECT;
            let grace = outcome.auth().and_then(Auth::grace);
            let named = grace.filter(|_| answers.names_grace).and_then(grace_header::value);
            Box::new(GraceBinding { terms, answers, shape, connect, named })
        });
        let revoked = || RevocationWatch::of(outcome).map(StreamBound::Revoked);
        Self { cookies, bound: tenancy.map(StreamBound::Grace).or_else(revoked), tally }
    }

    fn apply(&mut self, response: Response) -> Response {
        let (cookies, bound) = (std::mem::take(&mut self.cookies), self.bound.take());
        let private = matches!(bound, Some(StreamBound::Grace(_))) || !cookies.is_empty();
        let response = match bound {
            Some(StreamBound::Grace(tenancy)) => tenancy.bind(response),
            Some(StreamBound::Revoked(watch)) => watch.bind(response),
            None => response,
        };
        let mut response = with_cookies(response, cookies);
        self.tally.settle(&mut response);
        if private { mark(response) } else { response }
    }
}

fn with_cookies(mut response: Response, cookies: Vec<HeaderValue>) -> Response {
    for cookie in cookies {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// Forbids caching: a response in grace, or with session cookies, is only for this user and this
/// time.
fn mark(mut response: Response) -> Response {
    let private = HeaderValue::from_static("private, no-store");
    response.headers_mut().insert(CACHE_CONTROL, private);
    response
}
