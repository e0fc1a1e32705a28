//! What should come of a request, whoever judges it.

use crate::conditions::{Conditions, Spell};

/// Every library here lets the clocks differ by so many seconds.
const LEEWAY: i64 = 5;
/// The bounds of balanced grace.
const MAX_GRACE: i64 = 60 * 60;
const SLACK: i64 = 60;
const SEEN_WITHIN: i64 = 10 * 60;
const EPISODE_BUDGET: i64 = 120 * 60;
const DAY_BUDGET: i64 = 240 * 60;
const DAY: i64 = 24 * 60 * 60;
/// After the recovery grace goes on so long for everybody, and no longer than that for anybody.
pub(crate) const DRAIN_ALL: i64 = 60;
pub(crate) const DRAIN_ANY: i64 = 90;
/// The layer cannot know to the second when an outage began.
const BLUR: i64 = 30;

/// What should come of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Should {
    /// Be served.
    Pass,
    /// Not be served in grace. After a renewal at Clerk it may be.
    NotInGrace,
    /// The policy allows both.
    Either,
}

/// A token of a live session, as far as the judgement needs it. Times are offsets of the scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) expires: i64,
    /// When the application last saw the session with a token within its time.
    pub(crate) seen: Option<i64>,
    pub(crate) writes: bool,
}

/// Judges a request of a user whose session lives. The first rule that fits decides.
pub(crate) fn should(conditions: &Conditions, at: i64, case: Case) -> Should {
    if at < case.expires + LEEWAY {
        return Should::Pass;
    }
    let Some(spell) = conditions.last_spell(at) else { return Should::NotInGrace };
    let since = (at - spell.until).max(0);
    if since > DRAIN_ANY {
        return Should::NotInGrace;
    }
    if case.writes {
        return Should::Either;
    }
    match (alive(conditions, at, case), bounded(conditions, at, spell, case)) {
        (Some(false), _) | (_, Some(false)) => Should::NotInGrace,
        (Some(true), Some(true)) if since < DRAIN_ALL && provable(conditions, at, spell) => {
            Should::Pass
        }
        _ => Should::Either,
    }
}

/// Whether the session was alive when the outage began; `None` when that hangs on a few seconds.
fn alive(conditions: &Conditions, at: i64, case: Case) -> Option<bool> {
    let after = |start: i64, blur: i64| {
        let signed = case.expires >= start - SLACK + blur;
        signed || case.seen.is_some_and(|seen| seen >= start - SEEN_WITHIN + blur)
    };
    let (early, late) = (conditions.episode_start(at)?, conditions.proof_start(at)?);
    match () {
        () if after(late, BLUR) => Some(true),
        () if !after(early, -BLUR) => Some(false),
        () => None,
    }
}

/// Whether the deadlines still run; `None` when that hangs on a few seconds.
fn bounded(conditions: &Conditions, at: i64, spell: Spell, case: Case) -> Option<bool> {
    let episode = conditions.episode_start(at)?;
    let until = at.min(spell.until);
    let left = [
        case.expires + MAX_GRACE - at,
        EPISODE_BUDGET - conditions.failed_between(episode, until),
        DAY_BUDGET - conditions.failed_between(at - DAY, until),
    ];
    let least = left.into_iter().min()?;
    match () {
        () if least > BLUR => Some(true),
        () if case.expires + MAX_GRACE < at => Some(false),
        () => None,
    }
}

fn provable(conditions: &Conditions, at: i64, spell: Spell) -> bool {
    conditions.is_provable(at.min(spell.until - 1))
}
