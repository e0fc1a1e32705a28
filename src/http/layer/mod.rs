//! The tower layer: how a request is processed.
//!
//! 1. The layer, or the CORS layer of [`Builder::cors`](crate::Builder::cors), answers a CORS
//!    preflight. A preflight reaches the application only on public and optional routes.
//! 2. The layer loads the snapshot, once.
//! 3. The layer locates the token in the header fields, and verifies it or finds it in the cache.
//! 4. [`decide`](crate::decide::decide) returns the decision.
//! 5. The request passes with its outcome in the extensions, or the layer answers. A response in
//!    grace gets `Cache-Control: private, no-store`.
//! 6. While Clerk is healthy, the layer redirects some rejected pages to Clerk's handshake: those
//!    whose browser may get a fresh session there. See `page`.
//! 7. Some requests wait for a few seconds at most. A token with an unknown key waits for a key
//!    refresh, which all such requests share. Three requests wait for one call to the Backend API:
//!    a return from a handshake with a nonce, an expired session that can be renewed, and an opaque
//!    machine token. See `wait`.
//!
//! A decision has no side effects. The layer applies the effects once for each request, after the
//! decision, however many layers decide about the request. See `effects`.
//!
//! Steps 2 to 6 do no I/O, take no lock and allocate no future.

mod audit;
mod effects;
mod future;
mod grace_header;
mod lease;
mod leased_body;
mod nonces;
mod page;
mod preflight;
mod public;
mod revocation_watch;
mod service;
mod session_refresh;
mod tickets;
mod token_kind;
mod unknown_key;
mod wait;

pub use future::ResponseFuture;
pub use lease::Lease;
pub use preflight::EmptyService;
pub use public::{PublicPathError, PublicPaths};
pub use service::Authenticate;

pub(crate) use nonces::NonceBudget;
pub(crate) use page::{HostWarnings, Visits};
pub(crate) use preflight::{Cors, Preflights};
pub(crate) use service::Authenticator;
