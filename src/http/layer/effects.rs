//! Side effects of a decision: sightings, use of grace, the audit log, signals and counters.
//!
//! A decision has no side effects, so a request may be decided more than once: again after a wait,
//! and by each of several nested layers. This module applies the effects after the decision, once
//! for each request:
//!
//! * The effects on the session apply when the request passes or is rejected. A layer that finds
//!   the [`RequestOutcome`] of an outer layer does not count or record grace again. If it rejects a
//!   request that the outer layer counted in grace, it removes that count. A request that it lets
//!   through without a session stays counted.
//! * The counters advance when the response is ready. The innermost layer knows how the request
//!   ended and counts. It marks the response, and the outer layers do not count.

use std::sync::Arc;

use axum::response::Response;
use clerk_verify::clock::Moment;
use http::{HeaderMap, Request};

use super::future::NOTHING_HEARD;
use super::page::is_fresh;
use super::service::{Authenticator, Decision, Judgement};
use crate::audit::{GraceEvent, GraceRuling};
use crate::decide::{Auth, Caller, GraceDenial, Rejection, Sighting, Unavailable};
use crate::engine::{CachedToken, Shared, Signal};
use crate::http::outcome::RequestOutcome;

/// The rejection in a dry run of a request that meets all conditions of grace.
const REPORT_ONLY: Rejection =
    Rejection::Unavailable(Unavailable::GraceDenied(GraceDenial::ReportOnly));

/// The findings of a decision that have effects.
#[derive(Default)]
pub(super) struct Effects {
    /// The verified token of the decision.
    pub(super) token: Option<Arc<CachedToken>>,
    /// The sighting of the browser's ticket.
    pub(super) ticket: Option<Sighting>,
    /// True if the session was renewed for this request.
    pub(super) renewed: bool,
    /// Set if the browser is redirected to Clerk; true if Clerk may return a nonce.
    pub(super) departure: Option<bool>,
    /// True if a cached answer of the Backend API verified the machine token.
    pub(super) reused_answer: bool,
    /// The decision about grace, if one was made.
    pub(super) event: Option<Box<GraceEvent>>,
}

impl Authenticator {
    /// Applies the effects of a decision. `Await` has none, because the decision is repeated.
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
            Decision::Allow(RequestOutcome { caller: None, otherwise, .. })
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

    /// Applies the effects on the session of a verified token.
    fn apply_session(
        &self,
        headers: &HeaderMap,
        known: &CachedToken,
        judgement: &Judgement,
        outer: Option<&RequestOutcome>,
        now: Moment,
    ) {
        let shared = &self.shared;
        let counted = outer.filter(|outer| is_counted(outer));
        match &judgement.decision {
            decision if is_accepted_in_time(decision) => {
                if shared.witness(known, now) {
                    shared.prove_browser(headers, known);
                }
            }
            Decision::Allow(outcome) if is_in_grace(outcome) => {
                if counted.is_none() {
                    shared.passed_in_grace(known, judgement.effects.ticket, now);
                }
            }
            // A dry run counts requests that meet all conditions; otherwise it would report too
            // many passes.
            Decision::Allow(RequestOutcome { otherwise: rejection, .. })
            | Decision::Reject(rejection)
                if *rejection == REPORT_ONLY =>
            {
                if let (Some(session), None) = (known.session, counted) {
                    shared.core.grace_usage.count(session, now.wall);
                }
            }
            // The request passes without a session; the count of the outer layer stays.
            Decision::Allow(_) => {}
            _ => {
                if let (Some(session), Some(outer)) = (known.session, counted) {
                    let grace = outer.auth().and_then(Auth::grace);
                    let at = grace.map_or(now.wall, |grace| grace.judged_at);
                    shared.core.grace_usage.take_back(session, at);
                }
            }
        }
    }

    fn audit(&self, effects: &Effects, outer: Option<&RequestOutcome>, now: Moment) {
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

    /// Returns the outcome of an outer layer of the same handle.
    pub(super) fn outer<'a, B>(&self, request: &'a Request<B>) -> Option<&'a RequestOutcome> {
        let outcome = request.extensions().get::<RequestOutcome>()?;
        Arc::ptr_eq(&outcome.shared, &self.shared).then_some(outcome)
    }

    /// Returns the tally of a request, which is settled when the response is ready.
    pub(super) fn tally<B>(&self, request: &Request<B>, decision: &Decision) -> Tally {
        let shared = Arc::clone(&self.shared);
        Tally { shared, class: Class::of(decision), nested: self.outer(request).is_some() }
    }
}

/// Returns true if a session with a valid token was accepted, even if the route requires more of
/// it.
fn is_accepted_in_time(decision: &Decision) -> bool {
    use Rejection::{Forbidden, Pending, Reverify};
    match decision {
        Decision::Allow(outcome) if outcome.caller.is_some() => is_fresh(outcome.auth()),
        Decision::Allow(RequestOutcome { otherwise: rejection, .. })
        | Decision::Reject(rejection) => {
            matches!(rejection, Forbidden | Pending | Reverify(_))
        }
        _ => false,
    }
}

fn is_in_grace(outcome: &RequestOutcome) -> bool {
    outcome.auth().is_some_and(|auth| auth.grace().is_some())
}

/// True if the use of grace was counted for a request with this outcome, or would be in a dry run.
pub(super) fn is_counted(outcome: &RequestOutcome) -> bool {
    is_in_grace(outcome) || (outcome.caller.is_none() && outcome.otherwise == REPORT_ONLY)
}

/// The counter class of a request.
#[derive(Clone, Copy, Debug)]
enum Class {
    Fresh,
    Grace,
    Machine,
    Anonymous,
    Refused(Rejection),
    /// Counted elsewhere, or not at all.
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

/// A request that is not counted yet. If the response future is dropped, the tally counts the
/// request.
#[derive(Debug)]
pub(super) struct Tally {
    shared: Arc<Shared>,
    class: Class,
    nested: bool,
}

/// Marks the response of a counted request with the address of the handle that counted it.
#[derive(Clone, Copy, Debug)]
struct Counted(usize);

impl Tally {
    /// Counts the request, unless an inner layer has counted it.
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
        // The outer layer counts a dropped request.
        if !self.nested {
            self.count();
        }
    }
}

fn count_refusal(shared: &Shared, rejection: Rejection) {
    let counters = &shared.core.counters;
    tracing::debug!(event = "clerk.rejected", reason = rejection.reason());
    match rejection {
        REPORT_ONLY => {
            counters.answered_unavailable();
            counters.reported_grace();
        }
        Rejection::Unavailable(_) => counters.answered_unavailable(),
        Rejection::Forbidden | Rejection::Reverify(_) => counters.answered_forbidden(),
        _ => counters.answered_unauthorized(),
    }
}
