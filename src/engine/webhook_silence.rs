//! Whether the feed of webhooks was silent for long when an outage began. Then nobody knows whom Clerk
//! signed out or banned, and grace may be given to them: that is worth a warning, once an episode.

use std::time::Duration;

use clerk_verify::clock::Timestamp;

use crate::state::health::Outages;

/// Many applications hear of nothing for minutes; hardly one for so long.
const LONG: Duration = Duration::from_secs(60 * 60);

#[derive(Debug)]
pub(crate) struct WebhookSilenceMonitor {
    /// Before that nobody could have heard anything here.
    since: Timestamp,
    /// The episode that was warned of.
    warned: Option<Timestamp>,
}

impl WebhookSilenceMonitor {
    pub(crate) fn since(now: Timestamp) -> Self {
        Self { since: now, warned: None }
    }

    /// An outage is known; `heard` is when the last webhook came.
    pub(super) fn consider(&mut self, heard: Option<Timestamp>, outages: &Outages) {
        let (Some(began), Some(episode)) = (outages.current(), outages.episode_start()) else {
            return;
        };
        let silent = began.since(heard.unwrap_or(self.since));
        if silent < LONG || self.warned.replace(episode) == Some(episode) {
            return;
        }
        tracing::warn!(
            event = "clerk.webhooks.silent",
            ?silent,
            "no webhook of Clerk's had come for long when this outage began, so that whom Clerk signed out or banned meanwhile may be given grace; see in the Clerk dashboard whether they are delivered here, or demand them with webhooks_within"
        );
    }
}
