//! What was promised, and what came of it.

use clerk_resilience::Verdict;
use demo_support::outcome::Outcome;

use crate::browser::Kind;
use crate::table::clock;

/// One second of the outage.
#[derive(Debug)]
pub(crate) struct Second {
    pub(crate) event: Option<&'static str>,
    pub(crate) clerk: &'static str,
    pub(crate) verdict: Verdict,
    /// Requests to Clerk so far, by the layer and by plain verification.
    pub(crate) asked: [u64; 2],
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Server {
    Layer,
    Plain,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Asker {
    /// Has a session that was alive when the outage began.
    Person {
        name: &'static str,
        kind: Kind,
    },
    Stranger(Stranger),
}

/// Those who are not to be served, and one who is not among them yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stranger {
    /// Has no token.
    Nobody,
    /// Has a token that another key signed.
    Forger,
    /// Has the token of a session that ended before.
    Ended,
    /// Has signed out at the application.
    SignedOut,
    /// Is about to.
    NotYet,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) second: u64,
    pub(crate) server: Server,
    pub(crate) asker: Asker,
    pub(crate) outcome: Outcome,
}

/// Everything that happened.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) seconds: Vec<Second>,
    pub(crate) answers: Vec<Answer>,
}

impl Tally {
    pub(crate) fn count(&self, wanted: impl Fn(&Answer) -> bool) -> usize {
        self.answers.iter().filter(|answer| wanted(answer)).count()
    }

    /// What the layer should have done and did not.
    pub(crate) fn broken_promises(&self) -> Vec<String> {
        let layer = self.answers.iter().filter(|answer| answer.server == Server::Layer);
        let mut broken: Vec<String> = layer.filter_map(broken_promise).collect();
        if self.count(|answer| answer.outcome == Outcome::Grace) == 0 {
            broken.push("nobody was ever served in grace, so nothing was shown".to_owned());
        }
        broken
    }
}

fn broken_promise(answer: &Answer) -> Option<String> {
    let (who, welcome) = match answer.asker {
        Asker::Person { name, .. } => (name, true),
        Asker::Stranger(Stranger::NotYet) => ("a user who is signed in", true),
        Asker::Stranger(Stranger::Nobody) => ("a visitor without a token", false),
        Asker::Stranger(Stranger::Forger) => ("a forged token", false),
        Asker::Stranger(Stranger::Ended) => ("the token of a session that ended before", false),
        Asker::Stranger(Stranger::SignedOut) => ("a user who signed out", false),
    };
    let (at, outcome) = (clock(answer.second), answer.outcome);
    match (welcome, outcome.is_served()) {
        (true, false) => Some(format!("{at} {who} was to be served, and got {outcome}")),
        (false, true) => Some(format!("{at} {who} was to be refused, and got {outcome}")),
        _ => None,
    }
}
