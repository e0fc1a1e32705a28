//! Where the two sides meet: requests read [`Shared`], the [`Driver`] writes it.
//!
//! ```text
//! request ──▶ Core::load ──▶ one Snapshot ──▶ decide
//!                  ▲
//! Driver ── probes, keys, verdict, files ──▶ Core::update
//! ```
//!
//! The driver is one task. It does all the waiting, and publishes a new snapshot when something
//! changed; requests load that snapshot once and wait for nobody.

mod cache;
mod counters;
mod driver;
mod endings;
mod exchange;
mod ledger;
mod pace;
mod schedule;
mod shared;
mod state;
mod tickets;
mod verified;

pub use counters::Counts;
pub use driver::Driver;

pub(crate) use driver::Work;
pub(crate) use endings::Endings;
pub(crate) use exchange::{Exchange, Payload};
pub(crate) use shared::{DENIAL, Examined, Fixed, Shared, Signal};
pub(crate) use state::{Inherited, State};
