//! The table of faults: it draws the fault of each request and counts requests per surface.

use std::collections::VecDeque;

use clerk_verify::clock::Moment;

use super::fault::SimFault;
use super::surface::{Host, SimSurface};

/// Maximum number of recorded arrival times per surface.
const REMEMBERED: usize = 16_384;

/// Faults, each with its share of the requests, from 0 to 1. The remaining requests get the correct
/// response.
pub(super) type Shares = Vec<(f64, SimFault)>;

/// Faults and counters of all surfaces. Each surface has its own random numbers, so traffic on one
/// surface does not change the draws of another.
#[derive(Debug)]
pub(super) struct FaultTable {
    lanes: [Lane; SimSurface::COUNT],
}

#[derive(Debug)]
struct Lane {
    faults: Shares,
    random: fastrand::Rng,
    count: u64,
    arrivals: VecDeque<Moment>,
}

impl FaultTable {
    pub(super) fn new(seed: u64) -> Self {
        let lane = |place: usize| Lane {
            faults: Shares::new(),
            random: fastrand::Rng::with_seed(seed.wrapping_add(place as u64)),
            count: 0,
            arrivals: VecDeque::new(),
        };
        Self { lanes: std::array::from_fn(lane) }
    }

    pub(super) fn set(&mut self, surface: SimSurface, faults: Shares) {
        self.lanes[surface.index()].faults = faults;
    }

    pub(super) fn get(&self, surface: SimSurface) -> &Shares {
        &self.lanes[surface.index()].faults
    }

    /// Counts an arrival and draws its fault; `None` means the correct response.
    pub(super) fn arrive(&mut self, surface: SimSurface, now: Moment) -> Option<SimFault> {
        let lane = &mut self.lanes[surface.index()];
        lane.count += 1;
        if lane.arrivals.len() == REMEMBERED {
            lane.arrivals.pop_front();
        }
        lane.arrivals.push_back(now);
        pick(&lane.faults, lane.random.f64()).cloned()
    }

    pub(super) fn count(&self, surface: SimSurface) -> u64 {
        self.lanes[surface.index()].count
    }

    pub(super) fn arrivals(&self, surface: SimSurface) -> Vec<Moment> {
        self.lanes[surface.index()].arrivals.iter().copied().collect()
    }

    pub(super) fn forget_arrivals(&mut self) {
        for lane in &mut self.lanes {
            lane.count = 0;
            lane.arrivals.clear();
        }
    }

    /// Returns whether a host refuses every request.
    pub(super) fn refuses(&self, host: Host) -> bool {
        host.surfaces().iter().all(|surface| {
            let faults = self.get(*surface);
            let refused = faults.iter().filter(|(_, fault)| fault.refuses());
            refused.map(|(share, _)| share).sum::<f64>() >= 1.0
        })
    }
}

/// Returns the fault whose share of the unit interval contains `draw`. Shares are added in order,
/// and those beyond 1 have no effect. A negative share or NaN counts as 0.
fn pick(faults: &[(f64, SimFault)], draw: f64) -> Option<&SimFault> {
    let mut end = 0.0;
    faults.iter().find_map(|(share, fault)| {
        end += if *share > 0.0 { *share } else { 0.0 };
        (draw < end).then_some(fault)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(shares: Shares, seed: u64) -> Vec<Option<SimFault>> {
        let mut table = FaultTable::new(seed);
        table.set(SimSurface::Jwks, shares);
        (0..10_000).map(|_| table.arrive(SimSurface::Jwks, Moment::default())).collect()
    }

    #[test]
    fn each_fault_gets_its_share_and_the_rest_is_healthy() {
        let shares = vec![(0.6, SimFault::Hang), (0.1, SimFault::Reset)];
        let drawn = sample(shares.clone(), 7);
        let count = |fault: Option<SimFault>| drawn.iter().filter(|d| **d == fault).count();
        assert!(count(Some(SimFault::Hang)).abs_diff(6_000) < 200);
        assert!(count(Some(SimFault::Reset)).abs_diff(1_000) < 120);
        assert!(count(None).abs_diff(3_000) < 200);
        assert_eq!(drawn, sample(shares.clone(), 7), "the same seed draws the same");
        assert_ne!(drawn, sample(shares, 8));
    }

    #[test]
    fn shares_that_make_no_sense_do_no_harm() {
        let odd = [f64::NAN, -1.0, f64::NEG_INFINITY, 0.0];
        assert!(
            sample(odd.map(|share| (share, SimFault::Hang)).to_vec(), 1)
                .iter()
                .all(Option::is_none)
        );
        let all = sample(vec![(f64::INFINITY, SimFault::Hang), (1.0, SimFault::Reset)], 1);
        assert!(all.iter().all(|drawn| *drawn == Some(SimFault::Hang)));
    }

    #[test]
    fn a_host_refuses_only_when_all_of_it_does() {
        let mut table = FaultTable::new(0);
        for surface in SimSurface::BACKEND {
            assert!(!table.refuses(Host::Backend));
            table.set(surface, vec![(1.0, SimFault::Refused)]);
        }
        assert!(table.refuses(Host::Backend));
        assert!(!table.refuses(Host::Frontend));
        table.set(SimSurface::BackendJwks, vec![(0.5, SimFault::Refused)]);
        assert!(!table.refuses(Host::Backend));
    }

    #[test]
    fn arrivals_are_counted_beyond_the_capacity() {
        let mut table = FaultTable::new(0);
        for _ in 0..REMEMBERED + 5 {
            table.arrive(SimSurface::Client, Moment::default());
        }
        assert_eq!(table.count(SimSurface::Client), REMEMBERED as u64 + 5);
        assert_eq!(table.arrivals(SimSurface::Client).len(), REMEMBERED);
        table.forget_arrivals();
        assert_eq!(table.count(SimSurface::Client), 0);
    }
}
