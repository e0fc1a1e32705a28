//! The engine connects requests, which read [`Shared`], to the [`Driver`], which writes it.
//!
//! ```text
//! request ──▶ Core::load ──▶ one Snapshot ──▶ decide
//!                  ▲
//! Driver ── probes, keys, verdict, files ──▶ Core::update
//! ```
//!
//! The driver is one task. The driver does all waiting and publishes a new snapshot when something
//! changes. A request loads one snapshot and judges the credential without I/O or locks.

mod alerts;
mod backend;
mod cache;
mod counters;
mod denial_queue;
mod driver;
mod events;
mod fleet;
mod grace_usage;
mod inbox;
mod instance;
mod keyed_hasher;
mod machines;
mod persister;
mod profiles;
mod rate_limiter;
mod reconcile;
mod records;
mod schedule;
mod seen_sessions;
mod shared;
mod sign_outs;
mod single_flight;
mod state;
mod store_client;
mod supervise;
mod tickets;
mod verified;
mod webhook_silence;

pub use alerts::Transition;
pub use counters::Counts;
pub use driver::Driver;
pub use events::{
    FromEvent, MembershipChanged, MembershipEnded, SessionEnded, UserChanged, UserDeleted,
};
pub use inbox::Event;
pub use profiles::{KnownUser, ProfileError, Profiles, Source};
pub use reconcile::Progress;

pub(crate) use alerts::{Alerts, TransitionHook};
pub(crate) use backend::{
    BackendAccess, Departure, HandshakeTrips, MachineLookup, NoncePayload, NonceTrust, Refreshed,
    TripReturn,
};
pub(crate) use denial_queue::DenialQueue;
pub(crate) use driver::Work;
pub(crate) use fleet::FleetTask;
pub(crate) use inbox::{Delivered, Hook, Webhooks, prune};
pub(crate) use instance::Instance;
pub(crate) use persister::Persister;
pub(crate) use profiles::People;
pub(crate) use reconcile::{Reconciler, ReconcilerConfig};
pub(crate) use records::{StoredState, Trust};
pub(crate) use seen_sessions::SessionDigest;
pub(crate) use shared::{Core, Examined, Shared, SharedParts, Signal};
pub(crate) use sign_outs::PendingSignOuts;
pub(crate) use state::{RestoredState, StateFiles};
pub(crate) use verified::CachedToken;
pub(crate) use webhook_silence::WebhookSilenceMonitor;
