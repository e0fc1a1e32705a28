//! What other members of a fleet see of Clerk, and what may follow from it here.
//!
//! | what is told | who is believed | what follows |
//! |---|---|---|
//! | Clerk lives | anybody | no grace while minting fails here: either Clerk is back, or we are cut off |
//! | minting fails | whose mark is good | together with canaries, as much as the status page |
//! | something seems wrong | anybody | Clerk is asked soon |
//! | who there is | whose mark is good | Clerk is asked less often by each |
//!
//! So whoever can write where members tell, and has no secret key, makes them stricter at the most.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use clerk_verify::clock::Timestamp;

const VERSION: u32 = 1;
/// A view counts for so long after it was told, the difference of two hosts' clocks included.
const FRESH: Duration = Duration::from_secs(20);
/// What proves that Clerk lives counts this long.
const LIFE: Duration = Duration::from_secs(60);
/// What was good so soon after minting failed here may have been under way.
const HEAD_START: Duration = Duration::from_secs(5);
/// So many others make a quorum possible.
const QUORUM: u32 = 2;
/// So many members watch; the others rely on them.
const WATCHERS: u32 = 3;

/// What a member sees of Clerk at one moment.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PeerReport {
    version: u32,
    /// Who tells it.
    pub member: String,
    /// When it was told.
    pub at: Timestamp,
    /// Minting failed twice in a row or more, and has not been good since.
    pub failing: bool,
    /// Some surface failed the last time.
    pub suspicious: bool,
    /// When Clerk was last seen to live: by a good answer of minting, or by newly minted tokens.
    pub alive: Option<Timestamp>,
}

impl PeerReport {
    /// As it is told.
    #[must_use]
    pub fn new(member: String, at: Timestamp, failing: bool, suspicious: bool) -> Self {
        Self { version: VERSION, member, at, failing, suspicious, alive: None }
    }

    /// As JSON of a few bytes.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// None for what another version wrote, or nobody.
    #[must_use]
    pub fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok().filter(|view: &Self| view.version == VERSION)
    }

    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        now.since(self.at) <= FRESH && self.at.since(now) <= FRESH
    }
}

/// A view, and whether its mark is good.
#[derive(Clone, Debug)]
pub struct AuthenticatedView {
    /// The view.
    pub view: PeerReport,
    /// It was told by an instance of this application.
    pub authentic: bool,
}

/// What the others' views come to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Peers {
    /// The newest proof of life that anybody tells.
    alive: Option<Timestamp>,
    /// The newest that an instance of this application tells.
    seen_alive: Option<Timestamp>,
    /// Other living instances, and those of them that see minting fail.
    others: u32,
    failing: u32,
    /// Instances that lived lately, and of whom nothing is heard.
    silent: u32,
    /// Of the others, those whose names are before ours.
    before: u32,
    suspicious: u32,
}

impl Peers {
    /// Sums up what was heard at `now` by this member, its own view and echoes of it left out.
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

    /// The same, with so many members of whom nothing is heard any more.
    pub(super) fn with_silent(self, silent: u32) -> Self {
        Self { silent, ..self }
    }

    /// The same, heard after `before`: a good answer that an instance told of stays one.
    pub(super) fn after(self, before: &Self) -> Self {
        Self { seen_alive: self.seen_alive.max(before.seen_alive), ..self }
    }

    /// What is left when nobody is heard.
    pub(super) fn lost(self) -> Self {
        Self { alive: self.alive, seen_alive: self.seen_alive, ..Self::default() }
    }

    /// True when Clerk was seen to live after minting began to fail here.
    #[must_use]
    pub fn prove_life(&self, failing_since: Timestamp, now: Timestamp) -> bool {
        let lives = |at: Timestamp| at > failing_since.plus(HEAD_START) && now.since(at) <= LIFE;
        self.alive.is_some_and(lives)
    }

    /// True when a good answer to another instance is as good as one to us, for knowing that all is well.
    #[must_use]
    pub fn saw_life(&self, now: Timestamp) -> bool {
        self.seen_alive.is_some_and(|at| now.since(at) <= LIFE)
    }

    /// True when most of at least two other instances see minting fail, those included that fell silent.
    #[must_use]
    pub fn agree(&self) -> bool {
        let all = self.others.saturating_add(self.silent);
        self.others >= QUORUM && self.failing.saturating_mul(2) > all
    }

    /// How many instances there are, this one included.
    #[must_use]
    pub fn members(&self) -> u32 {
        self.others + 1
    }

    /// How many suspect something.
    #[must_use]
    pub fn suspicious(&self) -> u32 {
        self.suspicious
    }

    /// How many share the watch, when this instance is one of them.
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
    fn a_view_that_was_written_reads_as_the_same_and_nothing_else_reads() {
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
    fn who_has_no_secret_is_no_part_of_a_quorum_nor_a_member() {
        let peers = of([forged(failing("a")), forged(failing("b")), told(failing("c"))]);
        assert!(!peers.agree());
        assert_eq!(peers.members(), 2);
    }

    #[test]
    fn nobody_counts_twice_and_our_own_echo_not_at_all() {
        let peers = of([told(failing("a")), told(failing("a")), told(failing("me"))]);
        assert!(!peers.agree());
        assert_eq!(peers.members(), 2);
        let echo = PeerReport { alive: Some(at(0)), ..view("me") };
        assert!(!of([told(echo)]).prove_life(at(-100), at(0)));
    }

    #[test]
    fn what_was_told_long_ago_or_in_the_future_makes_no_quorum() {
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
