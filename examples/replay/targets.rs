//! What the layer with balanced grace has to reach.

use crate::run::{Figures, Noticed};
use crate::stage::Variant;
use crate::suite::{Replay, Report};

const SERVED: f64 = 99.9;
const MEDIAN_DETECTION: f64 = 15.0;
const WORST_DETECTION: f64 = 25.0;
const GRACE_LASTS: f64 = 60.0;
const GRACE_IS_OVER: f64 = 90.0;
const ASKED_HEALTHY: f64 = 0.2;
const ASKED_TROUBLED: f64 = 1.0;
const PEAK: f64 = 3.0;

/// Every target that was missed, in words.
pub(crate) fn missed(report: &Report) -> Vec<String> {
    let balanced = report.replays.iter().filter(|replay| replay.variant == Variant::Balanced);
    let mut missed: Vec<String> = balanced.flat_map(missed_by).collect();
    missed.extend(slow_median(report));
    if let Some(stampede) = &report.stampede {
        let ratio = stampede.ratio();
        if ratio > PEAK {
            missed.push(format!(
                "stampede: the busiest second has {ratio:.1} times the handshakes of an average one, not at most {PEAK}"
            ));
        }
        if stampede.renewed < stampede.sessions {
            let (renewed, all) = (stampede.renewed, stampede.sessions);
            missed.push(format!(
                "stampede: only {renewed} of {all} sessions have a fresh token in the end"
            ));
        }
    }
    missed
}

fn missed_by(replay: &Replay) -> Vec<String> {
    let Figures { tally, .. } = &replay.figures;
    let mut problems = Vec::new();
    if let Some(served) = replay.figures.served().filter(|served| *served < SERVED) {
        problems
            .push(format!("{served:.2} % of the requests that should pass did, not {SERVED} %"));
    }
    let mut never = |what: &str, count: u64| {
        if count > 0 {
            problems.push(format!("{what}: {count}, not 0"));
        }
    };
    never("401s to holders of live sessions", tally.unauthorized);
    never("redirect loops", tally.loops);
    never("requests passed that should have been refused", tally.passes());
    never("grace that should not have been given", tally.undue_grace);
    never("outages seen while there was none", replay.figures.false_alarms);
    problems.extend(replay.figures.outages.iter().flat_map(missed_in));
    problems.extend(too_much("healthy", replay.figures.asked_healthy, ASKED_HEALTHY));
    problems.extend(too_much("in trouble", replay.figures.asked_troubled, ASKED_TROUBLED));
    let name = replay.name();
    problems.into_iter().map(|problem| format!("{name}: {problem}")).collect()
}

fn missed_in(outage: &Noticed) -> Vec<String> {
    let at = outage.at;
    let mut problems = Vec::new();
    match outage.after_failure {
        None => problems.push(format!("the outage at {at} s was not noticed")),
        Some(after) if after > WORST_DETECTION => {
            problems.push(format!("the outage at {at} s was known {after:.1} s after the first failure, not {WORST_DETECTION}"));
        }
        Some(_) => {}
    }
    if let Some(until) = outage.grace_until.filter(|until| *until < GRACE_LASTS) {
        problems.push(format!(
            "after the outage at {at} s grace lasted {until:.0} s, not {GRACE_LASTS}"
        ));
    }
    if let Some(over) = outage.grace_over.filter(|over| *over > GRACE_IS_OVER) {
        problems.push(format!(
            "after the outage at {at} s grace was over after {over:.0} s, not {GRACE_IS_OVER}"
        ));
    }
    problems
}

fn too_much(when: &str, asked: Option<f64>, most: f64) -> Option<String> {
    let asked = asked.filter(|asked| *asked > most)?;
    Some(format!("{asked:.2} requests to Clerk per second {when}, not at most {most}"))
}

/// The median over all outages of all scenarios.
pub(crate) fn median_detection(report: &Report) -> Option<f64> {
    let balanced = report.replays.iter().filter(|replay| replay.variant == Variant::Balanced);
    let outages = balanced.flat_map(|replay| &replay.figures.outages);
    let mut times: Vec<f64> = outages.filter_map(|outage| outage.after_failure).collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}

fn slow_median(report: &Report) -> Option<String> {
    let median = median_detection(report).filter(|median| *median > MEDIAN_DETECTION)?;
    Some(format!("all: the median time to detect is {median:.1} s, not at most {MEDIAN_DETECTION}"))
}
