//! [`Authenticate`], the tower service around the application.

use std::sync::Arc;
use std::task::{Context, Poll};

use axum::response::{IntoResponse, Response};
use clerk_verify::clock::Moment;
use clerk_verify::token::{InvalidToken, Located, Timing, TokenKind};
use http::header::{ACCEPT, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request};
use tower::Service;

use super::effects::{Effects, is_counted};
use super::future::ResponseFuture;
use super::lease::GraceTerms;
use super::page::{RequestContext, Visits, is_fresh};
use super::preflight::{Preflights, is_preflight};
use super::public::PublicPaths;
use super::wait::{Resolved, Wait};
use crate::decide::policy::{ClientUat, RoutePolicy};
use crate::decide::{
    Caller, ClientKind, Credential, CredentialDecision, Rejection, RequestFacts, decide,
};
use crate::engine::{Examined, Shared};
use crate::http::origin::{RequestTarget, original};
use crate::http::outcome::RequestOutcome;
use crate::http::response::{Responder, reader};

/// Decides about requests; one instance for each policy.
#[derive(Debug)]
pub(crate) struct Authenticator {
    pub(crate) shared: Arc<Shared>,
    pub(crate) answers: Arc<Responder>,
    pub(crate) route: RoutePolicy,
    pub(crate) public: PublicPaths,
    pub(crate) visits: Arc<Visits>,
    pub(crate) preflights: Arc<Preflights>,
}

/// The decision about a request, with its cookies, terms and effects.
pub(super) struct Judgement {
    pub(super) decision: Decision,
    pub(super) cookies: Vec<HeaderValue>,
    /// The terms of grace, if the request passes in grace.
    pub(super) terms: Option<GraceTerms>,
    pub(super) effects: Effects,
}

impl From<Decision> for Judgement {
    fn from(decision: Decision) -> Self {
        Self { decision, cookies: Vec::new(), terms: None, effects: Effects::default() }
    }
}

impl Judgement {
    pub(super) fn is_open(&self) -> bool {
        matches!(self.decision, Decision::Allow(_))
    }

    pub(super) fn is_refused(&self) -> bool {
        matches!(self.decision, Decision::Reject(_))
    }

    pub(super) fn is_revoked(&self) -> bool {
        matches!(self.decision, Decision::Reject(Rejection::Revoked))
    }

    pub(super) fn is_fresh(&self) -> bool {
        matches!(&self.decision, Decision::Allow(outcome) if is_fresh(outcome.auth()))
    }
}

/// The decision of the layer about a request.
pub(super) enum Decision {
    Allow(RequestOutcome),
    Reject(Rejection),
    /// Redirect the browser, which then returns.
    Redirect(HeaderValue),
    /// Answer a CORS preflight.
    Preflight,
    /// Wait for this lookup, then decide again.
    Await(Wait),
}

impl Authenticator {
    /// Decides about a request from its head, and applies the effects.
    pub(super) fn rule<B>(&self, request: &Request<B>, resolved: &Resolved) -> Judgement {
        if is_preflight(request) && !self.route.optional && !self.is_public(request) {
            return Decision::Preflight.into();
        }
        let now = self.shared.now();
        let judgement = self.judge(request, resolved, now);
        self.apply(request, &judgement, now);
        judgement
    }

