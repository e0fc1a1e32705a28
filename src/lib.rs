#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(feature = "sim")]
pub use clerk_sim as sim;
pub use clerk_verify::{
    authenticate, clock, handshake, id, jwks, key, machine, token, transport, verify,
    webhook_signature,
};

/// Compiles the examples of `docs/guide.md` as doc tests.
#[cfg(all(doctest, feature = "sim"))]
#[doc = include_str!("../docs/guide.md")]
struct Guide;

pub mod audit;
mod config;
pub mod decide;
pub mod doctor;
mod engine;
pub mod fetch;
mod http;
mod probe;
mod resilience;
#[cfg(feature = "sim")]
mod sim_layer;
mod state;
pub mod store;

pub use crate::config::{ClerkConfig, ConfigError};
pub use crate::decide::policy;
pub use crate::decide::policy::{ClientUat, GraceAccess, GraceMode, GracePolicy, RoutePolicy};
pub use crate::decide::{Auth, Caller, Grace, GraceReason, Machine, Rejection};
pub use crate::engine::{
    Counts, Driver, Event, FromEvent, KnownUser, MembershipChanged, MembershipEnded, ProfileError,
    Profiles, Progress, SessionEnded, Source, Transition, UserChanged, UserDeleted,
};
pub use crate::http::extract::guard::{
    self, Require, RequireFeature, RequirePermission, RequirePlan, RequireReverification,
    RequireRole,
};
pub use crate::http::extract::{AuthRejection, FreshAuth, UserProfile};
pub use crate::http::layer::{
    Authenticate, EmptyService, Lease, PublicPathError, PublicPaths, ResponseFuture,
};
pub use crate::http::response::{ErrorPage, PageText};
pub use crate::http::routes::health::HealthService;
pub use crate::http::routes::sign_out::{SignOutService, SignedOut};
pub use crate::http::routes::webhooks::WebhookService;
pub use crate::resilience::{Builder, ClerkResilience, NotReady};
#[cfg(feature = "sim")]
pub use crate::sim_layer::SimClerkExt;
pub use crate::state::health;
pub use crate::state::health::{CallOutcome, Surface, Verdict};
pub use crate::state::profile;
pub use crate::state::revocation;
pub use crate::state::snapshot;
pub use crate::state::status_page;
pub use crate::state::ticket;
pub use crate::state::webhook_event;
pub use clerk_verify::access::{Access, Factor, Reverification};
pub use clerk_verify::token::{AzpPolicy, Organization, Session};
