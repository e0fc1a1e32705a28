//! Warns if no webhook arrived for an hour before an outage began.
//!
//! Without webhooks, the application does not learn which users Clerk signed out or banned, and may
//! accept their requests in grace. The warning is logged once per episode.

use std::time::Duration;

use clerk_verify::clock::Timestamp;

use crate::state::health::Outages;

/// The silence that causes a warning. Few applications receive no webhook for this long.
const LONG: Duration = Duration::from_secs(60 * 60);

#[derive(Debug)]
pub(crate) struct WebhookSilenceMonitor {
    /// The start of the process, used if no webhook has arrived.
    since: Timestamp,
    /// The start of the last episode with a warning.
    warned: Option<Timestamp>,
}

impl WebhookSilenceMonitor {
    pub(crate) fn since(now: Timestamp) -> Self {
        Self { since: now, warned: None }
    }

    /// Checks the silence before a proven outage. `heard` is the time of the last webhook.
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
            "no webhook arrived for an hour before this outage, so grace may accept users whom Clerk signed out or banned; check webhook delivery in the Clerk dashboard, or require webhooks with webhooks_within"
        );
    }
}
