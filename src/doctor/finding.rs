//! What was found.

use std::fmt;

use serde::Serialize;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// As it should be.
    Fine,
    /// Worth knowing.
    Note,
    /// It works, but not as well or as safely as it could.
    Warning,
    /// It does not work.
    Error,
}

/// One thing that was looked at. No finding contains a key.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// A stable name, as `clock-skew`.
    pub code: &'static str,
    /// What is the case.
    pub what: String,
    /// What to do; empty when the sentence before says it, or there is nothing to do.
    pub advice: String,
}

impl Finding {
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

impl fmt::Display for Finding {
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

/// All that was found.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Diagnosis {
    /// The worst of it.
    pub worst: Severity,
    /// In the order in which it was looked at.
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    /// Sums up.
    #[must_use]
    pub fn new(findings: Vec<Finding>) -> Self {
        let worst = findings.iter().map(|finding| finding.severity).max();
        Self { worst: worst.unwrap_or(Severity::Fine), findings }
    }

    /// True when something does not work.
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
