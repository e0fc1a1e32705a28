//! Atlassian Statuspage v2, and compatible pages.
//!
//! Supports `summary.json`, `status.json`, `components.json` and `incidents.json` of
//! [Statuspage](https://confluence.status.atlassian.com/api), and the same paths on an incident.io
//! page. Also supports `/components.json` of Instatus, and `/api/v1/status.json` of
//! [Rootly](https://docs.rootly.com/configuration/status-page-public-api).
//!
//! incident.io's answers lack `incidents` and `scheduled_maintenances`, and use `full_outage`.
//! Instatus gives a row's group as an object and lists the group itself as one more row.

use std::collections::HashSet;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::lenient::{self, Rows};
use super::{Component, Condition, StatusReport, condition};

#[derive(Deserialize)]
pub(super) struct StatuspageDocument {
    #[serde(default, deserialize_with = "lenient::option")]
    status: Option<StatuspageStatus>,
    components: Option<Rows<ComponentRow>>,
    #[serde(default)]
    incidents: Rows<StatuspageIncident>,
}

#[derive(Deserialize)]
struct StatuspageStatus {
    #[serde(default, deserialize_with = "condition::indicator")]
    indicator: Condition,
}

#[derive(Deserialize)]
struct ComponentRow {
    #[serde(default, deserialize_with = "lenient::option")]
    id: Option<String>,
    name: String,
    #[serde(default, deserialize_with = "condition::status")]
    status: Condition,
    #[serde(default, deserialize_with = "lenient::option")]
    group: Option<ComponentGroup>,
    #[serde(default, deserialize_with = "lenient::option")]
    only_show_if_degraded: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ComponentGroup {
    Is(bool),
    Of { id: String },
}

#[derive(Deserialize)]
struct StatuspageIncident {
    name: String,
    #[serde(default, deserialize_with = "lenient::option")]
    status: Option<String>,
    #[serde(default, deserialize_with = "condition::indicator")]
    impact: Condition,
    resolved_at: Option<IgnoredAny>,
}

impl StatuspageIncident {
    fn is_open(&self) -> bool {
        self.resolved_at.is_none()
            && !matches!(self.status.as_deref(), Some("resolved" | "postmortem" | "completed"))
    }
}

impl From<StatuspageDocument> for StatusReport {
    fn from(document: StatuspageDocument) -> Self {
        let components = document.components.as_ref().map(|rows| visible(rows));
        let open: Vec<_> =
            document.incidents.iter().filter(|incident| incident.is_open()).collect();
        let overall = match (&document.status, &components) {
            (Some(status), _) => status.indicator,
            (None, Some(components)) => Condition::worst(components.iter().map(|c| c.condition)),
            // A component can be impaired without an incident. Without open incidents, the
            // condition is unknown.
            (None, None) => Condition::worst(open.iter().map(|incident| incident.impact)),
        };
        Self::new(overall, components, open.iter().map(|incident| incident.name.as_str()))
    }
}

/// The rows that a visitor of the page would see as components.
fn visible(rows: &[ComponentRow]) -> Vec<Component> {
    let parents: HashSet<&str> = rows
        .iter()
        .filter_map(|row| match &row.group {
            Some(ComponentGroup::Of { id }) => Some(id.as_str()),
            _ => None,
        })
        .collect();
    rows.iter()
        .filter(|row| !matches!(row.group, Some(ComponentGroup::Is(true))))
        .filter(|row| !row.id.as_deref().is_some_and(|id| parents.contains(id)))
        .filter(|row| {
            row.only_show_if_degraded != Some(true) || row.status != Condition::Operational
        })
        .map(|row| Component::new(&row.name, row.status))
        .collect()
}
