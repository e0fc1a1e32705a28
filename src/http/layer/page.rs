//! Pages: redirects a browser to Clerk for a fresh session, and accepts its return.
//!
//! The layer redirects only a `GET` for a page, and only to a route that requires a session. Clerk
//! must be healthy, including handshake and minting: a redirect to a failing Clerk would end on
//! Clerk's error page.
//!
//! The result of a handshake is a nonce, which the Backend API exchanges, or a token, which needs
//! no call. The layer requests a nonce only while the Backend API is healthy, and within the rate
//! at which nonces can be exchanged. After an outage thousands of browsers return in a minute, and
//! the Backend API may recover last.
//!
//! The layer accepts a result only in the browser for which the handshake began. The address
//! carries a state, and a signed cookie binds the state to the browser (`engine::backend::trip`).
//! The layer then redirects that browser to the address without Clerk's parameters.
//!
//! The layer ignores every other result, and decides as if the request had none; a new handshake
//! may follow. Two kinds of browsers are answered without a redirect and without cookies, so that
//! no loop can arise: one without cookies, and one redirected by another instance without a common
//! key.
//!
//! A signed cookie counts returns without success for each page. The third return ends on a page
//! that names the cause. A prefetch is never redirected and never counted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clerk_verify::authenticate::{
    AuthStatus, BackendResponses, Context, Evidence, HandshakeResult, KeyFailure, NeedsBackend,
    Reason, RequestState, Site, with_state,
};
use clerk_verify::clock::Moment;
use clerk_verify::id::SessionId;
use clerk_verify::token::{InvalidToken, Located, TokenKind};
use clerk_verify::verify::Verified;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, Request};
use url::Url;

use super::effects::Effects;
use super::nonces::NonceBudget;
use super::service::{Authenticator, Decision, Judgement};
use super::session_refresh::{can_ask, is_renewed, permitted, shown};
use super::unknown_key::unverifiable;
use super::wait::{Resolved, Wait};
use crate::decide::policy::ClientUat;
use crate::decide::{Auth, ClientKind, LoopCause, Rejection, Unavailable};
use crate::engine::{Departure, HandshakeTrips, NoncePayload, TripReturn};
use crate::http::origin::{RedirectHost, RequestTarget};
use crate::http::response::{PageCounts, is_prefetch, reader};
use crate::state::health::{Surface, Verdict};
use crate::state::snapshot::Snapshot;

/// Time after a failure during which the layer requests no nonces from the Backend API.
const AFTERMATH: Duration = Duration::from_secs(60);
/// Lifetime of the redirect count.
const COUNTED: Duration = Duration::from_secs(300);

/// The configuration and state of redirects to Clerk.
#[derive(Debug)]
pub(crate) struct Visits {
    pub(crate) site: Site,
    pub(crate) handshakes: bool,
    pub(crate) client_uat: ClientUat,
    pub(crate) nonces: NonceBudget,
    pub(crate) trips: HandshakeTrips,
    /// Counts a browser's returns to a page without success.
    pub(crate) returns: PageCounts,
    pub(crate) hosts: HostWarnings,
}

/// The input of the decision about a page.
#[derive(Clone, Copy)]
pub(super) struct RequestContext<'a> {
    pub(super) known: &'a Snapshot,
    pub(super) now: Moment,
    pub(super) resolved: &'a Resolved,
    /// The located token.
    pub(super) token: &'a Located<'a>,
    /// The request's token, if it is verified.
    pub(super) verified: Option<(&'a str, &'a Verified)>,
    /// True for a page request that may be redirected to Clerk.
    pub(super) visit: bool,
    /// True if the token's only fault is its age, and the session may be renewed.
    pub(super) renewable: bool,
}

impl Authenticator {
    /// Returns true for a page request that may be redirected to Clerk. HTTP Basic credentials are
    /// no token, and do not matter here.
    pub(super) fn is_visit<B>(&self, request: &Request<B>, token: &Located<'_>) -> bool {
        self.visits.handshakes
            && *request.method() == Method::GET
            && !matches!(token, Located::Header(_))
            && reader(request.method(), request.headers()) == ClientKind::Document
    }

