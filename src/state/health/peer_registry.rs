//! The instances of the fleet that reported recently.
//!
//! Anyone with write access to the shared store can delete a view, and with it evidence against an
//! outage. An instance that stops reporting therefore still counts for a while, as one that does
//! not agree to an outage.

use std::collections::HashMap;
use std::time::Duration;

use clerk_verify::clock::Timestamp;

use super::peers::{AuthenticatedView, Peers};

/// How long an instance that stopped reporting still counts. Instances that shut down make a quorum
/// less likely for this long, and have no other effect.
const MEMORY: Duration = Duration::from_secs(15 * 60);

/// One instance's record of the other instances.
#[derive(Clone, Debug, Default)]
pub struct PeerRegistry {
    /// When each instance last reported an authenticated view.
    told: HashMap<String, Timestamp>,
    last: Peers,
}

impl PeerRegistry {
    /// Summarizes the views that this member received at `now`, silent members included.
    pub fn call(&mut self, heard: &[AuthenticatedView], member: &str, now: Timestamp) -> Peers {
        let authentic = heard.iter().filter(|heard| heard.authentic).map(|heard| &heard.view);
        for view in authentic.filter(|view| view.is_fresh(now) && view.member != member) {
            self.told.insert(view.member.clone(), now);
        }
        self.told.retain(|_, at| now.since(*at) <= MEMORY);
        let silent = self.told.values().filter(|at| **at != now).count();
        let peers = Peers::of(heard.iter().cloned(), member, now);
        self.last = peers.with_silent(u32::try_from(silent).unwrap_or(u32::MAX)).after(&self.last);
        self.last
    }

    /// Records that no views can be read. Proof that Clerk is up still counts for its normal
    /// lifetime.
    pub fn lose(&mut self) -> Peers {
        let silent = u32::try_from(self.told.len()).unwrap_or(u32::MAX);
        self.last = self.last.lost().with_silent(silent);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::super::peers::PeerReport;
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(10_000 + secs)
    }

    fn told(member: &str, secs: i64, failing: bool) -> AuthenticatedView {
        let view = PeerReport::new(member.to_owned(), at(secs), failing, false);
        AuthenticatedView { view, authentic: true }
    }

    fn forged(member: &str, secs: i64) -> AuthenticatedView {
        AuthenticatedView { authentic: false, ..told(member, secs, false) }
    }

    /// Two see minting fail, and of two others nothing is heard since the beginning.
    fn agree_after(secs: i64, others: &[AuthenticatedView]) -> bool {
        let mut roll = PeerRegistry::default();
        assert!(!roll.call(others, "me", at(0)).agree());
        roll.call(&[told("a", secs, true), told("b", secs, true)], "me", at(secs)).agree()
    }

    #[test]
    fn a_peer_that_fell_silent_recently_does_not_agree() {
        let others = [told("c", 0, false), told("d", 0, false)];
        assert!(!agree_after(20, &others));
        assert!(!agree_after(15 * 60, &others));
        assert!(agree_after(15 * 60 + 1, &others));
        assert!(agree_after(20, &others[..1]), "two of three are most");
        assert!(agree_after(20, &[forged("c", 0), forged("d", 0)]), "no members");
        assert!(
            agree_after(20, &[told("a", 0, false), told("me", 0, false)]),
            "heard, or ourselves"
        );
    }

    #[test]
    fn a_peers_good_answer_counts_for_its_whole_minute() {
        let mut alive = told("a", 0, false);
        alive.view.alive = Some(at(0));
        let mut roll = PeerRegistry::default();
        assert!(roll.call(&[alive], "me", at(1)).saw_life(at(1)));
        let silent = roll.call(&[], "me", at(20));
        assert!(silent.saw_life(at(60)) && !silent.saw_life(at(61)));
        assert!(!silent.prove_life(at(-30), at(20)), "who stopped telling so may know better");
    }

    #[test]
    fn a_store_that_is_lost_takes_no_veto_away() {
        let mut alive = told("a", 0, false);
        alive.view.alive = Some(at(0));
        let mut roll = PeerRegistry::default();
        roll.call(&[alive], "me", at(1));
        let lost = roll.lose();
        assert!(lost.prove_life(at(-30), at(60)) && !lost.prove_life(at(-30), at(61)));
        assert!(lost.saw_life(at(60)));
        assert_eq!((lost.members(), lost.suspicious()), (1, 0));
    }
}
