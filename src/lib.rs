#![doc = include_str!("../README.md")]
//!
//! # Map of the crate
//!
//! | you want to | start at |
//! |---|---|
//! | protect routes | [`ClerkResilience`], [`Builder`], [`RoutePolicy`], [`PublicPaths`] |
//! | read the session in a handler | [`Auth`], [`FreshAuth`], [`UserProfile`] |
//! | require a role, a permission or a recent verification | [`RequireRole`], [`RequirePermission`], [`RequireReverification`], [`guard`] |
//! | accept API keys and other machines | [`RoutePolicy::accepts`], [`Machine`], [`Caller`] |
//! | choose what passes while Clerk is down | [`GracePolicy`], [`GraceAccess`], [`Grace`] |
//! | see what grace did | [`audit`], [`Counts`], [`Transition`] |
//! | end sessions | [`ClerkResilience::sign_out`], [`ClerkResilience::revoke_user`], [`Lease`] |
//! | receive webhooks | [`WebhookService`], [`Builder::on`], [`store`] |
//! | look up users | [`Profiles`], [`profile`] |
//! | change the error page | [`PageText`], [`ErrorPage`], [`Rejection`] |
//! | check a deployment | [`doctor`], [`HealthService`] |
//! | verify tokens without the layer | [`verify`], [`authenticate`], [`webhook_signature`] |
//! | test all of it | `SimClerkExt` and the module `sim` (feature `sim`) |
//!
//! # What the layer puts into requests and responses
//!
//! | where | what | read by |
//! |---|---|---|
//! | extensions of a request that passes | the outcome of the layer | [`Auth`] and the other extractors |
//! | extensions of a rejection | [`Rejection`] | layers outside of this one |
//! | `Retry-After`, `Cache-Control: no-store` | on each 503 | clients and proxies |
//! | `Clerk-Grace` | on a response in grace, if [`Builder::grace_header`] is set | clients |
//!
//! # Stability
//!
//! Codes and reasons of rejections, names of verdicts and codes of the doctor are stable. Texts for
//! people may change. Enums and structs that may grow are `non_exhaustive`.
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
