//! One scenario, one application: who comes, when, and what is written down.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clerk_resilience::Verdict;
use clerk_resilience::sim::timeline::Scenario;
use demo_support::outcome::Outcome;
use demo_support::renewal::RENEW_AFTER;
use serde::Serialize;

use crate::conditions::{Conditions, Spell};
use crate::person::Person;
use crate::stage::{Error, Stage, Variant};
use crate::strangers::Strangers;
use crate::tally::Tally;
use crate::truth::{self, Should};
use crate::visit::{self, Kind};
use crate::world::World;

const TABS: usize = 14;
const LATE_TABS: usize = 6;
const PROGRAMS: usize = 4;
const RETURNERS: i64 = 24;
/// Minting is dead for so long at least, or nobody can be expected to notice.
const NOTICEABLE: i64 = 30;
/// Who wakes up late renews the token before anything else.
const SECOND_THOUGHT: i64 = 2;
/// The first minute, in which everything is asked for the first time, is no ordinary one.
const FIRST: i64 = 60;

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) tally: Tally,
    /// Each time minting was dead and that could be proven.
    pub(crate) outages: Vec<Noticed>,
    /// Verdicts of an outage that began while minting did not fail at all.
    pub(crate) false_alarms: u64,
    /// Requests to Clerk per second while it is well.
    pub(crate) asked_healthy: Option<f64>,
    /// The most in any minute of trouble.
    pub(crate) asked_troubled: Option<f64>,
    /// Nonces of browsers that came back from Clerk.
    pub(crate) exchanges: u64,
}

impl Figures {
    /// How many of a hundred requests passed in trouble, of those that should.
    #[expect(clippy::cast_precision_loss, reason = "a count of requests is exact")]
    pub(crate) fn served(&self) -> Option<f64> {
        let Tally { in_trouble, in_trouble_served, .. } = self.tally;
        (in_trouble > 0).then(|| 100.0 * in_trouble_served as f64 / in_trouble as f64)
    }
}

/// One outage as the layer saw it. Times are in seconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Noticed {
    /// When it began, in the scenario's seconds.
    pub(crate) at: i64,
    pub(crate) lasted: i64,
    /// From its beginning until the verdict; `None` when there was none.
    pub(crate) after_start: Option<f64>,
    /// From the first answer that failed until the verdict.
    pub(crate) after_failure: Option<f64>,
    /// From the recovery until the first session without a fresh token was refused.
    pub(crate) grace_until: Option<f64>,
    /// From the recovery until the last session was served in grace.
    pub(crate) grace_over: Option<f64>,
}

/// Plays it.
pub(crate) async fn perform(
    scenario: &Scenario,
    labels: &[&str],
    variant: Variant,
    seed: u64,
) -> Result<Figures, Error> {
    let conditions = Conditions::of(scenario, labels)?;
    let world = World::new(Stage::new(variant, seed).await?, conditions);
    let verdicts = follow(&world);
    begin(&world, scenario, labels);
    let mut crowd = Crowd::new(&world);
    let mut at = world.conditions.start;
    while at < world.conditions.end {
        if let Some(back) = world.conditions.away_until(at) {
            at = back;
        }
        tokio::time::sleep_until(world.instant(at) + Duration::from_millis(500)).await;
        crowd.ask(&world, at);
        at += 1;
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let verdicts = verdicts.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(figures(&world, &verdicts, &crowd.witnessed))
}

/// The times at which the verdict changed, in seconds since the beginning.
type Verdicts = Arc<Mutex<Vec<(f64, Verdict)>>>;

fn follow(world: &Arc<World>) -> Verdicts {
    let found = Verdicts::default();
    let Some(clerk) = &world.stage.clerk else { return found };
    let (mut verdict, kept, start) =
        (clerk.subscribe(), found.clone(), world.instant(world.conditions.start));
    tokio::spawn(async move {
        loop {
            let now = *verdict.borrow_and_update();
            kept.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((start.elapsed().as_secs_f64(), now));
            if verdict.changed().await.is_err() {
                return;
            }
        }
    });
    found
}

/// Lets the scenario begin in its time.
fn begin(world: &Arc<World>, scenario: &Scenario, labels: &[&str]) {
    let start = world.instant(scenario.start(labels));
    let play = world.stage.sim.replay(scenario, 1.0, labels);
    tokio::spawn(async move {
        tokio::time::sleep_until(start).await;
        play.await;
    });
}

/// Everybody.
struct Crowd {
    tabs: Vec<Arc<Person>>,
    late: Vec<Arc<Person>>,
    programs: Vec<Arc<Person>>,
    /// With the second of their next visit.
    returners: Vec<(Arc<Person>, i64)>,
    strangers: Strangers,
    witnessed: Arc<Mutex<Vec<Witnessed>>>,
}

/// How long after the recovery from an outage a late session was served in grace, or refused.
#[derive(Clone, Copy, Debug)]
struct Witnessed {
    outage: Spell,
    after: f64,
    served: bool,
}

impl Crowd {
    fn new(world: &Arc<World>) -> Self {
        let people = |name: &str, count: usize, late: bool| -> Vec<Arc<Person>> {
            (0..count).map(|number| Person::new(world, &format!("{name}{number}"), late)).collect()
        };
        let (tabs, late) = (people("tab", TABS, false), people("late", LATE_TABS, true));
        let programs = people("program", PROGRAMS, false);
        let renewing: Vec<_> = tabs.iter().chain(&late).chain(&programs).collect();
        for (person, number) in renewing.iter().zip(0_u32..) {
            let wait = RENEW_AFTER * number / u32::try_from(renewing.len()).unwrap_or(1);
            tokio::spawn(Arc::clone(person).keep_renewing(world.clone(), wait));
        }
        let start = world.conditions.start;
        let returners = (0..RETURNERS).map(|number| {
            (Person::new(world, &format!("returner{number}"), false), start + 5 * number)
        });
        let returners = returners.collect();
        let strangers = Strangers::new(world);
        Self { tabs, late, programs, returners, strangers, witnessed: Arc::default() }
    }

    fn ask(&mut self, world: &Arc<World>, at: i64) {
        let asleep = world.asleep(at - SECOND_THOUGHT).or(world.asleep(at));
        let late: &[Arc<Person>] = if asleep.is_none() { &self.late } else { &[] };
        for (tab, number) in self.tabs.iter().chain(late).zip(0_i64..) {
            for (kind, every, shift) in
                [(Kind::Page, 40, 7), (Kind::Api, 8, 3), (Kind::Form, 60, 11)]
            {
                if (at + shift * number).rem_euclid(every) == 0 {
                    tokio::spawn(tab.clone().send(world.clone(), kind));
                }
            }
        }
        for (program, number) in self.programs.iter().zip(0_i64..) {
            if (at + number).rem_euclid(5) == 0 {
                tokio::spawn(program.clone().send_as_program(world.clone()));
            }
        }
        for ((person, next), number) in self.returners.iter_mut().zip(0_i64..) {
            if *next <= at {
                tokio::spawn(drop_in(person.clone(), world.clone()));
                *next = at + 120 + 97 * number;
            }
        }
        if let Some(outage) = asleep {
            self.witness(world, outage, at);
        }
        self.strangers.ask(world, at);
    }

    /// Those who wake up late try the application every second.
    fn witness(&self, world: &Arc<World>, outage: Spell, at: i64) {
        for person in &self.late {
            let case = person.case(world, false);
            let due = truth::should(&world.conditions, outage.until, case);
            if case.expires + 5 > outage.until || due != Should::Pass {
                continue;
            }
            let (jar, app, kept) =
                (person.cookies(), world.stage.app.clone(), self.witnessed.clone());
            let after = precise(at - outage.until) + 0.5;
            tokio::spawn(async move {
                let seen = visit::ask(app, Kind::Api, &jar).await;
                let served = seen.outcome == Outcome::Grace;
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(Witnessed {
                    outage,
                    after,
                    served,
                });
            });
        }
    }
}

/// Somebody opens the page after a while, and a few requests follow from it.
async fn drop_in(person: Arc<Person>, world: Arc<World>) {
    if !person.clone().send(world.clone(), Kind::Page).await {
        return;
    }
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        person.clone().send(world.clone(), Kind::Api).await;
    }
}

