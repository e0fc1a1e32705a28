//! What is wrong between an application and its Clerk, in plain words, and what to do about it.
//!
//! The same examination is behind `clerk-resilience doctor`.

mod finding;
mod network;
mod routes;
mod settings;
mod variables;

use std::sync::Arc;

pub use finding::{Diagnosis, Finding, Severity};
pub use routes::{Intent, examine_routes};

use clerk_verify::clock::{Clock, SystemClock};
use clerk_verify::transport::Transport;

use crate::config::ClerkConfig;
use crate::fetch::HttpUpstream;

/// Reads the variables, and examines what they name.
///
/// Every malformed variable is reported, not only the first.
pub async fn examine_vars(read: impl Fn(&str) -> Option<String>) -> Diagnosis {
    let (config, mut findings) = variables::read_all(&read);
    match config.map(|config| (config, HttpUpstream::new())) {
        Some((config, Ok(transport))) => {
            let clock = Arc::new(SystemClock::new());
            findings.extend(examine(&config, Arc::new(transport), clock).await);
        }
        Some((_, Err(problem))) => findings.push(Finding::error("http-client", problem, "")),
        None => findings.push(Finding::note(
            "not-asked",
            "Clerk was not asked, because it is not known which instance is this application's.",
            "Set the publishable key, and run this again.",
        )),
    }
    Diagnosis::new(findings)
}

/// Examines a configuration over a wire of one's own.
pub async fn examine(
    config: &ClerkConfig,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
) -> Vec<Finding> {
    let mut findings = settings::examine(config);
    findings.extend(network::examine(config, transport, clock).await);
    findings
}
