//! What the other instances of a fleet observe of Clerk, and the consequences for this instance.
//!
//! | report | accepted from | consequence |
//! |---|---|---|
//! | Clerk is up | anyone | no grace while minting fails here: either Clerk has recovered, or this instance is cut off |
//! | minting fails | instances with a valid MAC | together with canaries, the same weight as the status page |
//! | something may be wrong | anyone | an early probe |
//! | the instance exists | instances with a valid MAC | each instance probes less often |
//!
//! A writer to the shared store who lacks the secret key can therefore only make the fleet
//! stricter.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use clerk_verify::clock::Timestamp;

const VERSION: u32 = 1;
/// How far a view's time may differ from the local time. It includes the clock difference between
/// two hosts.
const FRESH: Duration = Duration::from_secs(20);
/// How long proof that Clerk is up counts.
const LIFE: Duration = Duration::from_secs(60);
/// A good answer this soon after minting failed here may have been in flight.
const HEAD_START: Duration = Duration::from_secs(5);
/// Minimum number of other instances for a quorum.
const QUORUM: u32 = 2;
/// Number of instances that watch Clerk; the others rely on them.
const WATCHERS: u32 = 3;

/// What one instance observes of Clerk at one moment.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PeerReport {
    version: u32,
    /// The instance that reports.
    pub member: String,
    /// When the instance sent the report.
    pub at: Timestamp,
    /// Minting failed at least twice in a row, and has not succeeded since.
    pub failing: bool,
    /// The last probe of some surface failed.
    pub suspicious: bool,
    /// When Clerk was last seen up, by a good answer of minting or by newly minted tokens.
    pub alive: Option<Timestamp>,
}

impl PeerReport {
    /// A report without proof that Clerk is up; set [`alive`](Self::alive) to add one.
    #[must_use]
    pub fn new(member: String, at: Timestamp, failing: bool, suspicious: bool) -> Self {
        Self { version: VERSION, member, at, failing, suspicious, alive: None }
    }

    /// Serializes the report as compact JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Parses a report. Returns `None` if the JSON is invalid or has another version.
    #[must_use]
    pub fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok().filter(|view: &Self| view.version == VERSION)
    }

    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        now.since(self.at) <= FRESH && self.at.since(now) <= FRESH
    }
}

/// A view, and whether its MAC is valid.
#[derive(Clone, Debug)]
pub struct AuthenticatedView {
    /// The view.
    pub view: PeerReport,
    /// True if an instance with the same secret key and issuer signed the view.
    pub authentic: bool,
}

/// The combined views of the other instances.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Peers {
    /// The newest proof of life in any view.
    alive: Option<Timestamp>,
    /// The newest proof of life in an authenticated view.
    seen_alive: Option<Timestamp>,
    /// Other live instances, and how many of them see minting fail.
    others: u32,
    failing: u32,
    /// Instances that reported recently and have stopped.
    silent: u32,
    /// How many of the other instances have names that sort before this one's.
    before: u32,
    suspicious: u32,
}

impl Peers {
    /// Summarizes the views that `member` received at `now`. The member's own view is left out, and
    /// so is further views of a member that already counts.
    #[must_use]
    pub fn of(
        heard: impl IntoIterator<Item = AuthenticatedView>,
        member: &str,
        now: Timestamp,
    ) -> Self {
        let mut peers = Self::default();
        let mut known: Vec<String> = vec![member.to_owned()];
        for AuthenticatedView { view, authentic } in heard {
            if known.contains(&view.member) {
                continue;
            }
            let alive = view.alive.filter(|at| *at <= now.plus(FRESH));
            peers.alive = peers.alive.max(alive);
            peers.suspicious += u32::from(view.suspicious && view.is_fresh(now));
            if authentic && view.is_fresh(now) {
                peers.seen_alive = peers.seen_alive.max(alive);
                peers.others += 1;
                peers.failing += u32::from(view.failing);
                peers.before += u32::from(view.member.as_str() < member);
                known.push(view.member);
            }
        }
        peers
    }

    /// The same summary, with this number of silent instances.
    pub(super) fn with_silent(self, silent: u32) -> Self {
        Self { silent, ..self }
    }

    /// The same summary, received after `before`. Authenticated proof of life in `before` still
    /// counts.
    pub(super) fn after(self, before: &Self) -> Self {
        Self { seen_alive: self.seen_alive.max(before.seen_alive), ..self }
    }

    /// The summary when no views can be read: only proof of life remains.
    pub(super) fn lost(self) -> Self {
        Self { alive: self.alive, seen_alive: self.seen_alive, ..Self::default() }
    }

    /// True when Clerk was seen up more than 5 s after minting began to fail here, and within the
    /// last 60 s.
    #[must_use]
    pub fn prove_life(&self, failing_since: Timestamp, now: Timestamp) -> bool {
        let lives = |at: Timestamp| at > failing_since.plus(HEAD_START) && now.since(at) <= LIFE;
        self.alive.is_some_and(lives)
    }

    /// True when another instance saw Clerk up within the last 60 s. That answer then counts like
    /// one to this instance.
    #[must_use]
    pub fn saw_life(&self, now: Timestamp) -> bool {
        self.seen_alive.is_some_and(|at| now.since(at) <= LIFE)
    }

