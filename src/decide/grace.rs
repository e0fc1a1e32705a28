//! Grace: whether an expired token is honoured while Clerk is down. Every condition must hold.

use std::time::Duration;

use clerk_verify::clock::{Moment, Timestamp};
use clerk_verify::token::{Session, SessionStatus};

use super::auth::{Grace, GraceReason};
use super::revoked::bearer;
use super::{RequestFacts, Rules};
use crate::decide::policy::{GraceAccess, MAX_GRACE, RoutePolicy, SessionEvidence};
use crate::state::health::Verdict;
use crate::state::snapshot::Snapshot;

/// What the ledger has of a session: that this application saw it fully valid, and when last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sighting {
    /// When the session was last seen with a token within its time.
    pub last_valid: Timestamp,
    /// The newest [`Session::claims_as_of`] among its tokens: a token with older claims is a replay.
    pub claims_as_of: Timestamp,
}

impl Sighting {
    /// What two sources say of one session, together.
    pub(crate) fn newest(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let (Some(one), Some(other)) = (one, other) else { return one.or(other) };
        Some(Self {
            last_valid: one.last_valid.max(other.last_valid),
            claims_as_of: one.claims_as_of.max(other.claims_as_of),
        })
    }

    /// A session that is seen valid at `now`. Claims without a date count as the oldest.
    pub(crate) fn now(now: Timestamp, session: &Session) -> Self {
        let claims_as_of = session.claims_as_of().as_of().unwrap_or_default();
        Self { last_valid: now, claims_as_of }
    }
}

/// What grace was used for lately, by one session.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// When the session last passed in grace.
    pub last_passed: Option<Timestamp>,
    /// How many of its requests passed in grace in this minute, the present one included.
    pub in_minute: u32,
}

/// The first condition that fails. [`code`](Self::code) is stable.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum GraceDenial {
    /// Grace is switched off.
    Disabled,
    /// All conditions hold, but grace is only reported.
    ReportOnly,
    /// G1: no outage is proven, and the bridge is over; or the drain after one, for this session.
    NoOutage,
    /// G2: the keys are too old.
    StaleKeys,
    /// G3: the token was made to live long.
    LongLived,
    /// G4: the session was not alive when the outage began.
    NotAliveAtStart,
    /// G5: too long after the token's `exp`.
    TooLate,
    /// G5: the outage time with grace is used up.
    BudgetSpent,
    /// G6: this application never saw the session valid.
    NeverSeen,
    /// G6: a token with newer claims was seen.
    Superseded,
    /// G7: what the token says of its organisation may have changed.
    Outdated,
    /// G8: the deny list may lack what others have denied.
    DenyListIncomplete,
    /// G9: no webhook came shortly before the outage.
    WebhooksSilent,
    /// G10: an impersonated session.
    Impersonation,
    /// G10: a session with open tasks.
    NotActive,
    /// G11: not on this route, or not with this method.
    Route,
    /// G13: the session was last seen valid too long ago.
    TooOld,
    /// G13: the session was silent too long.
    Idle,
    /// G14: too many requests of this session in this minute.
    TooOften,
    /// G15: an upgrade whose handler would not end it at the deadline.
    Unbounded,
    /// G16: an unsafe request that does not come from the same origin.
    CrossOrigin,
}

impl GraceDenial {
    /// A stable name, as `not-alive-at-start`.
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

    /// Whether another request of the same session would pass.
    pub(super) const fn is_of_the_request(self) -> bool {
        matches!(self, Self::Route | Self::CrossOrigin | Self::TooOften)
    }
}