fn figures(
    world: &World,
    verdicts: &[(f64, Verdict)],
    witnessed: &Mutex<Vec<Witnessed>>,
) -> Figures {
    let conditions = &world.conditions;
    let witnessed = witnessed.lock().unwrap_or_else(PoisonError::into_inner);
    let log = world.stage.transport.log();
    let lasting =
        conditions.outages.iter().filter(|outage| outage.until - outage.from >= NOTICEABLE);
    let outages =
        lasting.map(|outage| noticed(conditions, *outage, verdicts, &log.failures, &witnessed));
    let second = |at: i64| usize::try_from(at - conditions.start).unwrap_or(0);
    let first = (conditions.start..conditions.end)
        .find(|at| conditions.is_troubled(*at))
        .unwrap_or(conditions.end);
    let troubled =
        (conditions.start..conditions.end).filter(|at| conditions.is_troubled(*at)).map(second);
    let alarm = |(at, verdict): &&(f64, Verdict)| {
        *verdict == Verdict::Outage && !conditions.is_failing(conditions.start + whole(*at))
    };
    Figures {
        tally: world.tally().clone(),
        outages: outages.collect(),
        false_alarms: verdicts.iter().filter(alarm).count() as u64,
        asked_healthy: log.rate((conditions.start + FIRST..first).map(second)),
        asked_troubled: log.peak(troubled),
        exchanges: log.exchanges(),
    }
}

fn noticed(
    conditions: &Conditions,
    outage: Spell,
    verdicts: &[(f64, Verdict)],
    failures: &[f64],
    witnessed: &[Witnessed],
) -> Noticed {
    let (from, until) =
        (precise(outage.from - conditions.start), precise(outage.until - conditions.start));
    let before = verdicts.iter().rev().find(|(at, _)| *at < from);
    let known = before.is_some_and(|(_, verdict)| *verdict == Verdict::Outage).then_some(from);
    let found = verdicts
        .iter()
        .find(|(at, verdict)| (from..until).contains(at) && *verdict == Verdict::Outage);
    let found = known.or(found.map(|(at, _)| *at));
    let failed = failures.iter().find(|at| **at >= from).copied();
    let drain = || witnessed.iter().filter(|seen| seen.outage == outage && found.is_some());
    let times =
        |served: bool| drain().filter(move |seen| seen.served == served).map(|seen| seen.after);
    Noticed {
        at: outage.from,
        lasted: outage.until - outage.from,
        after_start: found.map(|at| at - from),
        after_failure: found.zip(failed).map(|(at, failed)| (at - failed).max(0.0)),
        grace_until: times(false).min_by(f64::total_cmp),
        grace_over: times(true).max_by(f64::total_cmp),
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds of a week are exact")]
fn precise(seconds: i64) -> f64 {
    seconds as f64
}

#[expect(clippy::cast_possible_truncation, reason = "seconds of a week fit")]
fn whole(seconds: f64) -> i64 {
    seconds as i64
}
