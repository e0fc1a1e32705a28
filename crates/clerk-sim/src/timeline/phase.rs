//! One phase of a scenario: a span of time and its fault.

use std::time::Duration;

use super::super::fault::{SimBody, SimFault};
use super::super::status_page::{SimBoard, SimComponentState};
use super::component::TimelineComponent;
use super::wire::{RawBehaviour, RawComponents, RawPhase};

#[derive(Clone, Debug)]
pub(super) struct Phase {
    pub(super) start: i64,
    /// First second after the phase; `None` if the phase never ends.
    pub(super) end: Option<i64>,
    repeat: Option<Repeat>,
    pub(super) component: TimelineComponent,
    pub(super) label: Option<String>,
    /// The fault and its share of the requests; `None` if the component is healthy.
    pub(super) fault: Option<(f64, SimFault)>,
    /// Content of the status page during the phase.
    pub(super) board: Option<SimBoard>,
}

/// Repetition of a phase: every `every` seconds, for `lasts` seconds.
#[derive(Clone, Copy, Debug)]
struct Repeat {
    every: i64,
    lasts: i64,
}

impl Phase {
    /// Parses a phase. `total` is the scenario's length in seconds; it bounds a phase without a
    /// duration.
    pub(super) fn new(raw: RawPhase, total: Option<u32>) -> Result<Self, &'static str> {
        let start = i64::from(raw.offset_s);
        let end = match raw.duration_s {
            Some(length) => Some(start + i64::from(length)),
            None => total.map(i64::from),
        };
        Ok(Self {
            start,
            end,
            repeat: Repeat::new(&raw.behaviour)?,
            component: TimelineComponent::named(&raw.component),
            label: raw.label,
            fault: fault(&raw.behaviour)?,
            board: board(raw.behaviour),
        })
    }

    /// Returns whether the phase is active, which a repeated phase is not in its pauses.
    pub(super) fn is_on(&self, at: i64) -> bool {
        self.spans(at)
            && self.repeat.is_none_or(|repeat| repeat.is_on(at.saturating_sub(self.start)))
    }

    fn spans(&self, at: i64) -> bool {
        at >= self.start && self.end.is_none_or(|end| at < end)
    }

    /// Returns whether two phases share a second, pauses included.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let later = self.start.max(other.start);
        self.spans(later) && other.spans(later)
    }

    /// Returns the next second after `at` at which the phase becomes active or inactive.
    pub(super) fn next_change(&self, at: i64) -> Option<i64> {
        if at < self.start {
            return Some(self.start);
        }
        let end = self.end.unwrap_or(i64::MAX);
        let turn = self.repeat.map_or(i64::MAX, |repeat| repeat.next_turn(at, self.start));
        Some(turn.min(end)).filter(|change| *change > at && *change < i64::MAX)
    }
}

impl Repeat {
    fn new(raw: &RawBehaviour) -> Result<Option<Self>, &'static str> {
        match (raw.repeat_every_s, raw.repeat_for_s) {
            (None, None) => Ok(None),
            (Some(every), Some(lasts)) if every > 0 => {
                Ok(Some(Self { every: i64::from(every), lasts: i64::from(lasts.min(every)) }))
            }
            _ => Err("repeat_every_s, more than 0, and repeat_for_s belong together"),
        }
    }

    fn is_on(self, since: i64) -> bool {
        since.rem_euclid(self.every) < self.lasts
    }

    fn next_turn(self, at: i64, start: i64) -> i64 {
        let into = at.saturating_sub(start).rem_euclid(self.every);
        let turn = if into < self.lasts { self.lasts } else { self.every };
        at.saturating_add(turn - into)
    }
}

fn fault(raw: &RawBehaviour) -> Result<Option<(f64, SimFault)>, &'static str> {
    let rate = raw.rate.unwrap_or(1.0);
    if !(0.0..=1.0).contains(&rate) {
        return Err("rate is a share from 0 to 1");
    }
    if raw.status.is_some_and(|status| !(200..600).contains(&status)) {
        return Err("status is an HTTP status from 200 to 599");
    }
    let latency = raw.latency_ms.map(|millis| Duration::from_millis(millis.into()));
    let fault = match (failure(raw), latency) {
        (Some(failure), Some(latency)) => Some(failure.after(latency)),
        (None, Some(latency)) => Some(SimFault::Latency(latency)),
        (failure, None) => failure,
    };
    Ok(fault.filter(|_| rate > 0.0).map(|fault| (rate, fault)))
}

/// Returns the fault without its latency.
fn failure(raw: &RawBehaviour) -> Option<SimFault> {
    if raw.dns_failure {
        return Some(SimFault::Dns);
    }
    if raw.refused {
        return Some(SimFault::Refused);
    }
    if raw.timeout {
        return Some(SimFault::Hang);
    }
    let status = raw.status.filter(|status| *status >= 400)?;
    let fault = SimFault::status(status);
    Some(match (status, raw.error_code.as_deref()) {
        (422, Some("missing_expired_token")) => SimFault::MissingExpiredToken,
        (_, Some("maintenance_mode")) => fault.body(SimBody::Maintenance),
        (_, Some(code)) => fault.body(SimBody::Clerk(code.to_owned())),
        (429, None) => fault.body(SimBody::Empty),
        (502..=504, None) => fault.body(SimBody::CdnHtml),
        (_, None) => fault,
    })
}

fn board(raw: RawBehaviour) -> Option<SimBoard> {
    let incident = raw.state.as_deref().map(|state| state == "incident_open");
    match raw.components {
        Some(RawComponents::Everything(state)) => {
            Some(SimBoard::everything(&SimComponentState::named(&state)))
        }
        Some(RawComponents::Each(states)) => {
            let named = |(name, state): (String, String)| (name, SimComponentState::named(&state));
            let components = states.into_iter().map(named).collect();
            Some(SimBoard { incident: incident.unwrap_or(true), components })
        }
        None => incident.map(|incident| SimBoard { incident, ..SimBoard::default() }),
    }
}