/// One expired token, whose signature and other claims are good and which is not revoked.
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

    /// G1, and the bridge.
    fn outage(&self) -> Result<GraceReason, GraceDenial> {
        match self.verdict {
            Verdict::Outage => Ok(GraceReason::Outage),
            Verdict::Recovering if self.is_draining() => Ok(GraceReason::Recovery),
            Verdict::Suspect => Ok(GraceReason::Bridge),
            _ => Err(GraceDenial::NoOutage),
        }
    }

    /// Grace ends for each session at a moment of its own, so that they do not come back all at once.
    fn is_draining(&self) -> bool {
        let Some(drain) = self.known.health.drain else { return false };
        let share = f64::from(spread(self.session)) / f64::from(u32::MAX);
        let extra = drain.none_after.since(drain.all_until).mul_f64(share);
        self.now.mono < drain.all_until.mono + extra
    }

    /// G2; the rest of it was checked when the signature was.
    fn fresh_keys(&self) -> Result<(), GraceDenial> {
        let fresh = self.known.keys.usable(self.now.wall, self.rules.max_grace_key_age);
        if fresh { Ok(()) } else { Err(GraceDenial::StaleKeys) }
    }

    /// G3; the rest of it was checked when the claims were.
    fn short_lived(&self) -> Result<(), GraceDenial> {
        let limit = self.rules.grace.max_lifetime;
        let short = self.session.lifetime().is_some_and(|lifetime| lifetime <= limit);
        if short { Ok(()) } else { Err(GraceDenial::LongLived) }
    }

    /// G4: the session was alive when the episode began, by what Clerk signed or by what was seen.
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

    /// G5: bounded by what Clerk signed.
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

    /// G5: bounded by the time spent, which no restart, flap or reuse gives back.
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

    /// G6: this application saw the session valid; or the token's own word is to be enough.
    fn evidence(&self) -> Result<Sighting, GraceDenial> {
        match (self.sighting, self.rules.grace.evidence) {
            (Some(seen), _) => Ok(seen),
            // Without a session it could be neither signed out nor counted.
            (None, SessionEvidence::TokenAlone) if self.session.session_id.is_some() => {
                Ok(Sighting {
                    last_valid: self.session.issued_at.unwrap_or_default(),
                    claims_as_of: self.claims_as_of(),
                })
            }
            (None, _) => Err(GraceDenial::NeverSeen),
        }
    }

    /// G6: of two tokens the one with the older claims is a replay.
    fn newest(&self, seen: Sighting) -> Result<(), GraceDenial> {
        let newest = self.claims_as_of() >= seen.claims_as_of;
        if newest { Ok(()) } else { Err(GraceDenial::Superseded) }
    }

    /// G7; the rest of it was asked before.
    fn up_to_date(&self) -> Result<(), GraceDenial> {
        let bearer = bearer(self.session);
        let outdated = self.known.denies(|set| set.outdate(&bearer));
        if outdated { Err(GraceDenial::Outdated) } else { Ok(()) }
    }

    /// G8
    fn complete_deny_list(&self) -> Result<(), GraceDenial> {
        let within = self.rules.grace.deny_list_within;
        let complete = self.known.feeds.deny_list.is_complete(self.now, within);
        if complete { Ok(()) } else { Err(GraceDenial::DenyListIncomplete) }
    }

    /// G9; in the bridge there is no outage yet whose beginning could count.
    fn living_webhooks(&self, reason: GraceReason) -> Result<(), GraceDenial> {
        let Some(within) = self.rules.grace.webhooks_within else { return Ok(()) };
        let began = self.since(reason).minus(within);
        let alive = self.known.feeds.webhook.is_some_and(|last| last >= began);
        if alive { Ok(()) } else { Err(GraceDenial::WebhooksSilent) }
    }

    /// G10; machine tokens were refused when the token was read.
    fn ordinary_session(&self) -> Result<(), GraceDenial> {
        if self.session.actor.is_some() {
            return Err(GraceDenial::Impersonation);
        }
        let active = self.session.status == SessionStatus::Active;
        if active { Ok(()) } else { Err(GraceDenial::NotActive) }
    }

    /// G11 and G16.
    fn open_route(&self) -> Result<(), GraceDenial> {
        match self.route.grace {
            GraceAccess::SafeMethods | GraceAccess::Full if self.facts.safe => Ok(()),
            GraceAccess::Full if self.facts.same_origin => Ok(()),
            GraceAccess::Full => Err(GraceDenial::CrossOrigin),
            GraceAccess::SafeMethods | GraceAccess::Never => Err(GraceDenial::Route),
        }
    }

    /// G13: the application's own session is made anew by each token within its time, and ends when
    /// it is old, or was not used for long.
    fn in_use(&self, seen: Sighting) -> Result<(), GraceDenial> {
        let (grace, latest) = (&self.rules.grace, self.known.latest(self.now));
        if latest.since(seen.last_valid) > grace.max_age {
            return Err(GraceDenial::TooOld);
        }
        let used = self.usage.last_passed.map_or(seen.last_valid, |at| at.max(seen.last_valid));
        if latest.since(used) <= grace.max_idle { Ok(()) } else { Err(GraceDenial::Idle) }
    }

    /// G14
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

/// A number that is fixed for a session and spread evenly over sessions: FNV-1a, for it needs no
/// secret and must be the same in every process.
fn spread(session: &Session) -> u32 {
    let id = session.session_id.as_ref().map_or("", |id| id.as_str());
    id.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
