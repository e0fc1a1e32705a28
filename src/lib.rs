#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

/// The examples of `docs/guide.md`, compiled and run with the other examples.
#[cfg(all(doctest, feature = "sim"))]
#[doc = include_str!("../docs/guide.md")]
struct Guide;

mod access;
pub mod audit;
pub mod authenticate;
pub mod clock;
mod config;
pub mod decide;
pub mod doctor;
mod engine;
mod extract;
pub mod fetch;
pub mod handshake;
pub mod health;
mod health_route;
pub mod id;
mod json;
pub mod jwks;
pub mod key;
pub mod machine;
mod middleware;
mod origin;
mod outcome;
pub mod policy;
mod probe;
pub mod profile;
mod reconcile;
mod resilience;
mod respond;
pub mod revocation;
mod seal;
mod sign_out;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(feature = "sim")]
mod sim_layer;
pub mod snapshot;
pub mod status_page;
pub mod store;
pub mod ticket;
pub mod token;
pub mod upstream;
pub mod verify;
mod webhook;
pub mod webhook_event;
pub mod webhook_signature;

pub use crate::access::{Access, Factor, Reverification};
pub use crate::config::{ClerkConfig, ConfigError};
pub use crate::decide::{Auth, Caller, Grace, GraceReason, Machine, Rejection};
pub use crate::engine::{
    Counts, Driver, Event, FromEvent, KnownUser, MembershipChanged, MembershipEnded, ProfileUntold,
    Profiles, Progress, SessionOver, Source, Transition, UserChanged, UserDeleted,
};
pub use crate::extract::guard::{
    self, Require, RequireFeature, RequirePermission, RequirePlan, RequireReverification,
    RequireRole,
};
pub use crate::extract::{AuthRejection, FreshAuth, UserProfile};
pub use crate::health::{CallOutcome, Surface, Verdict};
pub use crate::health_route::HealthService;
pub use crate::middleware::{
    Authenticate, EmptyService, Lease, PublicPathError, PublicPaths, ResponseFuture,
};
pub use crate::policy::{ClientUat, GraceAccess, GraceMode, GracePolicy, RoutePolicy};
pub use crate::resilience::{Builder, ClerkResilience, NotReady};
pub use crate::respond::{Page, PageText};
pub use crate::sign_out::{SignOutService, SignedOut};
#[cfg(feature = "sim")]
pub use crate::sim_layer::SimClerkExt;
pub use crate::token::{AzpPolicy, Organization, Session};
pub use crate::webhook::WebhookService;
