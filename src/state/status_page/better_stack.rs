//! Better Stack `/index.json`, a JSON:API document.
//!
//! The format is
//! [documented](https://betterstack.com/docs/uptime/status-pages/subscribing-to-status-updates/subscribing-to-api):
//! the page is under `data`, and everything that it references is under `included`, distinguished
//! by `type`.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::lenient::Rows;
use super::{Component, Condition, StatusReport, condition};

#[derive(Deserialize)]
pub(super) struct BetterStackDocument {
    data: Data,
    included: Option<Rows<Included>>,
}

#[derive(Deserialize)]
struct Data {
    attributes: BetterStackPage,
}

#[derive(Deserialize)]
struct BetterStackPage {
    #[serde(default, deserialize_with = "condition::status")]
    aggregate_state: Condition,
}

#[derive(Deserialize)]
#[serde(tag = "type", content = "attributes", rename_all = "snake_case")]
enum Included {
    StatusPageResource(Resource),
    StatusReport(BetterStackReport),
}

#[derive(Deserialize)]
struct Resource {
    public_name: String,
    #[serde(default, deserialize_with = "condition::status")]
    status: Condition,
}

#[derive(Deserialize)]
struct BetterStackReport {
    title: String,
    ends_at: Option<IgnoredAny>,
}

impl From<BetterStackDocument> for StatusReport {
    fn from(document: BetterStackDocument) -> Self {
        let included = document.included.as_deref();
        let components = included.map(|included| {
            included
                .iter()
                .filter_map(|entry| match entry {
                    Included::StatusPageResource(resource) => {
                        Some(Component::new(&resource.public_name, resource.status))
                    }
                    Included::StatusReport(_) => None,
                })
                .collect()
        });
        let ongoing = included.unwrap_or_default().iter().filter_map(|entry| match entry {
            Included::StatusReport(BetterStackReport { title, ends_at: None }) => {
                Some(title.as_str())
            }
            _ => None,
        });
        Self::new(document.data.attributes.aggregate_state, components, ongoing)
    }
}