    /// Decides about a page, after the decision about its credential.
    pub(super) fn visit<B>(
        &self,
        request: &Request<B>,
        plain: Judgement,
        ctx: RequestContext<'_>,
    ) -> Judgement {
        let headers = request.headers();
        let Some((address, host)) = self.answers.origins.for_redirect(RequestTarget::of(request))
        else {
            return plain;
        };
        let mut context = self.context(request, &address, ctx);
        let back = match context.state() {
            state if !is_prefetch(headers) => {
                self.visits.trips.back(state.as_deref(), headers, ctx.now.wall)
            }
            _ => TripReturn::None,
        };
        let trip = Trip { page: context.page(), back, host };
        let failed = self.visits.returns.read(headers, &trip.page) + u8::from(trip.is_bound());
        context.redirects = f64::from(failed);
        context.nonce &= backend_is_well(ctx) && self.visits.nonces.have_room(ctx.now);
        if !trip.is_believed(&plain) {
            context.ignore_handshake();
        } else if ctx.resolved.payload == Some(NoncePayload::Gone) {
            context.forget_return();
        }
        let judgement = self.judge_visit(request, &context, plain, ctx, &trip);
        self.end_trip(judgement, &trip, failed)
    }

    fn judge_visit<B>(
        &self,
        request: &Request<B>,
        context: &Context<'_>,
        plain: Judgement,
        ctx: RequestContext<'_>,
        trip: &Trip,
    ) -> Judgement {
        let answer = self.answer(context, request, ctx, &trip.back);
        if let Some(judgement) = unverifiable(context, &answer, &plain, ctx) {
            return judgement;
        }
        match answer {
            Ok(answer) if answer.arrival == HandshakeResult::Resolved => {
                self.arrived(request, context, &answer, ctx, trip)
            }
            Ok(answer) if self.demands(request) && wants_newer_claims(&plain, &answer) => self
                .redirect_decision(request, context, &context.for_newer_claims(), plain, ctx, trip),
            Ok(answer) if is_renewed(&answer) => self.renewed(request, &answer, ctx),
            Ok(answer) if self.demands(request) || is_for_satellite(&answer) => {
                self.redirect_decision(request, context, &answer, plain, ctx, trip)
            }
            Ok(answer) => plain.or_unavailable(&answer),
            Err(PendingPage::For(wait)) => Decision::Await(wait).into(),
            Err(PendingPage::InVain) if plain.is_open() => plain,
            Err(PendingPage::InVain) => {
                Decision::Reject(Rejection::Unavailable(Unavailable::Uncertain)).into()
            }
        }
    }

    /// Ends the handshake and updates the count of the page. A page shown with a fresh session
    /// counts as success.
    fn end_trip(&self, mut judgement: Judgement, trip: &Trip, failed: u8) -> Judgement {
        if matches!(judgement.decision, Decision::Await(_)) {
            return judgement;
        }
        let counted = if judgement.is_fresh() || judgement.is_revoked() {
            (failed > 0).then(|| self.visits.returns.remove(&trip.page))
        } else {
            trip.is_bound().then(|| self.visits.returns.store(&trip.page, failed))
        };
        judgement.cookies.extend(counted.flatten());
        if let TripReturn::Bound(bound) = &trip.back {
            judgement.cookies.extend(self.visits.trips.end(bound));
        }
        judgement
    }

