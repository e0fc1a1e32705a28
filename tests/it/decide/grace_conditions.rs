//! The conditions of grace, each on its bound and one instant beyond.

use std::time::Duration;

use clerk_resilience::clock::{Moment, Timestamp};
use clerk_resilience::internals::decide::{
    Credential, CredentialDecision, GraceDenial, RequestFacts, Rules, Sighting, Unavailable, Usage,
    decide,
};
use clerk_resilience::internals::health::{Drain, Outages, Verdict};
use clerk_resilience::internals::snapshot::{DenyList, Snapshot};
use clerk_resilience::token::InvalidToken;
use clerk_resilience::verify::Verified;
use clerk_resilience::{Grace, GraceAccess, GracePolicy, GraceReason, Rejection, RoutePolicy};
use test_support::world::start_of_time;

use super::context::{API, at, known, rejection, rules, seen, sim, token, verified, with};

/// An expired token and all that its grace depends on.
struct Scene {
    token: Verified,
    now: Moment,
    known: Snapshot,
    rules: Rules,
    route: RoutePolicy,
    asking: RequestFacts,
    sighting: Sighting,
    usage: Usage,
}

/// All conditions hold, so many seconds after the token was made; it lives for sixty.
fn scene(secs: u64) -> Scene {
    Scene {
        token: verified(&token(&[])),
        now: at(secs),
        known: known(Verdict::Outage, at(secs)),
        rules: rules(),
        route: RoutePolicy::required(),
        asking: API,
        sighting: seen().expect("seen"),
        usage: Usage { last_passed: Some(at(secs).wall), in_minute: 1 },
    }
}

