//! The truth table of [`decide`], row by row.

use std::sync::Arc;
use std::time::Duration;

use clerk_resilience::clock::{Moment, Timestamp};
use clerk_resilience::id::{OrgId, UserId};
use clerk_resilience::internals::decide::{
    Caller, Credential, CredentialDecision, GraceDenial, RequestFacts, Rules, Sighting,
    Unavailable, Usage, decide,
};
use clerk_resilience::internals::health::{
    Drain, EvidenceClass, FailureKind, Forced, Health, Observation, Outcome, Report, Surface,
    Verdict,
};
use clerk_resilience::internals::revocation::Denial;
use clerk_resilience::internals::snapshot::Snapshot;
use clerk_resilience::machine::{MachineQuestion, MachineToken};
use clerk_resilience::sim::SimOrganization;
use clerk_resilience::token::{InvalidToken, Timing, TokenKind};
use clerk_resilience::verify::Verified;
use clerk_resilience::{Access, Factor, GracePolicy, Rejection, Reverification, RoutePolicy};
use test_support::world::start_of_time;

use crate::scene::{
    ALL, API, DOCUMENT, at, known, rejection, rules, ruling, seen, sim, token, unknown, verified,
    with,
};

#[test]
fn row_1_a_preflight_is_answered_in_every_state_of_clerk() {
    for verdict in ALL {
        let asking = RequestFacts { preflight: true, ..API };
        let credential = Credential::Invalid(InvalidToken::Signature);
        let decision = ruling(&credential, asking, verdict, at(0));
        assert!(matches!(decision, CredentialDecision::AnswerPreflight), "{verdict:?}");
        let public = RequestFacts { public: true, ..asking };
        let decision = ruling(&credential, public, verdict, at(0));
        assert!(matches!(decision, CredentialDecision::PassAnonymous(_)), "{verdict:?}");
        let (known, optional) = (known(verdict, at(0)), RoutePolicy::optional());
        let decision = decide(&credential, asking, &optional, &rules(), &known, at(0));
        assert!(matches!(decision, CredentialDecision::PassAnonymous(_)), "{verdict:?}");
    }
}

#[test]
fn row_2_an_open_route_passes_everything_with_its_reason() {
    let unknown = unknown();
    let token = verified(&token(&[]));
    for verdict in ALL {
        let now = at(300);
        let credentials = [
            Credential::Absent,
            Credential::Invalid(InvalidToken::Malformed),
            Credential::UnknownKey { token: &unknown, timing: Timing::Current },
            with(&token, now, None),
        ];
        for credential in credentials {
            let known = known(verdict, now);
            let optional = RoutePolicy::optional();
            let decision = decide(&credential, API, &optional, &rules(), &known, now);
            assert!(
                matches!(decision, CredentialDecision::PassAnonymous(_)),
                "{verdict:?} {credential:?}"
            );
            let public = RequestFacts { public: true, ..API };
            let decision = ruling(&credential, public, verdict, now);
            assert!(
                matches!(decision, CredentialDecision::PassAnonymous(_)),
                "{verdict:?} {credential:?}"
            );
        }
    }
}

#[test]
fn row_2_an_optional_route_rejects_sessions_without_its_role() {
    let token = verified(&token(&[]));
    let now = at(10);
    let demanding = RoutePolicy::optional().role("org:admin");
    let ask = |credential: &Credential<'_>, asking| {
        decide(credential, asking, &demanding, &rules(), &known(Verdict::Healthy, now), now)
    };
    let session = with(&token, now, None);
    assert_eq!(rejection(&ask(&session, API)), Rejection::Forbidden);
    let public = ask(&session, RequestFacts { public: true, ..API });
    assert!(
        matches!(public, CredentialDecision::PassAnonymous(Rejection::Forbidden)),
        "{public:?}"
    );
    for credential in [Credential::Absent, Credential::Invalid(InvalidToken::Signature)] {
        let decision = ask(&credential, API);
        assert!(matches!(decision, CredentialDecision::PassAnonymous(_)), "{decision:?}");
    }
}

#[test]
fn row_3_an_invalid_token_is_always_401() {
    for verdict in ALL {
        for reason in [InvalidToken::Malformed, InvalidToken::Signature, InvalidToken::Issuer] {
            for asking in [API, DOCUMENT] {
                let decision = ruling(&Credential::Invalid(reason), asking, verdict, at(0));
                assert_eq!(rejection(&decision), Rejection::Invalid(reason), "{verdict:?}");
            }
        }
    }
}

