//! The judgement of a genuine token once more, written from the policy: which conditions fail, and
//! what follows from that.

use clerk_resilience::internals::decide::{GraceDenial, Rejection, Unavailable};
use clerk_resilience::token::InvalidToken;
use clerk_resilience::{GraceAccess, Reverification, Verdict};
use test_support::token::Kind;

use crate::case::{Case, Demand, Feed, HOUR, MINUTE, Mode, SECOND, Taken};

/// What the reference expects.
#[derive(Debug)]
pub(crate) enum Expected {
    Fresh,
    /// Until this long after `exp`.
    Grace(i64),
    /// One of these; the order of the conditions is nobody's business.
    Refused(Vec<Rejection>),
}

pub(crate) fn judge(case: &Case) -> Expected {
    let refused = |rejection| Expected::Refused(vec![rejection]);
    if case.keys_age.is_none_or(|age| age > 7 * 24 * HOUR) {
        return refused(Rejection::Unavailable(Unavailable::NoKeys));
    }
    let old = case.kind == Kind::OldClaims;
    match case.taken {
        Taken::Session | Taken::Token | Taken::UserAtIssue => return refused(Rejection::Revoked),
        Taken::Member if !old => return refused(Rejection::NoMember),
        // Only the time at which the claims were read keeps it out.
        Taken::Member | Taken::UserBeforeIssue if old => {
            return refused(Rejection::Unavailable(Unavailable::StaleClaims));
        }
        _ => {}
    }
    let issued = if case.kind == Kind::LongLived { -30 * 24 * HOUR } else { -MINUTE };
    if case.kind == Kind::NotYet && case.now < -5 * SECOND {
        return refused(Rejection::Invalid(InvalidToken::NotYet));
    }
    if case.now >= 5 * SECOND {
        return expired(case);
    }
    if case.now < issued - 5 * SECOND {
        return refused(Rejection::Invalid(InvalidToken::IssuedInFuture));
    }
    let stale = Rejection::Reverify(Reverification::STRICT);
    demanded(case, age(case) / MINUTE, stale).map_or(Expected::Fresh, refused)
}

/// How old the claims are.
fn age(case: &Case) -> i64 {
    let lifetime = if case.kind == Kind::LongLived { 30 * 24 * HOUR } else { MINUTE };
    let read_earlier = if case.kind == Kind::OldClaims { 5 * MINUTE } else { 0 };
    (case.now + lifetime + read_earlier).max(0)
}

/// What the route demands beyond a session. The claims are so many minutes old; a verification that
/// is too old is answered with `stale`.
fn demanded(case: &Case, minutes: i64, stale: Rejection) -> Option<Rejection> {
    if case.kind == Kind::Pending && !case.accepts_pending {
        return Some(Rejection::Pending);
    }
    match case.demand {
        Demand::Nothing => None,
        Demand::Role => Some(Rejection::Forbidden),
        Demand::Recent => (minutes >= 10).then_some(stale),
    }
}

fn expired(case: &Case) -> Expected {
    let failing = failing_conditions(case);
    if failing.is_empty() && case.mode == Mode::Enabled {
        // A second that has begun does not count, and a minute that has begun does.
        let minutes = (age(case) / SECOND * SECOND + MINUTE - 1) / MINUTE;
        return match demanded(case, minutes, Rejection::FreshRequired) {
            Some(rejection) => Expected::Refused(vec![rejection]),
            None => Expected::Grace(span(case)),
        };
    }
    let unauthorized = vec![Rejection::Invalid(InvalidToken::Expired)];
    let uncertain = vec![Rejection::Unavailable(Unavailable::Uncertain)];
    Expected::Refused(match case.verdict {
        Verdict::Recovering if case.mode != Mode::Enabled && case.visit => unauthorized,
        Verdict::Recovering if case.mode != Mode::Enabled => uncertain,
        Verdict::Recovering if failing.iter().copied().all(is_of_the_request) => uncertain,
        Verdict::Healthy | Verdict::Recovering => unauthorized,
        Verdict::Outage => denials(case, failing),
        _ => uncertain,
    })
}

