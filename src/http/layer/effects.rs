//! What a judgement changes: sightings, the use of grace, the audit log, signals and counters.
//!
//! Judging changes nothing, so that a request may be judged more than once: again after a wait, and
//! by each of several layers around each other. The effects are applied here, after the decision and
//! once for each request:
//!
//! * What depends on the session is applied when the request is let in or refused. A layer that finds
//!   the mark of an outer one, its [`Outcome`], does not count grace or record it again. If it refuses
//!   a request that the outer layer counted as one in grace, it takes the count back.
//! * The counters are advanced when the response is ready. The innermost layer knows how the request
//!   ended; it marks the response, and the layers around it then count nothing.

use std::sync::Arc;

use axum::response::Response;
use clerk_verify::clock::Moment;
use http::{HeaderMap, Request};

use super::future::NOTHING_HEARD;
use super::page::is_fresh;
use super::service::{Authenticator, Decision, Judgement};
use crate::audit::{GraceEvent, GraceRuling};
use crate::decide::{Caller, GraceDenial, Rejection, Sighting, Unavailable};
use crate::engine::{CachedToken, Shared, Signal};
use crate::http::outcome::Outcome;

/// What a judgement found that something depends on.
#[derive(Default)]
pub(super) struct Effects {
    /// The verified token that the judgement is about.
    pub(super) token: Option<Arc<CachedToken>>,
    /// What the browser's ticket says of its session.
    pub(super) ticket: Option<Sighting>,
    /// The session was renewed on the way.
    pub(super) renewed: bool,
    /// The browser is sent to Clerk; the inner value says whether for a nonce.
    pub(super) departure: Option<bool>,
    /// An earlier answer of the Backend API said what the machine's token stands for.
    pub(super) reused_answer: bool,
    /// The decision about grace, if there was one.
    pub(super) event: Option<Box<GraceEvent>>,
}

impl Authenticator {
    /// Applies what a judgement changes. `Wait` changes nothing: the request is judged again.
    pub(super) fn apply<B>(&self, request: &Request<B>, judgement: &Judgement, now: Moment) {
        let Judgement { decision, effects, .. } = judgement;
        if matches!(decision, Decision::Await(_)) {
            return;
        }
        let outer = self.outer(request);
        if let Some(known) = &effects.token {
            self.apply_session(request.headers(), known, judgement, outer, now);
        }
        self.audit(effects, outer, now);
        let counters = &self.shared.core.counters;
        if effects.renewed && outer.is_none() {
            counters.renewed_session();
        }
        if effects.reused_answer && outer.is_none() {
            counters.reused_answer();
        }
        if let Some(nonce) = effects.departure {
            counters.sent_to_clerk();
            if nonce {
                self.visits.nonces.count(now);
            }
        }
        match decision {
            Decision::Allow(Outcome { caller: None, otherwise, .. })
                if *otherwise == Rejection::Unavailable(Unavailable::UnknownKey) =>
            {
                self.shared.tell(Signal::RefreshKeys);
            }
            Decision::Reject(Rejection::Unavailable(Unavailable::Uncertain)) => {
                self.shared.tell(Signal::ProbeSoon);
            }
            _ => {}
        }
    }

    /// What depends on the session of a token that was verified.
    fn apply_session(
        &self,
        headers: &HeaderMap,
        known: &CachedToken,
        judgement: &Judgement,
        outer: Option<&Outcome>,
        now: Moment,
    ) {
        let shared = &self.shared;
        let counted = outer.is_some_and(is_in_grace);
        match &judgement.decision {
            decision if is_accepted_in_time(decision) => {
                if shared.witness(known, now) {
                    shared.prove_browser(headers, known);
                }
            }
            Decision::Allow(outcome) if is_in_grace(outcome) => {
                if !counted {
                    shared.passed_in_grace(known, judgement.effects.ticket, now);
                }
            }
            // What passes everything else counts in a dry run too, or it would report other passes.
            Decision::Reject(Rejection::Unavailable(Unavailable::GraceDenied(
                GraceDenial::ReportOnly,
            ))) => {
                if let (Some(session), None) = (known.session, outer) {
                    shared.core.grace_usage.count(session, now.wall);
                }
            }
            _ => {
                if let (Some(session), true) = (known.session, counted) {
                    shared.core.grace_usage.take_back(session, now.wall);
                }
            }
        }
    }

