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
mod decide;
pub mod doctor;
mod engine;
pub mod fetch;
mod http;
mod probe;
mod resilience;
#[cfg(feature = "sim")]
mod sim_layer;
mod state;
mod status;
pub mod store;

pub use crate::config::{ClerkConfig, ConfigError};
pub use crate::decide::policy;
pub use crate::decide::policy::{ClientUat, GraceAccess, GraceMode, GracePolicy, RoutePolicy};
pub use crate::decide::{
    Auth, Caller, Grace, GraceReason, LoopCause, Machine, Rejection, Unavailable,
};
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
pub use crate::state::health::{CallOutcome, Status as SurfaceStatus, Surface, Verdict};
pub use crate::state::profile;
pub use crate::state::revocation::Denial;
pub use crate::state::ticket::{TicketKeyError, TicketKeys};
pub use crate::status::ClerkStatus;
pub use clerk_verify::access::{Access, Factor, Reverification};
pub use clerk_verify::token::{AzpPolicy, Organization, Session};

/// What this repository's own tests, benchmarks and tools examine. It is no part of the public
/// interface: any release may change it.
#[doc(hidden)]
pub mod internals {
    #![allow(missing_docs)]

    pub use crate::state::{health, revocation, snapshot, status_page, ticket, webhook_event};
    pub use crate::store::sealed::Sealed;

    pub mod decide {
        pub use crate::decide::*;
    }
}
