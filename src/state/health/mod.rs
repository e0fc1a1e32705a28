//! Clerk's health: tracked for each surface, and combined into one verdict.
//!
//! [`Health`] records observations and produces a [`Report`]. Every type in this module is a plain
//! value: the state machine never reads a clock, so a list of observations replays it exactly.

mod app_reports;
mod episode;
mod mint_rate;
mod observation;
mod peer_registry;
mod peers;
mod surface;
mod tracker;
mod verdict;

use std::time::Duration;

use app_reports::Hearsay;

pub use app_reports::CallOutcome;
pub(crate) use app_reports::ReportKind;
pub use episode::{Interval, Outages};
pub use mint_rate::{MintRate, ProofOfLife};
pub use observation::{EvidenceClass, FailureKind, LocalFault, Observation, Outcome};
pub use peer_registry::PeerRegistry;
pub use peers::{AuthenticatedView, PeerReport, Peers};
pub use surface::{Status, Surface};
pub use tracker::Tracker;
pub use verdict::{Drain, Signals, Verdict, VerdictState};

use clerk_verify::clock::{Moment, Timestamp};

/// Maximum difference between the wall clock and the monotonic clock before the time is not
/// trusted.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(2);
/// How long the time is not trusted after a jump of the wall clock.
const CLOCK_SHADOW: Duration = Duration::from_secs(60);
/// Maximum difference between Clerk's clock and the local clock, in milliseconds. Beyond it,
/// neither clock is trusted.
const APART: u64 = 60_000;
/// Maximum duration of an operator's override.
pub const MAX_FORCED: Duration = Duration::from_secs(4 * 60 * 60);
/// If minting was not observed for this long, the verdict is `Unknown`.
const SILENCE: Duration = Duration::from_secs(60);
/// How long evidence from surfaces other than minting counts.
const EVIDENCE_LIFE: Duration = Duration::from_secs(60);
/// A process restores an outage that its predecessor proved only if minting failed this recently.
pub const RESUME_WITHIN: Duration = Duration::from_secs(5 * 60);

/// Clerk's health over time.
#[derive(Clone, Debug, Default)]
pub struct Health {
    trackers: [Tracker; Surface::ALL.len()],
    hearsay: [Hearsay; Surface::ALL.len()],
    standing: VerdictState,
    outages: Outages,
    mints: MintRate,
    /// The combined views of the other instances of the application.
    peers: Peers,
    /// When newly minted tokens, or other instances, began to contradict the failing probes.
    life_proven: Option<Moment>,
    page_agrees: bool,
    canaries: Option<bool>,
    clock_skew_millis: Option<i64>,
    last_tick: Option<Moment>,
    clock_jumped: Option<Moment>,
    forced: Option<Forced>,
    drain: Option<Drain>,
    /// When an earlier process last observed minting fail.
    inherited_failure: Option<Timestamp>,
}

/// An operator's override of the verdict, for a limited time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Forced {
    /// The forced verdict. It replaces the evidence until the override expires.
    pub verdict: Verdict,
    /// When the override began.
    pub from: Moment,
    /// When the override expires.
    pub until: Moment,
}

impl Health {
    /// Restores the state that an earlier process of this application stored at `saved`.
    ///
    /// Outages are always restored, because they only make grace stricter. A proven outage is
    /// restored only if some process observed minting fail within the last five minutes. Repeated
    /// restarts do not extend that limit. The time between the two processes counts as outage.
    #[must_use]
    pub fn resume(
        outages: Outages,
        failed: Option<Timestamp>,
        saved: Timestamp,
        now: Moment,
    ) -> Self {
        let mut health = Self { outages, inherited_failure: failed, ..Self::default() };
        if failed.is_some_and(|failed| Self::may_resume(failed, now)) {
            health.outages.begin(saved, now.wall);
            health.standing = VerdictState { verdict: Verdict::Outage, since: now };
        } else {
            health.outages.end(saved.min(now.wall));
        }
        health
    }