    /// Decides about a request from its head, without side effects.
    fn judge<B>(&self, request: &Request<B>, resolved: &Resolved, now: Moment) -> Judgement {
        let known = self.shared.core.load();
        let located = self.shared.locate(request.headers(), now);
        let examined = self.examine(&located, resolved, &known, now);
        let (token, examined) = if examined.is_of_the_past() {
            (Located::Nowhere, Examined::Absent)
        } else {
            (located, examined)
        };
        let verified = token.token().zip(examined.verified());
        let visit = self.is_visit(request, &token);
        let mut ctx = RequestContext {
            known: &known,
            now,
            resolved,
            token: &token,
            verified,
            visit,
            renewable: false,
        };
        let contradicted = self.is_contradicted(&token, &examined);
        let believed = if contradicted { &Examined::Absent } else { &examined };
        let mut judgement = self.evaluate(request, believed, ctx);
        if !matches!(judgement.decision, Decision::Await(_)) {
            ctx.renewable = self.is_renewable(request, &token, believed, &judgement);
            if visit {
                judgement = self.visit(request, judgement, ctx);
            } else if ctx.renewable {
                judgement = self.renew(request, judgement, ctx);
            }
        }
        judgement.cookies.extend(self.ticket(request, &token, believed, &judgement, now));
        if judgement.is_fresh() {
            judgement.cookies.extend(self.answers.arrived(request));
        }
        judgement.terms = self.terms(request, believed, &judgement, ctx);
        judgement.effects.reused_answer = is_reused(&token, &examined, resolved);
        if let Some(known) = &judgement.effects.token {
            judgement.effects.event =
                self.event(request, known, judgement.effects.ticket, &judgement.decision, ctx);
        }
        judgement
    }

    /// Decides about a request from an examined token.
    pub(super) fn evaluate<B>(
        &self,
        request: &Request<B>,
        examined: &Examined,
        ctx: RequestContext<'_>,
    ) -> Judgement {
        let ticket = self.redeem(request, examined, ctx.now);
        let counted = self.outer(request).is_some_and(is_counted);
        let credential = self.shared.credential(examined, ticket, counted, ctx.now);
        let timely = matches!(credential, Credential::Verified { timing: Timing::Current, .. });
        let facts = self.facts(request, timely, ctx);
        let mut judgement = Judgement::from(self.decide(request, &credential, facts, ctx));
        judgement.effects.ticket = ticket;
        judgement.effects.token = match examined {
            // A cached token whose session is already recorded has no effects.
            Examined::Verified(known, timing) if *timing != Timing::Current || known.is_new() => {
                Some(Arc::clone(known))
            }
            _ => None,
        };
        judgement
    }

    fn terms<B>(
        &self,
        request: &Request<B>,
        examined: &Examined,
        judgement: &Judgement,
        ctx: RequestContext<'_>,
    ) -> Option<GraceTerms> {
        let Examined::Verified(known, Timing::Expired { .. }) = examined else { return None };
        let Decision::Allow(outcome) = &judgement.decision else { return None };
        outcome.auth()?.grace()?;
        let outer = request.extensions().get::<GraceTerms>();
        Some(GraceTerms::new(self, known, self.facts(request, false, ctx), outer))
    }

    /// Returns true if `__client_uat` contradicts the session cookie: the session ended or is not
    /// current.
    #[expect(clippy::cast_precision_loss, reason = "seconds of this age are exact")]
    fn is_contradicted(&self, token: &Located<'_>, examined: &Examined) -> bool {
        let policy = self.visits.client_uat;
        let Located::Cookie { client_uat, .. } = *token else { return false };
        if policy == ClientUat::Ignored {
            return false;
        }
        let issued = match examined {
            Examined::Verified(known, _) => known.verified.session().issued_at,
            _ => None,
        };
        match client_uat {
            None => policy == ClientUat::Required,
            Some(uat) => uat == 0.0 || issued.is_some_and(|issued| (issued.as_secs() as f64) < uat),
        }
    }

    fn decide<B>(
        &self,
        request: &Request<B>,
        credential: &Credential<'_>,
        facts: RequestFacts,
        ctx: RequestContext<'_>,
    ) -> Decision {
        let RequestContext { known, now, .. } = ctx;
        match decide(credential, facts, &self.route, &self.shared.rules, known, now) {
            CredentialDecision::Pass(auth) => {
                self.open(Some(Caller::User(auth)), Rejection::Missing)
            }
            CredentialDecision::PassMachine(machine) => {
                self.open(Some(Caller::Machine(machine)), Rejection::Missing)
            }
            CredentialDecision::PassAnonymous(rejection) => self.open(None, rejection),
            CredentialDecision::AnswerPreflight => Decision::Preflight,
            CredentialDecision::Reject(rejection) => Decision::Reject(rejection),
            CredentialDecision::AwaitKeys => Decision::Await(Wait::Keys),
            CredentialDecision::AskClerk => {
                let token = self.shared.locate(request.headers(), ctx.now);
                Decision::Await(Wait::Machine(token.token().unwrap_or_default().to_owned()))
            }
        }
    }

