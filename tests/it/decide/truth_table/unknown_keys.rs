//! Row 12: tokens whose key is unknown.

use std::time::Duration;

use clerk_resilience::clock::Timestamp;
use clerk_resilience::internals::decide::{
    Credential, CredentialDecision, RequestFacts, Unavailable, decide,
};
use clerk_resilience::internals::health::Verdict;
use clerk_resilience::token::{InvalidToken, Timing};
use clerk_resilience::{Rejection, RoutePolicy};
use test_support::world::VERDICTS;

use super::super::context::{
    API, at, known, rejection, rules, ruling, token, unknown, verified, with,
};

#[test]
fn row_12_an_unknown_key_waits_once_and_then_gets_503() {
    let unknown = unknown();
    let credential = Credential::UnknownKey { token: &unknown, timing: Timing::Current };
    for verdict in VERDICTS {
        let decision = ruling(&credential, API, verdict, at(10));
        assert!(matches!(decision, CredentialDecision::AwaitKeys), "{verdict:?}");
        let settled = RequestFacts { settled: true, ..API };
        let decision = ruling(&credential, settled, verdict, at(10));
        let expected = Rejection::Unavailable(Unavailable::UnknownKey);
        assert_eq!(rejection(&decision), expected, "{verdict:?}");
    }
}

#[test]
fn row_12_keys_confirmed_after_the_token_are_conclusive() {
    let unknown = unknown();
    let credential = Credential::UnknownKey { token: &unknown, timing: Timing::Current };
    let route = RoutePolicy::required();
    let ask = |confirmed: u64, settled| {
        let mut known = known(Verdict::Healthy, at(12));
        known.keys.confirmed = Some(at(confirmed).wall);
        decide(&credential, RequestFacts { settled, ..API }, &route, &rules(), &known, at(12))
    };
    let invalid = Rejection::Invalid(InvalidToken::UnknownKey);
    assert_eq!(rejection(&ask(10, false)), invalid);
    assert!(matches!(ask(9, false), CredentialDecision::AwaitKeys));
    assert_eq!(rejection(&ask(12, true)), invalid, "refreshed for this very request");
    let unsettled = Rejection::Unavailable(Unavailable::UnknownKey);
    assert_eq!(rejection(&ask(9, true)), unsettled, "the refresh failed");
}

#[test]
fn row_12_no_request_waits_during_the_cooldown() {
    let unknown = unknown();
    let credential = Credential::UnknownKey { token: &unknown, timing: Timing::Current };
    let mut known = known(Verdict::Healthy, at(10));
    known.keys.refresh_after = Some(at(11).mono);
    let route = RoutePolicy::required();
    let decision = decide(&credential, API, &route, &rules(), &known, at(10));
    assert_eq!(rejection(&decision), Rejection::Unavailable(Unavailable::UnknownKey));
}

#[test]
fn row_12_expired_keys_verify_nothing() {
    let token = verified(&token(&[]));
    let mut known = known(Verdict::Healthy, at(10));
    let week = Duration::from_secs(7 * 24 * 60 * 60);
    let route = RoutePolicy::required();
    let forged = Credential::Invalid(InvalidToken::Signature);
    let mut ask = |credential: &Credential<'_>, confirmed: Timestamp| {
        known.keys.confirmed = Some(confirmed);
        decide(credential, API, &route, &rules(), &known, at(10))
    };
    let good = with(&token, at(10), None);
    let (fresh, old) = (at(10).wall.minus(week), at(9).wall.minus(week));
    assert!(matches!(ask(&good, fresh), CredentialDecision::Pass(_)));
    let invalid = Rejection::Invalid(InvalidToken::Signature);
    assert_eq!(rejection(&ask(&forged, fresh)), invalid);
    for credential in [&good, &forged] {
        let decision = ask(credential, old);
        assert_eq!(rejection(&decision), Rejection::Unavailable(Unavailable::NoKeys));
    }
}