fn denials(case: &Case, failing: Vec<GraceDenial>) -> Vec<Rejection> {
    let failing = match case.mode {
        Mode::Disabled => vec![GraceDenial::Disabled],
        Mode::ReportOnly if failing.is_empty() => vec![GraceDenial::ReportOnly],
        _ => failing,
    };
    failing.into_iter().map(|d| Rejection::Unavailable(Unavailable::GraceDenied(d))).collect()
}

fn is_of_the_request(denial: GraceDenial) -> bool {
    matches!(denial, GraceDenial::Route | GraceDenial::CrossOrigin | GraceDenial::TooOften)
}

/// How long after `exp` the token is honoured at the most.
fn span(case: &Case) -> i64 {
    let b = &case.bounds;
    if case.verdict == Verdict::Suspect { b.bridge.min(b.max_grace) } else { b.max_grace }
}

/// G1 to G16, as far as they are about a token whose signature and other claims are good.
pub(crate) fn failing_conditions(case: &Case) -> Vec<GraceDenial> {
    let b = &case.bounds;
    let bridge = case.verdict == Verdict::Suspect;
    let latest = case.now + case.lag;
    let late = span(case) == 0 || latest > span(case);
    let seen = case.sighting.or(b.trusting.then_some((-MINUTE, 0)));
    let (last_valid, newer) = seen.unwrap_or((-MINUTE, 0));
    let start = case.episode_start();
    let alive = 0 >= start - MINUTE || last_valid >= start - 10 * MINUTE;
    let lasting = (latest - case.start).max(0);
    let [same, other] = case.earlier;
    let spent = lasting + same > b.episode || lasting + same + other > b.day;
    let used = case.passed.map_or(last_valid, |at| at.max(last_valid));
    let fails = [
        (!may_begin(case), GraceDenial::NoOutage),
        (case.keys_age.is_none_or(|age| age > 24 * HOUR), GraceDenial::StaleKeys),
        (case.kind == Kind::LongLived, GraceDenial::LongLived),
        (late, if bridge { GraceDenial::NoOutage } else { GraceDenial::TooLate }),
        (seen.is_none(), GraceDenial::NeverSeen),
        (newer > 0, GraceDenial::Superseded),
        (!bridge && !alive, GraceDenial::NotAliveAtStart),
        (!bridge && (spent || b.episode == 0 || b.day == 0), GraceDenial::BudgetSpent),
        (matches!(case.taken, Taken::Outdated | Taken::Role), GraceDenial::Outdated),
        (
            !matches!(case.deny_list, Feed::Own | Feed::Ago(..=MINUTE)),
            GraceDenial::DenyListIncomplete,
        ),
        (
            b.webhooks.is_some_and(|within| case.webhook.is_none_or(|ago| ago > within)),
            GraceDenial::WebhooksSilent,
        ),
        (case.kind == Kind::Impersonated, GraceDenial::Impersonation),
        (case.kind == Kind::Pending, GraceDenial::NotActive),
        (case.access == GraceAccess::Never, GraceDenial::Route),
        (case.access == GraceAccess::SafeMethods && !case.safe, GraceDenial::Route),
        (
            case.access == GraceAccess::Full && !case.safe && !case.same_origin,
            GraceDenial::CrossOrigin,
        ),
        (latest - last_valid > b.max_age, GraceDenial::TooOld),
        (latest - used > b.max_idle, GraceDenial::Idle),
        (case.in_minute > b.per_minute, GraceDenial::TooOften),
    ];
    fails.into_iter().filter(|(fails, _)| *fails).map(|(_, denial)| denial).collect()
}

/// G1: an outage, the drain after it, or the suspicion of one.
fn may_begin(case: &Case) -> bool {
    match case.verdict {
        Verdict::Outage | Verdict::Suspect => true,
        Verdict::Recovering => case.drain.is_some_and(|(ago, length)| ago < share(case, length)),
        _ => false,
    }
}

/// A session's own part of the drain, by the FNV-1a of its id.
#[expect(clippy::cast_possible_truncation, reason = "a part of half a minute")]
fn share(case: &Case, length: i64) -> i64 {
    let id = format!("sess_{}_0", case.user);
    let hash = id
        .bytes()
        .fold(2_166_136_261_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619));
    let share = f64::from(hash) / f64::from(u32::MAX);
    (share * f64::from(i32::try_from(length).expect("short"))).ceil() as i64
}