    fn open(&self, caller: Option<Caller>, otherwise: Rejection) -> Decision {
        Decision::Allow(RequestOutcome {
            caller,
            otherwise,
            answers: Arc::clone(&self.answers),
            shared: Arc::clone(&self.shared),
        })
    }

    /// Returns the facts of a request. With a valid token the decision does not depend on the facts
    /// about grace and sign-in, so these get their strictest values without a look-up.
    fn facts<B>(
        &self,
        request: &Request<B>,
        timely: bool,
        ctx: RequestContext<'_>,
    ) -> RequestFacts {
        let (method, headers) = (request.method(), request.headers());
        RequestFacts {
            reader: if timely { ClientKind::Api } else { reader(method, headers) },
            safe: !timely
                && matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
                && !is_upgrade(headers),
            same_origin: !timely && self.answers.origins.is_same_origin(RequestTarget::of(request)),
            preflight: is_preflight(request),
            public: self.is_public(request),
            may_sign_in: !timely && self.answers.may_sign_in(request),
            visit: ctx.visit,
            settled: ctx.resolved.settled,
        }
    }

    /// Returns true if the path is public. Public paths apply to the whole application, so the path
    /// before nested routers stripped their prefix is compared.
    pub(super) fn is_public<B>(&self, request: &Request<B>) -> bool {
        if self.public.is_empty() {
            return false;
        }
        self.public.contains(original(request.uri(), request.extensions()).path())
    }
}

/// Returns true if a cached answer of the Backend API verified the machine token.
fn is_reused(token: &Located<'_>, examined: &Examined, resolved: &Resolved) -> bool {
    use InvalidToken::Malformed;
    let opaque = || matches!(token, Located::Header(text) if TokenKind::of_opaque(text).is_some());
    let told =
        matches!(examined, Examined::Machine { signed: false, .. } | Examined::Invalid(Malformed));
    told && resolved.told.is_none() && opaque()
}

/// Returns true for a request whose response has no end: a WebSocket, or server-sent events.
fn is_upgrade(headers: &HeaderMap) -> bool {
    let events = |accept: &HeaderValue| accept.as_bytes().starts_with(b"text/event-stream");
    headers.contains_key(UPGRADE) || headers.get(ACCEPT).is_some_and(events)
}

/// The service that the layer produces: it authenticates each request before the inner service.
#[derive(Clone, Debug)]
pub struct Authenticate<S> {
    inner: S,
    authenticator: Arc<Authenticator>,
}

impl<S> Authenticate<S> {
    pub(crate) fn new(inner: S, authenticator: Arc<Authenticator>) -> Self {
        Self { inner, authenticator }
    }

    /// Returns a reference to the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a mutable reference to the inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the inner service, without the layer.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B> Service<Request<B>> for Authenticate<S>
where
    S: Service<Request<B>> + Clone,
    S::Response: IntoResponse,
{
    type Response = Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let judgement = self.authenticator.rule(&request, &Resolved::default());
        let Decision::Await(wait) = judgement.decision else {
            return self
                .authenticator
                .respond(judgement, request, |request| self.inner.call(request));
        };
        // The clone may not be ready, so the ready service is used for this request.
        // https://docs.rs/tower/latest/tower/trait.Service.html#be-careful-when-cloning-inner-services
        let clone = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, clone);
        ResponseFuture::waiting(&self.authenticator, wait, ready, request)
    }
}

/// Inserts the outcome into the request, for the extractors.
pub(super) fn admit<B>(
    request: &mut Request<B>,
    outcome: RequestOutcome,
    terms: Option<GraceTerms>,
) {
    request.extensions_mut().insert(outcome);
    if let Some(terms) = terms {
        request.extensions_mut().insert(terms);
    }
}
