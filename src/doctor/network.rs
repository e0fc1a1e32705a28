//! Checks that call Clerk: they attribute a failure to Clerk, to the configuration or to this host.

use std::sync::Arc;

use clerk_verify::clock::Clock;
use clerk_verify::jwks::KeySet;
use clerk_verify::transport::{Transport, TransportError};

use super::finding::Diagnostic;
use crate::config::ClerkConfig;
use crate::probe::{Probe, ProbePayload, ProbeResult as Found, Prober, Targets};
use crate::state::health::{EvidenceClass, FailureKind, LocalFault, Outcome};

/// Deadline of one probe. No request waits for the result, so it is longer than the layer's own.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(5);
/// Clock skew beyond which the layer rejects valid tokens.
const SKEW_LIMIT_MILLIS: i64 = 5_000;
/// Clock skew beyond which the doctor warns.
const SKEW_WARNING_MILLIS: i64 = 2_000;

pub(super) async fn examine(
    config: &ClerkConfig,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
) -> Vec<Diagnostic> {
    let targets = config.targets(DEADLINE);
    let prober = Prober { transport, clock, targets: Arc::new(targets) };
    let mut found = Vec::new();
    for probe in Probe::ALL {
        if prober.targets.can_ask(probe) {
            found.push((probe, prober.clone().ask(probe, None).await));
        }
    }
    let backend_keys = prober.clone().backend_keys().await;
    let mut findings: Vec<Diagnostic> = is_it_us(&found, &prober.targets).into_iter().collect();
    findings.extend(found.iter().filter_map(|(probe, found)| surface(*probe, found)));
    findings.extend(clock_skew(&found));
    let published = found.iter().find_map(|(_, found)| match &found.brought {
        ProbePayload::Keys(keys) => Some(keys),
        _ => None,
    });
    findings.extend(keys(config, published, backend_keys.as_ref()));
    findings
}

fn surface(probe: Probe, found: &Found) -> Option<Diagnostic> {
    let (code, name) = match probe {
        Probe::SessionMint => ("session-mint", "Minting of session tokens (Frontend API)"),
        Probe::Handshake => ("handshake", "Handshake (Frontend API)"),
        Probe::BackendApi => ("backend-api", "Backend API"),
        Probe::Jwks => ("jwks", "Signing keys (Frontend API)"),
        Probe::StatusPage => ("status-page", "Status page"),
        Probe::Egress => return None,
    };
    let seen = found.observation.as_ref()?;
    Some(match seen.outcome {
        Outcome::Good => {
            Diagnostic::fine(code, format!("{name}: answers in {} ms.", seen.latency.as_millis()))
        }
        Outcome::LocalFault(LocalFault::SecretKey) => Diagnostic::error(
            "secret-key-refused",
            format!("{name}: Clerk refuses CLERK_SECRET_KEY."),
            "Copy the secret key again from the API keys page of the Clerk dashboard; it may have been rotated.",
        ),
        Outcome::LocalFault(fault) => Diagnostic::warning(code, format!("{name}: {fault}."), ""),
        Outcome::Failed(EvidenceClass::Hostile, trouble) => Diagnostic::error(
            "stranger",
            format!("{name}: the response did not come from Clerk ({trouble})."),
            "Look for a proxy or captive portal that intercepts this host's traffic, and at CLERK_PROXY_URL, CLERK_FRONTEND_API_URL and CLERK_API_URL.",
        ),
        Outcome::Failed(_, trouble) if probe == Probe::StatusPage => Diagnostic::note(
            code,
            format!("{name}: {trouble}."),
            "It is only a hint; nothing depends on it.",
        ),
        Outcome::Failed(_, trouble) => Diagnostic::error(code, format!("{name}: {trouble}."), ""),
    })
}