    /// True when minting was observed to fail within the last five minutes.
    pub(crate) fn may_resume(failed: Timestamp, now: Moment) -> bool {
        failed <= now.wall.plus(CLOCK_TOLERANCE) && now.wall.since(failed) <= RESUME_WITHIN
    }

    /// Records one observation.
    pub fn observe(&mut self, seen: &Observation) {
        self.tracker_mut(seen.surface).observe(seen);
        if seen.surface != Surface::StatusPage && seen.clock_skew_millis.is_some() {
            self.clock_skew_millis = seen.clock_skew_millis;
        }
        self.tick(seen.at);
    }

    /// Records a report of the application about a surface. Reports about minting and the status
    /// page have no effect, because only this crate's own probes observe them.
    pub(crate) fn hear_of(&mut self, surface: Surface, word: ReportKind, now: Moment) {
        self.hearsay[surface as usize].note(word, now);
    }

    /// Records whether the status page reports that sessions are affected.
    pub fn read_page(&mut self, agrees: bool) {
        self.page_agrees = agrees;
    }

    /// Records whether the egress canaries answer.
    pub fn hear_canaries(&mut self, alive: bool) {
        self.canaries = Some(alive);
    }

    /// Records a token that was not seen before: a digest of its user, and its `iat`.
    pub fn note_mint(&mut self, user: u64, issued_at: Timestamp) {
        self.mints.note(user, issued_at);
    }

    /// Records the combined views of the other instances of the application.
    pub fn hear_peers(&mut self, peers: Peers) {
        self.peers = peers;
    }

    /// Overrides the verdict for `ttl`, at most 4 hours. `None` removes the override.
    pub fn force(&mut self, verdict: Option<Verdict>, ttl: Duration, now: Moment) {
        let until = now.plus(ttl.min(MAX_FORCED));
        self.forced = verdict.map(|verdict| Forced { verdict, from: now, until });
        self.account(now, now.wall);
    }

    /// Evaluates the verdict at `now`.
    pub fn tick(&mut self, now: Moment) {
        let mut steady = now.wall;
        if let Some(last) = self.last_tick.filter(|last| now.jump_since(*last) > CLOCK_TOLERANCE) {
            self.clock_jumped = Some(now);
            steady = last.wall.plus(now.since(last));
        }
        self.last_tick = Some(now);
        self.mints.tick(self.standing.verdict == Verdict::Healthy, now.wall);
        let proven = self.life(now) == ProofOfLife::Proven;
        self.life_proven = proven.then(|| self.life_proven.unwrap_or(now));
        let signals = self.signals(now);
        let before = self.standing.verdict;
        self.standing = self.standing.after(&signals, now);
        if before != self.standing.verdict {
            self.drain = self.begin_drain(&signals, now);
        }
        self.account(now, steady);
    }

    fn begin_drain(&self, signals: &Signals, now: Moment) -> Option<Drain> {
        let recovering = self.standing.verdict == Verdict::Recovering;
        let failed = self.tracker(Surface::SessionMint).last_failure().map(|last| last.began);
        let good = signals.good_since.unwrap_or(now);
        recovering.then(|| Drain::between(failed.unwrap_or(good), good))
    }

    /// Updates the recorded outages to match the verdict. `steady` is the time on a clock that did
    /// not jump.
    fn account(&mut self, now: Moment, steady: Timestamp) {
        if self.verdict(now) == Verdict::Outage {
            let start = self.outage_start(now);
            self.outages.begin(start, now.wall);
        } else {
            self.outages.end(steady);
        }
    }

    /// The start of the current outage.
    ///
    /// It is the last instant at which a probe or a newly minted token showed that minting works.
    /// Without one, it is the first failure. A forced outage starts with the override.
    fn outage_start(&self, now: Moment) -> Timestamp {
        if let Some(forced) = self.forced.filter(|forced| now.mono < forced.until.mono) {
            return forced.from.wall;
        }
        let mint = self.tracker(Surface::SessionMint);
        let good = mint.last_good().or(mint.failing_since()).unwrap_or(now).wall;
        let minted = self.mints.newest().filter(|minted| *minted <= now.wall);
        minted.map_or(good, |minted| minted.max(good)).min(now.wall)
    }

