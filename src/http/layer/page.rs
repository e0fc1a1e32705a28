//! Pages: a browser that could have a fresh session is sent to Clerk for it, and taken back.
//!
//! Only a `GET` that shows a page is sent, only to a route that demands a session, and only while
//! Clerk is healthy, its handshake and its minting included: a redirect to a Clerk that is down is a
//! dead end on somebody else's error page.
//!
//! The result comes back as a nonce, which the Backend API exchanges, or as a token, which needs nobody.
//! A nonce is asked for only while the Backend API is well, and no more often than it can be exchanged:
//! after an outage thousands come back in a minute, and the Backend API may come back last.
//!
//! A result is believed only in the browser for which the handshake was begun: the address carries a
//! state, and a signed cookie binds it to the browser (`engine::backend::trip`). That browser is
//! redirected once more, to the address without Clerk's marks. Every other result is ignored, and the
//! request is judged as if it brought none: Clerk is asked again if need be. A browser without cookies,
//! and one that another instance without a common key has sent, is answered in place, with no cookie set,
//! so that it is never sent in circles.
//!
//! Returns without success are counted for each page, in a signed cookie; the third ends on a page that
//! names the cause. What a browser loads ahead of a visit is never redirected and never counted.

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
use crate::engine::{Departure, HandshakeTrips, Payload, Return};
use crate::http::origin::{Asked, RedirectHost};
use crate::http::response::{PageCounts, is_prefetch, reader};
use crate::state::health::{Surface, Verdict};
use crate::state::snapshot::Snapshot;

/// A Backend API that failed within this time is not relied on.
const AFTERMATH: Duration = Duration::from_secs(60);
/// The count of redirects is kept this long.
const COUNTED: Duration = Duration::from_secs(300);

/// How browsers are sent to Clerk and taken back.
#[derive(Debug)]
pub(crate) struct Visits {
    pub(crate) site: Site,
    pub(crate) handshakes: bool,
    pub(crate) client_uat: ClientUat,
    pub(crate) nonces: NonceBudget,
    pub(crate) trips: HandshakeTrips,
    /// How often a browser came back to a page without success.
    pub(crate) returns: PageCounts,
    pub(crate) hosts: HostWarnings,
}

/// What is at hand while a page is judged.
#[derive(Clone, Copy)]
pub(super) struct RequestContext<'a> {
    pub(super) known: &'a Snapshot,
    pub(super) now: Moment,
    pub(super) resolved: &'a Resolved,
    /// The token that counts, and where it was found.
    pub(super) token: &'a Located<'a>,
    /// The request's token, if it is verified.
    pub(super) verified: Option<(&'a str, &'a Verified)>,
    /// It shows a page, and may be sent to Clerk.
    pub(super) visit: bool,
    /// It is only too old, and may be renewed.
    pub(super) renewable: bool,
}

impl Authenticator {
    /// Whether the request shows a page, and may be sent to Clerk. A password in front of a whole site
    /// is no token, and changes nothing.
    pub(super) fn is_visit<B>(&self, request: &Request<B>, token: &Located<'_>) -> bool {
        self.visits.handshakes
            && *request.method() == Method::GET
            && !matches!(token, Located::Header(_))
            && reader(request.method(), request.headers()) == ClientKind::Document
    }

    /// Judges a page, after the judgement of its credential.
    pub(super) fn visit<B>(
        &self,
        request: &Request<B>,
        plain: Judgement,
        ctx: RequestContext<'_>,
    ) -> Judgement {
        let headers = request.headers();
        let Some((address, host)) = self.answers.origins.for_redirect(Asked::of(request)) else {
            return plain;
        };
        let mut context = self.context(request, &address, ctx);
        let back = match context.state() {
            state if !is_prefetch(headers) => {
                self.visits.trips.back(state.as_deref(), headers, ctx.now.wall)
            }
            _ => Return::None,
        };
        let trip = Trip { page: context.page(), back, host };
        let failed = self.visits.returns.read(headers, &trip.page) + u8::from(trip.is_bound());
        context.redirects = f64::from(failed);
        context.nonce &= backend_is_well(ctx) && self.visits.nonces.have_room(ctx.now);
        if !trip.is_believed(&plain) {
            context.ignore_handshake();
        } else if ctx.resolved.payload == Some(Payload::Gone) {
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
            Err(Waiting::For(wait)) => Decision::Await(wait).into(),
            Err(Waiting::InVain) if plain.is_open() => plain,
            Err(Waiting::InVain) => {
                Decision::Reject(Rejection::Unavailable(Unavailable::Uncertain)).into()
            }
        }
    }

