#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(feature = "sim")]
pub use clerk_sim as sim;
pub use clerk_verify::{
    authenticate, clock, handshake, id, jwks, key, machine, token, transport, verify,
    webhook_signature,
};

/// The examples of `docs/guide.md`, compiled and run with the other examples.
#[cfg(all(doctest, feature = "sim"))]
#[doc = include_str!("../docs/guide.md")]
struct Guide;

pub mod audit;
mod config;
pub mod decide;
pub mod doctor;
mod engine;
mod extract;
pub mod fetch;
pub mod health;
mod health_route;
mod json;
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
mod sim_layer;
pub mod snapshot;
pub mod status_page;
pub mod store;
pub mod ticket;
mod webhook;
pub mod webhook_event;

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
pub use crate::webhook::WebhookService;
pub use clerk_verify::access::{Access, Factor, Reverification};
pub use clerk_verify::token::{AzpPolicy, Organization, Session};
