//! One application in one scenario: everything that its people share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clerk_resilience::sim::SimSession;
use clerk_resilience::transport::Transport;
use demo_support::address::Address;
use tokio::time::Instant;
use url::Url;

use crate::conditions::{Conditions, Spell};
use crate::stage::Stage;
use crate::tally::Tally;

/// Who wakes up late does so this long after an outage.
const LATE: i64 = 150;

/// Everything that is shared.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) stage: Stage,
    pub(crate) conditions: Conditions,
    /// Clerk, as browsers reach it.
    pub(crate) clerk: Arc<dyn Transport>,
    began: Instant,
    address: Address,
    tally: Mutex<Tally>,
}

impl World {
    pub(crate) fn new(stage: Stage, conditions: Conditions) -> Arc<Self> {
        let (clerk, address) = (Arc::new(stage.sim.transport()), Address::of(&stage.sim));
        let passed = u64::try_from(stage.now()).unwrap_or(0);
        let began = Instant::now() - Duration::from_secs(passed);
        let tally = Mutex::default();
        Arc::new(Self { stage, conditions, clerk, began, address, tally })
    }

    /// The second of the scenario.
    pub(crate) fn at(&self) -> i64 {
        self.conditions.start + self.stage.now()
    }

    /// The instant of a second of the scenario.
    pub(crate) fn instant(&self, at: i64) -> Instant {
        let since = u64::try_from(at - self.conditions.start).unwrap_or(0);
        self.began + Duration::from_secs(since)
    }

    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tokens_of(&self, session: &SimSession) -> Url {
        self.address.at(&format!("v1/client/sessions/{}/tokens", session.id))
    }

    /// The outage after which some still sleep.
    pub(crate) fn asleep(&self, at: i64) -> Option<Spell> {
        let sleeps = |outage: &&Spell| (outage.until..outage.until + LATE).contains(&at);
        self.conditions.outages.iter().find(sleeps).copied()
    }

    /// How long somebody is away, or asleep after an outage.
    pub(crate) fn nap(&self, late: bool) -> Duration {
        let at = self.at();
        let asleep = self.asleep(at).filter(|_| late);
        let until = asleep.map(|outage| outage.until + LATE).or(self.conditions.away_until(at));
        until.map_or(Duration::ZERO, |until| self.instant(until) - Instant::now())
    }
}
