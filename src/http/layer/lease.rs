//! What outlives its request, and when it must end: streams, and whatever an upgrade began.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use super::grace_header::GRACE;
use super::leased_body::{LeasedBody, is_stream};
use super::revocation_watch::{EVERY, RevocationWatch};
use super::service::Authenticator;
use crate::decide::policy::RoutePolicy;
use crate::decide::{
    Credential, CredentialDecision, GraceDenial, Rejection, RequestFacts, Unavailable, Usage,
    decide,
};
use crate::engine::{CachedToken, Shared};
use crate::http::outcome::Outcome;
use crate::http::response::{Answers, Shape};

/// The terms on which a request passed in grace, kept for as long as what it began.
#[derive(Clone, Debug)]
pub(crate) struct GraceTerms {
    shared: Arc<Shared>,
    route: RoutePolicy,
    known: Arc<CachedToken>,
    facts: RequestFacts,
    /// How many leases of them there are.
    held: Arc<AtomicUsize>,
}

impl GraceTerms {
    /// A layer around this one has terms of its own; one lease holds both.
    pub(super) fn new(
        authenticator: &Authenticator,
        known: &Arc<CachedToken>,
        facts: RequestFacts,
        outer: Option<&Self>,
    ) -> Self {
        Self {
            shared: Arc::clone(&authenticator.shared),
            route: authenticator.route.clone(),
            known: Arc::clone(known),
            facts,
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
            sighting: self
                .known
                .session
                .and_then(|session| shared.core.seen_sessions.find(session)),
            // An open connection is in use, and is not a request.
            usage: Usage { last_passed: Some(now.wall), in_minute: 0 },
        };
        match decide(&credential, self.facts, route, &shared.rules, &known, now) {
            CredentialDecision::Pass(auth) => {
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
/// A lease ends within 5 s of a revocation: of the session, the token, the user, the membership in the
/// active organisation, or the key that signed the token. That holds for every caller, machines
/// included. The layer itself ends streams, which are bodies of unknown length such as server-sent
/// events, in the same way.
///
/// The lease of a session within its time has no other end. The token may expire; how long a
/// connection lives then is for the application to decide. Without a lease, or with one that the
/// handler drops, the layer cannot end an upgraded connection: such a connection outlives a
/// revocation. The layer allows that for sessions within their time, since it cannot know what the
/// handler does with the connection.
///
/// A session in grace may upgrade only on a route of
/// [`GraceAccess::Full`](crate::GraceAccess::Full), and only if its handler holds a lease when it
/// answers; otherwise the layer answers 503. That lease also ends within 5 s of the moment at which the
/// same request would be refused: at the deadline of grace, or when Clerk is back.
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
    until: Until,
}

/// What ends a lease.
#[derive(Debug)]
enum Until {
    /// Nothing: nobody is signed in.
    Never,
    /// A revocation.
    Revoked(RevocationWatch),
    /// The end of grace.
    Grace(GraceTerms),
}

impl Lease {
    fn of(parts: &Parts) -> Self {
        let until = if let Some(terms) = parts.extensions.get::<GraceTerms>() {
            terms.held.fetch_add(1, Ordering::AcqRel);
            Until::Grace(terms.clone())
        } else {
            let watch = parts.extensions.get::<Outcome>().and_then(RevocationWatch::of);
            watch.map_or(Until::Never, Until::Revoked)
        };
        Self { until }
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
        match &self.until {
            Until::Never => std::future::pending().await,
            Until::Revoked(watch) => watch.clone().revoked().await,
            Until::Grace(terms) => terms.clone().end().await,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Until::Grace(terms) = &self.until {
            terms.held.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Lease {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

/// What the response to a request in grace owes to its terms.
pub(super) struct GraceBinding {
    pub(super) terms: GraceTerms,
    pub(super) answers: Arc<Answers>,
    pub(super) shape: Shape,
    /// The request asks for a tunnel, as a `WebSocket` over HTTP/2 is one (RFC 8441).
    pub(super) connect: bool,
    /// What the response says of grace, if it is to say it.
    pub(super) named: Option<HeaderValue>,
}

impl GraceBinding {
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
        if upgrades || !is_stream(response.body()) {
            return response;
        }
        response.map(|body| Body::new(LeasedBody::new(body, self.terms.end())))
    }
}
