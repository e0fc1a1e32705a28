//! Rows 1 to 6: preflights, open routes, revoked and valid sessions.

use std::time::Duration;

use clerk_resilience::internals::decide::{
    Caller, Credential, CredentialDecision, RequestFacts, decide,
};
use clerk_resilience::internals::health::Verdict;
use clerk_resilience::sim::SimOrganization;
use clerk_resilience::token::{InvalidToken, Timing};
use clerk_resilience::{Access, Factor, Rejection, Reverification, RoutePolicy};
use test_support::world::{VERDICTS, start_of_time};

use super::super::context::{
    API, DOCUMENT, at, known, rejection, rules, ruling, seen, sim, token, unknown, verified, with,
};

#[test]
fn row_1_a_preflight_is_answered_in_every_state_of_clerk() {
    for verdict in VERDICTS {
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
    for verdict in VERDICTS {
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
    for verdict in VERDICTS {
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
    for verdict in VERDICTS {
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

#[test]
fn row_5_a_token_with_a_wrong_date_is_always_401() {
    let future = start_of_time().as_secs() + 10_000;
    let early = verified(&token(&[("nbf", future.into())]));
    let issued = verified(&token(&[("iat", future.into())]));
    for verdict in VERDICTS {
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
    for verdict in VERDICTS {
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
