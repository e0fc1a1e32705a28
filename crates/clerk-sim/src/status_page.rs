//! The status page, in the Statuspage-compatible format of Clerk's own.

use std::collections::BTreeMap;
use std::fmt;

use http::Method;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL};
use serde_json::{Value, json};

use super::answer::SimAnswer;
use super::ask::Ask;
use super::state::SimState;

/// The components of Clerk's status page, in the page's order.
pub(super) const COMPONENTS: [&str; 16] = [
    "User and authentication",
    "Session management",
    "Machine authentication",
    "Webhooks",
    "B2B SaaS",
    "Billing",
    "Email delivery",
    "SMS delivery",
    "Account Portal",
    "Dashboard",
    "Platform API",
    "Development Services",
    "Search",
    "Analytics",
    "Go live",
    "SCIM",
];

/// `SimState` of a component on the status page.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SimComponentState {
    /// `operational`
    Operational,
    /// `degraded_performance`
    DegradedPerformance,
    /// `partial_outage`
    PartialOutage,
    /// `major_outage`
    MajorOutage,
    /// `under_maintenance`
    UnderMaintenance,
    /// Any other value, unchanged: `full_outage`, or one that clients do not know.
    Other(String),
}

impl SimComponentState {
    /// Parses a state.
    pub(super) fn named(name: &str) -> Self {
        match name {
            "operational" => Self::Operational,
            "degraded_performance" => Self::DegradedPerformance,
            "partial_outage" => Self::PartialOutage,
            "major_outage" => Self::MajorOutage,
            "under_maintenance" => Self::UnderMaintenance,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Returns the state's weight in the page's indicator, from 0 (none) to 4.
    fn weight(&self) -> usize {
        match self {
            Self::Operational => 0,
            Self::UnderMaintenance => 1,
            Self::DegradedPerformance => 2,
            Self::PartialOutage | Self::Other(_) => 3,
            Self::MajorOutage => 4,
        }
    }
}

impl fmt::Display for SimComponentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operational => "operational",
            Self::DegradedPerformance => "degraded_performance",
            Self::PartialOutage => "partial_outage",
            Self::MajorOutage => "major_outage",
            Self::UnderMaintenance => "under_maintenance",
            Self::Other(name) => name,
        })
    }
}

/// Content of the status page.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SimBoard {
    /// An incident is open, with or without affected components.
    pub incident: bool,
    /// Components that are not operational, by name. The page lists an unknown name as an
    /// additional component.
    pub components: BTreeMap<String, SimComponentState>,
}

impl SimBoard {
    /// Creates an open incident with every component in the same state.
    #[must_use]
    pub fn everything(state: &SimComponentState) -> Self {
        let components = COMPONENTS.map(|name| (name.to_owned(), state.clone())).into();
        Self { incident: true, components }
    }

    fn indicator(&self) -> (&'static str, &'static str) {
        let open = if self.incident { 2 } else { 0 };
        match self.components.values().map(SimComponentState::weight).fold(open, usize::max) {
            0 => ("none", "All systems operational"),
            1 => ("maintenance", "Under maintenance"),
            2 => ("minor", "Degraded performance"),
            3 => ("major", "Partial outage"),
            _ => ("critical", "Major outage"),
        }
    }

    fn status(&self) -> Value {
        let (indicator, description) = self.indicator();
        json!({ "indicator": indicator, "description": description })
    }

    fn listed(&self, updated: &str) -> Vec<Value> {
        let added = self.components.keys().map(String::as_str);
        let names = COMPONENTS.into_iter().chain(added.filter(|name| !COMPONENTS.contains(name)));
        let row = |(place, name): (usize, &str)| {
            let state = self.components.get(name).unwrap_or(&SimComponentState::Operational);
            json!({
                "id": format!("01SIM{:021}", place + 1),
                "name": name,
                "status": state.to_string(),
                "position": place + 1,
                "created_at": "2025-05-02T10:00:00Z",
                "updated_at": updated,
            })
        };
        names.enumerate().map(row).collect()
    }
}

pub(super) fn answer(state: &SimState, ask: &Ask) -> SimAnswer {
    let get = ask.method == Method::GET || ask.method == Method::HEAD;
    let updated = state.now().wall.to_string();
    let page = json!({
        "id": "01SIM000000000000000000000",
        "name": "Clerk",
        "url": "https://status.sim.example",
        "updated_at": updated,
    });
    let board = state.board().clone();
    let body = match ask.segments().as_slice() {
        ["api", "v2", "summary.json"] if get => {
            json!({ "page": page, "status": board.status(), "components": board.listed(&updated) })
        }
        ["api", "v2", "status.json"] if get => json!({ "page": page, "status": board.status() }),
        _ => return SimAnswer::not_found(),
    };
    SimAnswer::ok(&body)
        .header(ACCESS_CONTROL_ALLOW_ORIGIN, "*")
        .header(CACHE_CONTROL, "public, max-age=0, must-revalidate")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_indicator_is_that_of_the_worst_component() {
        let mut board = SimBoard::default();
        assert_eq!(board.indicator().0, "none");
        board.incident = true;
        assert_eq!(board.indicator().0, "minor");
        board.components.insert("Webhooks".into(), SimComponentState::PartialOutage);
        assert_eq!(board.indicator().0, "major");
        board.components.insert("Search".into(), SimComponentState::MajorOutage);
        assert_eq!(board.indicator().0, "critical");
    }

    #[test]
    fn unknown_components_are_listed_last() {
        let mut board = SimBoard::default();
        board.components.insert("JWKS".into(), SimComponentState::named("full_outage"));
        let rows = board.listed("2026-01-01T00:00:00Z");
        assert_eq!(rows.len(), 17);
        assert_eq!(rows[16]["name"], "JWKS");
        assert_eq!(rows[16]["status"], "full_outage");
        assert_eq!(rows[1]["status"], "operational");
    }

    #[test]
    fn a_state_prints_as_the_name_it_has() {
        for name in ["operational", "degraded_performance", "partial_outage", "major_outage"] {
            assert_eq!(SimComponentState::named(name).to_string(), name);
        }
        assert_eq!(SimComponentState::named("under_maintenance").weight(), 1);
    }
}
