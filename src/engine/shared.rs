//! The read side of the engine: the state that requests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use clerk_verify::authenticate::Site;
use clerk_verify::clock::{Clock, Moment, Timestamp};
use clerk_verify::key::PublishableKey;
use clerk_verify::machine::MachineToken;
use clerk_verify::token::{
    CookieNames, Expectations, InvalidToken, Located, Session, Timing, TokenKind, UnknownKey,
    locate_with, refresh_token,
};
use clerk_verify::verify::{Unverified, Verified, verify};
use http::HeaderValue;
use tokio::sync::{mpsc, watch};

use super::alerts::Changes;
use super::backend::{BackendAccess, BackendApi};
use super::counters::Counters;
use super::denial_queue::DenialQueue;
use super::grace_usage::GraceUsage;
use super::inbox::Webhooks;
use super::instance::Instance;
use super::profiles::People;
use super::reconcile::Reconciler;
use super::seen_sessions::{SeenSessions, SessionDigest};
use super::supervise::Parts;
use super::tickets::Tickets;
use super::verified::{CachedToken, VerifiedTokens};
use crate::audit::Recorder;
use crate::decide::{Credential, Rules, Sighting, Unavailable};
use crate::state::health::{Peers, ReportKind, Surface, Verdict};
use crate::state::revocation::{Denial, Revocations};
use crate::state::snapshot::{Snapshot, SyncStatus};
use crate::state::ticket::{COOKIE as TICKET, TicketKeys};
use crate::store::PendingSignOut;

/// A denial outlives every session token and its grace, and most sessions.
const DENIAL: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// A denial that is repeated is renewed when it ends this much earlier than the new one.
const RENEWED_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);
/// Capacity of the driver's signal queue. Further signals are dropped and counted.
const SIGNALS: usize = 4096;

/// Refusals of grace that are recorded for one session in a minute.
const AUDITED_REFUSALS: u32 = 10;
/// Sessions whose recorded refusals are counted at a time.
const AUDITED_SESSIONS: usize = 4 * 1024;

/// Queue slots reserved for signals other than minted tokens and call reports.
const RESERVED: usize = 512;

/// The state that requests and the driver share.
#[derive(Debug)]
pub(crate) struct Core {
    snapshot: ArcSwap<Snapshot>,
    pub(crate) tokens: VerifiedTokens,
    pub(crate) seen_sessions: SeenSessions,
    pub(crate) grace_usage: GraceUsage,
    /// How many refusals of each session went to the audit log in this minute.
    audited: GraceUsage,
    pub(crate) counters: Arc<Counters>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Counts the key refreshes that are over, however they ended.
    pub(crate) refreshes: watch::Sender<u64>,
    /// Sends the verdict at each change.
    pub(crate) verdicts: watch::Sender<Verdict>,
    /// What is denied here, for those who share the store.
    pub(crate) denial_queue: DenialQueue,
    /// The sessions that are still to be ended at Clerk.
    pub(crate) ending: watch::Sender<Arc<[PendingSignOut]>>,
    /// What the other instances see, for the driver.
    pub(crate) peers: watch::Sender<Peers>,
    /// Changes of the verdict, for the application.
    pub(crate) changes: Changes,
    /// The background parts.
    pub(crate) parts: Parts,
    probe_wished: AtomicBool,
    refresh_wished: AtomicBool,
    write_wished: AtomicBool,
    /// What was said of each surface and not heard yet.
    said: [[AtomicBool; ReportKind::KINDS]; Surface::ALL.len()],
}

impl Core {
    /// Loads the snapshot. Once per request; never held across an await.
    pub(crate) fn load(&self) -> Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// The same wish of many requests is one signal: a flood of them cannot crowd out the others.
    fn wish(&self, signal: &Signal) -> Option<&AtomicBool> {
        match signal {
            Signal::ProbeSoon => Some(&self.probe_wished),
            Signal::RefreshKeys => Some(&self.refresh_wished),
            Signal::Revoked => Some(&self.write_wished),
            Signal::CallReported(surface, word) => {
                Some(&self.said[*surface as usize][*word as usize])
            }
            _ => None,
        }
    }

    /// The driver has heard a signal.
    pub(crate) fn heard(&self, signal: &Signal) {
        if let Some(wish) = self.wish(signal) {
            wish.store(false, Ordering::Release);
        }
    }

    /// Takes up what others have revoked.
    pub(crate) fn adopt(&self, theirs: &Revocations) {
        if !theirs.is_empty() {
            self.update(|known| Snapshot {
                revocations: known.revocations.joined_with(theirs),
                ..known.clone()
            });
        }
    }

