//! Instatus `/summary.json`, which describes the page as a whole and names no components.
//!
//! The `/components.json` of Instatus has the format of Statuspage.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::lenient::{self, Rows};
use super::{Condition, StatusReport, condition};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InstatusDocument {
    page: InstatusPage,
    #[serde(default)]
    active_incidents: Rows<InstatusIncident>,
}

#[derive(Deserialize)]
struct InstatusPage {
    #[serde(default, deserialize_with = "page_status")]
    status: Condition,
}

#[derive(Deserialize)]
struct InstatusIncident {
    name: String,
    #[serde(default, deserialize_with = "lenient::option")]
    status: Option<String>,
    #[serde(default, deserialize_with = "condition::status")]
    impact: Condition,
}

/// Deserializes the page's status. `HASISSUES` does not state a severity; degraded is the least
/// that it can mean.
fn page_status<'de, D: Deserializer<'de>>(from: D) -> Result<Condition, D::Error> {
    Ok(match Value::deserialize(from)?.as_str() {
        Some("UP") => Condition::Operational,
        Some("HASISSUES") => Condition::Degraded,
        Some("UNDERMAINTENANCE") => Condition::Maintenance,
        _ => Condition::Unknown,
    })
}

impl From<InstatusDocument> for StatusReport {
    fn from(document: InstatusDocument) -> Self {
        let open: Vec<_> = document
            .active_incidents
            .iter()
            .filter(|incident| incident.status.as_deref() != Some("RESOLVED"))
            .collect();
        let impacts = open.iter().map(|incident| incident.impact);
        let overall = impacts.fold(document.page.status, Condition::max);
        Self::new(overall, None, open.iter().map(|incident| incident.name.as_str()))
    }
}