    /// True when there are at least two other instances and most of them see minting fail. Silent
    /// instances count as instances that do not.
    #[must_use]
    pub fn agree(&self) -> bool {
        let all = self.others.saturating_add(self.silent);
        self.others >= QUORUM && self.failing.saturating_mul(2) > all
    }

    /// The number of live instances, this one included.
    #[must_use]
    pub fn members(&self) -> u32 {
        self.others + 1
    }

    /// The number of other instances that suspect trouble.
    #[must_use]
    pub fn suspicious(&self) -> u32 {
        self.suspicious
    }

    /// The number of instances that share the watch; `None` if this instance is not one of them.
    #[must_use]
    pub fn watchers(&self) -> Option<u32> {
        (self.before < WATCHERS).then(|| self.members().min(WATCHERS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(1_000 + secs)
    }

    fn view(member: &str) -> PeerReport {
        PeerReport::new(member.to_owned(), at(0), false, false)
    }

    fn told(view: PeerReport) -> AuthenticatedView {
        AuthenticatedView { view, authentic: true }
    }

    fn forged(view: PeerReport) -> AuthenticatedView {
        AuthenticatedView { view, authentic: false }
    }

    fn of(heard: impl IntoIterator<Item = AuthenticatedView>) -> Peers {
        Peers::of(heard, "me", at(0))
    }

    fn failing(member: &str) -> PeerReport {
        PeerReport { failing: true, ..view(member) }
    }

    #[test]
    fn a_view_round_trips_and_nothing_else_parses() {
        let view = PeerReport { alive: Some(at(1)), ..view("a") };
        assert_eq!(PeerReport::parse(&view.to_json()), Some(view.clone()));
        let later = PeerReport { version: VERSION + 1, ..view };
        assert_eq!(PeerReport::parse(&later.to_json()), None);
        assert_eq!(PeerReport::parse(b"nonsense"), None);
    }

    #[test]
    fn anybodys_proof_of_life_after_the_failure_counts_for_a_minute() {
        for heard in [told, forged] {
            let peers = of([heard(PeerReport { alive: Some(at(-10)), ..view("a") })]);
            assert!(peers.prove_life(at(-16), at(0)));
            assert!(!peers.prove_life(at(-15), at(0)), "it may have been under way");
            assert!(!peers.prove_life(at(-5), at(0)), "it was before");
            assert!(peers.prove_life(at(-16), at(50)));
            assert!(!peers.prove_life(at(-16), at(51)), "it is too old");
        }
        assert!(!of([told(view("a"))]).prove_life(at(-100), at(0)));
    }

    #[test]
    fn most_of_at_least_two_others_are_a_quorum() {
        assert!(!of([told(failing("a"))]).agree(), "one is none");
        assert!(of([told(failing("a")), told(failing("b"))]).agree());
        assert!(!of([told(failing("a")), told(view("b"))]).agree(), "half are not most");
        assert!(of([told(failing("a")), told(failing("b")), told(view("c"))]).agree());
    }

    #[test]
    fn an_instance_without_the_secret_is_no_peer() {
        let peers = of([forged(failing("a")), forged(failing("b")), told(failing("c"))]);
        assert!(!peers.agree());
        assert_eq!(peers.members(), 2);
    }

    #[test]
    fn a_peer_counts_once_and_our_own_view_never() {
        let peers = of([told(failing("a")), told(failing("a")), told(failing("me"))]);
        assert!(!peers.agree());
        assert_eq!(peers.members(), 2);
        let echo = PeerReport { alive: Some(at(0)), ..view("me") };
        assert!(!of([told(echo)]).prove_life(at(-100), at(0)));
    }

    #[test]
    fn old_and_future_views_make_no_quorum() {
        for late in [21, -21] {
            let heard = ["a", "b"].map(|name| told(failing(name)));
            let peers = Peers::of(heard, "me", at(late));
            assert!(!peers.agree(), "{late}");
            assert_eq!(peers.members(), 1);
        }
    }

    #[test]
    fn three_watch_and_the_others_rely_on_them() {
        let names = ["a", "b", "c", "d"];
        let as_seen_by = |me: &str| {
            let others = names.into_iter().filter(|name| *name != me);
            Peers::of(others.map(|name| told(view(name))), me, at(0)).watchers()
        };
        assert_eq!(names.map(as_seen_by), [Some(3), Some(3), Some(3), None]);
        assert_eq!(of([]).watchers(), Some(1));
        assert_eq!(of([told(view("a"))]).watchers(), Some(2));
    }

    #[test]
    fn only_an_instances_own_good_answers_stand_for_ours() {
        let alive = PeerReport { alive: Some(at(-60)), ..view("a") };
        assert!(of([told(alive.clone())]).saw_life(at(0)));
        assert!(!of([told(alive.clone())]).saw_life(at(1)));
        assert!(!of([forged(alive)]).saw_life(at(0)));
    }

    #[test]
    fn suspicion_is_anybodys() {
        let suspicious = |name| PeerReport { suspicious: true, ..view(name) };
        assert_eq!(of([told(suspicious("a")), forged(suspicious("b"))]).suspicious(), 2);
    }
}
