//! What came of the requests, counted.

use std::collections::BTreeMap;

use demo_support::outcome::Outcome;
use serde::Serialize;

use crate::truth::Should;
use crate::visit::{Kind, Seen};

/// Everything that happened to one application in one scenario.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Tally {
    /// Requests of live sessions.
    pub(crate) live: u64,
    /// Of these, those that should pass, during trouble and its drain.
    pub(crate) in_trouble: u64,
    /// And those of these that did.
    pub(crate) in_trouble_served: u64,
    /// Requests that should pass and did not, by what they got.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Readings with an expired token that the policy neither grants nor forbids.
    pub(crate) open: u64,
    /// Of these, those that were not served.
    pub(crate) open_refused: u64,
    /// Writings with an expired token during trouble.
    pub(crate) writes: u64,
    /// Of these, those that were not served.
    pub(crate) writes_refused: u64,
    /// Requests served in grace.
    pub(crate) grace: u64,
    /// Requests served in grace that should not be.
    pub(crate) undue_grace: u64,
    /// 401 for holders of live sessions.
    pub(crate) unauthorized: u64,
    /// Redirects of holders of live sessions to Clerk.
    pub(crate) redirects: u64,
    /// Visits that ended there, on an error.
    pub(crate) stranded: u64,
    /// Visits that went in circles.
    pub(crate) loops: u64,
    /// Requests that should be refused.
    pub(crate) unwelcome: u64,
    /// And those of these that were served, by who sent them.
    pub(crate) passed: BTreeMap<String, u64>,
    /// Requests that programs did not send, for want of a token.
    pub(crate) unsent: u64,
}

impl Tally {
    /// A request of a live session; `troubled` while minting fails and until the drain is over.
    pub(crate) fn note(&mut self, kind: Kind, should: Should, troubled: bool, seen: Seen) {
        let served = seen.outcome.is_served();
        let grace = seen.outcome == Outcome::Grace;
        self.live += 1;
        self.redirects += u64::from(seen.sent);
        self.stranded += u64::from(seen.stranded);
        self.loops += u64::from(seen.looped);
        self.unauthorized += u64::from(seen.outcome == Outcome::Unauthorized);
        self.grace += u64::from(grace);
        match should {
            Should::Pass => {
                if troubled {
                    self.in_trouble += 1;
                    self.in_trouble_served += u64::from(served);
                }
                if !served {
                    *self.refused.entry(name(seen)).or_default() += 1;
                }
            }
            Should::NotInGrace => self.undue_grace += u64::from(grace),
            Should::Either if kind == Kind::Form => {
                self.writes += 1;
                self.writes_refused += u64::from(!served);
            }
            Should::Either => {
                self.open += 1;
                self.open_refused += u64::from(!served);
            }
        }
    }

    /// A request of somebody who should not be served.
    pub(crate) fn note_unwelcome(&mut self, who: &str, seen: Seen) {
        self.unwelcome += 1;
        if seen.outcome.is_served() {
            *self.passed.entry(who.to_owned()).or_default() += 1;
        }
    }

    pub(crate) fn passes(&self) -> u64 {
        self.passed.values().sum()
    }
}

fn name(seen: Seen) -> String {
    match seen.outcome {
        _ if seen.looped => "loop".to_owned(),
        _ if seen.stranded => "stranded at Clerk".to_owned(),
        Outcome::Silence => "silence".to_owned(),
        outcome => outcome.to_string(),
    }
}
