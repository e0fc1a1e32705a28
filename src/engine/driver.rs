//! The driver: the background task that probes Clerk, refreshes keys and publishes snapshots.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use clerk_verify::clock::{Moment, Timestamp};
use clerk_verify::jwks::KeySet;
use http::HeaderValue;
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::alerts::Transition;
use super::persister::Persister;
use super::schedule::{Outlook, Schedule};
use super::shared::{Core, Incoming, Signal};
use super::sign_outs::PendingSignOuts;
use super::state::{Seen, StateFiles};
use super::supervise;
use super::webhook_silence::WebhookSilenceMonitor;
use crate::probe::{Ended, Probe, ProbePayload, ProbeResult, Prober};
use crate::state::health::{
    EvidenceClass, Health, Observation, Outcome, Peers, ReportKind, Surface, Verdict,
};
use crate::state::snapshot::{KeyState, Snapshot};
use crate::state::status_page::StatusReport;
use crate::store::PendingSignOut;

/// The driver wakes at least this often unless the outlook is calm.
const TICK: Duration = Duration::from_secs(1);
/// The driver publishes a snapshot at least this often, as proof that the driver runs.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Tokens with unknown keys cause at most one key refresh in this time.
const UNKNOWN_KEY_COOLDOWN: Duration = Duration::from_secs(30);

/// Reports by the application trigger at most one early probe in this time.
const ALARMS_APART: Duration = Duration::from_secs(60);

