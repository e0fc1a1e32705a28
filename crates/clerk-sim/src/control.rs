//! Controls of a simulated Clerk: faults, the status page and request counts.

use clerk_verify::clock::Timestamp;

use super::SimClerk;
use super::fault::SimFault;
use super::status_page::{SimBoard, SimComponentState};
use super::surface::SimSurface;

/// Faults and the status page.
impl SimClerk {
    /// Sets the faults of surfaces, each with its share of the requests from 0 to 1. The remaining
    /// requests get the correct response.
    ///
    /// Earlier faults on these surfaces are replaced. Shares are added in order, and those beyond 1
    /// have no effect. The builder's seed determines which requests a fault hits.
    ///
    /// A request in flight is not affected by the change.
    pub fn set_faults(
        &self,
        surfaces: impl AsRef<[SimSurface]>,
        faults: impl AsRef<[(f64, SimFault)]>,
    ) {
        self.state.set_faults(surfaces.as_ref(), faults.as_ref());
    }

    /// Sets one fault for every request to the surfaces.
    pub fn break_with(&self, surfaces: impl AsRef<[SimSurface]>, fault: SimFault) {
        self.set_faults(surfaces, [(1.0, fault)]);
    }

    /// Removes all faults from the surfaces.
    pub fn heal(&self, surfaces: impl AsRef<[SimSurface]>) {
        self.set_faults(surfaces, []);
    }

    /// Removes all faults from all surfaces. The status page stays unchanged.
    pub fn heal_all(&self) {
        self.heal(SimSurface::ALL);
    }

    /// Returns the faults of a surface, with their shares.
    #[must_use]
    pub fn faults(&self, surface: SimSurface) -> Vec<(f64, SimFault)> {
        self.state.faults().get(surface).clone()
    }

    /// Sets the content of the status page. Default: all components are operational.
    pub fn set_board(&self, board: SimBoard) {
        *self.state.board() = board;
    }

    /// Returns the content of the status page.
    #[must_use]
    pub fn board(&self) -> SimBoard {
        self.state.board().clone()
    }

    /// Sets the state of one component of the status page, such as `Session management`.
    pub fn set_component(&self, name: impl Into<String>, state: SimComponentState) {
        self.state.board().components.insert(name.into(), state);
    }
}

/// Request counts.
impl SimClerk {
    /// Returns the number of requests to a surface so far, without CORS preflights. In memory,
    /// refused requests count too. A closed port counts nothing.
    #[must_use]
    pub fn requests(&self, surface: SimSurface) -> u64 {
        self.state.faults().count(surface)
    }

    /// Returns the number of requests to Clerk so far, without those to the status page.
    #[must_use]
    pub fn total_requests(&self) -> u64 {
        let faults = self.state.faults();
        SimSurface::CLERK.iter().map(|surface| faults.count(*surface)).sum()
    }

    /// Returns the arrival times of the latest requests to a surface, oldest first, by the
    /// instance's clock. The last 16,384 are recorded.
    #[must_use]
    pub fn request_times(&self, surface: SimSurface) -> Vec<Timestamp> {
        self.state.faults().arrivals(surface).iter().map(|moment| moment.wall).collect()
    }

    /// Resets all request counts and arrival times.
    pub fn forget_requests(&self) {
        self.state.faults().forget_arrivals();
    }
}
