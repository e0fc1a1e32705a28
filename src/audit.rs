//! What is written down of every decision about grace.
//!
//! Each is a `tracing` event of the target `clerk_resilience::audit`, and goes to the application's own
//! recorder if there is one ([`Builder::audit`](crate::Builder::audit)). No token, user or session is
//! named: the session by a digest, the route by its pattern.

use std::fmt;
use std::sync::Arc;

use clerk_verify::clock::Timestamp;
use http::Method;

use crate::decide::{Grace, GraceDenial};
use crate::state::health::Verdict;

/// The target of the events.
pub const TARGET: &str = "clerk_resilience::audit";

/// One decision about grace.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GraceEvent {
    /// When.
    pub at: Timestamp,
    /// The session: half of SHA-256 over user and session id, in hexadecimal. The same session has the
    /// same digest everywhere. `None` for a token without a session.
    pub session: Option<String>,
    /// The request's method.
    pub method: Method,
    /// The route, as `/orders/{id}` where axum tells the pattern, else the path.
    pub route: String,
    /// The verdict on Clerk.
    pub verdict: Verdict,
    /// What was decided.
    pub ruling: GraceRuling,
    /// The `exp` that Clerk signed.
    pub expired_at: Timestamp,
    /// When this application last saw the session with a token within its time; `None` when it never
    /// did.
    pub last_valid: Option<Timestamp>,
}

/// What was decided about grace.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum GraceRuling {
    /// The request passed.
    Passed(Grace),
    /// It did not, by this condition. [`GraceDenial::ReportOnly`] stands for one that would have
    /// passed.
    Denied(GraceDenial),
}

/// The application's own recorder. It is called while a request waits: hand the event on, and do not
/// wait for anything.
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