    pub(super) fn answer<B>(
        &self,
        context: &Context<'_>,
        request: &Request<B>,
        ctx: RequestContext<'_>,
        back: &TripReturn,
    ) -> Result<RequestState, PendingPage> {
        let keys = &ctx.known.keys;
        let usable = keys.usable(ctx.now.wall, self.shared.rules.max_key_age);
        let evidence = Evidence {
            keys: if usable { Ok(&keys.set) } else { Err(KeyFailure::NotLoaded) },
            expect: self.shared.expectations(),
            now: ctx.now.wall,
            verified: ctx.verified,
        };
        let mut answers = BackendResponses {
            backend_api: self.shared.backend.is_some(),
            refreshed: ctx.resolved.renewal.clone(),
            ..BackendResponses::default()
        };
        match &ctx.resolved.payload {
            Some(NoncePayload::Lines(lines)) => answers.payload = Some(Some(lines.clone())),
            Some(NoncePayload::Unknown) if context.returns().is_some() => {
                return Err(PendingPage::InVain);
            }
            _ => {}
        }
        let mut answer = context.authenticate(&evidence, &answers);
        if let Err(NeedsBackend::Refresh(call)) = answer {
            match permitted(&call, ctx) {
                Ok(()) => {
                    let shown = shown(request, &self.answers.origins);
                    return Err(PendingPage::For(Wait::Renewal(Box::new(call), shown)));
                }
                Err(denial) => answers.refreshed = Some(Err(denial)),
            }
            answer = context.authenticate(&evidence, &answers);
        }
        answer.map_err(|need| match need {
            NeedsBackend::Payload(nonce) if can_ask(ctx) => {
                let standing = self.visits.trips.standing(back, ctx.now.wall);
                PendingPage::For(Wait::Payload(nonce, standing))
            }
            _ => PendingPage::InVain,
        })
    }

    fn demands<B>(&self, request: &Request<B>) -> bool {
        let sessions = self.route.kinds.accepts(TokenKind::Session);
        sessions && !self.route.optional && !self.is_public(request)
    }

    /// Handles a handshake that Clerk answered.
    fn arrived<B>(
        &self,
        request: &Request<B>,
        context: &Context<'_>,
        answer: &RequestState,
        ctx: RequestContext<'_>,
        trip: &Trip,
    ) -> Judgement {
        // An unbound browser may have followed a link into another person's session.
        let cookies = if trip.is_bound() { set_cookies(&answer.headers) } else { Vec::new() };
        let signed_in = matches!(answer.state, AuthStatus::SignedIn { .. });
        if trip.is_bound() {
            return Judgement { cookies, ..detour(&context.settled_address(signed_in)) };
        }
        let token = match &answer.state {
            AuthStatus::SignedIn { token, .. } => Some(token.as_str()),
            _ => None,
        };
        let examined = self.shared.examine(token, ctx.known, ctx.now);
        let mut judgement = self.evaluate(request, &examined, ctx);
        let stranger =
            matches!(judgement.decision, Decision::Reject(Rejection::Missing | Rejection::SignIn));
        if stranger && !request.headers().contains_key(COOKIE) {
            // The browser got cookies with the redirect. Without cookies a sign-in would not help.
            judgement.decision = Decision::Reject(Rejection::HandshakeLoop(LoopCause::Cookies));
        }
        judgement
    }

    fn redirect_decision<B>(
        &self,
        request: &Request<B>,
        context: &Context<'_>,
        answer: &RequestState,
        plain: Judgement,
        ctx: RequestContext<'_>,
        trip: &Trip,
    ) -> Judgement {
        let reason = answer.state.reason();
        let worth = reason.is_some_and(|reason| self.is_worth_it(&plain.decision, reason, context));
        match &answer.state {
            AuthStatus::Handshake { .. } if worth && is_prefetch(request.headers()) => {
                Decision::Reject(Rejection::Unavailable(Unavailable::Prefetch)).into()
            }
            AuthStatus::Handshake { .. }
                if worth && matches!(trip.back, TripReturn::Unbound { again: None, .. }) =>
            {
                if plain.is_open() {
                    return plain;
                }
                Decision::Reject(Rejection::HandshakeLoop(LoopCause::Cookies)).into()
            }
            AuthStatus::Handshake { .. } if worth && !self.visits.hosts.allows(trip.host) => plain,
            AuthStatus::Handshake { location, reason } if worth && is_well(ctx) => {
                self.depart(context, (reason, location), request.headers(), ctx, trip)
            }
            AuthStatus::Handshake { .. } if worth && plain.is_refused() && !is_well(ctx) => {
                Decision::Reject(Rejection::Unavailable(Unavailable::Uncertain)).into()
            }
            // No redirect follows from here, and the next sign-in must start with an unused count.
            _ if plain.is_revoked() => plain,
            _ if worth && answer.exhausted && is_uneasy(ctx) => {
                Decision::Reject(Rejection::Unavailable(Unavailable::Uncertain)).into()
            }
            _ if worth && answer.exhausted => {
                Decision::Reject(Rejection::HandshakeLoop(snag(answer))).into()
            }
            _ => plain,
        }
    }

