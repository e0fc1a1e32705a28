//! Findings and the diagnosis that sums them up.

use std::fmt;

use serde::Serialize;

/// Severity of a finding, in ascending order. Serializes in lower case, such as `"warning"`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// No problem.
    Fine,
    /// Information for the operator.
    Note,
    /// The application works, but less reliably or safely than possible. The command still
    /// succeeds.
    Warning,
    /// The checked part does not work, and requests will fail. The command ends with an error
    /// status.
    Error,
}

/// Result of one check. No finding contains a key. `Display` prints one or two lines: the severity
/// and the description, then the advice.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Diagnostic {
    /// Severity of the result.
    pub severity: Severity,
    /// Stable code of the check, such as `clock-skew`. Scripts compare this code; the texts may
    /// change.
    pub code: &'static str,
    /// Description of the result.
    pub what: String,
    /// Recommended action. Empty if the description contains it, or if no action is necessary.
    pub advice: String,
}

impl Diagnostic {
    pub(super) fn fine(code: &'static str, what: impl Into<String>) -> Self {
        Self { severity: Severity::Fine, code, what: what.into(), advice: String::new() }
    }

    pub(super) fn note(code: &'static str, what: impl Into<String>, advice: &str) -> Self {
        Self { severity: Severity::Note, advice: advice.to_owned(), ..Self::fine(code, what) }
    }

    pub(super) fn warning(code: &'static str, what: impl Into<String>, advice: &str) -> Self {
        Self { severity: Severity::Warning, ..Self::note(code, what, advice) }
    }

    pub(super) fn error(code: &'static str, what: impl Into<String>, advice: &str) -> Self {
        Self { severity: Severity::Error, ..Self::note(code, what, advice) }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.severity {
            Severity::Fine => "ok     ",
            Severity::Note => "note   ",
            Severity::Warning => "warning",
            Severity::Error => "ERROR  ",
        };
        write!(f, "{mark}  {}", self.what)?;
        if self.advice.is_empty() { Ok(()) } else { write!(f, "\n         {}", self.advice) }
    }
}

/// All findings, and the highest severity among them. `Display` prints the findings in order and a
/// closing sentence; `Serialize` gives the same as JSON.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Diagnosis {
    /// Highest severity; [`Severity::Fine`] without findings.
    pub worst: Severity,
    /// Findings in the order of the checks: variables, settings, cause of trouble, surfaces, clock,
    /// keys.
    pub findings: Vec<Diagnostic>,
}

impl Diagnosis {
    /// Creates a diagnosis from findings.
    #[must_use]
    pub fn new(findings: Vec<Diagnostic>) -> Self {
        let worst = findings.iter().map(|finding| finding.severity).max();
        Self { worst: worst.unwrap_or(Severity::Fine), findings }
    }

    /// Returns whether any finding is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.worst == Severity::Error
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        f.write_str(match self.worst {
            Severity::Error => "Something does not work.",
            Severity::Warning => "It works, and could be better.",
            Severity::Fine | Severity::Note => "All is well.",
        })
    }
}
