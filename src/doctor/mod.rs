//! Checks of an application's Clerk configuration: each finding describes a problem and its fix.
//!
//! The command `clerk-resilience doctor` runs the same checks. Nothing is changed, at Clerk or
//! here, and no finding contains a key.
//!
//! | check | finds |
//! |---|---|
//! | variables | every value that cannot be read, and contradictions |
//! | keys | two instances mixed up, a refused secret key, a PEM of another instance |
//! | network | whether a failure is Clerk's, the configuration's or this host's |
//! | clock | a difference from Clerk's clock of more than 2 s (warning) or 5 s (error) |
//! | state directory | other users who could write to it |
//! | routes ([`examine_routes`]) | protected routes that are open, and the reverse |
//!
//! Each finding has a stable code:
//!
//! | code | severity | meaning |
//! |---|---|---|
//! | `variable`, `setting` | error | a value cannot be read, or two contradict each other |
//! | `mixed-modes`, `two-instances` | error | the publishable and the secret key do not belong together |
//! | `secret-key-refused` | error | Clerk refuses the secret key |
//! | `no-secret-key` | note | no secret key, and what the layer does without one |
//! | `jwt-key-mismatch` | error | `CLERK_JWT_KEY` is not a key of this instance |
//! | `no-authorized-parties` | warning | tokens of the instance's other applications are accepted |
//! | `state-dir`, `no-state-dir` | error, warning | the directory is not private, or not set |
//! | `session-mint`, `handshake`, `backend-api`, `jwks`, `status-page` | error, warning, note | how this surface of Clerk answers |
//! | `it-is-clerk` | note | the failures are Clerk's |
//! | `it-is-us`, `dns`, `proxy`, `frontend-api-unreachable` | error, warning | the failures are on this side |
//! | `silence` | warning | Clerk is silent, and no canary can show why |
//! | `stranger` | error | a response did not come from Clerk |
//! | `clock-skew` | error, warning | the difference from Clerk's clock |
//! | `public-by-mistake`, `protected-by-mistake`, `route-open` | error, error, note | what a route requires |
//! | `grace`, `tickets` | fine, note | what the variables allow |
//! | `http-client`, `not-asked` | error, note | why Clerk was not probed |
//!
//! # Examples
//!
//! In a binary, before a deployment:
//!
//! ```no_run
//! use clerk_resilience::doctor;
//!
//! # async fn check() -> std::process::ExitCode {
//! let diagnosis = doctor::examine_vars(|name| std::env::var(name).ok()).await;
//! println!("{diagnosis}");
//! if diagnosis.has_errors() { std::process::ExitCode::FAILURE } else { 0.into() }
//! # }
//! ```

mod finding;
mod network;
mod routes;
mod settings;
mod variables;

use std::sync::Arc;

pub use finding::{Diagnosis, Diagnostic, Severity};
pub use routes::{Intent, examine_routes};

use clerk_verify::clock::{Clock, SystemClock};
use clerk_verify::transport::Transport;

use crate::config::ClerkConfig;
use crate::fetch::HttpUpstream;

/// Checks the configuration in environment variables, and probes Clerk with it. `read` returns the
/// value of a variable.
///
/// The diagnosis reports every malformed variable, not only the first. Clerk is probed only if the
/// publishable key is well-formed, because the key names Clerk's host. No variable is an error of
/// this function: every problem is a finding.
pub async fn examine_vars(read: impl Fn(&str) -> Option<String>) -> Diagnosis {
    let (config, mut findings) = variables::read_all(&read);
    match config.map(|config| (config, HttpUpstream::new())) {
        Some((config, Ok(transport))) => {
            let clock = Arc::new(SystemClock::new());
            findings.extend(examine(&config, Arc::new(transport), clock).await);
        }
        Some((_, Err(problem))) => findings.push(Diagnostic::error("http-client", problem, "")),
        None => findings.push(Diagnostic::note(
            "not-asked",
            "Clerk was not probed, because the application's instance is unknown.",
            "Set the publishable key, and run this again.",
        )),
    }
    Diagnosis::new(findings)
}

/// Checks a configuration, and probes Clerk through the given transport and clock. Each probe waits
/// at most 5 seconds.
///
/// In a test, pass the transport and clock of a `SimClerk`:
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// use std::sync::Arc;
/// use clerk_resilience::doctor::{self, Severity};
/// use clerk_resilience::{SimClerkExt, sim::SimClerk};
///
/// let sim = SimClerk::in_memory();
/// let (transport, clock) = (Arc::new(sim.transport()), sim.clock());
/// let findings = doctor::examine(&sim.config(), transport, clock).await;
/// assert!(findings.iter().all(|finding| finding.severity < Severity::Error));
/// # }
/// ```
pub async fn examine(
    config: &ClerkConfig,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
) -> Vec<Diagnostic> {
    let mut findings = settings::examine(config);
    findings.extend(network::examine(config, transport, clock).await);
    findings
}
