//! Recorded outages as data: which part failed, when, and how.
//!
//! A timeline is JSON with `scenarios`, each with a `name` and `phases`:
//!
//! ```
//! use clerk_sim::{SimFault, SimSurface, timeline};
//!
//! let scenarios = timeline::parse(r#"{"scenarios": [{"name": "short", "phases": [
//!     {"offset_s": 0, "duration_s": 60, "component": "fapi", "behaviour": {"status": 500}},
//!     {"offset_s": 0, "duration_s": 60, "component": "fapi_sessions", "behaviour": {"rate": 0}}
//! ]}]}"#)?;
//! let broken = scenarios[0].faults_at(30, &[]);
//! assert!(broken.contains(&(SimSurface::Jwks, vec![(1.0, SimFault::status(500))])));
//! assert!(broken.iter().all(|(surface, _)| *surface != SimSurface::SessionMint));
//! # Ok::<(), timeline::TimelineError>(())
//! ```
//!
//! # A phase
//!
//! | member | meaning |
//! |---|---|
//! | `offset_s` | start, in seconds from the scenario's zero; may be negative |
//! | `duration_s` | length in seconds; without it (`null` or absent) the phase lasts until the scenario's `documented_total_s`, or for ever if that is absent too |
//! | `component` | see below |
//! | `label` | the view this phase belongs to |
//! | `behaviour` | `status`, `latency_ms`, `timeout`, `refused`, `dns_failure`, `error_code`, and `rate`, the share of requests (default 1). The fault repeats every `repeat_every_s` seconds and lasts `repeat_for_s` seconds each time; both are required together. `state` and `components` describe the status page |
//!
//! Unknown members are ignored. `status` and `latency_ms` together mean that status after that
//! delay. A `rate` of 0, or a status below 400 without latency, means that the component is
//! healthy.
//!
//! A status without `error_code` gets the body that such a status has in real outages. For 429,
//! which Clerk itself did not handle, the body is empty. For 502, 503 and 504 it is an HTML page,
//! and for the rest Clerk's own envelope.
//!
//! # Precedence
//!
//! For each surface only the phases of its most specific component apply, and their shares are
//! added in order. From the widest to the narrowest: `all` and `dns`; `all_but_sessions`; `fapi`
//! and `bapi`; `fapi_sessions`, `fapi_handshake`, `fapi_mutations` and `bapi_mutations`.
//!
//! The status page has its own component, `status_page`, and is not part of `all`. `fapi_sessions`
//! is [`SessionMint`](super::SimSurface::SessionMint) alone. Other components have no effect here.
//!
//! # Views
//!
//! Labels whose phases overlap in time are alternative views of the same period, for example of two
//! clients with different luck. Labels that both overlap a third belong to the same group.
//!
//! Of each group only the requested labels apply. If none is requested, the first label of the
//! group in the file applies. A label without alternatives always applies. [`Scenario::views`]
//! lists the groups.

mod component;
mod phase;
mod replay;
mod scenario;
mod wire;

pub use scenario::Scenario;

/// Parses every scenario of a timeline.
///
/// # Errors
///
/// [`TimelineError`] if the text does not have the format above.
pub fn parse(text: &str) -> Result<Vec<Scenario>, TimelineError> {
    let timeline: wire::Timeline = serde_json::from_str(text)?;
    timeline.scenarios.into_iter().map(Scenario::new).collect()
}

/// The reason why a timeline is invalid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TimelineError {
    /// The text is not JSON, or does not have the format of a timeline.
    #[error("the timeline cannot be read")]
    Form(#[from] serde_json::Error),
    /// A phase has an impossible value.
    #[error("scenario {scenario}, phase {phase}: {problem}")]
    Phase {
        /// Name of the scenario.
        scenario: String,
        /// Index of the phase; the first is 0.
        phase: usize,
        /// Description of the problem.
        problem: &'static str,
    },
}

#[cfg(test)]
mod tests;
