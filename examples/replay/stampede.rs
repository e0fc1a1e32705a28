//! Ten thousand browsers after an outage: how evenly they come back to Clerk.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clerk_resilience::sim::{SimFault, SimSurface};
use clerk_resilience::transport::Transport;
use demo_support::outcome::Outcome;
use serde::Serialize;
use tokio::time::Instant;

use crate::jar::Jar;
use crate::stage::{Error, Stage, Variant, second_of};
use crate::visit::{self, Kind, Seen};

const SESSIONS: u64 = 10_000;
const OUTAGE: u64 = 10 * 60;
/// Each of them opens a page this often until it has a fresh token, for so long after the recovery.
const EVERY: u64 = 30;
const WATCHED: u64 = 5 * 60;

/// How they came back.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Stampede {
    pub(crate) variant: Variant,
    pub(crate) sessions: u64,
    /// The seconds after the recovery in which the first and the last browser came to Clerk.
    pub(crate) first: usize,
    pub(crate) last: usize,
    /// Handshakes in the busiest second, and in an average one between these two.
    pub(crate) peak: u64,
    pub(crate) mean: f64,
    pub(crate) handshakes: u64,
    /// Questions of the application to Clerk in the busiest second.
    pub(crate) asked_peak: u64,
    pub(crate) refused: u64,
    pub(crate) unauthorized: u64,
    /// Sessions that had a fresh token in the end.
    pub(crate) renewed: u64,
}

impl Stampede {
    /// The busiest second against an average one.
    #[expect(clippy::cast_precision_loss, reason = "a count of requests is exact")]
    pub(crate) fn ratio(&self) -> f64 {
        self.peak as f64 / self.mean
    }
}

#[derive(Debug, Default)]
struct Log {
    /// Browsers sent to Clerk in each second after the recovery.
    sent: Vec<u64>,
    refused: u64,
    unauthorized: u64,
}

/// Lets it happen.
pub(crate) async fn perform(variant: Variant, seed: u64) -> Result<Stampede, Error> {
    let stage = Stage::new(variant, seed).await?;
    let jars = sign_in(&stage).await;
    stage.sim.break_with(SimSurface::CLERK, SimFault::cdn(503));
    tokio::time::sleep(Duration::from_secs(OUTAGE)).await;
    stage.sim.heal_all();
    let (healed, log) = (Instant::now(), Arc::new(Mutex::new(Log::default())));
    let clerk: Arc<dyn Transport> = Arc::new(stage.sim.transport());
    let mut random = fastrand::Rng::with_seed(seed);
    for jar in &jars {
        let (app, clerk, jar, log) = (stage.app.clone(), clerk.clone(), jar.clone(), log.clone());
        let shift = Duration::from_millis(random.u64(..EVERY * 1_000));
        tokio::spawn(async move {
            for round in 0..WATCHED / EVERY {
                let due = healed + shift + Duration::from_secs(round * EVERY);
                tokio::time::sleep_until(due).await;
                let mut own = jar.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let seen = visit::open(app.clone(), &mut own, &*clerk).await;
                *jar.lock().unwrap_or_else(PoisonError::into_inner) = own;
                log.lock().unwrap_or_else(PoisonError::into_inner).note(healed, due, seen);
                if seen.outcome == Outcome::Served {
                    return;
                }
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(WATCHED + EVERY)).await;
    let fresh = |jar: &&Arc<Mutex<Jar>>| {
        let expires = jar.lock().unwrap_or_else(PoisonError::into_inner).expires();
        expires.is_some_and(|expires| second_of(expires) > i64::try_from(OUTAGE).unwrap_or(0) + 60)
    };
    let renewed = jars.iter().filter(fresh).count() as u64;
    let log = log.lock().unwrap_or_else(PoisonError::into_inner);
    let asked = stage.transport.log().busiest(OUTAGE..OUTAGE + WATCHED);
    Ok(log.sum_up(variant, renewed, asked))
}

/// Everybody signs in and is seen once.
async fn sign_in(stage: &Stage) -> Vec<Arc<Mutex<Jar>>> {
    let mut jars = Vec::new();
    for number in 0..SESSIONS {
        let session = stage.sim.sign_in(format!("user{number}"));
        let jar = Jar::with_session(&stage.sim.mint(&session), session.since);
        visit::ask(stage.app.clone(), Kind::Api, &jar).await;
        jars.push(Arc::new(Mutex::new(jar)));
    }
    jars
}

impl Log {
    fn note(&mut self, healed: Instant, due: Instant, seen: Seen) {
        let second = usize::try_from((due - healed).as_secs()).unwrap_or(usize::MAX);
        if self.sent.len() <= second {
            self.sent.resize(second + 1, 0);
        }
        self.sent[second] += u64::from(seen.sent);
        self.refused += u64::from(!seen.outcome.is_served());
        self.unauthorized += u64::from(seen.outcome == Outcome::Unauthorized);
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of requests is exact")]
    fn sum_up(&self, variant: Variant, renewed: u64, asked_peak: u64) -> Stampede {
        let first = self.sent.iter().position(|sent| *sent > 0).unwrap_or(0);
        let last = self.sent.iter().rposition(|sent| *sent > 0).unwrap_or(0);
        let handshakes: u64 = self.sent.iter().sum();
        Stampede {
            variant,
            sessions: SESSIONS,
            first,
            last,
            peak: self.sent.iter().copied().max().unwrap_or(0),
            mean: handshakes as f64 / (last - first + 1) as f64,
            handshakes,
            asked_peak,
            refused: self.refused,
            unauthorized: self.unauthorized,
            renewed,
        }
    }
}
