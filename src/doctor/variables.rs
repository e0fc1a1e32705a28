//! Checks all environment variables, not only those up to the first malformed one.

use clerk_verify::key::PublishableKey;

use super::finding::Diagnostic;
use crate::config::{ClerkConfig, ConfigError};

const KEY: &str = "CLERK_PUBLISHABLE_KEY";

/// Reads the variables repeatedly, each time without the ones already found malformed. Without a
/// publishable key the result has no configuration, but the other variables are still checked.
pub(super) fn read_all(
    read: &impl Fn(&str) -> Option<String>,
) -> (Option<ClerkConfig>, Vec<Diagnostic>) {
    let stand_in = PublishableKey::for_domain("example.com").expect("a plain domain");
    let mut masked: Vec<String> = Vec::new();
    let mut findings = Vec::new();
    loop {
        let keyless = masked.iter().any(|name| name == KEY);
        let shown = |name: &str| match name {
            KEY if keyless => Some(stand_in.as_str().to_owned()),
            // Masks the variable under every prefix.
            _ if masked.iter().any(|bad| name.ends_with(bad.as_str())) => None,
            _ => read(name),
        };
        let error = match ClerkConfig::from_vars(shown) {
            Ok(config) => return ((!keyless).then_some(config), findings),
            Err(error) => error,
        };
        findings.push(Diagnostic::error("variable", format!("{error}."), ""));
        let culprit = match error {
            ConfigError::Missing { variable, .. } => variable.to_owned(),
            ConfigError::Invalid { name, .. } if name.ends_with(KEY) => KEY.to_owned(),
            ConfigError::Invalid { name, .. } => name,
            ConfigError::Contradiction { first, .. } => first.to_owned(),
            _ => return (None, findings),
        };
        if masked.contains(&culprit) {
            return (None, findings);
        }
        masked.push(culprit);
    }
}
