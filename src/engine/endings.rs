//! Sessions that were ended here, and are still to be ended at Clerk.
//!
//! Somebody who signs out while Clerk is down is signed out here at once. Clerk learns of it when its
//! Backend API answers again, one session at a time, so that the crowd of an outage is no flood.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
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
    /// Those that Clerk was told of lately, so that a record of others' does not bring them back.
    ended: VecDeque<SessionId>,
    under_way: JoinSet<(SessionId, Ended)>,
    not_before: Option<Moment>,
    /// Others wait than were shown.
    changed: bool,
}

impl Endings {
    pub(crate) fn of(waiting: impl IntoIterator<Item = SessionId>) -> Self {
        let mut endings = Self::default();
        endings.take_over(waiting.into_iter().collect());
        endings
    }

    pub(crate) fn add(&mut self, id: SessionId) {
        if self.waiting.contains(&id) {
            return;
        }
        push(&mut self.waiting, id);
        self.changed = true;
    }

    /// Shows them to whoever keeps them, when they are others.
    pub(crate) fn show(&mut self, to: &watch::Sender<Arc<[SessionId]>>) {
        if std::mem::take(&mut self.changed) {
            to.send_replace(self.waiting.iter().cloned().collect());
        }
    }

    /// Those that Clerk does not know of yet.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &SessionId> {
        self.waiting.iter()
    }

    /// Those that need no end any more.
    pub(crate) fn ended(&self) -> impl Iterator<Item = &SessionId> {
        self.ended.iter()
    }

    /// Takes over what another process was to end.
    pub(crate) fn take_over(&mut self, theirs: Vec<SessionId>) {
        if theirs.is_empty() {
            return;
        }
        let mut known: HashSet<_> = self.waiting.iter().chain(&self.ended).cloned().collect();
        for id in theirs.into_iter().filter(|id| known.insert(id.clone())) {
            push(&mut self.waiting, id);
            self.changed = true;
        }
    }

    /// Tells Clerk of one, when it is time and Clerk can hear it.
    pub(crate) fn launch(&mut self, prober: &Prober, health: &Health, now: Moment) {
        let due = self.not_before.is_none_or(|at| now.mono >= at.mono);
        if !due || !self.under_way.is_empty() || !can_hear(health, now) {
            return;
        }
        let Some(id) = self.waiting.pop_front() else { return };
        // It waits on as the last, so that one that Clerk will not hear of holds up no other.
        self.waiting.push_back(id.clone());
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
                self.changed = true;
                push(&mut self.ended, id);
                true
            }
            Some((_, Ended::Unanswered)) | None => {
                self.not_before = Some(now.plus(RETRY_AFTER));
                false
            }
        }
    }
}

fn push(sessions: &mut VecDeque<SessionId>, id: SessionId) {
    if sessions.len() == CAPACITY {
        sessions.pop_front();
    }
    sessions.push_back(id);
}

fn can_hear(health: &Health, now: Moment) -> bool {
    let well = matches!(health.verdict(now), Verdict::Healthy | Verdict::Recovering);
    well && health.tracker(Surface::BackendApi).status() != Status::Down
}
