//! Audit events: one for each decision about grace.
//!
//! Each event is a `tracing` event of the target `clerk_resilience::audit`. The application's
//! recorder ([`Builder::audit`](crate::Builder::audit)) receives it too. An event contains no
//! token, user id or session id: a digest stands for the session, and the route appears as its
//! pattern.
//!
//! | `event` | level | meaning |
//! |---|---|---|
//! | `clerk.grace.passed` | INFO | an expired token passed in grace |
//! | `clerk.grace.reported` | INFO | a dry run: grace would have passed this request |
//! | `clerk.grace.denied` | DEBUG | a condition of grace was not met; `condition` names it |
//!
//! Every field is a scalar: `session`, `method`, `route`, `verdict`, `exp` and `last_valid` (Unix
//! seconds), and `reason` and `until` where grace applies. A request counts once, however many
//! layers judge it. At most ten denials of one session are recorded a minute, so that an attacker
//! with one expired token cannot fill the log.
//! [`Counts::audit_withheld`](crate::Counts::audit_withheld) counts the others. Passes are never
//! withheld.
//!
//! # Examples
//!
//! A recorder that sends each event to a task with its own deadline and storage. The channel is
//! bounded: a slow disk loses audit records, and never delays a request.
//!
//! ```
//! use clerk_resilience::audit::{GraceEvent, GraceRuling};
//! use clerk_resilience::{Builder, GracePolicy};
//!
//! fn with_audit(builder: Builder) -> Builder {
//!     let (sender, mut events) = tokio::sync::mpsc::channel::<GraceEvent>(1024);
//!     tokio::spawn(async move {
//!         while let Some(event) = events.recv().await {
//!             if let GraceRuling::Passed(grace) = &event.ruling {
//!                 println!("{} {} until {}", event.method, event.route, grace.until);
//!             }
//!         }
//!     });
//!     builder.grace(GracePolicy::balanced()).audit(move |event| {
//!         let _ = sender.try_send(event.clone());
//!     })
//! }
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! # let key = clerk_resilience::key::PublishableKey::parse("pk_test_Y2xlcmsuY2xlcmsuZGV2JA");
//! # let config = clerk_resilience::ClerkConfig::new(key.expect("a test key"));
//! # let _ = with_audit(clerk_resilience::ClerkResilience::builder(config));
//! # }
//! ```

use std::fmt;
use std::sync::Arc;

use clerk_verify::clock::Timestamp;
use http::Method;

use crate::decide::{Grace, GraceDenial};
use crate::state::health::Verdict;

/// `tracing` target of the audit events.
///
/// Filter on it to store the audit apart from other logs, for example with the directive
/// `clerk_resilience::audit=debug` of `tracing-subscriber`.
pub const TARGET: &str = "clerk_resilience::audit";

/// One decision about grace, as the recorder receives it.
///
/// There is an event for each expired token that passes in grace, and for each that a condition of
/// grace rejects while an outage is proven. No event exists for a token that has not expired, for
/// an invalid one, or with [`GraceMode::Disabled`].
///
/// [`GraceMode::Disabled`]: crate::GraceMode::Disabled
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GraceEvent {
    /// Time of the decision.
    pub at: Timestamp,
    /// Digest of the session: half of SHA-256 over user id and session id, in hexadecimal. The same
    /// session has the same digest in every process. `None` for a token without a session.
    ///
    /// The digest has 32 hexadecimal digits. It joins the events of one session, also across
    /// instances, and needs no key to compute for a known user and session.
    pub session: Option<String>,
    /// HTTP method of the request.
    pub method: Method,
    /// Pattern of the route, such as `/orders/{id}`, if axum provides it; else the path.
    ///
    /// axum provides the pattern to a layer on its routes. A path may contain an identifier, so
    /// protect the log accordingly if another framework routes.
    pub route: String,
    /// The layer's verdict on Clerk at that time.
    ///
    /// Grace needs [`Verdict::Outage`] or [`Verdict::Recovering`]; the bridge needs
    /// [`Verdict::Suspect`].
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