    /// Notes at once how well others' denials are known.
    pub(crate) fn feed(&self, change: impl Fn(SyncStatus) -> SyncStatus) {
        self.update(|known| Snapshot { feeds: change(known.feeds), ..known.clone() });
    }

    /// Takes denials in: the next request sees them. What a store keeps needs no other place.
    pub(crate) fn deny(&self, denials: &[Denial], kept: bool) {
        if denials.is_empty() {
            return;
        }
        self.update(|known| {
            let mut known = known.clone();
            let set = if kept { &mut known.kept } else { &mut known.revocations };
            *set = std::mem::take(set).with_all(denials);
            known
        });
    }

    /// Publishes the snapshot that `change` makes of the present one.
    pub(crate) fn update(&self, change: impl Fn(&Snapshot) -> Snapshot) {
        self.try_update(|present| Some(change(present)));
    }

    /// The same, unless `change` finds that there is nothing to change. Of several calls at once that
    /// change the same, one returns true.
    fn try_update(&self, change: impl Fn(&Snapshot) -> Option<Snapshot>) -> bool {
        let mut present = self.snapshot.load();
        loop {
            let Some(mut next) = change(&present) else { return false };
            next.generation = present.generation + 1;
            let next = Arc::new(next.without_distrusted_keys());
            let before = self.snapshot.compare_and_swap(&*present, next);
            if Arc::ptr_eq(&before, &present) {
                return true;
            }
            present = before;
        }
    }
}

/// A signal from a request or a handle to the driver.
#[derive(Debug)]
pub(crate) enum Signal {
    /// A token came whose key is not known.
    RefreshKeys,
    /// Somebody waits for certainty.
    ProbeSoon,
    /// A token within its time came that was not seen before.
    Minted { user: u64, issued_at: Timestamp },
    /// A call of the application's own to Clerk ended.
    CallReported(Surface, ReportKind),
    /// An operator speaks; `None` takes it back.
    Force(Option<Verdict>, Duration),
    /// Something was revoked: write it down.
    Revoked,
}

/// The driver's ends of the channels to it.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(super) signals: mpsc::Receiver<Signal>,
    /// Without a bound, so that none is lost: each comes with a denial that was not there before.
    pub(super) sign_outs: mpsc::UnboundedReceiver<PendingSignOut>,
}

/// Everything a request needs, behind one `Arc`. When the last one is dropped the driver ends.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) core: Arc<Core>,
    /// Of the issuer; a satellite's is not the instance's own.
    pub(crate) key: PublishableKey,
    pub(crate) rules: Rules,
    /// How long a request may wait for keys.
    pub(crate) patience: Duration,
    pub(crate) tickets: Option<Tickets>,
    pub(crate) recorder: Option<Recorder>,
    /// The Backend API, when there is a secret key to ask it with.
    pub(crate) backend: Option<BackendApi>,
    /// When there is a secret that signs them.
    pub(crate) webhooks: Option<Arc<Webhooks>>,
    pub(crate) people: Arc<People>,
    /// Whose secret key it is.
    pub(crate) instance: Arc<Instance>,
    /// When there is a store to keep users in, and a secret key to ask for them with.
    pub(crate) reconciler: Option<Arc<Reconciler>>,
    /// The application as browsers see it.
    pub(crate) site: Site,
    warned_of_sign_out: AtomicBool,
    names: CookieNames,
    expectations: Expectations,
    signals: mpsc::Sender<Signal>,
    sign_outs: mpsc::UnboundedSender<PendingSignOut>,
    hasher: std::hash::RandomState,
}

/// What is fixed when the layer is built.
#[derive(Debug)]
pub(crate) struct SharedParts {
    pub(crate) key: PublishableKey,
    pub(crate) names: CookieNames,
    pub(crate) rules: Rules,
    pub(crate) expectations: Expectations,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) token_capacity: usize,
    pub(crate) session_capacity: usize,
    pub(crate) pace_capacity: usize,
    pub(crate) patience: Duration,
    pub(crate) tickets: Option<TicketKeys>,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) backend: Option<BackendAccess>,
    pub(crate) webhooks: Option<Arc<Webhooks>>,
    pub(crate) people: Arc<People>,
    pub(crate) instance: Arc<Instance>,
    pub(crate) reconciler: Option<Arc<Reconciler>>,
    pub(crate) site: Site,
    pub(crate) denial_queue: DenialQueue,
    pub(crate) changes: Changes,
    pub(crate) initial: Snapshot,
}

