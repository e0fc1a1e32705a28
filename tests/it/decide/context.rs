//! One request and what is known at its time, for the judgement alone.

use std::sync::OnceLock;
use std::time::Duration;

use clerk_resilience::clock::Moment;
use clerk_resilience::internals::decide::{
    ClientKind, Credential, CredentialDecision, RequestFacts, Rules, Sighting, Usage, decide,
};
use clerk_resilience::internals::health::{Outages, Verdict};
use clerk_resilience::internals::snapshot::Snapshot;
use clerk_resilience::jwks::KeySet;
use clerk_resilience::sim::{SimClerk, SimClock, SimSession};
use clerk_resilience::token::Expectations;
use clerk_resilience::verify::{UnknownKey, Unverified, Verified, verify};
use clerk_resilience::{GracePolicy, Rejection, RoutePolicy};
use test_support::world::start_of_time;

pub(crate) const LEEWAY: Duration = Duration::from_secs(5);
pub(crate) const API: RequestFacts = RequestFacts {
    reader: ClientKind::Api,
    safe: true,
    same_origin: false,
    preflight: false,
    public: false,
    may_sign_in: true,
    visit: false,
    settled: false,
};
pub(crate) const DOCUMENT: RequestFacts =
    RequestFacts { reader: ClientKind::Document, visit: true, ..API };

/// One Clerk for all rows, at a time that stands still.
pub(crate) fn sim() -> &'static (SimClerk, SimSession) {
    static SIM: OnceLock<(SimClerk, SimSession)> = OnceLock::new();
    SIM.get_or_init(|| {
        let sim = SimClerk::builder().clock(SimClock::starting_at(start_of_time())).build();
        let session = sim.sign_in("user_1");
        (sim, session)
    })
}

/// A token made at the start of time, however long the tests before it took.
pub(crate) fn token(claims: &[(&str, serde_json::Value)]) -> String {
    let (sim, session) = sim();
    let token = sim.token(session).issued(start_of_time());
    claims.iter().fold(token, |token, (name, value)| token.claim(*name, value.clone())).sign()
}

pub(crate) fn keys() -> KeySet {
    KeySet::parse(sim().0.jwks().to_string().as_bytes()).expect("a key set")
}

pub(crate) fn expectations() -> Expectations {
    Expectations::session_tokens(sim().0.publishable_key().issuer())
}

pub(crate) fn verified(token: &str) -> Verified {
    verify(token, &keys(), &expectations()).expect("a good token")
}

pub(crate) fn unknown() -> UnknownKey {
    let (sim, session) = sim();
    let token = sim.token(session).issued(start_of_time()).kid("ins_other").forged().sign();
    match verify(&token, &keys(), &expectations()) {
        Err(Unverified::UnknownKey(unknown)) => unknown,
        other => panic!("{other:?}"),
    }
}

/// The present: so many seconds after the tokens were made.
pub(crate) fn at(secs: u64) -> Moment {
    let wall = start_of_time().plus(Duration::from_secs(secs));
    Moment { wall, mono: Duration::from_secs(1_000 + secs) }
}

pub(crate) fn known(verdict: Verdict, now: Moment) -> Snapshot {
    let mut known = Snapshot::default();
    known.keys.set = keys();
    known.keys.confirmed = Some(start_of_time().minus(Duration::from_secs(30)));
    known.health.verdict = verdict;
    known.health.clock_sane = true;
    known.renewed = (verdict != Verdict::Unknown).then_some(now);
    let mut outages = Outages::default();
    outages.begin(start_of_time(), now.wall);
    known.health.outages = outages;
    known
}

pub(crate) fn rules() -> Rules {
    Rules { grace: GracePolicy::balanced(), ..Rules::default() }
}

pub(crate) fn ruling(
    credential: &Credential<'_>,
    asking: RequestFacts,
    verdict: Verdict,
    now: Moment,
) -> CredentialDecision {
    decide(credential, asking, &RoutePolicy::required(), &rules(), &known(verdict, now), now)
}

pub(crate) fn rejection(decision: &CredentialDecision) -> Rejection {
    match decision {
        CredentialDecision::Reject(rejection) => *rejection,
        other => panic!("{other:?}"),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as the ledger answers")]
pub(crate) fn seen() -> Option<Sighting> {
    Some(Sighting { last_valid: start_of_time(), claims_as_of: start_of_time() })
}

pub(crate) fn with(token: &Verified, now: Moment, sighting: Option<Sighting>) -> Credential<'_> {
    let usage = Usage { last_passed: Some(now.wall), in_minute: 1 };
    Credential::Verified { token, timing: token.timing(now.wall, LEEWAY), sighting, usage }
}
