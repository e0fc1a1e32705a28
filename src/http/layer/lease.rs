//! [`Lease`]: limits work that outlives its request, such as streams and upgraded connections.
//!
//! A request is judged once, and its connection may last for hours. Without a limit, a revoked
//! session would go on reading, and grace would have no end.

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
use crate::http::outcome::RequestOutcome;
use crate::http::response::{Responder, Shape};

/// The terms of a request in grace. They stay with every stream or upgrade that the request began.
#[derive(Clone, Debug)]
pub(crate) struct GraceTerms {
    shared: Arc<Shared>,
    route: RoutePolicy,
    known: Arc<CachedToken>,
    facts: RequestFacts,
    /// Number of leases of these terms.
    held: Arc<AtomicUsize>,
}

impl GraceTerms {
    /// A nested layer shares the lease count of the outer layer, so that one lease holds both.
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

    /// Completes when the same request would no longer pass in grace: its time is over, its session
    /// is revoked, the outage has ended or its budget is spent.
    pub(super) async fn end(self) {
        while let Some(rest) = self.rest() {
            tokio::time::sleep(rest.min(EVERY)).await;
        }
    }

    /// Returns the remaining time in the current state; `None` if grace has ended.
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
            // An open connection counts as use of the session, but not as a request.
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

/// Limits how long a WebSocket, or other work that outlives its request, may continue.
///
/// A lease ends within 5 s of a revocation: of the session, the token, the user, the membership in
/// the active organisation, or the key that signed the token. That holds for every caller, machines
/// included. The layer itself ends streams in the same way. A stream is a body of unknown length,
/// such as server-sent events.
///
/// The lease of a session with a valid token has no other end. The token may expire; the
/// application decides how long the connection may then last. Without a held lease, the layer
/// cannot end an upgraded connection, so that the connection outlives a revocation. The layer
/// allows this outside of grace, because it does not know how the handler uses the connection.
///
/// A session in grace may upgrade only on a route with
/// [`GraceAccess::Full`](crate::GraceAccess::Full). The handler must also hold a lease when it
/// answers; otherwise the layer answers 503. This lease also ends within 5 s of the moment at which
/// the layer would reject the same request: at the deadline of grace, or when Clerk works again.
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
///
/// Work without a connection, such as an export that runs for minutes, ends in the same way:
///
/// ```
/// use clerk_resilience::{Auth, Lease};
///
/// async fn export(auth: Auth, lease: Lease) -> &'static str {
///     match lease.hold(collect(auth)).await {
///         Some(rows) if rows > 0 => "exported",
///         Some(_) => "nothing to export",
///         None => "the session ended meanwhile",
///     }
/// }
/// # async fn collect(_: Auth) -> usize { 1 }
/// # let _: axum::Router = axum::Router::new().route("/", axum::routing::get(export));
/// ```
///
/// Server-sent events need no lease, because the layer ends the stream. In grace they need
/// [`GraceAccess::Full`](crate::GraceAccess::Full):
///
/// ```
/// use std::convert::Infallible;
/// use axum::{Router, response::sse::{Event, Sse}, routing::get};
/// use clerk_resilience::{Auth, ClerkResilience, GraceAccess, RoutePolicy};
/// use futures_util::stream;
///
/// async fn ticks(_: Auth) -> Sse<impl stream::Stream<Item = Result<Event, Infallible>>> {
///     Sse::new(stream::once(async { Ok(Event::default().data("tick")) }))
/// }
///
/// fn app(clerk: &ClerkResilience) -> Router {
///     let full = RoutePolicy::required().grace(GraceAccess::Full);
///     Router::new().route("/ticks", get(ticks)).route_layer(clerk.policy(full))
/// }
/// # let _ = app;
/// ```
#[derive(Debug)]
#[must_use = "an upgrade whose lease is dropped is refused in grace"]
pub struct Lease {
    until: Until,
}

/// The event that ends a lease.
#[derive(Debug)]
enum Until {
    /// No event, because the request has no verified caller.
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
            let watch = parts.extensions.get::<RequestOutcome>().and_then(RevocationWatch::of);
            watch.map_or(Until::Never, Until::Revoked)
        };
        Self { until }
    }

    /// Runs a future until it completes or the lease ends. If the lease ends first, drops the
    /// future and returns `None`. The layer checks every 5 s. Data that the future has sent by then
    /// stays sent, so let it close its connection with a guard of its own if the peer must learn
    /// the reason.
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

/// Applies the terms of grace to a response.
pub(super) struct GraceBinding {
    pub(super) terms: GraceTerms,
    pub(super) answers: Arc<Responder>,
    pub(super) shape: Shape,
    /// True if the request asks for a tunnel, such as a `WebSocket` over HTTP/2 (RFC 8441).
    pub(super) connect: bool,
    /// The value of `Clerk-Grace`, if the header is enabled.
    pub(super) named: Option<HeaderValue>,
}

impl GraceBinding {
    /// Ends a stream with the terms, and rejects an upgrade without a held lease.
    pub(super) fn bind(self, mut response: Response) -> Response {
        let status = response.status();
        let upgrades =
            status == StatusCode::SWITCHING_PROTOCOLS || (self.connect && status.is_success());
        if upgrades && !self.terms.is_held() {
            tracing::warn!(
                event = "clerk.lease.missing",
                "rejected an upgrade in grace with 503, because its handler holds no Lease; take a Lease and run the connection in lease.hold(..)"
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