    /// Redirects a browser to Clerk. The state binds the result to this browser. A redirect that is
    /// no handshake returns no result and needs no state.
    fn depart(
        &self,
        context: &Context<'_>,
        (reason, location): (&Reason, &Url),
        headers: &HeaderMap,
        ctx: RequestContext<'_>,
        trip: &Trip,
    ) -> Judgement {
        let hops = match trip.back {
            TripReturn::Unbound { again, .. } => again.unwrap_or_default(),
            _ => 0,
        };
        let session = ctx.verified.and_then(|(_, token)| token.session().session_id.as_ref());
        let session = session.map(SessionId::as_str);
        let Some(departure) = self.visits.trips.depart(headers, session, hops, ctx.now.wall) else {
            return Decision::Reject(Rejection::Unavailable(Unavailable::Uncertain)).into();
        };
        let Departure { state, cookies } = departure;
        let effects = Effects { departure: Some(context.nonce), ..Effects::default() };
        match with_state(context, reason, location, &state) {
            Some(location) => Judgement { cookies, effects, ..detour(&location) },
            None => Judgement { effects, ..detour(location) },
        }
    }

    /// Returns true if a redirect to Clerk can change the decision. A valid session is redirected
    /// if `__client_uat` is missing; and once for another organisation, or for a sync of a
    /// satellite or a development browser. A rejection that Clerk cannot change is not redirected.
    fn is_worth_it(&self, plain: &Decision, reason: &Reason, context: &Context<'_>) -> bool {
        use InvalidToken::{Expired, IssuedInFuture, NotYet};
        let first = context.redirects == 0.0;
        match plain {
            _ if *reason == Reason::PrimaryRespondsToSyncing => first,
            Decision::Allow(outcome) => match reason {
                _ if !is_fresh(outcome.auth()) => false,
                Reason::OrganizationMismatch
                | Reason::DevBrowserSync
                | Reason::SatelliteNeedsSyncing => first,
                Reason::TokenWithoutClientUat => self.visits.client_uat != ClientUat::Ignored,
                _ => false,
            },
            // The browser comes from a sign-in, and may have another session by now.
            Decision::Reject(Rejection::Revoked) => *reason == Reason::DevBrowserSync,
            Decision::Reject(Rejection::Unavailable(Unavailable::StaleClaims)) => first,
            Decision::Reject(rejection) => matches!(
                rejection,
                Rejection::Missing
                    | Rejection::SignIn
                    | Rejection::NoMember
                    | Rejection::Invalid(Expired | NotYet | IssuedInFuture)
            ),
            _ => false,
        }
    }
}

/// A page request, with its place in a redirect to Clerk.
struct Trip {
    /// The page's address without Clerk's parameters.
    page: Url,
    back: TripReturn,
    host: RedirectHost,
}

impl Trip {
    fn is_bound(&self) -> bool {
        matches!(self.back, TripReturn::Bound(_))
    }

    /// Returns true if the result of a handshake counts. A result that this browser did not request
    /// does not replace a fresh session.
    fn is_believed(&self, plain: &Judgement) -> bool {
        match self.back {
            TripReturn::Bound(_) => true,
            TripReturn::Unbound { shown, .. } => shown && !plain.is_fresh(),
            TripReturn::None => false,
        }
    }
}

/// Logs once each that no origin is configured, and that a request names an unknown host.
#[derive(Debug, Default)]
pub(crate) struct HostWarnings {
    alone: AtomicBool,
    unknown: AtomicBool,
}

