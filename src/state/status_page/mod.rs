//! Parses status pages of several vendors.
//!
//! [`StatusReport::parse`] reads the public JSON of Atlassian Statuspage, incident.io, Instatus,
//! Better Stack and Rootly, and detects the vendor by the document's keys. Clerk's page runs on
//! incident.io, which also serves the Statuspage paths, so `/api/v2/summary.json` is the path to
//! request.
//!
//! A status page is a hint, never proof. In the recorded outages, Clerk's page was 7 to 29 minutes
//! late. It called a failure of 95 % of all requests "degraded performance", and once stayed red
//! for two and a half hours after the repair. A report may therefore only support other evidence;
//! see [`corroborates_outage`](StatusReport::corroborates_outage).
//!
//! # Rules
//!
//! 1. An unknown word means [`Condition::Unknown`], never operational.
//! 2. A missing list counts as empty, and only the unreadable rows of a list are skipped.
//! 3. Group rows are dropped, and so are operational rows marked `only_show_if_degraded`.
//! 4. HTML, a feed, text, and JSON without the keys of any known vendor are errors. The caller then
//!    retains its last report, because an unreadable page proves nothing about Clerk.
//! 5. A report is bounded: 200 components, 20 incidents, 120 characters each, no control
//!    characters. Its texts are still untrusted, so escape them before display.
//!
//! The caller must limit the size of the body. The parser limits nesting.
//!
//! ```
//! use clerk_resilience::internals::status_page::{Condition, StatusReport};
//!
//! let body = br#"{
//!     "status": {"indicator": "minor", "description": "Partially degraded service"},
//!     "components": [{"name": "Session management", "status": "degraded_performance"}]
//! }"#;
//! let report = StatusReport::parse(body)?;
//! assert_eq!(report.sessions(), Condition::Degraded);
//! assert!(report.corroborates_outage());
//! # Ok::<(), clerk_resilience::internals::status_page::StatusPageError>(())
//! ```

mod better_stack;
mod condition;
mod incident_io;
mod instatus;
mod lenient;
mod statuspage;
#[cfg(test)]
mod tests;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use condition::Condition;

const MAX_COMPONENTS: usize = 200;
const MAX_INCIDENTS: usize = 20;
const MAX_CHARS: usize = 120;

/// The components of Clerk's page on which sessions depend.
const SESSION_COMPONENTS: [&str; 2] = ["Session management", "User and authentication"];

/// The content of a status page at one time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StatusReport {
    /// The condition of the page as a whole.
    pub overall: Condition,
    /// The components, without groups. Empty if the document describes only the page.
    pub components: Vec<Component>,
    /// The titles of ongoing incidents.
    pub incidents: Vec<String>,
    /// Whether the document lists components, readable or not.
    lists_components: bool,
}

/// One component of a status page.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Component {
    /// The name, or the ID if the document gives no names.
    pub name: String,
    /// The condition.
    pub condition: Condition,
}

impl Component {
    fn new(name: &str, condition: Condition) -> Self {
        Self { name: bounded(name), condition }
    }

    fn matters_to_sessions(&self) -> bool {
        SESSION_COMPONENTS.iter().any(|name| self.name.trim().eq_ignore_ascii_case(name))
    }
}

/// The reason why a body is not a status report.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StatusPageError {
    /// The body is HTML or a feed. Pages answer so where they have no such document.
    #[error("the status page answered with markup instead of JSON")]
    Markup,
    /// The body is not JSON, is truncated, or is nested too deeply.
    #[error("the status page's answer is not JSON (line {line}, column {column})")]
    NotJson {
        /// The line of the error, counted from 1.
        line: usize,
        /// The column of the error.
        column: usize,
    },
    /// The body is JSON without the keys of any known status page.
    #[error("the status page's answer has no known shape")]
    UnknownShape,
}

impl StatusReport {
    /// Parses the body of a status page's JSON document.
    ///
    /// # Errors
    ///
    /// [`StatusPageError`] if the body is markup, is not JSON, or has the keys of no known status
    /// page.
    pub fn parse(body: &[u8]) -> Result<Self, StatusPageError> {
        if body.trim_ascii_start().first() == Some(&b'<') {
            return Err(StatusPageError::Markup);
        }
        let document: Value = serde_json::from_slice(body).map_err(|error| {
            StatusPageError::NotJson { line: error.line(), column: error.column() }
        })?;
        let has = |pointer: &str| document.pointer(pointer).is_some();
        let lists = |pointer: &str| document.pointer(pointer).is_some_and(Value::is_array);
        if has("/status/indicator") {
            read::<statuspage::StatuspageDocument>(document)
        } else if lists("/ongoing_incidents") {
            read::<incident_io::Widget>(document)
        } else if has("/summary/structure") {
            read::<incident_io::IncidentIoPage>(document)
        } else if lists("/component_impacts") {
            read::<incident_io::Impacts>(document)
        } else if document.pointer("/page/status").is_some_and(Value::is_string) {
            read::<instatus::InstatusDocument>(document)
        } else if has("/data/attributes/aggregate_state") {
            read::<better_stack::BetterStackDocument>(document)
        } else if lists("/components") || lists("/incidents") {
            read::<statuspage::StatuspageDocument>(document)
        } else {
            Err(StatusPageError::UnknownShape)
        }
    }

    /// The worst condition of the components on which sessions depend: "Session management" and
    /// "User and authentication".
    ///
    /// A page that lists components, but neither of these, gives [`Condition::Unknown`], whatever
    /// its overall condition. The overall condition counts only if the document lists no components
    /// at all.
    #[must_use]
    pub fn sessions(&self) -> Condition {
        if self.lists_components {
            Condition::worst(self.session_conditions())
        } else {
            self.overall
        }
    }

    /// Whether the page supports the suspicion of an outage: a component on which sessions depend
    /// is listed as degraded, partially out or out.
    ///
    /// Degraded is sufficient, because real pages described real outages with that word.
    /// Maintenance, unknown and the overall condition are not, because trouble elsewhere can affect
    /// the overall condition.
    #[must_use]
    pub fn corroborates_outage(&self) -> bool {
        self.session_conditions().any(Condition::is_impaired)
    }

    fn session_conditions(&self) -> impl Iterator<Item = Condition> {
        self.components.iter().filter(|it| it.matters_to_sessions()).map(|it| it.condition)
    }

    /// Builds a bounded report. `components` is `None` if the document does not list any.
    fn new<'a>(
        overall: Condition,
        components: Option<Vec<Component>>,
        incidents: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let lists_components = components.is_some();
        let mut components = components.unwrap_or_default();
        components.truncate(MAX_COMPONENTS);
        let incidents = incidents.into_iter().take(MAX_INCIDENTS).map(bounded).collect();
        Self { overall, components, incidents, lists_components }
    }
}

fn read<T: DeserializeOwned + Into<StatusReport>>(
    document: Value,
) -> Result<StatusReport, StatusPageError> {
    serde_json::from_value::<T>(document).map(Into::into).map_err(|_| StatusPageError::UnknownShape)
}

fn bounded(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_CHARS).collect()
}
