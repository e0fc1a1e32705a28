//! incident.io's own documents, in addition to the Statuspage-compatible ones.
//!
//! [`Widget`] is `/api/v1/summary`, which a page's owner must enable and whose fields are
//! [documented](https://docs.incident.io/status-pages/embedding). [`IncidentIoPage`] and [`Impacts`] are
//! `/proxy/<host>` and `/proxy/<host>/component_impacts`, which the page itself uses. Their format
//! is undocumented and can change.
//!
//! All three list impairments only: a component that they do not name is operational.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::lenient::{self, Rows};
use super::{Component, Condition, StatusReport, condition};

#[derive(Deserialize)]
pub(super) struct Widget {
    #[serde(default)]
    ongoing_incidents: Rows<IncidentIoIncident>,
    #[serde(default)]
    in_progress_maintenances: Rows<Maintenance>,
}

#[derive(Deserialize)]
struct IncidentIoIncident {
    #[serde(default, deserialize_with = "lenient::option")]
    name: Option<String>,
    #[serde(default, deserialize_with = "condition::status")]
    current_worst_impact: Condition,
    #[serde(default)]
    affected_components: Rows<Affected>,
}

#[derive(Deserialize)]
struct Maintenance {
    #[serde(default)]
    affected_components: Rows<Affected>,
}

#[derive(Deserialize)]
struct Affected {
    name: String,
    #[serde(default, deserialize_with = "condition::status")]
    current_status: Condition,
}

impl From<Widget> for StatusReport {
    fn from(widget: Widget) -> Self {
        let incidents = &widget.ongoing_incidents;
        let maintenances = &widget.in_progress_maintenances;
        let affected = incidents
            .iter()
            .flat_map(|incident| incident.affected_components.iter())
            .chain(maintenances.iter().flat_map(|upkeep| upkeep.affected_components.iter()))
            .map(|affected| (affected.name.as_str(), affected.current_status));
        let components = worst_by_name(affected);
        let overall = Condition::worst(
            [incidents.silence(), maintenances.silence()]
                .into_iter()
                .chain(incidents.iter().map(|incident| incident.current_worst_impact))
                .chain(maintenances.iter().map(|_| Condition::Maintenance))
                .chain(components.iter().map(|component| component.condition)),
        );
        let titles = incidents.iter().filter_map(|incident| incident.name.as_deref());
        Self::new(overall, listed(components), titles)
    }
}

#[derive(Deserialize)]
pub(super) struct IncidentIoPage {
    summary: Summary,
}

#[derive(Deserialize)]
struct Summary {
    #[serde(default)]
    affected_components: Rows<Impact>,
    #[serde(default)]
    ongoing_incidents: Rows<Titled>,
    structure: Structure,
}

#[derive(Deserialize)]
struct Titled {
    #[serde(default, deserialize_with = "lenient::option")]
    name: Option<String>,
}

#[derive(Deserialize)]
struct Structure {
    #[serde(default)]
    items: Rows<IncidentIoItem>,
}

#[derive(Deserialize)]
struct IncidentIoItem {
    #[serde(default, deserialize_with = "lenient::option")]
    group: Option<IncidentIoGroup>,
    #[serde(default, deserialize_with = "lenient::option")]
    component: Option<NamedComponent>,
}

#[derive(Deserialize)]
struct IncidentIoGroup {
    #[serde(default)]
    components: Rows<NamedComponent>,
}

impl IncidentIoItem {
    fn components(&self) -> impl Iterator<Item = &NamedComponent> {
        self.group.iter().flat_map(|group| group.components.iter()).chain(&self.component)
    }
}

#[derive(Deserialize)]
struct NamedComponent {
    component_id: String,
    name: String,
}

impl From<IncidentIoPage> for StatusReport {
    fn from(IncidentIoPage { summary }: IncidentIoPage) -> Self {
        let mut affected = worst_by_id(&summary.affected_components);
        let silence = summary.affected_components.silence();
        let overall = Condition::worst(
            [silence, summary.ongoing_incidents.silence()]
                .into_iter()
                .chain(affected.values().copied())
                // Components carry the severity of an incident; an incident without components is
                // unclear.
                .chain(summary.ongoing_incidents.iter().map(|_| Condition::Unknown)),
        );
        let mut components: Vec<_> = summary
            .structure
            .items
            .iter()
            .flat_map(IncidentIoItem::components)
            .map(|named| {
                let condition = affected.remove(named.component_id.as_str()).unwrap_or(silence);
                Component::new(&named.name, condition)
            })
            .collect();
        components
            .extend(affected.into_iter().map(|(id, condition)| Component::new(id, condition)));
        let titles = summary.ongoing_incidents.iter().filter_map(|titled| titled.name.as_deref());
        Self::new(overall, Some(components), titles)
    }
}

#[derive(Deserialize)]
pub(super) struct Impacts {
    #[serde(default)]
    component_impacts: Rows<Impact>,
}

#[derive(Deserialize)]
struct Impact {
    component_id: String,
    #[serde(default, deserialize_with = "condition::status")]
    status: Condition,
    end_at: Option<IgnoredAny>,
}

impl From<Impacts> for StatusReport {
    fn from(Impacts { component_impacts }: Impacts) -> Self {
        let open = worst_by_id(&component_impacts);
        let overall = open.values().copied().fold(component_impacts.silence(), Condition::max);
        let components = open.into_iter().map(|(id, condition)| Component::new(id, condition));
        Self::new(overall, listed(components.collect()), [])
    }
}

/// The impacts that have not ended, with the worst condition of each component.
fn worst_by_id(impacts: &[Impact]) -> BTreeMap<&str, Condition> {
    let open = impacts.iter().filter(|impact| impact.end_at.is_none());
    worst(open.map(|impact| (impact.component_id.as_str(), impact.status)))
}

fn worst_by_name<'a>(rows: impl Iterator<Item = (&'a str, Condition)>) -> Vec<Component> {
    worst(rows).into_iter().map(|(name, condition)| Component::new(name, condition)).collect()
}

fn worst<'a>(rows: impl Iterator<Item = (&'a str, Condition)>) -> BTreeMap<&'a str, Condition> {
    let mut worst = BTreeMap::new();
    for (key, condition) in rows {
        let entry = worst.entry(key).or_insert(condition);
        *entry = condition.max(*entry);
    }
    worst
}

/// The components, or `None` if there are none: a list of impairments without components proves
/// nothing about them.
fn listed(components: Vec<Component>) -> Option<Vec<Component>> {
    (!components.is_empty()).then_some(components)
}