impl HostWarnings {
    /// Returns true if a browser may be redirected to Clerk from this host.
    fn allows(&self, host: RedirectHost) -> bool {
        match host {
            RedirectHost::HostAlone if !self.alone.swap(true, Ordering::Relaxed) => {
                tracing::warn!(
                    event = "clerk.origins.missing",
                    "no origin of this application is configured: Clerk sends browsers back to the host that `Host` names; set CLERK_AUTHORIZED_PARTIES or Builder::public_origins to the application's origins"
                );
            }
            RedirectHost::Unknown if !self.unknown.swap(true, Ordering::Relaxed) => {
                tracing::warn!(
                    event = "clerk.origins.unknown_host",
                    "a request names a host that is no configured origin; its browser is not sent to Clerk. Add the host's origin to CLERK_AUTHORIZED_PARTIES or Builder::public_origins, or let the proxy pass `Host` on"
                );
            }
            _ => {}
        }
        host != RedirectHost::Unknown
    }
}

/// Returns true if the primary application must answer a satellite of a development instance.
fn is_for_satellite(answer: &RequestState) -> bool {
    answer.state.reason() == Some(&Reason::PrimaryRespondsToSyncing)
}

/// Returns true if a valid session is rejected only for the age of its claims.
fn wants_newer_claims(plain: &Judgement, answer: &RequestState) -> bool {
    let stale = Rejection::Unavailable(Unavailable::StaleClaims);
    matches!(&plain.decision, Decision::Reject(rejection) if *rejection == stale)
        && matches!(answer.state, AuthStatus::SignedIn { .. })
}

/// Why authentication has no result yet.
pub(super) enum PendingPage {
    /// A lookup that the request can wait for.
    For(Wait),
    /// A lookup that is not possible now.
    InVain,
}

/// Returns true if a browser that is redirected to Clerk is expected to return.
///
/// A slow Clerk qualifies; a single failure disqualifies. During the drain of an outage the
/// redirect serves sessions whose grace has ended, and no other page is rejected.
fn is_well(ctx: RequestContext<'_>) -> bool {
    let answers = |surface| {
        let tracker = ctx.known.health.surface(surface);
        tracker.last_good().is_some() && tracker.failures() == 0
    };
    let verdict = ctx.known.verdict(ctx.now);
    let back = matches!(verdict, Verdict::Healthy | Verdict::Recovering);
    back && answers(Surface::Handshake) && answers(Surface::SessionMint)
}

/// Returns true if the Backend API can be expected to exchange a nonce soon.
fn backend_is_well(ctx: RequestContext<'_>) -> bool {
    let backend = ctx.known.health.surface(Surface::BackendApi);
    backend.failures() == 0 && !backend.failed_within(AFTERMATH, ctx.now)
}

/// Returns true if Clerk failed so recently that a redirect may have failed without the browser's
/// fault.
fn is_uneasy(ctx: RequestContext<'_>) -> bool {
    [Surface::Handshake, Surface::SessionMint, Surface::BackendApi]
        .into_iter()
        .any(|surface| ctx.known.health.surface(surface).failed_within(COUNTED, ctx.now))
}

/// Returns the probable cause of a handshake loop, from this request.
fn snag(answer: &RequestState) -> LoopCause {
    use InvalidToken::{AuthorizedParty, Expired, IssuedInFuture, NotYet};
    match &answer.arrival {
        HandshakeResult::Failed(Reason::Token(AuthorizedParty)) => return LoopCause::Party,
        HandshakeResult::Failed(Reason::Token(Expired | NotYet | IssuedInFuture)) => {
            return LoopCause::Clock;
        }
        HandshakeResult::Failed(_) => return LoopCause::Keys,
        _ => {}
    }
    match answer.state.reason() {
        Some(Reason::TokenExpired(_) | Reason::TokenNotYet | Reason::TokenFromFuture) => {
            LoopCause::Clock
        }
        _ => LoopCause::Cookies,
    }
}

pub(super) fn set_cookies(headers: &HeaderMap) -> Vec<HeaderValue> {
    headers.get_all(SET_COOKIE).iter().cloned().collect()
}

fn detour(address: &Url) -> Judgement {
    match HeaderValue::try_from(address.as_str()) {
        Ok(location) => Decision::Redirect(location).into(),
        Err(_) => Decision::Reject(Rejection::Unavailable(Unavailable::Uncertain)).into(),
    }
}

/// Returns true for a session that is not in grace.
pub(super) fn is_fresh(auth: Option<&Auth>) -> bool {
    auth.is_some_and(|auth| auth.grace().is_none())
}