#[test]
fn row_4_a_revoked_session_is_always_401() {
    let session = &sim().1;
    let token = verified(&token(&[]));
    for verdict in ALL {
        for now in [at(10), at(300)] {
            let mut known = known(verdict, now);
            let until = now.wall.plus(Duration::from_secs(1));
            known.revocations = known.revocations.with_session(&session.id, until);
            let credential = with(&token, now, seen());
            let route = RoutePolicy::required();
            let decision = decide(&credential, API, &route, &rules(), &known, now);
            assert_eq!(rejection(&decision), Rejection::Revoked, "{verdict:?}");
        }
    }
}

/// A token of an organisation, of version 1 or 2, with claims that are older than itself.
fn of_member(version: u8) -> Verified {
    let (sim, session) = sim();
    let organization = SimOrganization::new("org_1", "acme").role("admin");
    let token = sim.token(session).issued(start_of_time());
    let token = token.organization(organization.permission("org:invoices:read"));
    let token = if version == 1 { token.version1() } else { token };
    verified(&token.header("oiat", start_of_time().as_secs() - 20).sign())
}

/// Dated by the claims of [`of_member`], and a moment earlier.
fn around(denial: impl Fn(Timestamp) -> Denial) -> [(Denial, bool); 2] {
    let then = start_of_time().minus(Duration::from_secs(20));
    [(denial(then), true), (denial(then.minus(Duration::from_millis(1))), false)]
}

/// Of [`of_member`]: the time of its claims, the time of its signature, and a moment before each.
fn at_both_times(denial: impl Fn(Timestamp) -> Denial) -> [(Denial, Option<Rejection>); 4] {
    let (read, signed) = (start_of_time().minus(Duration::from_secs(20)), start_of_time());
    let stale = Rejection::Unavailable(Unavailable::StaleClaims);
    let before = |at: Timestamp| denial(at.minus(Duration::from_millis(1)));
    [
        (denial(signed), Some(Rejection::NoMember)),
        (before(signed), Some(stale)),
        (denial(read), Some(stale)),
        (before(read), None),
    ]
}

#[test]
fn rows_4a_4b_a_revoked_membership_is_always_rejected() {
    let (user, other) = (UserId::new("user_1"), UserId::new("user_2"));
    let (org, another) = (OrgId::new("org_1"), OrgId::new("org_2"));
    let (token, late) = (of_member(2), start_of_time().plus(Duration::from_secs(9)));
    let mut rows = vec![
        (Denial::Member(other, org.clone(), late), None),
        (Denial::Member(user.clone(), another.clone(), late), None),
        (Denial::Organization(another, late), None),
    ];
    rows.extend(at_both_times(|at| Denial::Member(user.clone(), org.clone(), at)));
    rows.extend(at_both_times(|at| Denial::Organization(org.clone(), at)));
    for (denial, refused) in rows {
        for (verdict, now) in ALL.into_iter().flat_map(|v| [(v, at(10)), (v, at(80))]) {
            let ask = |token: &Verified, denials: &[Denial]| {
                let mut known = known(verdict, now);
                known.revocations = known.revocations.with_all(denials);
                let route = RoutePolicy::required();
                decide(&with(token, now, seen()), API, &route, &rules(), &known, now)
            };
            let (plain, found) = (ask(&token, &[]), ask(&token, std::slice::from_ref(&denial)));
            if let Some(refused) = refused {
                assert_eq!(rejection(&found), refused, "{denial:?} {verdict:?}");
            } else {
                assert_eq!(format!("{found:?}"), format!("{plain:?}"), "{denial:?} {verdict:?}");
            }
            let alone = verified(&self::token(&[]));
            let (plain, found) = (ask(&alone, &[]), ask(&alone, std::slice::from_ref(&denial)));
            assert_eq!(format!("{found:?}"), format!("{plain:?}"), "no organisation");
        }
    }
}

