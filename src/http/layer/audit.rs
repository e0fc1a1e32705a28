//! Builds the audit event of a decision about grace.

use axum::extract::MatchedPath;
use http::Request;

use super::page::RequestContext;
use super::service::{Authenticator, Decision};
use crate::audit::{GraceEvent, GraceRuling};
use crate::decide::{GraceDenial, Rejection, Sighting, Unavailable};
use crate::engine::{CachedToken, SessionDigest};

impl Authenticator {
    /// Returns the event of a decision about grace; `None` if grace was not evaluated.
    pub(super) fn event<B>(
        &self,
        request: &Request<B>,
        known: &CachedToken,
        ticket: Option<Sighting>,
        decision: &Decision,
        ctx: RequestContext<'_>,
    ) -> Option<Box<GraceEvent>> {
        let ruling = ruling(decision)?;
        let noted = known.session.and_then(|session| self.shared.core.seen_sessions.find(session));
        let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        Some(Box::new(GraceEvent {
            at: ctx.now.wall,
            session: known.session.map(SessionDigest::to_hex),
            method: request.method().clone(),
            route: matched.unwrap_or(request.uri().path()).to_owned(),
            verdict: ctx.known.verdict(ctx.now),
            ruling,
            expired_at: known.verified.session().expires_at,
            last_valid: Sighting::newest(noted, ticket).map(|seen| seen.last_valid),
        }))
    }
}

/// Returns `None` if grace is disabled, or if the request passed without grace.
fn ruling(decision: &Decision) -> Option<GraceRuling> {
    match decision {
        Decision::Allow(outcome) => Some(GraceRuling::Passed(outcome.auth()?.grace()?.clone())),
        Decision::Reject(Rejection::Unavailable(Unavailable::GraceDenied(denial))) => {
            Some(*denial).filter(|denial| *denial != GraceDenial::Disabled).map(GraceRuling::Denied)
        }
        _ => None,
    }
}
