//! Rows 4a and 4b: ended and changed memberships.

use std::time::Duration;

use clerk_resilience::clock::Timestamp;
use clerk_resilience::id::{OrgId, UserId};
use clerk_resilience::internals::decide::{
    CredentialDecision, GraceDenial, Sighting, Unavailable, decide,
};
use clerk_resilience::internals::health::Verdict;
use clerk_resilience::internals::revocation::Denial;
use clerk_resilience::sim::SimOrganization;
use clerk_resilience::verify::Verified;
use clerk_resilience::{Rejection, RoutePolicy};
use test_support::world::{VERDICTS, start_of_time};

use super::super::context::{API, at, known, rejection, rules, seen, sim, token, verified, with};

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
        for (verdict, now) in VERDICTS.into_iter().flat_map(|v| [(v, at(10)), (v, at(80))]) {
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
