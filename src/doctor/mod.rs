//! Checks of an application's Clerk configuration: each finding describes a problem and its fix.
//!
//! The command `clerk-resilience doctor` runs the same checks.

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
/// The diagnosis reports every malformed variable, not only the first.
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
pub async fn examine(
    config: &ClerkConfig,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
) -> Vec<Diagnostic> {
    let mut findings = settings::examine(config);
    findings.extend(network::examine(config, transport, clock).await);
    findings
}
