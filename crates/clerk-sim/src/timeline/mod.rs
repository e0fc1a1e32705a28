//! Outages written down as data: what failed, when, and how.
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
//! | `duration_s` | length in seconds; unknown (`null` or absent) means until the scenario's `documented_total_s`, and without that for ever |
//! | `component` | see below |
//! | `label` | the view this phase belongs to |
//! | `behaviour` | `status`, `latency_ms`, `timeout`, `refused`, `dns_failure`, `error_code`, and `rate`, the share of requests (default 1). `repeat_every_s` with `repeat_for_s` makes it come and go. `state` and `components` are for the status page |
//!
//! Members of other names are ignored. `status` and `latency_ms` together are that status, that
//! late. A `rate` of 0, or a good status without latency, says that the component is well.
//!
//! A status without `error_code` has the body such a status has in real outages: none for 429,
//! which then was not handled by Clerk at all, an HTML page for 502, 503 and 504, and Clerk's own
//! envelope for the rest.
//!
//! # Which phase counts
//!
//! For each surface the most specific component wins, and its phases alone count, their shares laid
//! end to end. From the widest to the narrowest: `all` and `dns`; `all_but_sessions`; `fapi` and
//! `bapi`; `fapi_sessions`, `fapi_handshake`, `fapi_mutations` and `bapi_mutations`. The status page
//! has its own, `status_page`, and is not part of `all`. `fapi_sessions` is
//! [`SessionMint`](super::SimSurface::SessionMint) alone. Any other component touches nothing here.
//!
//! # Views
//!
//! Labels whose phases overlap in time are alternative views of the same minutes, as of two clients
//! with different luck; so are labels linked by a third. Of each such group only the labels that
//! are asked for count, or the first in the file when none of the group is. A label without rivals
//! always counts. [`Scenario::views`] lists the groups.

mod component;
mod phase;
mod replay;
mod scenario;
mod wire;

pub use scenario::Scenario;

/// Reads every scenario of a timeline.
///
/// # Errors
///
/// [`TimelineError`] when the text is not of the form above.
pub fn parse(text: &str) -> Result<Vec<Scenario>, TimelineError> {
    let timeline: wire::Timeline = serde_json::from_str(text)?;
    timeline.scenarios.into_iter().map(Scenario::new).collect()
}

/// What is wrong with a timeline.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TimelineError {
    /// It is not JSON, or not of this form.
    #[error("the timeline cannot be read")]
    Form(#[from] serde_json::Error),
    /// A phase asks for what cannot be.
    #[error("scenario {scenario}, phase {phase}: {problem}")]
    Phase {
        /// The scenario's name.
        scenario: String,
        /// Which of its phases, the first being 0.
        phase: usize,
        /// What is wrong, in words.
        problem: &'static str,
    },
}

#[cfg(test)]
mod tests;