/// The background task of the layer: refreshes keys, probes Clerk and publishes the results.
///
/// The driver is a future. Spawn the driver or await it: without a running driver the layer fetches
/// no keys and observes no outage. The future completes when the last handle and layer are dropped.
/// Before completing, the driver writes pending state to the state directory and the store.
#[must_use = "the driver does nothing unless it is spawned or awaited"]
pub struct Driver(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Driver {
    pub(crate) fn new(work: Work, incoming: Incoming) -> Self {
        Self(Box::pin(work.run(incoming)))
    }

    /// Runs a persister beside the driver, and finishes the persister's writes when the driver
    /// ends.
    pub(crate) fn kept_by(self, mut persister: Persister) -> Self {
        Self(Box::pin(async move {
            tokio::select! {
                () = self.0 => {}
                () = persister.work() => {}
            }
            supervise::finish("persister", persister.finish()).await;
        }))
    }

    /// Runs another endless future beside the driver. Both end when the driver ends.
    pub(crate) fn beside(self, other: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Box::pin(async move {
            tokio::select! {
                () = self.0 => {}
                () = other => {}
            }
        }))
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

/// The parts that the driver owns.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) core: Arc<Core>,
    pub(crate) prober: Prober,
    pub(crate) health: Health,
    /// `KeyState` from the configuration. Every key set includes them.
    pub(crate) pinned: KeySet,
    pub(crate) keys: KeyState,
    pub(crate) state: StateFiles,
    pub(crate) sign_outs: PendingSignOuts,
    /// Warns of missing webhooks, if the application receives webhooks.
    pub(crate) feed: Option<WebhookSilenceMonitor>,
}

impl Work {
    async fn run(self, incoming: Incoming) {
        let Incoming { mut signals, mut sign_outs } = incoming;
        let mut task = DriverTask::new(self);
        let core = Arc::clone(&task.core);
        let mut part = core.parts.part("driver");
        while !part.survives(task.work(&mut signals, &mut sign_outs)).await {}
        if let Ok(first) = sign_outs.try_recv() {
            task.signed_out(first, &mut sign_outs);
        }
        supervise::finish("driver", Box::pin(task.finish())).await;
    }
}

struct DriverTask {
    core: Arc<Core>,
    prober: Prober,
    health: Health,
    pinned: KeySet,
    keys: KeyState,
    state: StateFiles,
    sign_outs: PendingSignOuts,
    feed: Option<WebhookSilenceMonitor>,
    schedule: Schedule,
    probes: JoinSet<ProbeResult>,
    running: HashMap<Id, Probe>,
    peers: watch::Receiver<Peers>,
    suspicious: u32,
    page: Option<Arc<StatusReport>>,
    page_tag: Option<HeaderValue>,
    started: Option<Moment>,
    /// The last trusted wall-clock time. Only denials that ended before this time are pruned: a
    /// clock that runs ahead for a moment must not remove a denial.
    certain: Timestamp,
    trusted: Option<Moment>,
    published: Option<Moment>,
    /// The last time that a report by the application triggered an early probe.
    alarmed: Option<Moment>,
    warned_of_dropped: bool,
    /// Counts publications. Each publication prunes ended denials from another part of the set.
    turn: usize,
    changed: bool,
}

impl DriverTask {
    fn new(work: Work) -> Self {
        let mut schedule = Schedule::new(Instant::now());
        let started = work.core.clock.now();
        for probe in Probe::ALL {
            if !work.prober.targets.can_ask(probe) {
                schedule.strike(probe);
            }
        }
        Self {
            peers: work.core.peers.subscribe(),
            suspicious: 0,
            core: work.core,
            prober: work.prober,
            health: work.health,
            pinned: work.pinned,
            keys: work.keys,
            state: work.state,
            sign_outs: work.sign_outs,
            feed: work.feed,
            schedule,
            probes: JoinSet::new(),
            running: HashMap::new(),
            page: None,
            page_tag: None,
            started: Some(started),
            certain: Timestamp::default(),
            trusted: None,
            published: None,
            alarmed: None,
            warned_of_dropped: false,
            turn: 0,
            changed: true,
        }
    }

    /// Takes one turn after another, until the last handle is dropped.
    async fn work(
        &mut self,
        signals: &mut mpsc::Receiver<Signal>,
        sign_outs: &mut mpsc::UnboundedReceiver<PendingSignOut>,
    ) {
        loop {
            self.launch();
            let wake = self.wake();
            // The fixed order prevents a flood of signals from delaying probes. The order also
            // makes runs under a virtual clock reproducible.
            tokio::select! {
                biased;
                Some(done) = self.probes.join_next_with_id() => self.on_probe_done(done),
                Some(ended) = self.sign_outs.next_ended() => self.sign_out_ended(ended),
                Ok(()) = self.peers.changed() => self.hear_peers(),
                Some(first) = sign_outs.recv() => self.signed_out(first, sign_outs),
                signal = signals.recv() => match signal {
                    Some(signal) => self.hear(&signal),
                    None => break,
                },
                () = tokio::time::sleep_until(wake) => {}
            }
            self.tick().await;
        }
    }

    fn wake(&self) -> Instant {
        let span = if self.schedule.is_calm() { HEARTBEAT } else { TICK };
        let at = Instant::now();
        let sign_out = self.tells_clerk().then(|| self.core.clock.now());
        let sign_out = sign_out.and_then(|now| self.sign_outs.next_due(&self.health, now, at));
        self.schedule.next_due().into_iter().chain(sign_out).fold(at + span, Instant::min)
    }

    fn launch(&mut self) {
        let now = Instant::now();
        for probe in Probe::ALL {
            if self.schedule.take(probe, now) {
                let tag = self.page_tag.clone();
                let task = self.probes.spawn(self.prober.clone().ask(probe, tag));
                self.running.insert(task.id(), probe);
                self.core.counters.asked_upstream();
            }
        }
        if self.tells_clerk() {
            self.sign_outs.launch(&self.prober, &self.health, self.core.clock.now(), now);
        }
    }

    /// Returns true if the driver can send sign-outs to Clerk, which takes a secret key.
    fn tells_clerk(&self) -> bool {
        self.prober.targets.can_ask(Probe::BackendApi)
    }

    fn sign_out_ended(&mut self, ended: (Id, Ended)) {
        self.core.counters.asked_upstream();
        self.sign_outs.conclude(ended);
        self.state.request();
    }

    /// Queues all sign-outs received so far.
    fn signed_out(
        &mut self,
        first: PendingSignOut,
        more: &mut mpsc::UnboundedReceiver<PendingSignOut>,
    ) {
        self.sign_outs.add(first);
        while let Ok(next) = more.try_recv() {
            self.sign_outs.add(next);
        }
        self.state.demand();
    }

    /// Counts the sign-outs that the full queue dropped, and warns once.
    fn count_dropped_sign_outs(&mut self) {
        let dropped = self.sign_outs.take_dropped();
        (0..dropped).for_each(|_| self.core.counters.sign_out_dropped());
        let dropped = self.core.counters.read().sign_outs_dropped;
        if dropped > 0 && !std::mem::replace(&mut self.warned_of_dropped, true) {
            tracing::warn!(
                event = "clerk.sign_outs.dropped",
                dropped,
                "the queue of sign-outs for Clerk is full; this application rejects the dropped sessions for 30 days, but they stay active at Clerk until revoked there"
            );
        }
    }

    fn hear(&mut self, signal: &Signal) {
        let now = self.core.clock.now();
        self.core.heard(signal);
        match signal {
            Signal::Minted { user, issued_at } => self.health.note_mint(*user, *issued_at),
            Signal::ProbeSoon => self.schedule.hasten(Probe::SessionMint, Instant::now()),
            Signal::RefreshKeys => self.refresh_keys(now),
            Signal::CallReported(surface, word) => self.hear_of(*surface, *word, now),
            Signal::Force(verdict, ttl) => {
                self.health.force(*verdict, *ttl, now);
                self.changed = true;
            }
            Signal::Revoked => self.state.demand(),
        }
    }

    /// Records a report by the application about its own call to Clerk.
    ///
    /// A bad report triggers an early probe of minting, at most once in [`ALARMS_APART`].
    fn hear_of(&mut self, surface: Surface, word: ReportKind, now: Moment) {
        self.health.hear_of(surface, word, now);
        let quiet = self.alarmed.is_none_or(|last| now.since(last) >= ALARMS_APART);
        if word != ReportKind::Good && surface != Surface::StatusPage && quiet {
            self.alarmed = Some(now);
            self.schedule.hasten(Probe::SessionMint, Instant::now());
        }
    }

    /// Records the reports of the peers. When more peers suspect an outage, all probes run soon.
    fn hear_peers(&mut self) {
        let (peers, now) = (*self.peers.borrow_and_update(), Instant::now());
        self.health.hear_peers(peers);
        self.schedule.share(&peers, now);
        if peers.suspicious() > self.suspicious {
            self.schedule.ask_all_soon(now);
        }
        self.suspicious = peers.suspicious();
    }

    /// Refreshes the keys for an unknown key, at most once per cooldown.
    ///
    /// During a refresh, requests wait for its end. During the cooldown, requests resume at once.
    fn refresh_keys(&mut self, now: Moment) {
        if self.keys.may_refresh(now) {
            self.keys.refresh_after = Some(now.mono + UNKNOWN_KEY_COOLDOWN);
            self.keys.refreshing = true;
            self.schedule.hasten(Probe::Jwks, Instant::now());
            self.changed = true;
        } else if !self.schedule.is_under_way(Probe::Jwks, Instant::now()) {
            self.core.refreshes.send_modify(|count| *count += 1);
        }
    }

    fn on_probe_done(&mut self, done: Result<(Id, ProbeResult), JoinError>) {
        let id = match &done {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some(probe) = self.running.remove(&id) else { return };
        let failed = !matches!(&done, Ok((_, finding)) if finding.succeeded());
        self.schedule.finish(probe, failed, Instant::now());
        if let Ok((_, finding)) = done {
            self.apply_payload(finding);
        } else {
            tracing::error!(
                event = "clerk.probe.panicked",
                ?probe,
                "a probe panicked; the driver repeats the probe on schedule. Report this as a defect of the layer"
            );
        }
        if probe == Probe::Jwks {
            self.keys.refreshing = false;
            self.publish(self.core.clock.now());
            self.core.refreshes.send_modify(|count| *count += 1);
        }
        self.changed = true;
    }

    fn apply_payload(&mut self, finding: ProbeResult) {
        if let Some(observation) = &finding.observation {
            tracing::debug!(event = "clerk.probe", surface = %observation.surface, outcome = ?observation.outcome, latency = ?observation.latency);
            warn_of_stranger(observation, self.health.tracker(observation.surface).last_hostile());
            self.health.observe(observation);
        }
        match finding.brought {
            ProbePayload::Nothing => {}
            ProbePayload::Egress(alive) => self.health.hear_canaries(alive),
            ProbePayload::Keys(keys) => self.adopt(&keys),
            ProbePayload::SecondKeys(keys) => self.adopt_second(&keys),
            ProbePayload::Page { report, tag } => {
                self.health.read_page(report.corroborates_outage());
                self.page = Some(Arc::new(*report));
                self.page_tag = tag;
            }
        }
    }

    /// Applies keys from the Backend API, unless they share no key with the present set.
    ///
    /// If the present set has only keys from the configuration, the fetched keys are always
    /// applied.
    fn adopt_second(&mut self, fetched: &KeySet) {
        let (known, pinned) = (self.keys.set.len(), self.pinned.len());
        if known == pinned || self.keys.set.shares_a_key_with(fetched) {
            return self.adopt(fetched);
        }
        tracing::warn!(
            event = "clerk.jwks.foreign",
            "the Backend API publishes none of this instance's keys; CLERK_SECRET_KEY seems to belong to another instance. Copy the secret key of this instance from the Clerk dashboard"
        );
    }

    /// Replaces the key set with the pinned and the fetched keys.
    ///
    /// Cached tokens of removed keys are dropped.
    fn adopt(&mut self, fetched: &KeySet) {
        let before = self.keys.set.clone();
        self.keys.set = before.replaced_by(&self.pinned.joined_with(fetched));
        self.keys.confirmed = Some(self.core.clock.now().wall);
        let new = self.keys.set.keys().any(|key| !before.holds(key));
        if new || before.len() != self.keys.set.len() {
            let names: Vec<_> = self.keys.set.key_ids().collect();
            tracing::info!(event = "clerk.jwks.changed", keys = ?names);
            self.state.keys_changed();
            // The new keys may include distrusted keys, whose fingerprints must be written.
            self.state.demand();
        }
        self.publish(self.core.clock.now());
        self.core.tokens.keep_only(&self.keys.set);
    }

    async fn tick(&mut self) {
        let now = self.core.clock.now();
        let before = self.health.verdict(now);
        self.health.tick(now);
        let verdict = self.health.verdict(now);
        if self.health.may_trust_clock(now) {
            self.started = Some(now);
            // A clock that was wrong from the start never jumps. Only Clerk's clock exposes the
            // error.
            if self.health.agrees_on_the_time() {
                (self.certain, self.trusted) = (now.wall, Some(now));
            }
        }
        let minting = self.health.tracker(Surface::SessionMint);
        self.schedule.adapt(Outlook::of(verdict, minting), Instant::now());
        if self.health.is_in_doubt() {
            self.schedule.hasten(Probe::SessionMint, Instant::now());
        }
        let stale = self.published.is_none_or(|at| now.since(at) >= HEARTBEAT);
        let announced = *self.core.verdicts.borrow();
        if self.changed || stale || verdict != before || verdict != announced {
            self.publish(now);
        }
        if verdict != announced {
            self.announce(announced, verdict, now);
        }
        self.count_dropped_sign_outs();
        self.keep(now).await;
    }

    fn announce(&mut self, from: Verdict, to: Verdict, now: Moment) {
        let (from_name, to_name) = (from.name(), to.name());
        if matches!(to, Verdict::Outage | Verdict::Isolated) {
            tracing::warn!(event = "clerk.health.transition", from = from_name, to = to_name);
        } else {
            tracing::info!(event = "clerk.health.transition", from = from_name, to = to_name);
        }
        if let (Verdict::Outage, Some(feed)) = (to, &mut self.feed) {
            feed.consider(
                self.core.load().feeds.delivery.map(|last| last.at),
                &self.health.report(now).outages,
            );
        }
        self.core.verdicts.send_replace(to);
        let change = Transition::new(from, to, self.core.clock.now().wall);
        if self.core.changes.try_send(change).is_err() {
            tracing::debug!(
                event = "clerk.transition.untold",
                to = to_name,
                "the queue for the transition hook is full or closed; the change was not reported"
            );
        }
        self.state.demand();
    }

    fn publish(&mut self, now: Moment) {
        let (keys, health, page) = (&self.keys, self.health.report(now), &self.page);
        self.sign_outs.publish(&self.core.ending);
        self.turn = self.turn.wrapping_add(1);
        let turn = self.turn;
        self.core.update(|present| Snapshot {
            keys: keys.clone(),
            health: health.clone(),
            page: page.clone(),
            revocations: present.revocations.pruned_in_part(self.certain, turn),
            kept: present.kept.pruned_in_part(self.certain, turn),
            feeds: present.feeds,
            started: self.started,
            trusted: self.trusted,
            renewed: Some(now),
            generation: present.generation,
        });
        self.published = Some(now);
        self.changed = false;
    }

    async fn keep(&mut self, now: Moment) {
        let seen = Seen {
            core: &self.core,
            health: &self.health,
            keys: &self.keys,
            pinned: &self.pinned,
            sign_outs: &mut self.sign_outs,
            certain: self.certain,
        };
        self.state.keep(seen, now).await;
    }

    async fn finish(mut self) {
        self.probes.shutdown().await;
        let now = self.core.clock.now();
        self.sign_outs.publish(&self.core.ending);
        self.state.settle(&self.core, now).await;
        self.state.demand_at_once();
        self.keep(now).await;
        self.state.settle(&self.core, now).await;
    }
}

/// Warns, at most once a minute, of a response that did not come from Clerk.
fn warn_of_stranger(seen: &Observation, last: Option<Moment>) {
    let quiet = last.is_none_or(|last| seen.at.since(last) > Duration::from_secs(60));
    if let Outcome::Failed(EvidenceClass::Hostile, trouble) = &seen.outcome
        && quiet
    {
        tracing::warn!(event = "clerk.stranger", surface = %seen.surface, %trouble, "response did not come from Clerk; ignored as outage evidence. Check DNS, proxies and TLS interception between this host and Clerk");
    }
}