impl Shared {
    pub(crate) fn new(fixed: SharedParts) -> (Self, Incoming) {
        let (signals, heard) = mpsc::channel(SIGNALS);
        let (sign_outs, pending) = mpsc::unbounded_channel();
        let core = Core {
            snapshot: ArcSwap::from_pointee(fixed.initial.without_distrusted_keys()),
            tokens: VerifiedTokens::new(fixed.token_capacity),
            seen_sessions: SeenSessions::new(fixed.session_capacity),
            grace_usage: GraceUsage::new(fixed.pace_capacity),
            audited: GraceUsage::new(AUDITED_SESSIONS),
            counters: Arc::default(),
            clock: fixed.clock,
            refreshes: watch::Sender::new(0),
            verdicts: watch::Sender::new(Verdict::Unknown),
            denial_queue: fixed.denial_queue,
            ending: watch::Sender::default(),
            peers: watch::Sender::default(),
            changes: fixed.changes,
            parts: Parts::default(),
            probe_wished: AtomicBool::new(false),
            refresh_wished: AtomicBool::new(false),
            write_wished: AtomicBool::new(false),
            said: Default::default(),
        };
        let tickets = fixed.tickets.map(|keys| Tickets { keys, issuer: fixed.key.issuer() });
        let counters = Arc::clone(&core.counters);
        let shared = Self {
            core: Arc::new(core),
            tickets,
            recorder: fixed.recorder,
            webhooks: fixed.webhooks,
            people: fixed.people,
            instance: fixed.instance,
            reconciler: fixed.reconciler,
            site: fixed.site,
            warned_of_sign_out: AtomicBool::new(false),
            names: fixed.names,
            key: fixed.key,
            rules: fixed.rules,
            expectations: fixed.expectations,
            patience: fixed.patience,
            backend: fixed.backend.map(|access| BackendApi::new(access, counters)),
            signals,
            sign_outs,
            hasher: std::hash::RandomState::new(),
        };
        (shared, Incoming { signals: heard, sign_outs: pending })
    }

    pub(crate) fn now(&self) -> Moment {
        self.core.clock.now()
    }