impl Scene {
    fn but(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn under(self, grace: GracePolicy) -> Self {
        self.but(|scene| scene.rules.grace = grace)
    }

    /// The outage began so many seconds after the token was made.
    fn outage_since(self, secs: i64) -> Self {
        self.but(|scene| {
            scene.known.health.outages = Outages::default();
            scene.known.health.outages.begin(after(secs), scene.now.wall);
        })
    }

    fn decided(&self) -> CredentialDecision {
        let credential = Credential::Verified {
            token: &self.token,
            timing: self.token.timing(self.now.wall, Duration::ZERO),
            sighting: Some(self.sighting),
            usage: self.usage,
        };
        decide(&credential, self.asking, &self.route, &self.rules, &self.known, self.now)
    }

    #[track_caller]
    fn passes(&self) -> Grace {
        let CredentialDecision::Pass(auth) = self.decided() else { panic!("{:?}", self.decided()) };
        auth.grace().expect("the token has expired").clone()
    }

    #[track_caller]
    fn denied(&self, denial: GraceDenial) {
        let expected = Rejection::Unavailable(Unavailable::GraceDenied(denial));
        assert_eq!(rejection(&self.decided()), expected);
    }
}

fn after(secs: i64) -> Timestamp {
    Timestamp::from_millis(start_of_time().as_millis() + secs * 1_000)
}

#[test]
fn grace_states_its_reason_and_its_end() {
    let outage = scene(80).outage_since(70).passes();
    assert_eq!((outage.reason, outage.since), (GraceReason::Outage, after(70)));
    assert_eq!((outage.until, outage.judged_at), (after(3_660), after(80)));
    assert_eq!(outage.claims_as_of, start_of_time());
    let drain = Drain::between(at(60), at(60));
    let recovery = scene(80).outage_since(70).but(|scene| {
        scene.known.health.verdict = Verdict::Recovering;
        scene.known.health.drain = Some(drain);
        scene.known.health.outages.end(after(75));
    });
    let recovery = recovery.passes();
    assert_eq!((recovery.reason, recovery.since), (GraceReason::Recovery, after(70)));
    assert_eq!(recovery.until, after(3_660));
    let bridge = scene(80).but(|scene| scene.known.health.verdict = Verdict::Suspect).passes();
    assert_eq!((bridge.reason, bridge.since), (GraceReason::Bridge, after(60)));
    assert_eq!(bridge.until, after(90));
}

#[test]
fn g1_dry_run_and_disabled_grace_are_distinct_reasons() {
    let dry = || GracePolicy::balanced().report_only();
    scene(80).under(dry()).denied(GraceDenial::ReportOnly);
    scene(3_661).under(dry()).denied(GraceDenial::TooLate);
    scene(80).under(GracePolicy::disabled()).denied(GraceDenial::Disabled);
}

#[test]
fn g3_a_token_with_over_ten_minutes_lifetime_gets_no_grace() {
    let living = |secs| {
        let (sim, session) = sim();
        let token = sim.token(session).issued(start_of_time());
        let token = verified(&token.lifetime(Duration::from_secs(secs)).sign());
        scene(secs + 1).but(|scene| scene.token = token)
    };
    living(600).passes();
    living(601).denied(GraceDenial::LongLived);
}

#[test]
fn g4_a_token_or_a_sighting_proves_a_session_alive_at_start() {
    let unseen = |scene: &mut Scene| scene.sighting.last_valid = after(-1_000);
    scene(300).outage_since(120).but(unseen).passes();
    scene(300).outage_since(121).but(unseen).denied(GraceDenial::NotAliveAtStart);
    scene(700).outage_since(600).passes();
    scene(700).outage_since(601).denied(GraceDenial::NotAliveAtStart);
    let suspected = |scene: &mut Scene| scene.known.health.verdict = Verdict::Suspect;
    scene(80).outage_since(-90_000).but(unseen).but(suspected).passes();
}

#[test]
fn g5_grace_ends_one_hour_after_the_token_expired() {
    scene(3_660).passes();
    scene(3_661).denied(GraceDenial::TooLate);
    scene(3_660).but(|scene| scene.known.started = Some(at(0))).passes();
    let set_back = |scene: &mut Scene| scene.now.wall = after(3_000);
    let lived = scene(3_661).but(|scene| scene.known.started = Some(at(0))).but(set_back);
    let known = |scene: &mut Scene| scene.known.renewed = Some(scene.now);
    lived.but(known).denied(GraceDenial::TooLate);
}

#[test]
fn g5_episode_and_daily_budgets_are_separate() {
    scene(3_600).outage_since(-3_600).passes();
    scene(3_600).outage_since(-3_601).denied(GraceDenial::BudgetSpent);
    let day = || GracePolicy::balanced().day_budget("1h");
    scene(3_600).outage_since(0).under(day()).passes();
    scene(3_600).outage_since(-1).under(day()).denied(GraceDenial::BudgetSpent);
    let suspected = |scene: &mut Scene| scene.known.health.verdict = Verdict::Suspect;
    scene(80).outage_since(-20_000).but(suspected).passes();
}

#[test]
fn g6_older_claims_than_those_seen_are_a_replay() {
    scene(80).passes();
    let newer = Timestamp::from_millis(start_of_time().as_millis() + 1);
    let replayed = scene(80).but(|scene| scene.sighting.claims_as_of = newer);
    replayed.denied(GraceDenial::Superseded);
}

#[test]
fn g8_an_external_deny_list_has_a_configurable_age_bound() {
    let fed = |secs| {
        let complete = Some(at(secs));
        scene(160).but(|scene| scene.known.feeds.deny_list = DenyList::External { complete })
    };
    fed(100).passes();
    fed(99).denied(GraceDenial::DenyListIncomplete);
    let soon = || GracePolicy::balanced().deny_list_within("30s");
    fed(130).under(soon()).passes();
    fed(129).under(soon()).denied(GraceDenial::DenyListIncomplete);
}

#[test]
fn g9_a_webhook_precedes_the_outage_or_the_expiry_shortly() {
    let told = |secs, verdict| {
        let policy = GracePolicy::balanced().webhooks_within("5min");
        scene(80).outage_since(50).under(policy).but(|scene| {
            scene.known.feeds.webhook = Some(after(secs));
            scene.known.health.verdict = verdict;
        })
    };
    told(-250, Verdict::Outage).passes();
    told(-251, Verdict::Outage).denied(GraceDenial::WebhooksSilent);
    told(-240, Verdict::Suspect).passes();
    let uncertain = Rejection::Unavailable(Unavailable::Uncertain);
    assert_eq!(rejection(&told(-241, Verdict::Suspect).decided()), uncertain);
}

#[test]
fn g10_impersonated_and_pending_sessions_get_no_grace() {
    let actor = serde_json::json!({ "sub": "user_2" });
    let acting = verified(&token(&[("act", actor)]));
    scene(80).but(|scene| scene.token = acting).denied(GraceDenial::Impersonation);
    let pending = verified(&token(&[("sts", "pending".into())]));
    let route = RoutePolicy::required().accept_pending();
    let pending = scene(80).but(|scene| (scene.token, scene.route) = (pending, route));
    pending.denied(GraceDenial::NotActive);
}

#[test]
fn g11_g16_grace_obeys_the_route_and_the_same_origin_rule() {
    let ask = |access, safe, same_origin| {
        scene(80).but(|scene| {
            scene.route = RoutePolicy::required().grace(access);
            scene.asking = RequestFacts { safe, same_origin, ..API };
        })
    };
    for same_origin in [false, true] {
        for safe in [false, true] {
            ask(GraceAccess::Never, safe, same_origin).denied(GraceDenial::Route);
        }
        ask(GraceAccess::SafeMethods, true, same_origin).passes();
        ask(GraceAccess::SafeMethods, false, same_origin).denied(GraceDenial::Route);
        ask(GraceAccess::Full, true, same_origin).passes();
    }
    ask(GraceAccess::Full, false, true).passes();
    ask(GraceAccess::Full, false, false).denied(GraceDenial::CrossOrigin);
}

#[test]
fn g13_a_session_ends_by_age_and_by_inactivity() {
    let old = || GracePolicy::balanced().max_age("10min");
    scene(600).under(old()).passes();
    scene(601).under(old()).denied(GraceDenial::TooOld);
    let idle = |secs, used: Option<i64>| {
        let policy = GracePolicy::balanced().max_idle("5min");
        scene(secs).under(policy).but(|scene| scene.usage.last_passed = used.map(after))
    };
    idle(300, None).passes();
    idle(301, None).denied(GraceDenial::Idle);
    idle(400, Some(100)).passes();
    idle(401, Some(100)).denied(GraceDenial::Idle);
    idle(300, Some(-100)).passes();
}

#[test]
fn g14_requests_per_session_and_minute_are_limited() {
    scene(80).but(|scene| scene.usage.in_minute = 120).passes();
    scene(80).but(|scene| scene.usage.in_minute = 121).denied(GraceDenial::TooOften);
    let few = || scene(80).under(GracePolicy::balanced().requests_per_minute(5));
    few().but(|scene| scene.usage.in_minute = 5).passes();
    few().but(|scene| scene.usage.in_minute = 6).denied(GraceDenial::TooOften);
}

#[test]
fn g1_recovery_ends_grace_at_a_different_moment_per_session() {
    // Ids as random as Clerk's.
    let id = |n: u64| format!("sess_{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let tokens: Vec<Verified> =
        (1..=100).map(|n| verified(&token(&[("sid", id(n).into())]))).collect();
    let passing = |drain: Drain, secs| {
        let mut known = known(Verdict::Recovering, at(secs));
        known.health.drain = Some(drain);
        let passes = |token: &&Verified| {
            let credential = with(token, at(secs), seen());
            let route = RoutePolicy::required();
            let decision = decide(&credential, API, &route, &rules(), &known, at(secs));
            matches!(decision, CredentialDecision::Pass(_))
        };
        tokens.iter().filter(passes).count()
    };
    let slow = Drain::between(at(20), at(20));
    for (secs, least, most) in
        [(80, 100, 100), (86, 65, 95), (92, 45, 75), (98, 25, 55), (104, 5, 35), (110, 0, 0)]
    {
        let passing = passing(slow, secs);
        assert!((least..=most).contains(&passing), "{passing} of 100 after {secs} s");
    }
    let sudden = Drain::between(at(0), at(30));
    assert_eq!((passing(sudden, 89), passing(sudden, 90)), (100, 0));
}

#[test]
fn g1_the_recovery_moment_is_the_same_in_every_process() {
    let draining = |secs, id: &str| {
        let token = verified(&token(&[("sid", id.into())]));
        scene(secs).but(|scene| {
            scene.token = token;
            scene.known.health.verdict = Verdict::Recovering;
            scene.known.health.drain = Some(Drain::between(at(20), at(20)));
        })
    };
    let expired = Rejection::Invalid(InvalidToken::Expired);
    for (id, last) in [("sess_1", 89), ("sess_a", 98)] {
        draining(last, id).passes();
        assert_eq!(rejection(&draining(last + 1, id).decided()), expired, "{id}");
    }
}

#[test]
fn every_reason_for_grace_or_against_it_has_its_own_name() {
    use GraceDenial as No;
    for (denial, code) in [
        (No::Disabled, "disabled"),
        (No::ReportOnly, "report-only"),
        (No::NoOutage, "no-outage"),
        (No::StaleKeys, "stale-keys"),
        (No::LongLived, "long-lived"),
        (No::NotAliveAtStart, "not-alive-at-start"),
        (No::TooLate, "too-late"),
        (No::BudgetSpent, "budget-spent"),
        (No::NeverSeen, "never-seen"),
        (No::Superseded, "superseded"),
        (No::DenyListIncomplete, "deny-list-incomplete"),
        (No::WebhooksSilent, "webhooks-silent"),
        (No::Impersonation, "impersonation"),
        (No::NotActive, "not-active"),
        (No::Route, "route"),
        (No::TooOld, "too-old"),
        (No::Idle, "idle"),
        (No::TooOften, "too-often"),
        (No::Unbounded, "unbounded"),
        (No::CrossOrigin, "cross-origin"),
    ] {
        assert_eq!(denial.code(), code);
        assert_eq!(Rejection::Unavailable(Unavailable::GraceDenied(denial)).reason(), code);
    }
    for (reason, name) in [
        (GraceReason::Outage, "outage"),
        (GraceReason::Recovery, "recovery"),
        (GraceReason::Bridge, "bridge"),
    ] {
        assert_eq!(reason.name(), name);
    }
}

#[test]
fn g5_a_zero_bound_gives_no_grace_at_the_first_instant() {
    let token = verified(&token(&[]));
    let now = at(60);
    let mut known = known(Verdict::Outage, now);
    known.health.outages = Outages::default();
    known.health.outages.begin(now.wall, now.wall);
    let ask = |grace| {
        let timing = token.timing(now.wall, Duration::ZERO);
        let (sighting, usage) = (seen(), Usage { last_passed: None, in_minute: 1 });
        let credential = Credential::Verified { token: &token, timing, sighting, usage };
        let rules = Rules { grace, ..Rules::default() };
        decide(&credential, API, &RoutePolicy::required(), &rules, &known, now)
    };
    let policy = GracePolicy::balanced;
    assert!(matches!(ask(policy()), CredentialDecision::Pass(_)));
    for (grace, denial) in [
        (policy().max_grace("0"), GraceDenial::TooLate),
        (policy().episode_budget("0"), GraceDenial::BudgetSpent),
        (policy().day_budget("0"), GraceDenial::BudgetSpent),
    ] {
        let expected = Rejection::Unavailable(Unavailable::GraceDenied(denial));
        assert_eq!(rejection(&ask(grace)), expected);
    }
}

#[test]
fn g6_a_token_without_a_session_is_no_evidence_for_itself() {
    let (sim, session) = sim();
    let nameless = sim.token(session).issued(start_of_time()).without_claim("sid").sign();
    let grace = GracePolicy::balanced().dangerously_trust_the_token_alone();
    let rules = Rules { grace, ..Rules::default() };
    let ask = |text: &str| {
        let token = verified(text);
        let (credential, known) = (with(&token, at(80), None), known(Verdict::Outage, at(80)));
        decide(&credential, API, &RoutePolicy::required(), &rules, &known, at(80))
    };
    assert!(matches!(ask(&token(&[])), CredentialDecision::Pass(_)));
    let never = Rejection::Unavailable(Unavailable::GraceDenied(GraceDenial::NeverSeen));
    assert_eq!(rejection(&ask(&nameless)), never);
}

#[test]
fn g2_keys_older_than_a_day_give_no_grace() {
    let token = verified(&token(&[]));
    let mut known = known(Verdict::Outage, at(80));
    let day = Duration::from_secs(24 * 60 * 60);
    let route = RoutePolicy::required();
    let mut ask = |confirmed: Timestamp| {
        known.keys.confirmed = Some(confirmed);
        decide(&with(&token, at(80), seen()), API, &route, &rules(), &known, at(80))
    };
    assert!(matches!(ask(at(80).wall.minus(day)), CredentialDecision::Pass(_)));
    assert!(matches!(ask(at(79).wall.minus(day)), CredentialDecision::Reject(_)));
}
