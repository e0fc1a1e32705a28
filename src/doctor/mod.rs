//! What is wrong between an application and its Clerk, in plain words, and what to do about it.
//!
//! The same examination is behind `clerk-resilience doctor`.

mod finding;
mod network;

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use url::Url;

pub use finding::{Diagnosis, Finding, Severity};

use crate::clock::{Clock, SystemClock};
use crate::config::{ClerkConfig, ConfigError};
use crate::fetch::HttpUpstream;
use crate::store::StateDir;
use crate::upstream::{Call, Upstream};

/// Reads the variables, and examines what they name.
///
/// Every malformed variable is reported, not only the first.
pub async fn examine_vars(read: impl Fn(&str) -> Option<String>) -> Diagnosis {
    let (config, mut findings) = read_all(&read);
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
    let mut findings = settings(config);
    findings.extend(network::examine(config, upstream, clock).await);
    findings
}

/// Asks a running application for paths without any credentials, and tells what each demands.
pub async fn examine_routes(app: &Url, paths: &[String], upstream: &dyn Upstream) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in paths {
        let finding = match app.join(path) {
            Ok(url) => route(path, url, upstream).await,
            Err(error) => Finding::error("route", format!("{path} is no path: {error}"), ""),
        };
        findings.push(finding);
    }
    findings
}

async fn route(path: &str, url: Url, upstream: &dyn Upstream) -> Finding {
    let mut call = Call::get(url).deadline(Duration::from_secs(10));
    call.method = Method::GET;
    call.max_bytes = 8 * 1024 * 1024;
    let reply = match upstream.call(call).await {
        Ok(reply) => reply,
        Err(fault) => {
            let what = format!("{path} could not be asked for: {fault}");
            return Finding::error("route", what, "Start the application, and name its address.");
        }
    };
    let status = reply.status;
    let demand = match status {
        StatusCode::UNAUTHORIZED => "demands a session",
        StatusCode::FORBIDDEN => "is forbidden to everybody without a session",
        StatusCode::SERVICE_UNAVAILABLE => "demands a session, and Clerk is down",
        StatusCode::NOT_FOUND => "does not exist",
        _ if status.is_redirection() => "sends visitors elsewhere",
        _ if status.is_success() => "is open to everybody",
        _ => "answers an error",
    };
    let what = format!("{path} {demand} ({}).", status.as_u16());
    if status.is_success() {
        let advice = "If it should be protected, put it below .route_layer(clerk.clone()), or take it off .public([..]).";
        return Finding::note("route-open", what, advice);
    }
    Finding::fine("route", what)
}

/// Reads the variables again and again, each time without the one that was found malformed.
fn read_all(read: &impl Fn(&str) -> Option<String>) -> (Option<ClerkConfig>, Vec<Finding>) {
    let mut bad: Vec<String> = Vec::new();
    let mut findings = Vec::new();
    loop {
        let masked = |name: &str| (!bad.iter().any(|b| b == name)).then(|| read(name)).flatten();
        match ClerkConfig::from_vars(masked) {
            Ok(config) => return (Some(config), findings),
            Err(error) => {
                findings.push(Finding::error("variable", format!("{error}."), ""));
                match error {
                    ConfigError::Invalid { name, .. } if !bad.contains(&name) => bad.push(name),
                    _ => return (None, findings),
                }
            }
        }
    }
}

/// What shows without asking anybody.
fn settings(config: &ClerkConfig) -> Vec<Finding> {
    let mut findings = Vec::new();
    let host = config.publishable_key.frontend_api();
    let kind = config.publishable_key.kind();
    findings.push(Finding::fine("publishable-key", format!("The instance is {host} ({kind:?}).")));
    if let Err(error) = config.check() {
        findings.push(Finding::error("setting", format!("{error}."), ""));
    }
    match &config.secret_key {
        None => findings.push(Finding::note(
            "no-secret-key",
            "CLERK_SECRET_KEY is not set, so the Backend API is neither watched nor a second source of keys, expired sessions are not renewed here, and routes that accept API keys or other opaque machine tokens answer them 503.",
            "Set it to the secret key from the API keys page of the Clerk dashboard.",
        )),
        Some(secret) if secret.kind() != kind => findings.push(Finding::error(
            "mixed-modes",
            "CLERK_PUBLISHABLE_KEY and CLERK_SECRET_KEY are of different modes: one is live, the other test.",
            "Copy both from the same page of the Clerk dashboard.",
        )),
        Some(_) => {}
    }
    if config.authorized_parties.is_empty() {
        findings.push(Finding::warning(
            "no-authorized-parties",
            "CLERK_AUTHORIZED_PARTIES is not set, so a token that another application of this instance obtained is accepted here.",
            "Set it to this application's origins, as https://app.example.com, with commas between them.",
        ));
    }
    findings.push(state_dir(config));
    findings
}

fn state_dir(config: &ClerkConfig) -> Finding {
    let Some(path) = &config.state_dir else {
        return Finding::warning(
            "no-state-dir",
            "CLERK_RESILIENCE_STATE_DIR is not set, so a process that starts during an outage knows no keys and grants no grace.",
            "Set it to a directory that only the application's user can write.",
        );
    };
    match StateDir::open(path) {
        Ok(dir) => Finding::fine("state-dir", format!("{} is private.", dir.path().display())),
        Err(error) => Finding::error("state-dir", format!("{error}."), ""),
    }
}