    /// The token of a request.
    pub(crate) fn locate<'a>(&self, headers: &'a http::HeaderMap, now: Moment) -> Located<'a> {
        let is_ours = |token: &str| {
            let digest = self.core.tokens.digest(token);
            self.core.tokens.find(digest, token, &self.core.load().keys.set).is_some()
        };
        locate_with(headers, &self.names, &self.key, now.wall, is_ours)
    }

    pub(crate) fn expectations(&self) -> &Expectations {
        &self.expectations
    }

    /// Checks a token, unless this very token was checked before with a key that is still good.
    /// Nothing that depends on the session changes.
    pub(crate) fn examine(&self, token: Option<&str>, known: &Snapshot, now: Moment) -> Examined {
        let Some(token) = token else { return Examined::Absent };
        let digest = self.core.tokens.digest(token);
        let examined = match self.core.tokens.find(digest, token, &known.keys.set) {
            Some(known) => Ok(known),
            None => self.verify(digest, token, known),
        };
        match examined {
            Ok(known) => {
                let timing = known.verified.timing(now.wall, self.expectations.leeway);
                Examined::Verified(known, timing)
            }
            Err(Unverified::Invalid(reason)) => Examined::Invalid(reason),
            Err(Unverified::UnknownKey(unknown)) => {
                let timing = unknown.timing(now.wall, self.expectations.leeway);
                Examined::UnknownKey(unknown, timing)
            }
        }
    }

    fn verify(
        &self,
        digest: u64,
        token: &str,
        known: &Snapshot,
    ) -> Result<Arc<CachedToken>, Unverified> {
        let verified = verify(token, &known.keys.set, &self.expectations)?;
        if verified.session().authorized_party.as_deref().is_none_or(str::is_empty) {
            self.core.counters.saw_no_azp();
        }
        Ok(self.core.tokens.insert(digest, &Arc::new(CachedToken::new(token, verified))))
    }

    /// Notes a session that was accepted with a token within its time; once for each token. True the
    /// first time.
    pub(crate) fn witness(&self, known: &CachedToken, now: Moment) -> bool {
        use std::hash::BuildHasher as _;
        if !known.witness() {
            return false;
        }
        let session = known.verified.session();
        if let Some(digest) = known.session {
            self.core.seen_sessions.note(digest, session, now.wall);
        }
        let user = self.hasher.hash_one(session.user_id.as_str());
        let issued_at = session.issued_at.unwrap_or_default();
        self.tell(Signal::Minted { user, issued_at });
        true
    }

    /// What the judgement has to know of an examined token. `ticket` is what the browser's ticket
    /// says; `counted` says that a layer around this one counted the request as one in grace.
    pub(crate) fn credential<'a>(
        &self,
        examined: &'a Examined,
        ticket: Option<Sighting>,
        counted: bool,
        now: Moment,
    ) -> Credential<'a> {
        match examined {
            Examined::Absent => Credential::Absent,
            Examined::Invalid(reason) => Credential::Invalid(*reason),
            Examined::Machine { token, signed } => Credential::Machine { token, signed: *signed },
            Examined::Opaque { kind, untold } => {
                Credential::Opaque { kind: *kind, untold: *untold }
            }
            Examined::UnknownKey(token, timing) => {
                Credential::UnknownKey { token, timing: *timing }
            }
            Examined::Verified(known, timing) => {
                let needed = matches!(timing, Timing::Expired { .. });
                let digest = known.session.filter(|_| needed);
                let noted = digest.and_then(|digest| self.core.seen_sessions.find(digest));
                let sighting = Sighting::newest(noted, ticket);
                let usage = digest.map(|digest| self.core.grace_usage.usage(digest, now.wall));
                let mut usage = usage.unwrap_or_default();
                usage.in_minute = usage.in_minute.saturating_add(u32::from(!counted));
                Credential::Verified { token: &known.verified, timing: *timing, sighting, usage }
            }
        }
    }

    /// Notes that a browser showed a live token of a session beside its refresh cookie.
    pub(crate) fn prove_browser(&self, headers: &http::HeaderMap, known: &CachedToken) {
        let Some(backend) = &self.backend else { return };
        let refresh = refresh_token(headers, &self.names);
        let session = known.verified.session().session_id.as_ref();
        if let (Some(session), Some(refresh)) = (session, refresh) {
            backend.prove_browser(session.as_str(), &refresh);
        }
    }

    /// Whether one more refusal of grace may be recorded for a session in this minute: who holds an
    /// expired token must not be able to fill the audit log.
    pub(crate) fn may_audit_refusal(&self, session: Option<SessionDigest>, now: Moment) -> bool {
        let session = session.unwrap_or_else(|| SessionDigest::named("", ""));
        let recorded = self.core.audited.count(session, now.wall) <= AUDITED_REFUSALS;
        if !recorded {
            self.core.counters.withheld_audit();
        }
        recorded
    }

    /// The time that denials are dated by: a clock that was set back makes none of them shorter.
    pub(crate) fn latest(&self) -> Timestamp {
        self.core.load().latest(self.now())
    }

    /// Ends a session here, at once and for good; at Clerk, when its Backend API answers. A session that
    /// is denied already stays as it is.
    pub(crate) fn sign_out(&self, session: &Session) {
        let until = self.latest().plus(DENIAL);
        let denial = match (&session.session_id, &session.token_id) {
            (Some(id), _) => Denial::Session(id.clone(), until),
            (None, Some(id)) => Denial::Token(id.clone(), until),
            (None, None) => return,
        };
        if !self.deny_unless(&denial, Timestamp::from_millis(i64::MIN)) {
            return;
        }
        if let Some(id) = &session.session_id {
            let user = SessionDigest::named(session.user_id.as_str(), "").to_bytes();
            let pending = PendingSignOut { session: id.clone(), user };
            if self.sign_outs.send(pending).is_err() {
                self.core.counters.sign_out_dropped();
            }
        }
    }

    /// Warns, once, that a sign-out ends no session at Clerk, if there is no secret key to end it with.
    pub(crate) fn warn_of_local_sign_out(&self) {
        if self.backend.is_none() && !self.warned_of_sign_out.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                event = "clerk.sign_out.local",
                "CLERK_SECRET_KEY is not set, so a sign-out revokes the session in this application only and the session stays active at Clerk; set the secret key, or end sessions in the browser with Clerk.signOut()"
            );
        }
    }

    /// Denies for [`DENIAL`], unless a denial that ends less than a day earlier is there.
    pub(crate) fn deny_for_long(&self, denial: impl FnOnce(Timestamp) -> Denial) {
        let until = self.latest().plus(DENIAL);
        self.deny_unless(&denial(until), until.minus(RENEWED_WITHIN));
    }

    /// Denies at once, unless the same is denied until `enough` or longer: then nothing is copied,
    /// written or sent. Returns true when this call made the denial.
    fn deny_unless(&self, denial: &Denial, enough: Timestamp) -> bool {
        let (kind, id, _) = denial.parts();
        let is_new = self.core.try_update(|known| {
            let until = |set: &Revocations| set.until(kind, &id);
            let denied = known.denies(|set| until(set).is_some_and(|until| until >= enough));
            let revocations = || known.revocations.clone().with_all([denial]);
            (!denied).then(|| Snapshot { revocations: revocations(), ..known.clone() })
        });
        if is_new {
            self.core.denial_queue.put([denial.clone()].into_iter());
            self.tell(Signal::Revoked);
        }
        is_new
    }

    /// `Set-Cookie` lines that take this instance's cookies for a session away, as far as they were set
    /// for this host alone.
    pub(crate) fn forget_cookies(&self) -> Vec<HeaderValue> {
        let suffixed = |name: &str| format!("{name}_{}", self.names.suffix());
        let plain = ["__session", "__client_uat"].map(str::to_owned);
        let own = ["__session", "__client_uat", "__refresh"].map(suffixed);
        let lines = plain.into_iter().chain(own).map(|name| format!("{name}=; Path=/; Max-Age=0"));
        let ticket = format!("{TICKET}=; Path=/; Secure; HttpOnly; Max-Age=0");
        lines.chain([ticket]).filter_map(|line| HeaderValue::try_from(line).ok()).collect()
    }

    /// Tells the driver something; never waits.
    pub(crate) fn tell(&self, signal: Signal) {
        // These come in crowds; they leave room for what must not be lost.
        let plenty = matches!(signal, Signal::Minted { .. } | Signal::CallReported(..));
        if plenty && self.signals.capacity() < RESERVED {
            return self.core.counters.signal_dropped();
        }
        let wish = self.core.wish(&signal);
        if wish.is_some_and(|wish| wish.swap(true, Ordering::AcqRel)) {
            return;
        }
        if let Err(error) = self.signals.try_send(signal) {
            self.core.heard(&error.into_inner());
            self.core.counters.signal_dropped();
        }
    }

    /// Waits until a key refresh is over, or patience is. Many may wait for one refresh.
    pub(crate) async fn keys_refreshed(&self) {
        let mut refreshes = self.core.refreshes.subscribe();
        refreshes.mark_unchanged();
        self.tell(Signal::RefreshKeys);
        drop(tokio::time::timeout(self.patience, refreshes.changed()).await);
    }

    /// Notes at once how well others' denials are known.
    pub(crate) fn feed(&self, change: impl Fn(SyncStatus) -> SyncStatus) {
        self.core.feed(change);
    }

    /// Takes in what webhooks deny.
    pub(crate) fn deny(&self, denials: &[Denial], kept: bool) {
        if kept {
            self.core.deny(denials, true);
        } else {
            self.revoke(|set| set.clone().with_all(denials));
        }
    }

    /// Takes in what a webhook denies that the store could not keep: Clerk sends it again.
    pub(crate) fn deny_meanwhile(&self, denials: &[Denial]) {
        self.core.deny(denials, false);
        self.tell(Signal::Revoked);
    }

    /// Revokes at once: the next request sees it. Those who share the store hear of it.
    pub(crate) fn revoke(&self, change: impl Fn(&Revocations) -> Revocations) {
        self.core
            .update(|known| Snapshot { revocations: change(&known.revocations), ..known.clone() });
        self.core.denial_queue.put(change(&Revocations::default()).denials());
        self.tell(Signal::Revoked);
    }
}

/// A token, checked.
#[derive(Debug)]
pub(crate) enum Examined {
    Absent,
    Invalid(InvalidToken),
    UnknownKey(UnknownKey, Timing),
    Verified(Arc<CachedToken>, Timing),
    /// A machine's token that is known to hold, or not; by its signature, or by what Clerk told.
    Machine {
        token: Arc<MachineToken>,
        signed: bool,
    },
    /// A machine's token that only Clerk can tell about.
    Opaque {
        kind: TokenKind,
        untold: Option<Unavailable>,
    },
}

impl Examined {
    /// True when it does not look like a session's token at all.
    pub(crate) fn may_be_a_machines(&self) -> bool {
        matches!(self, Self::Invalid(InvalidToken::Malformed | InvalidToken::Kind))
    }

    /// True for a token that expired so long ago that it counts as no token.
    pub(crate) fn is_of_the_past(&self) -> bool {
        matches!(
            self,
            Self::Verified(_, Timing::ExpiredForGood) | Self::UnknownKey(_, Timing::ExpiredForGood)
        )
    }

    pub(crate) fn verified(&self) -> Option<&Verified> {
        match self {
            Examined::Verified(known, _) => Some(&known.verified),
            _ => None,
        }
    }
}
