//! Rows 7 to 11, 2a, and 13 to 16: expired tokens, and none.

use std::time::Duration;

use clerk_resilience::clock::Moment;
use clerk_resilience::internals::decide::{
    Credential, CredentialDecision, RequestFacts, Rules, Unavailable, Usage, decide,
};
use clerk_resilience::internals::health::{
    Drain, EvidenceClass, FailureKind, Forced, Health, Observation, Outcome, Report, Surface,
    Verdict,
};
use clerk_resilience::token::{InvalidToken, Timing};
use clerk_resilience::{GracePolicy, Rejection, RoutePolicy};
use test_support::world::VERDICTS;

use super::super::context::{
    API, DOCUMENT, at, known, rejection, rules, ruling, seen, token, unknown, verified, with,
};

#[test]
fn rows_7_to_11_an_expired_token_by_the_state_of_clerk() {
    let token = verified(&token(&[]));
    let expired = Rejection::Invalid(InvalidToken::Expired);
    let uncertain = Rejection::Unavailable(Unavailable::Uncertain);
    for (verdict, secs, expected) in [
        (Verdict::Healthy, 80, Some(expired)),
        (Verdict::Recovering, 80, Some(expired)),
        (Verdict::Outage, 80, None),
        (Verdict::Outage, 3_660, None),
        (Verdict::Suspect, 80, None),
        (Verdict::Suspect, 90, None),
        (Verdict::Suspect, 91, Some(uncertain)),
        (Verdict::Isolated, 80, Some(uncertain)),
        (Verdict::Unknown, 80, Some(uncertain)),
    ] {
        let decision = ruling(&with(&token, at(secs), seen()), API, verdict, at(secs));
        if let Some(expected) = expected {
            assert_eq!(rejection(&decision), expected, "{verdict:?} {secs}");
            continue;
        }
        let CredentialDecision::Pass(auth) = decision else { panic!("{verdict:?}: {decision:?}") };
        assert!(auth.grace().is_some(), "{verdict:?}");
    }
    let late = ruling(&with(&token, at(3_661), seen()), API, Verdict::Outage, at(3_661));
    assert!(matches!(rejection(&late), Rejection::Unavailable(Unavailable::GraceDenied(_))));
}

/// Health in which this surface failed once, at that moment, and Clerk is well.
fn shaken(surface: Surface, at: Moment) -> Report {
    let outcome = Outcome::Failed(EvidenceClass::Authentic, FailureKind::Status(503));
    let latency = Duration::ZERO;
    let mut health = Health::default();
    health.observe(&Observation { surface, at, latency, outcome, clock_skew_millis: None });
    let mut report = health.report(at);
    report.verdict = Verdict::Healthy;
    report
}

#[test]
fn row_8_a_failed_renewal_in_the_last_90_s_is_503() {
    let token = verified(&token(&[]));
    let now = at(200);
    let ask = |asking, health: Report| {
        let mut known = known(Verdict::Healthy, now);
        known.health = health;
        let route = RoutePolicy::required();
        rejection(&decide(&with(&token, now, seen()), asking, &route, &rules(), &known, now))
    };
    let expired = Rejection::Invalid(InvalidToken::Expired);
    let uncertain = Rejection::Unavailable(Unavailable::Uncertain);
    for (surface, answer) in [
        (Surface::SessionMint, uncertain),
        (Surface::Handshake, uncertain),
        (Surface::BackendApi, expired),
    ] {
        assert_eq!(ask(API, shaken(surface, at(110))), answer, "{surface:?}");
        assert_eq!(ask(API, shaken(surface, at(109))), expired, "{surface:?}");
        assert_eq!(ask(DOCUMENT, shaken(surface, at(110))), expired, "{surface:?}");
    }
    let mut declared = shaken(Surface::SessionMint, at(110));
    declared.forced = Some(Forced { verdict: Verdict::Healthy, from: now, until: at(300) });
    assert_eq!(ask(API, declared), expired, "an operator says that Clerk is well");
}

