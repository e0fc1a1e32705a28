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

use crate::clock::{Clock, SystemClock};
use crate::config::ClerkConfig;
use crate::fetch::HttpUpstream;
use crate::upstream::Upstream;

/// Reads the variables, and examines what they name.
///
/// Every malformed variable is reported, not only the first.
pub async fn examine_vars(read: impl Fn(&str) -> Option<String>) -> Diagnosis {
    let (config, mut findings) = variables::read_all(&read);
    if let Some(config) = config {
        match HttpUpstream::new() {
            Ok(upstream) => {
                let clock = SystemClock::new();
                findings.extend(examine(&config, Arc::new(upstream), Arc::new(clock)).await);
            }
            Err(problem) => findings.push(Finding::error("http-client", problem, "")),
        }
    }
    Diagnosis::new(findings)
}

/// Examines a configuration over a wire of one's own.
pub async fn examine(
    config: &ClerkConfig,
    upstream: Arc<dyn Upstream>,
    clock: Arc<dyn Clock>,
) -> Vec<Finding> {
    let mut findings = settings::examine(config);
    findings.extend(network::examine(config, upstream, clock).await);
    findings
}
