//! Rows 17 to 22: machines.

use std::sync::Arc;
use std::time::Duration;

use clerk_resilience::internals::decide::{
    Caller, Credential, CredentialDecision, Unavailable, decide,
};
use clerk_resilience::internals::health::{
    EvidenceClass, FailureKind, Health, Observation, Outcome, Surface, Verdict,
};
use clerk_resilience::internals::revocation::Denial;
use clerk_resilience::internals::snapshot::Snapshot;
use clerk_resilience::machine::{MachineQuestion, MachineToken};
use clerk_resilience::token::{InvalidToken, TokenKind};
use clerk_resilience::{Rejection, RoutePolicy};
use test_support::world::{VERDICTS, start_of_time};

use super::super::context::{API, at, known, rejection, rules, token, verified, with};

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
    for verdict in VERDICTS {
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
    for verdict in VERDICTS {
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
    for verdict in VERDICTS {
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
