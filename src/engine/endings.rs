//! Sessions that were ended here, and are still to be ended at Clerk.
//!
//! Somebody who signs out while Clerk is down is signed out here at once. Clerk learns of it when its
//! Backend API answers again, one session at a time, so that the crowd of an outage is no flood.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::clock::Moment;
use crate::health::{Health, Status, Surface, Verdict};
use crate::id::SessionId;
use crate::probe::{Ended, Prober};

/// Between two questions.
const SPACING: Duration = Duration::from_secs(5);
/// After one that was not answered.
const RETRY_AFTER: Duration = Duration::from_secs(60);
/// So many sessions wait; of more, the oldest are given up. They stay revoked here.
const CAPACITY: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct Endings {
    waiting: VecDeque<SessionId>,
    under_way: JoinSet<(SessionId, Ended)>,
    not_before: Option<Moment>,
}

impl Endings {
    pub(crate) fn of(waiting: impl IntoIterator<Item = SessionId>) -> Self {
        Self { waiting: waiting.into_iter().collect(), ..Self::default() }
    }

    pub(crate) fn add(&mut self, id: SessionId) {
        if self.waiting.contains(&id) {
            return;
        }
        if self.waiting.len() == CAPACITY {
            self.waiting.pop_front();
        }
        self.waiting.push_back(id);
    }

    /// Those that Clerk does not know of yet.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &SessionId> {
        self.waiting.iter()
    }

    /// Tells Clerk of one, when it is time and Clerk can hear it.
    pub(crate) fn launch(&mut self, prober: &Prober, health: &Health, now: Moment) {
        let due = self.not_before.is_none_or(|at| now.mono >= at.mono);
        if !due || !self.under_way.is_empty() || !can_hear(health, now) {
            return;
        }
        let Some(id) = self.waiting.front().cloned() else { return };
        self.not_before = Some(now.plus(SPACING));
        let prober = prober.clone();
        self.under_way.spawn(async move {
            let ended = prober.end_session(&id).await;
            (id, ended)
        });
    }

    /// The next that was told, or could not be; `None` when none is under way.
    pub(crate) async fn told(&mut self) -> Option<Option<(SessionId, Ended)>> {
        self.under_way.join_next().await.map(Result::ok)
    }

    /// Takes in what came of it. True when there is one less.
    pub(crate) fn conclude(&mut self, told: Option<(SessionId, Ended)>, now: Moment) -> bool {
        match told {
            Some((id, Ended::Yes)) => {
                self.waiting.retain(|waiting| *waiting != id);
                true
            }
            Some((_, Ended::Unanswered)) | None => {
                self.not_before = Some(now.plus(RETRY_AFTER));
                false
            }
        }
    }
}

fn can_hear(health: &Health, now: Moment) -> bool {
    let well = matches!(health.verdict(now), Verdict::Healthy | Verdict::Recovering);
    well && health.tracker(Surface::BackendApi).status() != Status::Down
}
