//! Grace: whether an expired token passes while Clerk is down. All conditions, G1 to G16, must
//! hold.

use std::time::Duration;

use clerk_verify::clock::{Moment, Timestamp};
use clerk_verify::token::{Session, SessionStatus};

use super::auth::{Grace, GraceReason};
use super::revoked::bearer;
use super::{RequestFacts, Rules};
use crate::decide::policy::{GraceAccess, MAX_GRACE, RoutePolicy, SessionEvidence};
use crate::state::health::Verdict;
use crate::state::snapshot::Snapshot;

/// The record of when this application last saw a session valid.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sighting {
    /// The last time at which the session was seen with a valid token.
    pub last_valid: Timestamp,
    /// The newest [`Session::claims_as_of`] of the session's tokens. A token with older claims is a
    /// replay.
    pub claims_as_of: Timestamp,
}

impl Sighting {
    /// Merges two sightings of one session into the newest values.
    pub(crate) fn newest(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let (Some(one), Some(other)) = (one, other) else { return one.or(other) };
        Some(Self {
            last_valid: one.last_valid.max(other.last_valid),
            claims_as_of: one.claims_as_of.max(other.claims_as_of),
        })
    }

    /// Returns the sighting of a session that is valid at `now`. Claims without a date count as the
    /// oldest.
    pub(crate) fn now(now: Timestamp, session: &Session) -> Self {
        let claims_as_of = session.claims_as_of().as_of().unwrap_or_default();
        Self { last_valid: now, claims_as_of }
    }
}

/// Recent use of grace by one session.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// The last time at which a request of the session passed in grace.
    pub last_passed: Option<Timestamp>,
    /// Number of the session's requests in grace in the current minute, including this one.
    pub in_minute: u32,
}

/// The first condition of grace that fails. [`code`](Self::code) is stable.
///
/// Operators read it in the audit as `condition`, to see why a session got 503 during an outage. It
/// never appears in a response, because it would show the holder of a stolen token what to change.
///
/// | often seen | usual cause |
/// |---|---|
/// | [`NeverSeen`](Self::NeverSeen) | the process restarted without a state directory or store, or the session was used at another instance only |
/// | [`NotAliveAtStart`](Self::NotAliveAtStart) | the person was away when the outage began |
/// | [`TooLate`](Self::TooLate), [`BudgetSpent`](Self::BudgetSpent) | the outage lasts longer than the policy allows |
/// | [`Route`](Self::Route) | a `POST`, on a route without [`GraceAccess::Full`] |
/// | [`DenyListIncomplete`](Self::DenyListIncomplete) | the shared store cannot be read |
/// | [`StaleKeys`](Self::StaleKeys) | Clerk confirmed the keys more than 24 h ago |
///
/// [`GraceAccess::Full`]: crate::GraceAccess::Full
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum GraceDenial {
    /// Grace is disabled.
    Disabled,
    /// All conditions hold, but the mode is report-only.
    ReportOnly,
    /// G1: no outage is proven and the bridge has ended, or the drain has ended for this session.
    NoOutage,
    /// G2: Clerk confirmed the keys too long ago.
    StaleKeys,
    /// G3: the token's lifetime is too long.
    LongLived,
    /// G4: the session was not active when the outage began.
    NotAliveAtStart,
    /// G5: the token's `exp` is too long ago.
    TooLate,
    /// G5: the budget of outage time with grace is spent.
    BudgetSpent,
    /// G6: this application has never seen the session valid.
    NeverSeen,
    /// G6: this application has seen a token with newer claims.
    Superseded,
    /// G7: the organisation, role or permissions in the token may have changed.
    Outdated,
    /// G8: the external deny list may be incomplete.
    DenyListIncomplete,
    /// G9: no webhook arrived shortly before the outage.
    WebhooksSilent,
    /// G10: the session is impersonated.
    Impersonation,
    /// G10: the session has open tasks.
    NotActive,
    /// G11: the route does not allow grace, or not for this method.
    Route,
    /// G13: the session was last seen valid too long ago.
    TooOld,
    /// G13: the session was idle too long.
    Idle,
    /// G14: the session sent too many requests in this minute.
    TooOften,
    /// G15: the handler of an upgrade holds no lease that would end it in time.
    Unbounded,
    /// G16: an unsafe request does not come from the same origin.
    CrossOrigin,
}

impl GraceDenial {
    /// Returns a stable name, such as `not-alive-at-start`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::ReportOnly => "report-only",
            Self::NoOutage => "no-outage",
            Self::StaleKeys => "stale-keys",
            Self::LongLived => "long-lived",
            Self::NotAliveAtStart => "not-alive-at-start",
            Self::TooLate => "too-late",
            Self::BudgetSpent => "budget-spent",
            Self::NeverSeen => "never-seen",
            Self::Superseded => "superseded",
            Self::Outdated => "outdated",
            Self::DenyListIncomplete => "deny-list-incomplete",
            Self::WebhooksSilent => "webhooks-silent",
            Self::Impersonation => "impersonation",
            Self::NotActive => "not-active",
            Self::Route => "route",
            Self::TooOld => "too-old",
            Self::Idle => "idle",
            Self::TooOften => "too-often",
            Self::Unbounded => "unbounded",
            Self::CrossOrigin => "cross-origin",
        }
    }

    /// Returns true if another request of the same session could pass.
    pub(super) const fn is_of_the_request(self) -> bool {
        matches!(self, Self::Route | Self::CrossOrigin | Self::TooOften)
    }
}