#[test]
fn rows_9_10_draining_answers_503_only_to_temporary_denials() {
    let token = verified(&token(&[]));
    let now = at(80);
    let mut known = known(Verdict::Recovering, now);
    known.health.drain = Some(Drain::between(at(60), at(60)));
    let ask = |sighting, grace| {
        let rules = Rules { grace, ..rules() };
        let (credential, asking) =
            (with(&token, now, sighting), RequestFacts { safe: false, ..API });
        rejection(&decide(&credential, asking, &RoutePolicy::required(), &rules, &known, now))
    };
    let expired = Rejection::Invalid(InvalidToken::Expired);
    let uncertain = Rejection::Unavailable(Unavailable::Uncertain);
    assert_eq!(ask(seen(), GracePolicy::balanced()), uncertain, "reading would pass");
    assert_eq!(ask(None, GracePolicy::balanced()), expired, "nothing would pass");
    assert_eq!(ask(seen(), GracePolicy::balanced().report_only()), uncertain);
    assert_eq!(ask(seen(), GracePolicy::disabled()), uncertain);
}

#[test]
fn row_10_without_grace_a_recovery_is_503_and_pages_redirect() {
    let token = verified(&token(&[]));
    let expired = Rejection::Invalid(InvalidToken::Expired);
    let uncertain = Rejection::Unavailable(Unavailable::Uncertain);
    for grace in [GracePolicy::disabled(), GracePolicy::balanced().report_only()] {
        let rules = Rules { grace, ..Rules::default() };
        for (asking, expected) in [(API, uncertain), (DOCUMENT, expired)] {
            let (credential, now) = (with(&token, at(80), seen()), at(80));
            let (known, route) = (known(Verdict::Recovering, now), RoutePolicy::required());
            let decision = decide(&credential, asking, &route, &rules, &known, now);
            assert_eq!(rejection(&decision), expected);
        }
    }
}

#[test]
fn row_2a_a_token_older_than_a_day_counts_as_none() {
    let (unknown, token) = (unknown(), verified(&token(&[])));
    let timing = Timing::ExpiredForGood;
    let usage = Usage::default();
    let old = Credential::Verified { token: &token, timing, sighting: seen(), usage };
    let unknown = Credential::UnknownKey { token: &unknown, timing };
    for verdict in VERDICTS {
        for asking in [API, DOCUMENT] {
            let none = rejection(&ruling(&Credential::Absent, asking, verdict, at(300)));
            for credential in [&old, &unknown] {
                let found = rejection(&ruling(credential, asking, verdict, at(300)));
                assert_eq!(found, none, "{verdict:?}");
            }
        }
    }
}

#[test]
fn rows_13_to_16_no_token_by_the_state_of_clerk() {
    let uncertain = Rejection::Unavailable(Unavailable::Uncertain);
    let outage = Rejection::Unavailable(Unavailable::Outage);
    for (verdict, api, document, document_without_page) in [
        (Verdict::Healthy, Rejection::Missing, Rejection::SignIn, Rejection::Missing),
        (Verdict::Recovering, Rejection::Missing, Rejection::SignIn, Rejection::Missing),
        (Verdict::Outage, outage, outage, outage),
        (Verdict::Suspect, Rejection::Missing, uncertain, Rejection::Missing),
        (Verdict::Isolated, Rejection::Missing, uncertain, Rejection::Missing),
        (Verdict::Unknown, Rejection::Missing, uncertain, Rejection::Missing),
    ] {
        let ask = |asking| rejection(&ruling(&Credential::Absent, asking, verdict, at(10)));
        assert_eq!(ask(API), api, "{verdict:?}");
        assert_eq!(ask(DOCUMENT), document, "{verdict:?}");
        let stay = RequestFacts { may_sign_in: false, ..DOCUMENT };
        assert_eq!(ask(stay), document_without_page, "{verdict:?}");
    }
}

#[test]
fn only_an_unverifiable_credential_gets_retry_after() {
    let soon = Rejection::Unavailable(Unavailable::Uncertain);
    assert_eq!(soon.retry_after(), Some((5, 8)));
    for later in [Rejection::Unavailable(Unavailable::Outage), Rejection::FreshRequired] {
        assert_eq!((later.status().as_u16(), later.retry_after()), (503, Some((10, 30))));
    }
    for never in [Rejection::Missing, Rejection::Revoked, Rejection::Forbidden] {
        assert_eq!(never.retry_after(), None);
    }
}
