//! Checks of the configuration that need no network.

use humantime::format_duration;

use super::finding::Diagnostic;
use crate::config::ClerkConfig;
use crate::decide::policy::GraceMode;
use crate::store::StateDir;

pub(super) fn examine(config: &ClerkConfig) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    let host = config.publishable_key.frontend_api();
    let kind = config.publishable_key.kind();
    findings
        .push(Diagnostic::fine("publishable-key", format!("The instance is {host} ({kind:?}).")));
    if let Err(error) = config.check() {
        findings.push(Diagnostic::error("setting", format!("{error}."), ""));
    }
    match &config.secret_key {
        None => findings.push(Diagnostic::note(
            "no-secret-key",
            "CLERK_SECRET_KEY is not set, so the Backend API is neither watched nor a second source of keys, expired sessions are not renewed here, and routes that accept API keys or other opaque machine tokens answer them 503.",
            "Set it to the secret key from the API keys page of the Clerk dashboard.",
        )),
        Some(secret) if secret.kind() != kind => findings.push(Diagnostic::error(
            "mixed-modes",
            "CLERK_PUBLISHABLE_KEY and CLERK_SECRET_KEY are of different modes: one is live, the other test.",
            "Copy both from the same page of the Clerk dashboard.",
        )),
        Some(_) => {}
    }
    if config.parties().is_empty() {
        findings.push(Diagnostic::warning(
            "no-authorized-parties",
            "CLERK_AUTHORIZED_PARTIES is not set, so a token that another application of this instance obtained is accepted here.",
            "Set it to this application's origins, as https://app.example.com, with commas between them.",
        ));
    }
    findings.push(state_dir(config));
    findings.push(grace(config));
    findings.extend(config.tickets.as_ref().map(|keys| {
        Diagnostic::fine(
            "tickets",
            format!("CLERK_RESILIENCE_TICKET_KEYS holds {} of them.", keys.count()),
        )
    }));
    findings
}

/// Reports the grace policy in the variables. The application's code may override it.
fn grace(config: &ClerkConfig) -> Diagnostic {
    let policy = &config.grace;
    let effect = match policy.mode {
        GraceMode::Disabled => {
            return Diagnostic::note(
                "grace",
                "CLERK_RESILIENCE_GRACE is off. Unless the application chooses grace in its code, expired sessions are answered 503 while Clerk is down.",
                "Set it to report-only to see in the log what grace would do.",
            );
        }
        GraceMode::ReportOnly => "only logged",
        GraceMode::Enabled => "given",
    };
    let [token, episode, day] =
        [policy.max_grace, policy.episode_budget, policy.day_budget].map(format_duration);
    Diagnostic::fine(
        "grace",
        format!(
            "Unless the application chooses otherwise, grace is {effect}: for {token} after a token's exp, for {episode} an episode, and for {day} in 24 hours."
        ),
    )
}

fn state_dir(config: &ClerkConfig) -> Diagnostic {
    let Some(path) = &config.state_dir else {
        return Diagnostic::warning(
            "no-state-dir",
            "CLERK_RESILIENCE_STATE_DIR is not set, so a process that starts during an outage knows no keys and grants no grace.",
            "Set it to a directory that only the application's user can write.",
        );
    };
    match StateDir::open(path) {
        Ok(dir) => Diagnostic::fine("state-dir", format!("{} is private.", dir.path().display())),
        Err(error) => Diagnostic::error("state-dir", format!("{error}."), ""),
    }
}
