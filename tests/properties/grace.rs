//! The judgement of genuine tokens, against the reference.

use clerk_resilience::internals::decide::{Credential, CredentialDecision, decide};
use clerk_resilience::{GraceReason, Verdict};
use proptest::prelude::*;

use crate::case::{Case, Taken};
use crate::cases::cases;
use crate::reference::{Expected, judge};

fn decided(case: &Case) -> CredentialDecision {
    let (token, now) = (case.verified(), case.moment());
    let timing = token.timing(now.wall, std::time::Duration::from_secs(5));
    let (sighting, usage) = (case.seen(), case.usage());
    let credential = Credential::Verified { token: &token, timing, sighting, usage };
    decide(&credential, case.asking(), &case.route(), &case.rules(), &case.snapshot(), now)
}

fn passes(case: &Case) -> bool {
    matches!(decided(case), CredentialDecision::Pass(_))
}

fn agree(case: &Case) -> Result<(), TestCaseError> {
    let (decided, expected) = (decided(case), judge(case));
    let open = case.optional || case.public;
    match (&decided, &expected) {
        _ if case.preflight && open => {
            prop_assert!(matches!(decided, CredentialDecision::PassAnonymous(_)), "{decided:?}");
        }
        _ if case.preflight => {
            prop_assert!(matches!(decided, CredentialDecision::AnswerPreflight), "{decided:?}");
        }
        (CredentialDecision::Pass(auth), Expected::Fresh) => prop_assert!(auth.grace().is_none()),
        (CredentialDecision::Pass(auth), Expected::Grace(until)) => {
            let grace = auth.grace().expect("the token has expired");
            let (reason, since) = match case.verdict {
                Verdict::Outage => (GraceReason::Outage, case.start),
                Verdict::Recovering => (GraceReason::Recovery, case.start),
                _ => (GraceReason::Bridge, 0),
            };
            prop_assert_eq!(grace.reason, reason);
            prop_assert_eq!(grace.since, case.after_exp(since));
            prop_assert_eq!(grace.until, case.after_exp(*until));
            prop_assert_eq!(grace.judged_at, case.after_exp(case.now));
            prop_assert_eq!(
                grace.claims_as_of,
                test_support::token::at(case.token().claims_as_of())
            );
        }
        (CredentialDecision::PassAnonymous(found), Expected::Refused(all)) => {
            let lacking = found.status() == 403 || found.code() == "step_up_unavailable";
            prop_assert!(open && all.contains(found), "{found:?}, not one of {all:?}");
            prop_assert!(case.public || !lacking, "{found:?}");
        }
        (CredentialDecision::Reject(found), Expected::Refused(all)) => {
            let lacking = found.status() == 403 || found.code() == "step_up_unavailable";
            prop_assert!(all.contains(found), "{found:?}, not one of {all:?}");
            prop_assert!(!open || (lacking && !case.public), "{found:?}");
        }
        _ => prop_assert!(false, "{decided:?}, not {expected:?}"),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4_000,
        max_shrink_iters: 0, // a case is small, and shrinking it takes minutes
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn decisions_agree_with_the_policy(case in cases()) {
        agree(&case)?;
    }

    #[test]
    fn later_time_never_adds_grace(case in cases(), later in 1..7_200_000_i64) {
        let later = Case { now: case.now + later, ..case.clone() };
        let expired = case.now >= 5_000;
        prop_assert!(!expired || passes(&case) || !passes(&later));
    }

    #[test]
    fn a_revocation_never_lets_a_request_pass(case in cases()) {
        for taken in [Taken::Session, Taken::Token, Taken::UserAtIssue, Taken::Member] {
            let revoked = Case { taken, ..case.clone() };
            prop_assert!(!passes(&revoked));
        }
    }
}
