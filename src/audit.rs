//! Audit events: one for each decision about grace.
//!
//! Each event is a `tracing` event of the target `clerk_resilience::audit`. The application's
//! recorder ([`Builder::audit`](crate::Builder::audit)) receives it too. An event contains no
//! token, user id or session id: a digest stands for the session, and the route appears as its
//! pattern.

use std::fmt;
use std::sync::Arc;

use clerk_verify::clock::Timestamp;
use http::Method;

use crate::decide::{Grace, GraceDenial};
use crate::state::health::Verdict;

/// `tracing` target of the audit events.
pub const TARGET: &str = "clerk_resilience::audit";

/// One decision about grace, as the recorder receives it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GraceEvent {
    /// Time of the decision.
    pub at: Timestamp,
    /// Digest of the session: half of SHA-256 over user id and session id, in hexadecimal. The same
    /// session has the same digest in every process. `None` for a token without a session.
    pub session: Option<String>,
    /// HTTP method of the request.
    pub method: Method,
    /// Pattern of the route, such as `/orders/{id}`, if axum provides it; else the path.
    pub route: String,
    /// The layer's verdict on Clerk at that time.
    pub verdict: Verdict,
    /// The decision.
    pub ruling: GraceRuling,
    /// Expiry of the token: the `exp` that Clerk signed.
    pub expired_at: Timestamp,
    /// Time at which this application last saw the session with an unexpired token. `None` if it
    /// never did.
    pub last_valid: Option<Timestamp>,
}

/// The decision on one request: grace applies or not.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum GraceRuling {
    /// The request passed in grace.
    Passed(Grace),
    /// The named condition denied grace. [`GraceDenial::ReportOnly`] marks a request that would
    /// have passed if the policy were not report-only.
    Denied(GraceDenial),
}

/// The application's recorder for audit events. The layer calls it while a request waits, so it
/// must hand the event on without blocking.
#[derive(Clone)]
pub(crate) struct Recorder(pub(crate) Arc<dyn Fn(&GraceEvent) + Send + Sync>);

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder")
    }
}

impl GraceEvent {
    pub(crate) fn record(&self, recorder: Option<&Recorder>) {
        self.trace();
        if let Some(Recorder(record)) = recorder {
            record(self);
        }
    }

    fn trace(&self) {
        let session = self.session.as_deref().unwrap_or("none");
        let (method, route, verdict) = (&self.method, &*self.route, self.verdict.name());
        let last_valid = self.last_valid.map(Timestamp::as_secs);
        let exp = self.expired_at.as_secs();
        match &self.ruling {
            GraceRuling::Denied(GraceDenial::ReportOnly) => tracing::info!(
                target: TARGET,
                event = "clerk.grace.reported",
                session,
                %method,
                route,
                verdict,
                exp,
                last_valid,
            ),
            GraceRuling::Passed(grace) => tracing::info!(
                target: TARGET,
                event = "clerk.grace.passed",
                session,
                %method,
                route,
                verdict,
                reason = grace.reason.name(),
                exp,
                last_valid,
                until = grace.until.as_secs(),
            ),
            GraceRuling::Denied(denial) => tracing::debug!(
                target: TARGET,
                event = "clerk.grace.denied",
                session,
                %method,
                route,
                verdict,
                condition = denial.code(),
                exp,
                last_valid,
            ),
        }
    }
}
