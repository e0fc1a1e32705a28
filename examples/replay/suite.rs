//! Every scenario in each of its views, for every application, spread over the processors.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use clerk_resilience::sim::timeline::Scenario;
use serde::Serialize;

use crate::conditions::Conditions;
use crate::run::{self, Figures};
use crate::stage::{Error, Variant};
use crate::stampede::{self, Stampede};

/// All that was found out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) replays: Vec<Replay>,
    pub(crate) stampede: Option<Stampede>,
}

/// One scenario in one view, for one application.
#[derive(Debug, Serialize)]
pub(crate) struct Replay {
    pub(crate) scenario: String,
    /// Empty when there is only one.
    pub(crate) view: String,
    pub(crate) variant: Variant,
    pub(crate) figures: Figures,
}

impl Replay {
    /// The scenario, and the view if it has several.
    pub(crate) fn name(&self) -> String {
        let Self { scenario, view, .. } = self;
        if view.is_empty() { scenario.clone() } else { format!("{scenario}, {view}") }
    }
}

/// Plays everything. What comes first in the file comes first in the report.
pub(crate) fn play(
    scenarios: &[Scenario],
    with_stampede: bool,
    seed: u64,
) -> Result<Report, Error> {
    let mut jobs: Vec<Job<'_>> = Vec::new();
    if with_stampede {
        jobs.push(Job::Stampede);
    }
    for scenario in scenarios {
        for view in views(scenario)? {
            jobs.extend(Variant::ALL.map(|variant| Job::Replay { scenario, view, variant }));
        }
    }
    let mut report = Report { seed, replays: Vec::new(), stampede: None };
    for done in spread(&jobs, |job| job.run(seed)) {
        match done? {
            Done::Stampede(stampede) => report.stampede = Some(stampede),
            Done::Replay(replay) => report.replays.push(*replay),
        }
    }
    Ok(report)
}

/// The views of a scenario. One in which nothing is broken is left out when there are others.
fn views(scenario: &Scenario) -> Result<Vec<&str>, String> {
    let mut found = Vec::new();
    for label in scenario.views().flatten() {
        if Conditions::of(scenario, &[label])?.has_trouble() {
            found.push(label.as_str());
        }
    }
    if found.is_empty() {
        Conditions::of(scenario, &[])?;
        found.push("");
    }
    Ok(found)
}

#[derive(Clone, Copy)]
enum Job<'a> {
    Stampede,
    Replay { scenario: &'a Scenario, view: &'a str, variant: Variant },
}

enum Done {
    Stampede(Stampede),
    Replay(Box<Replay>),
}

impl Job<'_> {
    /// On a runtime of its own whose time is virtual, so that it goes the same way each time.
    fn run(&self, seed: u64) -> Result<Done, Error> {
        fastrand::seed(seed);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build()?;
        match *self {
            Self::Stampede => {
                runtime.block_on(stampede::perform(Variant::Balanced, seed)).map(Done::Stampede)
            }
            Self::Replay { scenario, view, variant } => {
                let labels: Vec<&str> = (!view.is_empty()).then_some(view).into_iter().collect();
                let figures = runtime.block_on(run::perform(scenario, &labels, variant, seed))?;
                let (scenario, view) = (scenario.name().to_owned(), view.to_owned());
                Ok(Done::Replay(Box::new(Replay { scenario, view, variant, figures })))
            }
        }
    }
}

/// Does each job on the next free processor; the results are in the order of the jobs.
fn spread<J: Sync, R: Send>(jobs: &[J], work: impl Fn(&J) -> R + Sync) -> Vec<R> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((place, job)) = take(&next, jobs) {
                    let result = work(job);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((place, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

fn take<'a, J>(next: &AtomicUsize, jobs: &'a [J]) -> Option<(usize, &'a J)> {
    let place = next.fetch_add(1, Ordering::Relaxed);
    jobs.get(place).map(|job| (place, job))
}