    fn signals(&self, now: Moment) -> Signals {
        let mint = self.tracker(Surface::SessionMint);
        let recent = |surface: Surface| self.tracker(surface).failed_within(EVIDENCE_LIFE, now);
        let failing = |surface: Surface| self.tracker(surface).failures() >= 2 && recent(surface);
        let life = if self.is_in_doubt() { ProofOfLife::Neutral } else { self.life(now) };
        let others = [Surface::Handshake, Surface::BackendApi, Surface::Jwks];
        let authentic = |surface: Surface| {
            let last = self.tracker(surface).last_authentic();
            last.is_some_and(|at| now.since(at) <= EVIDENCE_LIFE)
        };
        let reported = others
            .into_iter()
            .any(|surface| self.hearsay[surface as usize].is_failing(self.tracker(surface), now));
        let page = self.page_agrees && self.tracker(Surface::StatusPage).failures() == 0;
        Signals {
            failures: mint.failures(),
            failing_since: mint.failing_since(),
            good: mint.good(),
            good_since: mint.good_since(),
            second_failing: others.into_iter().any(failing)
                || reported
                || page
                || life == ProofOfLife::Missing,
            authentic: authentic(Surface::SessionMint)
                || others.into_iter().any(authentic)
                || reported,
            very_slow: mint.was_very_slow()
                || others.into_iter().any(|s| self.tracker(s).was_very_slow()),
            canaries: self.canaries,
            status_page_agrees: page,
            fleet_agrees: self.peers.agree(),
            last_hostile: Surface::ALL
                .into_iter()
                .filter_map(|surface| self.tracker(surface).last_hostile())
                .max_by_key(|at| at.mono),
            clock_sane: self.clock_sane(now),
            life,
            drained: self.drain.is_none_or(|drain| now.mono >= drain.none_after.mono),
            silent: self.silent(now),
        }
    }

    fn life(&self, now: Moment) -> ProofOfLife {
        let failing_since = self.tracker(Surface::SessionMint).failing_since();
        match (self.standing.verdict, failing_since) {
            (Verdict::Healthy | Verdict::Unknown, _) | (_, None) => ProofOfLife::Neutral,
            (_, Some(since)) if self.peers.prove_life(since.wall, now.wall) => ProofOfLife::Proven,
            (_, Some(since)) => self.mints.life(since.wall, now.wall),
        }
    }

    /// When this instance last saw Clerk up. Views of other instances do not count here, so that
    /// they never return to their senders as this instance's own.
    fn alive(&self, now: Moment) -> Option<Timestamp> {
        let mint = self.tracker(Surface::SessionMint);
        match mint.failing_since() {
            None => mint.last_good().map(|good| good.wall),
            Some(since) => {
                let proven = self.mints.life(since.wall, now.wall) == ProofOfLife::Proven;
                proven.then_some(now.wall)
            }
        }
    }

