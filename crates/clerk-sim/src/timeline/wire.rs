//! The JSON format of a timeline.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(super) struct Timeline {
    pub(super) scenarios: Vec<RawScenario>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawScenario {
    pub(super) name: String,
    #[serde(default)]
    pub(super) summary: String,
    pub(super) documented_total_s: Option<u32>,
    pub(super) phases: Vec<RawPhase>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RawPhase {
    pub(super) offset_s: i32,
    pub(super) duration_s: Option<u32>,
    pub(super) component: String,
    pub(super) label: Option<String>,
    #[serde(default)]
    pub(super) behaviour: RawBehaviour,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawBehaviour {
    pub(super) status: Option<u16>,
    pub(super) latency_ms: Option<u32>,
    pub(super) timeout: bool,
    pub(super) refused: bool,
    pub(super) dns_failure: bool,
    pub(super) error_code: Option<String>,
    pub(super) rate: Option<f64>,
    pub(super) repeat_every_s: Option<u32>,
    pub(super) repeat_for_s: Option<u32>,
    pub(super) state: Option<String>,
    pub(super) components: Option<RawComponents>,
}

/// Content of the status page: one state for every component, or one state each.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum RawComponents {
    Everything(String),
    Each(BTreeMap<String, String>),
}
