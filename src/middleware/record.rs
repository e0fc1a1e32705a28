//! What is recorded of a decision about grace.

use axum::extract::MatchedPath;
use http::Request;

use super::service::{Gate, Judged, Passage};
use super::visit::Scene;
use crate::audit::{GraceEvent, GraceRuling};
use crate::decide::{GraceDenial, Rejection, Unavailable};
use crate::engine::{Examined, SessionDigest};

impl Gate {
    pub(super) fn record<B>(
        &self,
        request: &Request<B>,
        examined: &Examined,
        judged: &Judged,
        scene: Scene<'_>,
    ) {
        let Some(ruling) = ruling(&judged.passage) else { return };
        let Examined::Verified(known, _) = examined else { return };
        let ledger = &self.shared.core.ledger;
        let sighting = known.session.and_then(|session| ledger.find(session));
        let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        let event = GraceEvent {
            at: scene.now.wall,
            session: known.session.map(SessionDigest::to_hex),
            method: request.method().clone(),
            route: matched.unwrap_or(request.uri().path()).to_owned(),
            verdict: scene.known.verdict(scene.now),
            ruling,
            expired_at: known.verified.session().expires_at,
            last_valid: sighting.map(|seen| seen.last_valid),
        };
        event.record(self.shared.recorder.as_ref());
    }
}

/// `None` where grace was not the question: it is switched off, or the request passed without.
fn ruling(passage: &Passage) -> Option<GraceRuling> {
    match passage {
        Passage::Open(outcome) => Some(GraceRuling::Passed(outcome.auth()?.grace()?.clone())),
        Passage::Closed(Rejection::Unavailable(Unavailable::GraceDenied(denial))) => {
            Some(*denial).filter(|denial| *denial != GraceDenial::Disabled).map(GraceRuling::Denied)
        }
        _ => None,
    }
}