    fn audit(&self, effects: &Effects, outer: Option<&Outcome>, now: Moment) {
        let Some(event) = effects.event.as_deref() else { return };
        let session = effects.token.as_ref().and_then(|known| known.session);
        let record = match event.ruling {
            GraceRuling::Passed(_) => !outer.is_some_and(is_in_grace),
            GraceRuling::Denied(_) => self.shared.may_audit_refusal(session, now),
        };
        if record {
            event.record(self.shared.recorder.as_ref());
        }
    }

    /// What a layer around this one, of the same handle, decided.
    pub(super) fn outer<'a, B>(&self, request: &'a Request<B>) -> Option<&'a Outcome> {
        let outcome = request.extensions().get::<Outcome>()?;
        Arc::ptr_eq(&outcome.shared, &self.shared).then_some(outcome)
    }

    /// The count for a judgement, to be settled when the response is ready.
    pub(super) fn tally<B>(&self, request: &Request<B>, decision: &Decision) -> Tally {
        let shared = Arc::clone(&self.shared);
        Tally { shared, class: Class::of(decision), nested: self.outer(request).is_some() }
    }
}

/// A session was accepted with a token within its time; the route may demand more of it.
fn is_accepted_in_time(decision: &Decision) -> bool {
    use Rejection::{Forbidden, Pending, Reverify};
    match decision {
        Decision::Allow(outcome) if outcome.caller.is_some() => is_fresh(outcome.auth()),
        Decision::Allow(Outcome { otherwise: rejection, .. }) | Decision::Reject(rejection) => {
            matches!(rejection, Forbidden | Pending | Reverify(_))
        }
        _ => false,
    }
}

pub(super) fn is_in_grace(outcome: &Outcome) -> bool {
    outcome.auth().is_some_and(|auth| auth.grace().is_some())
}

/// How a request ended, as it is counted.
#[derive(Clone, Copy, Debug)]
enum Class {
    Fresh,
    Grace,
    Machine,
    Anonymous,
    Refused(Rejection),
    /// It is counted elsewhere, or not at all.
    Other,
}

impl Class {
    fn of(decision: &Decision) -> Self {
        match decision {
            Decision::Allow(outcome) => match &outcome.caller {
                Some(Caller::Machine(_)) => Self::Machine,
                Some(Caller::User(auth)) if auth.grace().is_some() => Self::Grace,
                Some(Caller::User(_)) => Self::Fresh,
                None => Self::Anonymous,
            },
            Decision::Reject(rejection) => Self::Refused(*rejection),
            Decision::Await(_) => Self::Refused(NOTHING_HEARD),
            Decision::Redirect(_) | Decision::Preflight => Self::Other,
        }
    }
}

/// One request that is yet to be counted. A request whose response nobody waits for any more is
/// counted when it is dropped.
#[derive(Debug)]
pub(super) struct Tally {
    shared: Arc<Shared>,
    class: Class,
    nested: bool,
}

/// Marks a response whose request was counted, by the address of the handle that counted it.
#[derive(Clone, Copy, Debug)]
struct Counted(usize);

impl Tally {
    /// Counts the request, unless a layer further inside did.
    pub(super) fn settle(&mut self, response: &mut Response) {
        let handle = Counted(Arc::as_ptr(&self.shared).addr());
        let inside = response.extensions().get::<Counted>();
        if inside.is_some_and(|counted| counted.0 == handle.0) {
            self.class = Class::Other;
            return;
        }
        self.count();
        if self.nested {
            response.extensions_mut().insert(handle);
        }
    }

    fn count(&mut self) {
        let counters = &self.shared.core.counters;
        match std::mem::replace(&mut self.class, Class::Other) {
            Class::Fresh => counters.passed_fresh(),
            Class::Grace => counters.passed_in_grace(),
            Class::Machine => counters.passed_machine(),
            Class::Anonymous => counters.passed_anonymous(),
            Class::Refused(rejection) => count_refusal(&self.shared, rejection),
            Class::Other => {}
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        // The outer layer counts a request that is given up.
        if !self.nested {
            self.count();
        }
    }
}

fn count_refusal(shared: &Shared, rejection: Rejection) {
    let counters = &shared.core.counters;
    tracing::debug!(event = "clerk.rejected", reason = rejection.reason());
    match rejection {
        Rejection::Unavailable(Unavailable::GraceDenied(GraceDenial::ReportOnly)) => {
            counters.answered_unavailable();
            counters.reported_grace();
        }
        Rejection::Unavailable(_) => counters.answered_unavailable(),
        Rejection::Forbidden | Rejection::Reverify(_) => counters.answered_forbidden(),
        _ => counters.answered_unauthorized(),
    }
}
