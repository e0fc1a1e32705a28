//! One world, played in two manners.

use std::collections::HashSet;

use crate::answer::Answer;
use crate::oracle::Violation;
use crate::plan::{Ask, Event, Millis, Plan, Route};
use crate::play::{Manner, Played, play};
use crate::process::Mode;

/// The answers of two performances, side by side.
fn pairs<'a>(
    one: &'a Played,
    other: &'a Played,
) -> impl Iterator<Item = (usize, &'a Answer, &'a Answer)> {
    let find = |place: usize| other.answers.iter().find(move |(at, _)| *at == place);
    let sorted = one.answers.len() == other.answers.len();
    one.answers.iter().enumerate().filter_map(move |(n, (place, answer))| {
        let same = other.answers.get(n).filter(|(at, _)| sorted && at == place);
        same.or_else(|| find(*place)).map(|(_, twin)| (*place, answer, twin))
    })
}

fn violation(plan: &Plan, place: usize, invariant: &'static str, text: &str) -> Violation {
    let (at, event) = &plan.events[place];
    Violation { invariant, text: format!("{text}, at {at} ms: {event:?}") }
}

/// I8: a dry run answers as if grace were off, byte for byte.
pub(crate) fn a_dry_run_shows_nothing(plan: &Plan) -> Played {
    let mut off = play(plan, Manner::of(Mode::Disabled));
    if off.violation.is_some() {
        return off;
    }
    let dry = play(plan, Manner::of(Mode::ReportOnly));
    if dry.violation.is_some() {
        return dry;
    }
    // Those who wait together are answered in any order, and each draws its `Retry-After`.
    let same = |off: &Answer, dry: &Answer| {
        let alike = (off.status, off.reason) == (dry.status, dry.reason);
        without_state(&off.bytes) == without_state(&dry.bytes)
            || (off.waited && dry.waited && alike)
    };
    let differs = pairs(&off, &dry).find(|(_, off, dry)| !same(off, dry));
    off.violation = differs.map(|(place, off, dry)| {
        violation(plan, place, "I8", &format!("{:?} became {:?}", off.bytes, dry.bytes))
    });
    off
}

/// The answer without the random state of a handshake and the cookie that is bound to it.
fn without_state(bytes: &str) -> String {
    const STATE: &str = "__clerk_resilience_state";
    let lines = bytes.lines().filter(|line| !line.contains("clerk_resilience_trip"));
    let bare = lines.map(|line| match line.split_once(STATE) {
        Some((before, rest)) => before.to_owned() + rest.split_once('&').map_or("", |rest| rest.1),
        None => line.to_owned(),
    });
    bare.collect::<Vec<_>>().join("\n")
}

/// I4: the same world in which Clerk seems healthy from some time on gives grace to nobody whom it
/// was not given to before, unless outage time was spared, or the token's key was not there.
pub(crate) fn health_adds_no_grace(plan: &Plan, as_it_is: &Played) -> Option<Violation> {
    // Beside a crowd, good answers end an outage by its drain, and proof of life by isolation at once.
    if plan.crowd {
        return None;
    }
    let troubles = plan.events.iter().filter_map(|(at, event)| match event {
        Event::Faults(faults) if faults.fault.is_some() => Some(*at),
        _ => None,
    });
    let troubles: Vec<Millis> = troubles.collect();
    let pick = usize::try_from(plan.seed).unwrap_or_default() % troubles.len().max(1);
    let later = 5_000 + i64::try_from(plan.seed % 90).unwrap_or_default() * 1_000;
    let fair_from = troubles.get(pick)? + later;
    let fair = play(plan, Manner { fair_from: Some(fair_from), ..Manner::of(Mode::Enabled) });
    let mut keyless = HashSet::new();
    let added = pairs(as_it_is, &fair).find(|(place, foul, fair)| {
        let Event::Ask(Ask { token: Some(token), route, .. }) = plan.events[*place].1 else {
            return false;
        };
        // Where nobody could judge a token, its session was not seen either.
        if matches!(foul.reason, "no-keys" | "unknown-key" | "jwk-kid-mismatch") {
            keyless.insert(token.owner());
        }
        // An open route does not tell why somebody is nobody.
        let told = route != Route::Open && foul.reason != "budget-spent";
        let added = fair.in_grace() && foul.seen.is_none();
        added && told && !keyless.contains(&token.owner())
    });
    added.map(|(place, foul, _)| {
        let text = format!(
            "{} ({}) became grace when all was well from {fair_from} ms on",
            foul.status, foul.reason
        );
        violation(plan, place, "I4", &text)
    })
}