#[test]
fn a_certain_denial_precedes_a_removable_one() {
    let (token, now) = (of_member(2), at(10));
    let (read, signed) = (start_of_time().minus(Duration::from_secs(20)), start_of_time());
    let user = |at| Denial::User("user_1".into(), at);
    let member = |at| Denial::Member("user_1".into(), "org_1".into(), at);
    let stale = Rejection::Unavailable(Unavailable::StaleClaims);
    for (denials, refused) in [
        (vec![user(read)], stale),
        (vec![user(read), member(read)], stale),
        (vec![user(read), member(signed)], Rejection::NoMember),
        (vec![user(signed), member(read)], Rejection::Revoked),
        (vec![user(signed), member(signed)], Rejection::Revoked),
    ] {
        for kept in [false, true] {
            let mut known = known(Verdict::Healthy, now);
            let set = if kept { &mut known.kept } else { &mut known.revocations };
            *set = std::mem::take(set).with_all(&denials);
            let route = RoutePolicy::required();
            let found = decide(&with(&token, now, seen()), API, &route, &rules(), &known, now);
            assert_eq!(rejection(&found), refused, "{denials:?}");
        }
    }
}

#[test]
fn a_token_with_an_outdated_role_gets_no_grace() {
    let (user, org) = (UserId::new("user_1"), OrgId::new("org_1"));
    let late = start_of_time().plus(Duration::from_secs(9));
    let claims_as_of = start_of_time().minus(Duration::from_secs(20));
    let sighting = seen().map(|seen| Sighting { claims_as_of, ..seen });
    let name = |key: &str| Some(key.to_owned());
    let mut rows = vec![
        (Denial::Outdated("user_2".into(), org.clone(), late), false),
        (Denial::Outdated(user.clone(), "org_2".into(), late), false),
        (Denial::Role(name("org:member"), late), false),
        (Denial::Role(name("invoices:read"), late), false),
        (Denial::Permission(name("org:invoices:write"), late), false),
        (Denial::Permission(name("admin"), late), false),
    ];
    rows.extend(around(|at| Denial::Outdated(user.clone(), org.clone(), at)));
    for key in [name("org:admin"), name("admin"), None] {
        rows.extend(around(|at| Denial::Role(key.clone(), at)));
    }
    for key in [name("org:invoices:read"), name("invoices:read"), None] {
        rows.extend(around(|at| Denial::Permission(key.clone(), at)));
    }
    for (denial, denied) in rows {
        for token in [of_member(1), of_member(2)] {
            let ask = |verdict, now| {
                let mut known = known(verdict, now);
                known.revocations = known.revocations.with_all(std::slice::from_ref(&denial));
                let route = RoutePolicy::required();
                decide(&with(&token, now, sighting), API, &route, &rules(), &known, now)
            };
            assert!(
                matches!(ask(Verdict::Outage, at(10)), CredentialDecision::Pass(_)),
                "within its time"
            );
            let (outage, bridge) = (ask(Verdict::Outage, at(80)), ask(Verdict::Suspect, at(80)));
            if denied {
                let reason = Unavailable::GraceDenied(GraceDenial::Outdated);
                assert_eq!(rejection(&outage), Rejection::Unavailable(reason), "{denial:?}");
                let uncertain = Rejection::Unavailable(Unavailable::Uncertain);
                assert_eq!(rejection(&bridge), uncertain, "{denial:?}");
            } else {
                assert!(matches!(outage, CredentialDecision::Pass(_)), "{denial:?}: {outage:?}");
                assert!(matches!(bridge, CredentialDecision::Pass(_)), "{denial:?}: {bridge:?}");
            }
        }
    }
}

#[test]
fn a_token_without_an_issue_time_counts_as_older() {
    let (sim, session) = sim();
    let organization = SimOrganization::new("org_1", "acme");
    let token = sim.token(session).issued(start_of_time()).organization(organization);
    let token = verified(&token.without_claim("iat").sign());
    let mut known = known(Verdict::Healthy, at(10));
    let denial = Denial::Organization("org_1".into(), Timestamp::default());
    known.revocations = known.revocations.with_all(&[denial]);
    let route = RoutePolicy::required();
    let found = decide(&with(&token, at(10), None), API, &route, &rules(), &known, at(10));
    assert_eq!(rejection(&found), Rejection::NoMember);
}

