//! What one breaks, and what one can see of it.

use clerk_verify::clock::Timestamp;

use super::SimClerk;
use super::fault::SimFault;
use super::status_page::{SimBoard, SimComponentState};
use super::surface::SimSurface;

/// What is broken.
impl SimClerk {
    /// Gives each fault to its share of the requests, from 0 to 1; the rest is answered rightly.
    /// Replaces what was set there before. Shares are laid end to end, and what goes beyond 1 is
    /// cut off. Which request gets what follows from the seed of the builder.
    ///
    /// A request that is under way keeps the fault it met.
    pub fn set_faults(
        &self,
        surfaces: impl AsRef<[SimSurface]>,
        faults: impl AsRef<[(f64, SimFault)]>,
    ) {
        self.state.set_faults(surfaces.as_ref(), faults.as_ref());
    }

    /// Gives every request there the same fault.
    pub fn break_with(&self, surfaces: impl AsRef<[SimSurface]>, fault: SimFault) {
        self.set_faults(surfaces, [(1.0, fault)]);
    }

    /// Takes the faults away there.
    pub fn heal(&self, surfaces: impl AsRef<[SimSurface]>) {
        self.set_faults(surfaces, []);
    }

    /// Takes every fault away. What the status page says stays.
    pub fn heal_all(&self) {
        self.heal(SimSurface::ALL);
    }

    /// The faults that are set there, with their shares.
    #[must_use]
    pub fn faults(&self, surface: SimSurface) -> Vec<(f64, SimFault)> {
        self.state.faults().get(surface).clone()
    }

    /// Writes on the status page. At first all is operational.
    pub fn set_board(&self, board: SimBoard) {
        *self.state.board() = board;
    }

    /// What stands on the status page.
    #[must_use]
    pub fn board(&self) -> SimBoard {
        self.state.board().clone()
    }

    /// Sets one component of the status page, as `Session management`.
    pub fn set_component(&self, name: impl Into<String>, state: SimComponentState) {
        self.state.board().components.insert(name.into(), state);
    }
}

/// How often it was asked.
impl SimClerk {
    /// Requests to a surface so far. In memory that counts those that were refused too; a port that
    /// is closed counts nothing. Preflights do not count.
    #[must_use]
    pub fn requests(&self, surface: SimSurface) -> u64 {
        self.state.faults().count(surface)
    }

    /// Requests to Clerk so far, those to the status page not among them.
    #[must_use]
    pub fn total_requests(&self) -> u64 {
        let faults = self.state.faults();
        SimSurface::CLERK.iter().map(|surface| faults.count(*surface)).sum()
    }

    /// When the latest requests to a surface came, oldest first, by the instance's clock. The last
    /// 16,384 are remembered.
    #[must_use]
    pub fn request_times(&self, surface: SimSurface) -> Vec<Timestamp> {
        self.state.faults().arrivals(surface).iter().map(|moment| moment.wall).collect()
    }

    /// Begins counting anew.
    pub fn forget_requests(&self) {
        self.state.faults().forget_arrivals();
    }
}
