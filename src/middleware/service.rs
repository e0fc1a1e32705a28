//! The tower service around the application.

use std::sync::Arc;
use std::task::{Context, Poll};

use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request};
use tower::Service;

use super::effects::{Effects, is_counted};
use super::future::ResponseFuture;
use super::lease::Terms;
use super::preflight::{Preflights, is_preflight};
use super::public::PublicPaths;
use super::visit::{Scene, Visits, is_fresh};
use super::wait::{Heard, Wait};
use crate::clock::Moment;
use crate::decide::{Asking, Caller, Credential, Decision, Reader, Rejection, decide};
use crate::engine::{Examined, Shared};
use crate::origin::{Asked, original};
use crate::outcome::Outcome;
use crate::policy::{ClientUat, RoutePolicy};
use crate::respond::{Answers, reader};
use crate::token::{InvalidToken, Located, Timing, TokenKind};

/// Everything that decides about a request; one `Arc` for each policy.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) shared: Arc<Shared>,
    pub(crate) answers: Arc<Answers>,
    pub(crate) route: RoutePolicy,
    pub(crate) public: PublicPaths,
    pub(crate) visits: Arc<Visits>,
    pub(crate) preflights: Arc<Preflights>,
}

/// The result of the gate, what goes with whatever answer it leads to, and what it changes.
pub(super) struct Judged {
    pub(super) passage: Passage,
    pub(super) cookies: Vec<HeaderValue>,
    /// On what terms, in grace.
    pub(super) terms: Option<Terms>,
    pub(super) effects: Effects,
}

impl From<Passage> for Judged {
    fn from(passage: Passage) -> Self {
        Self { passage, cookies: Vec::new(), terms: None, effects: Effects::default() }
    }
}

impl Judged {
    pub(super) fn is_open(&self) -> bool {
        matches!(self.passage, Passage::Open(_))
    }

    pub(super) fn is_refused(&self) -> bool {
        matches!(self.passage, Passage::Closed(_))
    }

    pub(super) fn is_revoked(&self) -> bool {
        matches!(self.passage, Passage::Closed(Rejection::Revoked))
    }

    pub(super) fn is_fresh(&self) -> bool {
        matches!(&self.passage, Passage::Open(outcome) if is_fresh(outcome.auth()))
    }
}

/// The result of the gate.
pub(super) enum Passage {
    Open(Outcome),
    Closed(Rejection),
    /// Go elsewhere, and come back.
    Detour(HeaderValue),
    /// Answer a CORS preflight.
    Preflight,
    /// Wait for this and judge again.
    Wait(Wait),
}

impl Gate {
    /// Judges a request by its head, and applies what the judgement changes.
    pub(super) fn rule<B>(&self, request: &Request<B>, heard: &Heard) -> Judged {
        if is_preflight(request) && !self.route.optional && !self.is_public(request) {
            return Passage::Preflight.into();
        }
        let now = self.shared.now();
        let judged = self.judge(request, heard, now);
        self.apply(request, &judged, now);
        judged
    }

    /// Judges a request by its head. This changes nothing.
    fn judge<B>(&self, request: &Request<B>, heard: &Heard, now: Moment) -> Judged {
        let known = self.shared.core.load();
        let located = self.shared.locate(request.headers(), now);
        let examined = self.examine(&located, heard, &known, now);
        let (token, examined) = if examined.is_of_the_past() {
            (Located::Nowhere, Examined::Absent)
        } else {
            (located, examined)
        };
        let verified = token.token().zip(examined.verified());
        let visit = self.is_visit(request, &token);
        let mut scene =
            Scene { known: &known, now, heard, token: &token, verified, visit, renewable: false };
        let contradicted = self.is_contradicted(&token, &examined);
        let believed = if contradicted { &Examined::Absent } else { &examined };
        let mut judged = self.weigh(request, believed, scene);
        if !matches!(judged.passage, Passage::Wait(_)) {
            scene.renewable = self.is_renewable(request, &token, believed, &judged);
            if visit {
                judged = self.visit(request, judged, scene);
            } else if scene.renewable {
                judged = self.renew(request, judged, scene);
            }
        }
        judged.cookies.extend(self.ticket(request, &token, believed, &judged, now));
        if judged.is_fresh() {
            judged.cookies.extend(self.answers.arrived(request));
        }
        judged.terms = self.terms(request, believed, &judged, scene);
        judged.effects.reused_answer = is_reused(&token, &examined, heard);
        if let Some(known) = &judged.effects.token {
            judged.effects.event =
                self.event(request, known, judged.effects.ticket, &judged.passage, scene);
        }
        judged
    }

    /// Judges a request by an examined token.
    pub(super) fn weigh<B>(
        &self,
        request: &Request<B>,
        examined: &Examined,
        scene: Scene<'_>,
    ) -> Judged {
        let ticket = self.redeem(request, examined, scene.now);
        let counted = self.outer(request).is_some_and(is_counted);
        let credential = self.shared.credential(examined, ticket, counted, scene.now);
        let timely = matches!(credential, Credential::Verified { timing: Timing::Current, .. });
        let asking = self.asking(request, timely, scene);
        let mut judged = Judged::from(self.decide(request, &credential, asking, scene));
        judged.effects.ticket = ticket;
        judged.effects.token = match examined {
            // Nothing depends on a token that was noted before.
            Examined::Verified(known, timing) if *timing != Timing::Current || known.is_new() => {
                Some(Arc::clone(known))
            }
            _ => None,
        };
        judged
    }