    /// True when tokens are minted again in a proven outage and no probe has checked since.
    ///
    /// Either Clerk has recovered and open tabs noticed first, or this process is cut off. The next
    /// probe of minting decides.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        let failed = self.tracker(Surface::SessionMint).last_failure();
        let asked_since =
            |proven: Moment| failed.is_some_and(|last| last.began.mono >= proven.mono);
        self.standing.verdict == Verdict::Outage
            && self.life_proven.is_some_and(|proven| !asked_since(proven))
    }

    /// True when minting was not observed for too long.
    ///
    /// The time counts from the last observation, or else from the start of a restored verdict.
    /// While the verdict is `Healthy`, a good answer to another instance also counts, because that
    /// verdict grants nothing.
    fn silent(&self, now: Moment) -> bool {
        if self.standing.verdict == Verdict::Healthy && self.peers.saw_life(now.wall) {
            return false;
        }
        let taken_up = (self.standing.verdict != Verdict::Unknown).then_some(self.standing.since);
        let told = self.tracker(Surface::SessionMint).last_told().or(taken_up);
        told.is_some_and(|told| now.since(told) > SILENCE)
    }

    /// False when Clerk's clock differs from the local clock by more than 60 s.
    #[must_use]
    pub fn agrees_on_the_time(&self) -> bool {
        self.clock_skew_millis.is_none_or(|skew| skew.unsigned_abs() <= APART)
    }

    /// True while no deadline of grace runs, so that a corrected wall clock can be trusted again.
    #[must_use]
    pub fn may_trust_clock(&self, now: Moment) -> bool {
        self.verdict(now) == Verdict::Healthy
            && self.clock_sane(now)
            && self.outages.are_over(now.wall)
    }

    fn clock_sane(&self, now: Moment) -> bool {
        self.clock_jumped.is_none_or(|at| now.since(at) > CLOCK_SHADOW)
    }

    /// The verdict at `now`, including an operator's override.
    #[must_use]
    pub fn verdict(&self, now: Moment) -> Verdict {
        match self.forced {
            Some(forced) if now.mono < forced.until.mono => forced.verdict,
            _ => self.standing.verdict,
        }
    }

    /// When minting last failed, while an outage is proven or drains; `None` otherwise.
    ///
    /// The next process needs this time to restore the outage. An operator's override is not
    /// included.
    #[must_use]
    pub fn outage_seen(&self) -> Option<Timestamp> {
        let lasting = matches!(self.standing.verdict, Verdict::Outage | Verdict::Recovering);
        let own = self.tracker(Surface::SessionMint).last_failure().map(|last| last.at.wall);
        own.or(self.inherited_failure).filter(|_| lasting)
    }

    /// The history of one surface.
    #[must_use]
    pub fn tracker(&self, surface: Surface) -> &Tracker {
        &self.trackers[surface as usize]
    }

    fn tracker_mut(&mut self, surface: Surface) -> &mut Tracker {
        &mut self.trackers[surface as usize]
    }

    /// The complete report, for publication in a snapshot.
    #[must_use]
    pub fn report(&self, now: Moment) -> Report {
        let forced = self.forced.filter(|forced| now.mono < forced.until.mono);
        let since = forced.map_or(self.standing.since, |forced| forced.from);
        Report {
            verdict: self.verdict(now),
            observed: self.standing.verdict,
            since,
            surfaces: self.trackers.clone(),
            outages: self.outages.clone(),
            alive: self.alive(now),
            failed: self.outage_seen(),
            clock_skew_millis: self.clock_skew_millis,
            clock_sane: self.clock_sane(now),
            forced,
            drain: self.drain,
        }
    }
}

/// Clerk's health at one moment.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// The verdict, including an operator's override.
    pub verdict: Verdict,
    /// The verdict without an override.
    pub observed: Verdict,
    /// When the verdict began.
    pub since: Moment,
    /// The outages of the last day.
    pub outages: Outages,
    /// When minting was last observed to work, by a good answer that no failure followed, or by
    /// newly minted tokens.
    pub alive: Option<Timestamp>,
    /// When any process last observed minting fail, while an outage is proven or drains.
    pub failed: Option<Timestamp>,
    /// Clerk's clock minus the local clock, in milliseconds, as last measured.
    pub clock_skew_millis: Option<i64>,
    /// False for 60 s after the wall clock jumped.
    pub clock_sane: bool,
    /// The operator's override in force.
    pub forced: Option<Forced>,
    /// The schedule by which grace ends. It is meaningful while the verdict is `Recovering`.
    pub drain: Option<Drain>,
    surfaces: [Tracker; Surface::ALL.len()],
}

impl Report {
    /// The history of one surface.
    #[must_use]
    pub fn surface(&self, surface: Surface) -> &Tracker {
        &self.surfaces[surface as usize]
    }
}