#[test]
fn row_5_a_token_with_a_wrong_date_is_always_401() {
    let future = start_of_time().as_secs() + 10_000;
    let early = verified(&token(&[("nbf", future.into())]));
    let issued = verified(&token(&[("iat", future.into())]));
    for verdict in ALL {
        for (token, now, reason) in [
            (&early, at(10), InvalidToken::Claim),
            (&issued, at(10), InvalidToken::Claim),
            (&early, at(300), InvalidToken::Expired),
            (&issued, at(300), InvalidToken::Expired),
        ] {
            let decision = ruling(&with(token, now, seen()), API, verdict, now);
            match (reason, rejection(&decision)) {
                (InvalidToken::Expired, Rejection::Invalid(InvalidToken::Expired))
                | (
                    InvalidToken::Claim,
                    Rejection::Invalid(InvalidToken::NotYet | InvalidToken::IssuedInFuture),
                ) => {}
                (_, other) => panic!("{verdict:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn row_6_a_valid_token_always_passes() {
    let token = verified(&token(&[]));
    for verdict in ALL {
        let decision = ruling(&with(&token, at(10), None), API, verdict, at(10));
        let CredentialDecision::Pass(auth) = decision else { panic!("{verdict:?}: {decision:?}") };
        assert!(auth.grace().is_none());
    }
}

#[test]
fn row_6_a_session_has_the_signed_claims() {
    let (sim, session) = sim();
    let acme = SimOrganization::new("org_1", "acme").role("admin").permission("org:posts:read");
    let token = sim.token(session).issued(start_of_time()).organization(acme).sign();
    let token = verified(&token);
    let decision = ruling(&with(&token, at(10), None), API, Verdict::Healthy, at(10));
    let CredentialDecision::Pass(auth) = decision else { panic!("{decision:?}") };
    assert_eq!((auth.user_id(), auth.session_id()), (&session.user, Some(&session.id)));
    assert_eq!(auth.organization().expect("one").id.as_str(), "org_1");
    assert!(auth.has_role("org:admin") && !auth.has_role("org:member"));
    assert!(auth.has_permission("org:posts:read") && !auth.has_permission("org:posts:write"));
    assert!(auth.has(&Access::role("org:admin")) && !auth.has(&Access::role("org:member")));
    let caller = Caller::User(auth);
    assert!(caller.user().is_some() && caller.machine().is_none());
}

#[test]
fn row_6_a_route_requires_everything_it_names() {
    let (sim, session) = sim();
    let acme = SimOrganization::new("org_1", "acme").permission("org:posts:read");
    let token = sim.token(session).issued(start_of_time()).organization(acme);
    let token = verified(&token.claim("pla", "u:pro").claim("fea", "o:posts,u:teams").sign());
    let ask = |route: &RoutePolicy| {
        let known = known(Verdict::Healthy, at(10));
        decide(&with(&token, at(10), None), API, route, &rules(), &known, at(10))
    };
    let all = |role: &'static str| {
        let route = RoutePolicy::required().role(role).permission("org:posts:read");
        route.feature("teams").plan("pro")
    };
    assert!(matches!(ask(&all("org:member")), CredentialDecision::Pass(_)));
    assert_eq!(rejection(&ask(&all("org:admin"))), Rejection::Forbidden, "the first is not lost");
    let instead = all("org:admin").access(Access::role("org:member"));
    assert!(matches!(ask(&instead), CredentialDecision::Pass(_)));
}

#[test]
fn row_6_a_pending_session_is_401_and_a_missing_role_403() {
    let pending = verified(&token(&[("sts", "pending".into())]));
    let plain = verified(&token(&[]));
    let now = at(10);
    let ask = |token, route: &RoutePolicy| {
        let known = known(Verdict::Healthy, now);
        decide(&with(token, now, None), API, route, &rules(), &known, now)
    };
    assert_eq!(rejection(&ask(&pending, &RoutePolicy::required())), Rejection::Pending);
    let accepting = RoutePolicy::required().accept_pending();
    assert!(matches!(ask(&pending, &accepting), CredentialDecision::Pass(_)));
    for route in [
        RoutePolicy::required().role("org:admin"),
        RoutePolicy::required().permission("org:billing:manage"),
    ] {
        assert_eq!(rejection(&ask(&plain, &route)), Rejection::Forbidden);
    }
}

#[test]
fn row_6_an_impossible_verification_is_not_required() {
    let token = verified(&token(&[("fva", serde_json::json!([0, 0]))]));
    let known = known(Verdict::Healthy, at(10));
    let ask = |within_minutes| {
        let demand = Reverification { level: Factor::Second, within_minutes };
        let route = RoutePolicy::required().reverification(demand);
        decide(&with(&token, at(10), None), API, &route, &rules(), &known, at(10))
    };
    assert_eq!(rejection(&ask(0)), Rejection::Forbidden);
    assert!(matches!(ask(1), CredentialDecision::Pass(_)));
}

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
fn row_12_an_unknown_key_waits_once_and_then_gets_503() {
    let unknown = unknown();
    let credential = Credential::UnknownKey { token: &unknown, timing: Timing::Current };
    for verdict in ALL {
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

#[test]
fn row_2a_a_token_older_than_a_day_counts_as_none() {
    let (unknown, token) = (unknown(), verified(&token(&[])));
    let timing = Timing::ExpiredForGood;
    let usage = Usage::default();
    let old = Credential::Verified { token: &token, timing, sighting: seen(), usage };
    let unknown = Credential::UnknownKey { token: &unknown, timing };
    for verdict in ALL {
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

/// What an API key stands for, by Clerk's answer with these members over the usual ones.
fn api_key(over: &serde_json::Value) -> Arc<MachineToken> {
    let mut answer = serde_json::json!({
        "id": "key_1", "subject": "user_1", "scopes": [], "revoked": false, "expired": false,
        "created_at": start_of_time().as_millis(),
    });
    let over = over.as_object().expect("members").clone();
    answer.as_object_mut().expect("members").extend(over);
    let api = "https://api.clerk.com/".parse().expect("an address");
    let question = MachineQuestion::about("ak_1", &api).expect("an API key");
    let told = question.answer(http::StatusCode::OK, answer.to_string().as_bytes());
    Arc::new(told.expect("an answer"))
}

fn for_keys() -> RoutePolicy {
    RoutePolicy::required().accepts([TokenKind::ApiKey])
}

fn of_machine(
    token: &Arc<MachineToken>,
    route: &RoutePolicy,
    known: &Snapshot,
) -> CredentialDecision {
    let credential = Credential::Machine { token, signed: false };
    decide(&credential, API, route, &rules(), known, at(10))
}

#[test]
fn row_17_a_token_kind_not_accepted_is_always_401() {
    let mismatch = Rejection::Invalid(InvalidToken::Kind);
    let (session, key) = (verified(&token(&[])), api_key(&serde_json::json!({})));
    for verdict in ALL {
        let known = known(verdict, at(10));
        let decision = of_machine(&key, &RoutePolicy::required(), &known);
        assert_eq!(rejection(&decision), mismatch, "{verdict:?}");
        let opaque = Credential::Opaque { kind: TokenKind::OAuth, untold: None };
        for credential in [with(&session, at(10), None), opaque] {
            let decision = decide(&credential, API, &for_keys(), &rules(), &known, at(10));
            assert_eq!(rejection(&decision), mismatch, "{verdict:?} {credential:?}");
        }
    }
}

#[test]
fn rows_18_19_machines_get_no_grace() {
    let over = start_of_time().plus(Duration::from_secs(10)).as_millis();
    for verdict in ALL {
        let mut known = known(verdict, at(10));
        let ask = |over, known: &Snapshot| of_machine(&api_key(&over), &for_keys(), known);
        let decision = ask(serde_json::json!({ "expiration": over + 1 }), &known);
        assert!(matches!(decision, CredentialDecision::PassMachine(_)), "{verdict:?}");
        let expired = Rejection::Invalid(InvalidToken::Expired);
        for (over, expected) in [
            (serde_json::json!({ "expiration": over }), expired),
            (serde_json::json!({ "expired": true }), expired),
            (serde_json::json!({ "revoked": true }), Rejection::Revoked),
        ] {
            assert_eq!(rejection(&ask(over, &known)), expected, "{verdict:?}");
        }
        let demanding = for_keys().role("org:admin");
        let decision = of_machine(&api_key(&serde_json::json!({})), &demanding, &known);
        assert_eq!(rejection(&decision), Rejection::Forbidden);
        let mut of_organization = known.clone();
        let gone = Denial::Organization("org_1".into(), at(0).wall);
        of_organization.revocations = known.revocations.clone().with_all(&[gone]);
        for (over, passes) in [
            (serde_json::json!({ "subject": "org_1" }), false),
            (serde_json::json!({ "subject": "org_2" }), true),
        ] {
            let decision = ask(over, &of_organization);
            assert_eq!(
                matches!(decision, CredentialDecision::PassMachine(_)),
                passes,
                "{decision:?}"
            );
        }
        known.revocations = known.revocations.with_token(&"key_1".into(), at(20).wall);
        let decision = ask(serde_json::json!({}), &known);
        assert_eq!(rejection(&decision), Rejection::Revoked, "{verdict:?}");
    }
}

#[test]
fn row_18_a_machine_has_the_identity_from_clerk() {
    let (made, over) = (at(0).wall, at(20).wall);
    let told = api_key(&serde_json::json!({
        "scopes": ["a", "b"], "claims": { "team": 7 }, "name": "ci", "client_id": "client_1",
        "created_at": made.as_millis(), "expiration": over.as_millis(),
    }));
    let decision = of_machine(&told, &for_keys(), &known(Verdict::Healthy, at(10)));
    let CredentialDecision::PassMachine(machine) = decision else { panic!("{decision:?}") };
    assert_eq!(machine.kind(), TokenKind::ApiKey);
    assert_eq!((machine.id(), machine.subject()), ("key_1", "user_1"));
    assert_eq!((machine.name(), machine.client_id()), (Some("ci"), Some("client_1")));
    assert_eq!((machine.created_at(), machine.expires_at()), (Some(made), Some(over)));
    assert_eq!(machine.scopes(), ["a", "b"]);
    assert!(machine.has_scope("b") && !machine.has_scope("c"));
    assert_eq!(machine.claims().expect("claims")["team"], 7);
    let shown = format!("{machine:?}");
    assert!(shown.contains("key_1") && shown.contains("user_1"), "{shown}");
    assert!(!shown.contains("team"), "{shown}");
    let caller = Caller::Machine(machine);
    assert!(caller.machine().is_some() && caller.user().is_none());
}

#[test]
fn row_19_a_signed_machine_token_needs_usable_keys() {
    let key = api_key(&serde_json::json!({}));
    let mut known = known(Verdict::Healthy, at(10));
    known.keys.confirmed = Some(at(0).wall.minus(Duration::from_secs(8 * 24 * 60 * 60)));
    let ask = |signed| {
        let credential = Credential::Machine { token: &key, signed };
        decide(&credential, API, &for_keys(), &rules(), &known, at(10))
    };
    assert_eq!(rejection(&ask(true)), Rejection::Unavailable(Unavailable::NoKeys));
    assert!(matches!(ask(false), CredentialDecision::PassMachine(_)));
}

#[test]
fn rows_20_to_22_an_opaque_token_is_looked_up_or_503() {
    let untold = |untold| Credential::Opaque { kind: TokenKind::ApiKey, untold };
    for verdict in ALL {
        let known = known(verdict, at(10));
        let ask = |credential: &Credential<'_>, route: &RoutePolicy| {
            decide(credential, API, route, &rules(), &known, at(10))
        };
        let optional = RoutePolicy::optional().accepts([TokenKind::ApiKey]);
        for route in [for_keys(), optional] {
            assert!(
                matches!(ask(&untold(None), &route), CredentialDecision::AskClerk),
                "{verdict:?}"
            );
        }
        for reason in [Unavailable::BackendApi, Unavailable::NoSecretKey] {
            let decision = ask(&untold(Some(reason)), &for_keys());
            assert_eq!(rejection(&decision), Rejection::Unavailable(reason), "{verdict:?}");
        }
        assert_eq!(rejection(&ask(&Credential::Absent, &for_keys())), Rejection::Missing);
    }
}

#[test]
fn row_21_an_opaque_token_is_503_at_once_without_a_backend() {
    let outcome = Outcome::Failed(EvidenceClass::Authentic, FailureKind::Status(503));
    for (surface, dead) in [(Surface::BackendApi, true), (Surface::SessionMint, false)] {
        let (latency, outcome) = (Duration::ZERO, outcome.clone());
        let seen = Observation { surface, at: at(10), latency, outcome, clock_skew_millis: None };
        let mut health = Health::default();
        health.observe(&seen);
        health.observe(&seen);
        let mut known = known(Verdict::Healthy, at(10));
        known.health = health.report(at(10));
        let credential = Credential::Opaque { kind: TokenKind::ApiKey, untold: None };
        let decision = decide(&credential, API, &for_keys(), &rules(), &known, at(10));
        if dead {
            let expected = Rejection::Unavailable(Unavailable::BackendApi);
            assert_eq!(rejection(&decision), expected);
        } else {
            assert!(matches!(decision, CredentialDecision::AskClerk), "{decision:?}");
        }
    }
}
