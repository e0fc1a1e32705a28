//! What outlives its request in grace, and when it must end: streams, and whatever an upgrade began.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::FromRequestParts;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use http_body::{Frame, SizeHint};

use super::grace_field::GRACE;
use super::service::Gate;
use crate::decide::{
    Asking, Credential, Decision, GraceDenial, Rejection, Unavailable, Usage, decide,
};
use crate::engine::{Known, Shared};
use crate::policy::RoutePolicy;
use crate::respond::{Answers, Shape};

/// How often it is judged anew whether what was let in may go on.
const EVERY: Duration = Duration::from_secs(5);

/// The terms on which a request passed in grace, kept for as long as what it began.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    shared: Arc<Shared>,
    route: RoutePolicy,
    known: Arc<Known>,
    asking: Asking,
    /// How many leases of them there are.
    held: Arc<AtomicUsize>,
}

impl Terms {
    /// A layer around this one has terms of its own; one lease holds both.
    pub(super) fn new(
        gate: &Gate,
        known: &Arc<Known>,
        asking: Asking,
        outer: Option<&Self>,
    ) -> Self {
        Self {
            shared: Arc::clone(&gate.shared),
            route: gate.route.clone(),
            known: Arc::clone(known),
            asking,
            held: outer.map_or_else(Arc::default, |outer| Arc::clone(&outer.held)),
        }
    }

    fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire) > 0
    }

    /// Ends when the same request would not pass in grace any more: when its time is over, its session
    /// revoked, the outage over or its budget spent.
    pub(super) async fn end(self) {
        while let Some(rest) = self.rest() {
            tokio::time::sleep(rest.min(EVERY)).await;
        }
    }

    /// How long it may go on, as things stand; `None` when it is over.
    fn rest(&self) -> Option<Duration> {
        let Self { shared, route, .. } = self;
        let (now, known) = (shared.now(), shared.core.load());
        let verified = &self.known.verified;
        if !known.keys.set.holds(verified.key()) {
            return None;
        }
        let credential = Credential::Verified {
            token: verified,
            timing: verified.timing(now.wall, shared.expectations().leeway),
            sighting: self.known.session.and_then(|session| shared.core.ledger.find(session)),
            // An open connection is in use, and is not a request.
            usage: Usage { last_passed: Some(now.wall), in_minute: 0 },
        };
        match decide(&credential, self.asking, route, &shared.rules, &known, now) {
            Decision::Pass(auth) => {
                let until = auth.grace()?.until;
                let rest = until.since(known.latest(now));
                Some(rest + Duration::from_millis(1))
            }
            _ => None,
        }
    }
}

/// For how long a WebSocket, or anything else that outlives its request, may go on.
///
/// A session in grace may open one only on a route of
/// [`GraceAccess::Full`](crate::GraceAccess::Full), and only if its handler takes a lease and has not
/// dropped it when it answers: an upgrade that nobody would end is answered 503. What is held ends within 5 s of the moment at which the same
/// request would be refused: at the deadline of grace, when the session is revoked, when Clerk is back.
/// Bodies that stream, such as server-sent events, are ended by the layer itself.
///
/// A session within its time has a lease without an end: how long a connection lives beyond the token
/// that opened it is then the application's to decide, as it is without this layer.
///
/// ```no_run
/// use axum::extract::ws::{WebSocket, WebSocketUpgrade};
/// use axum::response::Response;
/// use clerk_resilience::{Auth, Lease};
///
/// async fn live(ws: WebSocketUpgrade, auth: Auth, lease: Lease) -> Response {
///     ws.on_upgrade(async |socket| {
///         lease.hold(serve(socket, auth)).await;
///     })
/// }
/// # async fn serve(_: WebSocket, _: Auth) {}
/// ```
#[derive(Debug)]
#[must_use = "an upgrade whose lease is dropped is refused in grace"]
pub struct Lease {
    terms: Option<Terms>,
}

impl Lease {
    fn of(terms: Option<Terms>) -> Self {
        if let Some(terms) = &terms {
            terms.held.fetch_add(1, Ordering::AcqRel);
        }
        Self { terms }
    }

    /// Runs something until it is done, or the lease ends: then it is dropped, and the result is
    /// `None`.
    pub async fn hold<F: Future>(self, work: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            () = self.ended() => None,
            done = work => Some(done),
        }
    }

    async fn ended(&self) {
        match &self.terms {
            Some(terms) => terms.clone().end().await,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(terms) = &self.terms {
            terms.held.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Lease {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts.extensions.get::<Terms>().cloned()))
    }
}

/// What the response to a request in grace owes to its terms.
pub(super) struct Tenancy {
    pub(super) terms: Terms,
    pub(super) answers: Arc<Answers>,
    pub(super) shape: Shape,
    /// The request asks for a tunnel, as a `WebSocket` over HTTP/2 is one (RFC 8441).
    pub(super) connect: bool,
    /// What the response says of grace, if it is to say it.
    pub(super) named: Option<HeaderValue>,
}

impl Tenancy {
    /// Ends a stream with its lease, and lets no upgrade through that would not end.
    pub(super) fn bind(self, mut response: Response) -> Response {
        let status = response.status();
        let upgrades =
            status == StatusCode::SWITCHING_PROTOCOLS || (self.connect && status.is_success());
        if upgrades && !self.terms.is_held() {
            tracing::warn!(
                event = "clerk.lease.missing",
                "refused an upgrade in grace, since its handler would not end it in time: take a Lease and hold it"
            );
            let denied = Unavailable::GraceDenied(GraceDenial::Unbounded);
            return self.answers.reject(Rejection::Unavailable(denied), &self.shape);
        }
        if let Some(named) = self.named {
            response.headers_mut().insert(GRACE, named);
        }
        let streams = response.body().size_hint().exact().is_none();
        if upgrades || !streams {
            return response;
        }
        response.map(|body| Body::new(LeasedBody::new(body, self.terms)))
    }
}

/// A body that ends with its lease.
pub(super) struct LeasedBody {
    body: Body,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
    over: bool,
}

impl LeasedBody {
    pub(super) fn new(body: Body, terms: Terms) -> Self {
        Self { body, end: Box::pin(terms.end()), over: false }
    }
}

impl HttpBody for LeasedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.over || self.end.as_mut().poll(cx).is_ready() {
            self.over = true;
            return Poll::Ready(None);
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl fmt::Debug for LeasedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeasedBody").field("over", &self.over).finish_non_exhaustive()
    }
}
