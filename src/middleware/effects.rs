//! What a judgement changes: sightings, the use of grace, the audit log, signals and counters.
//!
//! Judging changes nothing, so that a request may be judged more than once: again after a wait, and
//! by each of several layers around each other. The effects are applied here, after the decision and
//! once for each request:
//!
//! * What depends on the session is applied when the request is let in or refused. A layer that finds
//!   the mark of an outer one, its [`Outcome`], does not count grace or record it again. If it refuses
//!   a request that the outer layer counted as one in grace, it takes the count back. A request that
//!   it lets through without a session stays counted.
//! * The counters are advanced when the response is ready. The innermost layer knows how the request
//!   ended; it marks the response, and the layers around it then count nothing.

use std::sync::Arc;

use axum::response::Response;
use http::{HeaderMap, Request};

use super::future::NOTHING_HEARD;
use super::service::{Gate, Judged, Passage};
use super::visit::is_fresh;
use crate::audit::{GraceEvent, GraceRuling};
use crate::clock::Moment;
use crate::decide::{Auth, Caller, GraceDenial, Rejection, Sighting, Unavailable};
use crate::engine::{Known, Shared, Signal};
use crate::outcome::Outcome;

/// All conditions of grace hold in a dry run.
const REPORT_ONLY: Rejection =
    Rejection::Unavailable(Unavailable::GraceDenied(GraceDenial::ReportOnly));

/// What a judgement found that something depends on.
#[derive(Default)]
pub(super) struct Effects {
    /// The verified token that the judgement is about.
    pub(super) token: Option<Arc<Known>>,
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

impl Gate {
    /// Applies what a judgement changes. `Wait` changes nothing: the request is judged again.
    pub(super) fn apply<B>(&self, request: &Request<B>, judged: &Judged, now: Moment) {
        let Judged { passage, effects, .. } = judged;
        if matches!(passage, Passage::Wait(_)) {
            return;
        }
        let outer = self.outer(request);
        if let Some(known) = &effects.token {
            self.apply_session(request.headers(), known, judged, outer, now);
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
        match passage {
            Passage::Open(Outcome { caller: None, otherwise, .. })
                if *otherwise == Rejection::Unavailable(Unavailable::UnknownKey) =>
            {
                self.shared.tell(Signal::RefreshKeys);
            }
            Passage::Closed(Rejection::Unavailable(Unavailable::Uncertain)) => {
                self.shared.tell(Signal::ProbeSoon);
            }
            _ => {}
        }
    }

    /// What depends on the session of a token that was verified.
    fn apply_session(
        &self,
        headers: &HeaderMap,
        known: &Known,
        judged: &Judged,
        outer: Option<&Outcome>,
        now: Moment,
    ) {
        let shared = &self.shared;
        let counted = outer.filter(|outer| is_counted(outer));
        match &judged.passage {
            passage if is_accepted_in_time(passage) => {
                if shared.witness(known, now) {
                    shared.prove_browser(headers, known);
                }
            }
            Passage::Open(outcome) if is_in_grace(outcome) => {
                if counted.is_none() {
                    shared.passed_in_grace(known, judged.effects.ticket, now);
                }
            }
            // What passes everything else counts in a dry run too, or it would report other passes.
            Passage::Open(Outcome { otherwise: rejection, .. }) | Passage::Closed(rejection)
                if *rejection == REPORT_ONLY =>
            {
                if let (Some(session), None) = (known.session, counted) {
                    shared.core.pace.count(session, now.wall);
                }
            }
            // The request goes on without a session; what the outer layer counted stays counted.
            Passage::Open(_) => {}
            _ => {
                if let (Some(session), Some(outer)) = (known.session, counted) {
                    let grace = outer.auth().and_then(Auth::grace);
                    let at = grace.map_or(now.wall, |grace| grace.judged_at);
                    shared.core.pace.take_back(session, at);
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
    pub(super) fn tally<B>(&self, request: &Request<B>, passage: &Passage) -> Tally {
        let shared = Arc::clone(&self.shared);
        Tally { shared, class: Class::of(passage), nested: self.outer(request).is_some() }
    }
}

/// A session was accepted with a token within its time; the route may demand more of it.
fn is_accepted_in_time(passage: &Passage) -> bool {
    use Rejection::{Forbidden, Pending, Reverify};
    match passage {
        Passage::Open(outcome) if outcome.caller.is_some() => is_fresh(outcome.auth()),
        Passage::Open(Outcome { otherwise: rejection, .. }) | Passage::Closed(rejection) => {
            matches!(rejection, Forbidden | Pending | Reverify(_))
        }
        _ => false,
    }
}

fn is_in_grace(outcome: &Outcome) -> bool {
    outcome.auth().is_some_and(|auth| auth.grace().is_some())
}

/// The use of grace was counted for a request with this outcome; in a dry run it would have been.
pub(super) fn is_counted(outcome: &Outcome) -> bool {
    is_in_grace(outcome) || (outcome.caller.is_none() && outcome.otherwise == REPORT_ONLY)
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
    fn of(passage: &Passage) -> Self {
        match passage {
            Passage::Open(outcome) => match &outcome.caller {
                Some(Caller::Machine(_)) => Self::Machine,
                Some(Caller::User(auth)) if auth.grace().is_some() => Self::Grace,
                Some(Caller::User(_)) => Self::Fresh,
                None => Self::Anonymous,
            },
            Passage::Closed(rejection) => Self::Refused(*rejection),
            Passage::Wait(_) => Self::Refused(NOTHING_HEARD),
            Passage::Detour(_) | Passage::Preflight => Self::Other,
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
        REPORT_ONLY => {
            counters.answered_unavailable();
            counters.reported_grace();
        }
        Rejection::Unavailable(_) => counters.answered_unavailable(),
        Rejection::Forbidden | Rejection::Reverify(_) => counters.answered_forbidden(),
        _ => counters.answered_unauthorized(),
    }
}