    /// A handshake ends with its return, and the count of the page follows: a page that is shown with a
    /// fresh session was a success.
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
        if let Return::Bound(bound) = &trip.back {
            judgement.cookies.extend(self.visits.trips.end(bound));
        }
        judgement
    }

    pub(super) fn answer<B>(
        &self,
        context: &Context<'_>,
        request: &Request<B>,
        ctx: RequestContext<'_>,
        back: &Return,
    ) -> Result<RequestState, Waiting> {
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
            Some(Payload::Lines(lines)) => answers.payload = Some(Some(lines.clone())),
            Some(Payload::Unknown) if context.returns().is_some() => return Err(Waiting::InVain),
            _ => {}
        }
        let mut answer = context.authenticate(&evidence, &answers);
        if let Err(NeedsBackend::Refresh(call)) = answer {
            match permitted(&call, ctx) {
                Ok(()) => {
                    let shown = shown(request, &self.answers.origins);
                    return Err(Waiting::For(Wait::Renewal(Box::new(call), shown)));
                }
                Err(denial) => answers.refreshed = Some(Err(denial)),
            }
            answer = context.authenticate(&evidence, &answers);
        }
        answer.map_err(|need| match need {
            NeedsBackend::Payload(nonce) if can_ask(ctx) => {
                let standing = self.visits.trips.standing(back, ctx.now.wall);
                Waiting::For(Wait::Payload(nonce, standing))
            }
            _ => Waiting::InVain,
        })
    }

    fn demands<B>(&self, request: &Request<B>) -> bool {
        let sessions = self.route.kinds.accepts(TokenKind::Session);
        sessions && !self.route.optional && !self.is_public(request)
    }

    /// Clerk has told who it is.
    fn arrived<B>(
        &self,
        request: &Request<B>,
        context: &Context<'_>,
        answer: &RequestState,
        ctx: RequestContext<'_>,
        trip: &Trip,
    ) -> Judgement {
        // A browser for which nothing was begun may have followed a link into somebody else's session.
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
            // It was given cookies when it was sent. Without any, signing in would not help it.
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
                if worth && matches!(trip.back, Return::Unbound { again: None, .. }) =>
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
            // Nobody is sent on from here, and the next sign-in must not find the count used up.
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

    /// Sends a browser to Clerk. The state ties the result to this browser; a redirect that is no
    /// handshake brings back no result, and needs none.
    fn depart(
        &self,
        context: &Context<'_>,
        (reason, location): (&Reason, &Url),
        headers: &HeaderMap,
        ctx: RequestContext<'_>,
        trip: &Trip,
    ) -> Judgement {
        let hops = match trip.back {
            Return::Unbound { again, .. } => again.unwrap_or_default(),
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

    /// A session that is good as it is goes to Clerk for want of `__client_uat`; and once for another
    /// organisation, or when its address says that something happened elsewhere. A refusal that Clerk
    /// cannot change is not taken there.
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
            // It comes from a sign-in, and may have another session by now.
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

/// A request for a page, as far as it may be one leg of a trip to Clerk.
struct Trip {
    /// The page, without marks.
    page: Url,
    back: Return,
    host: RedirectHost,
}

impl Trip {
    fn is_bound(&self) -> bool {
        matches!(self.back, Return::Bound(_))
    }

    /// Whether a result of a handshake counts. A fresh session is not replaced by a result that was not
    /// asked for in this browser.
    fn is_believed(&self, plain: &Judgement) -> bool {
        match self.back {
            Return::Bound(_) => true,
            Return::Unbound { shown, .. } => shown && !plain.is_fresh(),
            Return::None => false,
        }
    }
}

/// Says once each how the hosts of redirects to Clerk are chosen, and that a host is unknown.
#[derive(Debug, Default)]
pub(crate) struct HostWarnings {
    alone: AtomicBool,
    unknown: AtomicBool,
}

impl HostWarnings {
    /// Whether a browser may be sent to Clerk from this host.
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

/// A satellite of a development instance asks its primary application, on any page of it.
fn is_for_satellite(answer: &RequestState) -> bool {
    answer.state.reason() == Some(&Reason::PrimaryRespondsToSyncing)
}

/// A good session is refused for the age of its claims alone.
fn wants_newer_claims(plain: &Judgement, answer: &RequestState) -> bool {
    let stale = Rejection::Unavailable(Unavailable::StaleClaims);
    matches!(&plain.decision, Decision::Reject(rejection) if *rejection == stale)
        && matches!(answer.state, AuthStatus::SignedIn { .. })
}

/// What stands between a request and its answer.
pub(super) enum Waiting {
    /// Something that can be waited for.
    For(Wait),
    /// Something that cannot be had now.
    InVain,
}

/// Whether a browser that is sent to Clerk will come back.
///
/// Slow is well enough; a single failure is not. During the drain of an outage it is well enough for
/// those whose grace is over, and nobody else is refused a page.
fn is_well(ctx: RequestContext<'_>) -> bool {
    let answers = |surface| {
        let tracker = ctx.known.health.surface(surface);
        tracker.last_good().is_some() && tracker.failures() == 0
    };
    let verdict = ctx.known.verdict(ctx.now);
    let back = matches!(verdict, Verdict::Healthy | Verdict::Recovering);
    back && answers(Surface::Handshake) && answers(Surface::SessionMint)
}

/// Whether a nonce that is asked for now can be exchanged in a moment.
fn backend_is_well(ctx: RequestContext<'_>) -> bool {
    let backend = ctx.known.health.surface(Surface::BackendApi);
    backend.failures() == 0 && !backend.failed_within(AFTERMATH, ctx.now)
}

/// Whether Clerk failed so lately that a browser may have been sent there in vain, without any fault of
/// its own.
fn is_uneasy(ctx: RequestContext<'_>) -> bool {
    [Surface::Handshake, Surface::SessionMint, Surface::BackendApi]
        .into_iter()
        .any(|surface| ctx.known.health.surface(surface).failed_within(COUNTED, ctx.now))
}

/// What keeps the browser from coming back with a session, as far as this request shows.
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

/// True for a session within its time.
pub(super) fn is_fresh(auth: Option<&Auth>) -> bool {
    auth.is_some_and(|auth| auth.grace().is_none())
}