/// One expired token that is not revoked, and whose signature and other claims are valid.
pub(super) struct Case<'a> {
    pub(super) session: &'a Session,
    pub(super) sighting: Option<Sighting>,
    pub(super) usage: Usage,
    pub(super) facts: RequestFacts,
    pub(super) route: &'a RoutePolicy,
    pub(super) rules: &'a Rules,
    pub(super) known: &'a Snapshot,
    pub(super) now: Moment,
    pub(super) verdict: Verdict,
}

impl Case<'_> {
    pub(super) fn judge(&self) -> Result<Grace, GraceDenial> {
        let reason = self.outage()?;
        self.fresh_keys()?;
        self.short_lived()?;
        let until = self.in_time(reason)?;
        let seen = self.evidence()?;
        self.newest(seen)?;
        self.alive_at_start(reason, seen)?;
        self.within_budget(reason)?;
        self.up_to_date()?;
        self.complete_deny_list()?;
        self.living_webhooks(reason)?;
        self.ordinary_session()?;
        self.in_use(seen)?;
        self.open_route()?;
        self.at_a_human_pace()?;
        Ok(Grace {
            reason,
            since: self.since(reason),
            until,
            judged_at: self.now.wall,
            claims_as_of: self.claims_as_of(),
        })
    }

    /// G1 and the bridge.
    fn outage(&self) -> Result<GraceReason, GraceDenial> {
        match self.verdict {
            Verdict::Outage => Ok(GraceReason::Outage),
            Verdict::Recovering if self.is_draining() => Ok(GraceReason::Recovery),
            Verdict::Suspect => Ok(GraceReason::Bridge),
            _ => Err(GraceDenial::NoOutage),
        }
    }

    /// Returns true while the drain lasts for this session. Each session has its own end, so that
    /// not all sessions renew at the same time.
    fn is_draining(&self) -> bool {
        let Some(drain) = self.known.health.drain else { return false };
        let share = f64::from(spread(self.session)) / f64::from(u32::MAX);
        let extra = drain.none_after.since(drain.all_until).mul_f64(share);
        self.now.mono < drain.all_until.mono + extra
    }

    /// G2: the keys are fresh. The verification has already checked the signature.
    fn fresh_keys(&self) -> Result<(), GraceDenial> {
        let fresh = self.known.keys.usable(self.now.wall, self.rules.max_grace_key_age);
        if fresh { Ok(()) } else { Err(GraceDenial::StaleKeys) }
    }

    /// G3: the token's lifetime is short. The verification has already checked the other claims.
    fn short_lived(&self) -> Result<(), GraceDenial> {
        let limit = self.rules.grace.max_lifetime;
        let short = self.session.lifetime().is_some_and(|lifetime| lifetime <= limit);
        if short { Ok(()) } else { Err(GraceDenial::LongLived) }
    }

    /// G4: the session was active when the episode began, by its `exp` or by a sighting.
    fn alive_at_start(&self, reason: GraceReason, seen: Sighting) -> Result<(), GraceDenial> {
        if reason == GraceReason::Bridge {
            return Ok(());
        }
        let grace = &self.rules.grace;
        let start = self.known.health.outages.episode_start().ok_or(GraceDenial::NoOutage)?;
        let signed = self.session.expires_at >= start.minus(grace.slack);
        let witnessed = seen.last_valid >= start.minus(grace.seen_within);
        if signed || witnessed { Ok(()) } else { Err(GraceDenial::NotAliveAtStart) }
    }

    /// G5: the time since the token's `exp` is limited.
    fn in_time(&self, reason: GraceReason) -> Result<Timestamp, GraceDenial> {
        let grace = &self.rules.grace;
        let span = match reason {
            GraceReason::Bridge => grace.bridge.min(grace.max_grace),
            GraceReason::Outage | GraceReason::Recovery => grace.max_grace,
        };
        let until = self.session.expires_at.plus(span.min(MAX_GRACE));
        let late = if reason == GraceReason::Bridge {
            GraceDenial::NoOutage
        } else {
            GraceDenial::TooLate
        };
        if span > Duration::ZERO && self.known.latest(self.now) <= until {
            Ok(until)
        } else {
            Err(late)
        }
    }

    /// G5: the outage time with grace is limited. No restart, flap or reuse restores the budget.
    fn within_budget(&self, reason: GraceReason) -> Result<(), GraceDenial> {
        if reason == GraceReason::Bridge {
            return Ok(());
        }
        let (grace, outages) = (&self.rules.grace, &self.known.health.outages);
        let latest = self.known.latest(self.now);
        let episode = outages.spent_in_episode(latest) <= grace.episode_budget;
        let day = outages.spent_in_day(latest) <= grace.day_budget;
        let any = grace.episode_budget > Duration::ZERO && grace.day_budget > Duration::ZERO;
        if episode && day && any { Ok(()) } else { Err(GraceDenial::BudgetSpent) }
    }

    /// G6: this application saw the session valid, or the policy trusts the token alone.
    fn evidence(&self) -> Result<Sighting, GraceDenial> {
        match (self.sighting, self.rules.grace.evidence) {
            (Some(seen), _) => Ok(seen),
            // A token without a session could be neither signed out nor counted.
            (None, SessionEvidence::TokenAlone) if self.session.session_id.is_some() => {
                Ok(Sighting {
                    last_valid: self.session.issued_at.unwrap_or_default(),
                    claims_as_of: self.claims_as_of(),
                })
            }
            (None, _) => Err(GraceDenial::NeverSeen),
        }
    }

    /// G6: a token with older claims than another token of the session is a replay.
    fn newest(&self, seen: Sighting) -> Result<(), GraceDenial> {
        let newest = self.claims_as_of() >= seen.claims_as_of;
        if newest { Ok(()) } else { Err(GraceDenial::Superseded) }
    }

    /// G7: the organisation, role and permissions are current. The revocations were checked before.
    fn up_to_date(&self) -> Result<(), GraceDenial> {
        let bearer = bearer(self.session);
        let outdated = self.known.denies(|set| set.outdate(&bearer));
        if outdated { Err(GraceDenial::Outdated) } else { Ok(()) }
    }

    /// G8: the deny list is complete.
    fn complete_deny_list(&self) -> Result<(), GraceDenial> {
        let within = self.rules.grace.deny_list_within;
        let complete = self.known.feeds.deny_list.is_complete(self.now, within);
        if complete { Ok(()) } else { Err(GraceDenial::DenyListIncomplete) }
    }

    /// G9: webhooks arrived before the outage, or in the bridge before the token's `exp`.
    fn living_webhooks(&self, reason: GraceReason) -> Result<(), GraceDenial> {
        let Some(within) = self.rules.grace.webhooks_within else { return Ok(()) };
        let began = self.since(reason).minus(within);
        let alive = self.known.feeds.webhook.is_some_and(|last| last >= began);
        if alive { Ok(()) } else { Err(GraceDenial::WebhooksSilent) }
    }

    /// G10: the session is active and not impersonated. The verification has already rejected
    /// machines.
    fn ordinary_session(&self) -> Result<(), GraceDenial> {
        if self.session.actor.is_some() {
            return Err(GraceDenial::Impersonation);
        }
        let active = self.session.status == SessionStatus::Active;
        if active { Ok(()) } else { Err(GraceDenial::NotActive) }
    }

    /// G11 and G16: the route allows grace for this method and origin.
    fn open_route(&self) -> Result<(), GraceDenial> {
        match self.route.grace {
            GraceAccess::SafeMethods | GraceAccess::Full if self.facts.safe => Ok(()),
            GraceAccess::Full if self.facts.same_origin => Ok(()),
            GraceAccess::Full => Err(GraceDenial::CrossOrigin),
            GraceAccess::SafeMethods | GraceAccess::Never => Err(GraceDenial::Route),
        }
    }

    /// G13: the session is neither too old nor idle. Each valid token renews the session's age;
    /// requests in grace count as use.
    fn in_use(&self, seen: Sighting) -> Result<(), GraceDenial> {
        let (grace, latest) = (&self.rules.grace, self.known.latest(self.now));
        if latest.since(seen.last_valid) > grace.max_age {
            return Err(GraceDenial::TooOld);
        }
        let used = self.usage.last_passed.map_or(seen.last_valid, |at| at.max(seen.last_valid));
        if latest.since(used) <= grace.max_idle { Ok(()) } else { Err(GraceDenial::Idle) }
    }

    /// G14: the number of requests in this minute is limited.
    fn at_a_human_pace(&self) -> Result<(), GraceDenial> {
        let few = self.usage.in_minute <= self.rules.grace.per_minute;
        if few { Ok(()) } else { Err(GraceDenial::TooOften) }
    }

    fn since(&self, reason: GraceReason) -> Timestamp {
        let outages = &self.known.health.outages;
        match reason {
            GraceReason::Bridge => self.session.expires_at,
            GraceReason::Outage | GraceReason::Recovery => {
                let last = outages.intervals().last().map(|last| last.start);
                outages.current().or(last).unwrap_or(self.session.expires_at)
            }
        }
    }

    fn claims_as_of(&self) -> Timestamp {
        Sighting::now(self.now.wall, self.session).claims_as_of
    }
}

/// Returns a fixed number for each session, spread evenly over sessions. The hash is FNV-1a,
/// because the number needs no secret and must be the same in every process.
fn spread(session: &Session) -> u32 {
    let id = session.session_id.as_ref().map_or("", |id| id.as_str());
    id.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