/// Attributes failures to Clerk, the configuration or this host, by which other calls fail and how.
fn is_it_us(found: &[(Probe, Found)], targets: &Targets) -> Option<Diagnostic> {
    let troubles: Vec<FailureKind> = found
        .iter()
        .filter(|(probe, _)| matches!(probe, Probe::SessionMint | Probe::BackendApi | Probe::Jwks))
        .filter_map(|(_, found)| match found.observation.as_ref()?.outcome {
            Outcome::Failed(_, trouble) => Some(trouble),
            _ => None,
        })
        .collect();
    let silent = |trouble: &FailureKind| matches!(trouble, FailureKind::Fault(_));
    if troubles.is_empty() {
        return None;
    }
    let canary = found.iter().find_map(|(_, found)| match found.brought {
        ProbePayload::Egress(alive) => Some(alive),
        _ => None,
    });
    let proxied = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"]
        .into_iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    let backend_answers = found.iter().any(|(probe, found)| {
        let seen = found.observation.as_ref();
        *probe == Probe::BackendApi && seen.is_some_and(|seen| seen.outcome == Outcome::Good)
    });
    let place = targets.frontend_api.host_str().unwrap_or_default();
    Some(match canary {
        _ if backend_answers && troubles.iter().all(silent) => Diagnostic::error(
            "frontend-api-unreachable",
            format!(
                "Clerk's Backend API answers, but there is no answer from {place}, where the Frontend API should be: the address or its DNS record is wrong, or something on the way blocks it."
            ),
            "Compare the DNS records with the Domains page of the Clerk dashboard, and look at CLERK_PROXY_URL, CLERK_FRONTEND_API_URL and CLERK_DOMAIN if they are set. If nothing was changed here lately, see https://status.clerk.com.",
        ),
        _ if !troubles.iter().all(silent) => Diagnostic::note(
            "it-is-clerk",
            "Clerk answers with errors: the problem is Clerk's.",
            "See https://status.clerk.com. There is nothing to repair here.",
        ),
        Some(true) => Diagnostic::note(
            "it-is-clerk",
            "Clerk does not answer, but other hosts do: the problem is Clerk's, or between this host and Clerk.",
            "See https://status.clerk.com.",
        ),
        Some(false) => Diagnostic::error(
            "it-is-us",
            "Neither Clerk nor the canaries answer: this host is cut off.",
            "Look at its network, DNS, firewall and proxy.",
        ),
        None if troubles.iter().all(|t| *t == FailureKind::Fault(TransportError::Dns)) => {
            Diagnostic::error(
                "dns",
                "No host name of Clerk's resolves here.",
                "Look at this host's DNS; if other names resolve, the problem is Clerk's.",
            )
        }
        None if proxied => Diagnostic::warning(
            "proxy",
            "Clerk does not answer, and HTTPS_PROXY is set.",
            "Look whether the proxy lets Clerk's hosts pass; NO_PROXY exempts hosts from it.",
        ),
        None => Diagnostic::warning(
            "silence",
            "Clerk does not answer, and the cause is unknown.",
            "Name hosts that always answer in CLERK_RESILIENCE_EGRESS_CANARIES, and look at firewalls and proxies.",
        ),
    })
}

fn clock_skew(found: &[(Probe, Found)]) -> Option<Diagnostic> {
    let skew = |found: &Found| found.observation.as_ref()?.clock_skew_millis;
    let clerk = found.iter().filter(|(probe, _)| *probe != Probe::StatusPage);
    let skew: i64 = clerk.filter_map(|(_, found)| skew(found)).min_by_key(|skew| skew.abs())?;
    let (secs, tenths) = (skew.abs() / 1000, skew.abs() % 1000 / 100);
    let what = format!("This host's clock and Clerk's differ by {secs}.{tenths} s");
    let advice = "Synchronise this host's clock (NTP).";
    Some(match skew.abs() {
        s if s > SKEW_LIMIT_MILLIS => {
            Diagnostic::error("clock-skew", format!("{what}, so good tokens are refused."), advice)
        }
        s if s > SKEW_WARNING_MILLIS => {
            Diagnostic::warning("clock-skew", format!("{what}."), advice)
        }
        _ => Diagnostic::fine("clock-skew", format!("{what}.")),
    })
}

fn keys(
    config: &ClerkConfig,
    published: Option<&KeySet>,
    backend: Option<&KeySet>,
) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    if let (Some(published), Some(backend)) = (published, backend) {
        let shared = published.key_ids().any(|id| backend.key_ids().any(|other| other == id));
        findings.push(if shared {
            Diagnostic::fine("one-instance", "The publishable key and the secret key belong together.")
        } else {
            Diagnostic::error(
                "two-instances",
                "The publishable key and the secret key belong to different instances: their signing keys differ.",
                "Copy both from the same page of the Clerk dashboard.",
            )
        });
    }
    if let (false, Some(published)) = (config.pinned.is_empty(), published) {
        findings.push(if config.pinned.shares_a_key_with(published) {
            Diagnostic::fine("jwt-key", "CLERK_JWT_KEY is this instance's key.")
        } else {
            Diagnostic::error(
                "jwt-key-mismatch",
                "CLERK_JWT_KEY is not among this instance's keys: tokens would be verified with a key that Clerk does not sign with.",
                "Copy the JWKS public key again from the API keys page of the Clerk dashboard, or unset the variable.",
            )
        });
    }
    findings
}