    fn terms<B>(
        &self,
        request: &Request<B>,
        examined: &Examined,
        judged: &Judged,
        scene: Scene<'_>,
    ) -> Option<Terms> {
        let Examined::Verified(known, Timing::Expired { .. }) = examined else { return None };
        let Passage::Open(outcome) = &judged.passage else { return None };
        outcome.auth()?.grace()?;
        let outer = request.extensions().get::<Terms>();
        Some(Terms::new(self, known, self.asking(request, false, scene), outer))
    }

    /// `__client_uat` says that a session cookie is no longer, or not yet, what the browser holds.
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
        asking: Asking,
        scene: Scene<'_>,
    ) -> Passage {
        let Scene { known, now, .. } = scene;
        match decide(credential, asking, &self.route, &self.shared.rules, known, now) {
            Decision::Pass(auth) => self.open(Some(Caller::User(auth)), Rejection::Missing),
            Decision::PassMachine(machine) => {
                self.open(Some(Caller::Machine(machine)), Rejection::Missing)
            }
            Decision::PassAnonymous(rejection) => self.open(None, rejection),
            Decision::AnswerPreflight => Passage::Preflight,
            Decision::Reject(rejection) => Passage::Closed(rejection),
            Decision::AwaitKeys => Passage::Wait(Wait::Keys),
            Decision::AskClerk => {
                let token = self.shared.locate(request.headers(), scene.now);
                Passage::Wait(Wait::Machine(token.token().unwrap_or_default().to_owned()))
            }
        }
    }

    fn open(&self, caller: Option<Caller>, otherwise: Rejection) -> Passage {
        Passage::Open(Outcome {
            caller,
            otherwise,
            answers: Arc::clone(&self.answers),
            shared: Arc::clone(&self.shared),
        })
    }

    /// A token within its time is judged by itself: what matters to grace and to those without a
    /// session is then not looked for, and stands at its strictest.
    fn asking<B>(&self, request: &Request<B>, timely: bool, scene: Scene<'_>) -> Asking {
        let (method, headers) = (request.method(), request.headers());
        Asking {
            reader: if timely { Reader::Api } else { reader(method, headers) },
            safe: !timely
                && matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
                && !is_upgrade(headers),
            same_origin: !timely && self.answers.origins.is_same_origin(Asked::of(request)),
            preflight: is_preflight(request),
            public: self.is_public(request),
            may_sign_in: !timely && self.answers.may_sign_in(request),
            visit: scene.visit,
            settled: scene.heard.settled,
        }
    }

    /// Public paths are those of the whole application, so they are compared with the path before
    /// nested routers took their part of it.
    pub(super) fn is_public<B>(&self, request: &Request<B>) -> bool {
        if self.public.is_empty() {
            return false;
        }
        self.public.contains(original(request.uri(), request.extensions()).path())
    }
}

/// An answer of the Backend API of before this request said what a machine's token stands for.
fn is_reused(token: &Located<'_>, examined: &Examined, heard: &Heard) -> bool {
    use InvalidToken::Malformed;
    let opaque = || matches!(token, Located::Header(text) if TokenKind::of_opaque(text).is_some());
    let told =
        matches!(examined, Examined::Machine { signed: false, .. } | Examined::Invalid(Malformed));
    told && heard.told.is_none() && opaque()
}

/// A request whose answer has no end of its own: a WebSocket, or server-sent events.
fn is_upgrade(headers: &HeaderMap) -> bool {
    let events = |accept: &HeaderValue| accept.as_bytes().starts_with(b"text/event-stream");
    headers.contains_key(UPGRADE) || headers.get(ACCEPT).is_some_and(events)
}

/// A service behind the layer.
#[derive(Clone, Debug)]
pub struct Authenticate<S> {
    inner: S,
    gate: Arc<Gate>,
}

impl<S> Authenticate<S> {
    pub(crate) fn new(inner: S, gate: Arc<Gate>) -> Self {
        Self { inner, gate }
    }

    /// The service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside, to be changed.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Gives up the layer and returns the service inside.
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
        let judged = self.gate.rule(&request, &Heard::default());
        let Passage::Wait(wait) = judged.passage else {
            return self.gate.respond(judged, request, |request| self.inner.call(request));
        };
        // The clone is not ready; the service that is goes with the request.
        // https://docs.rs/tower/latest/tower/trait.Service.html#be-careful-when-cloning-inner-services
        let clone = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, clone);
        ResponseFuture::waiting(&self.gate, wait, ready, request)
    }
}

/// Leaves for the extractors what was found.
pub(super) fn admit<B>(request: &mut Request<B>, outcome: Outcome, terms: Option<Terms>) {
    request.extensions_mut().insert(outcome);
    if let Some(terms) = terms {
        request.extensions_mut().insert(terms);
    }
}
