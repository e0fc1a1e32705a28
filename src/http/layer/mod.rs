//! The layer: what happens to a request.
//!
//! 1. A CORS preflight is answered here, or by the CORS layer of [`Builder::cors`](crate::Builder::cors). It
//!    reaches the application on public and optional routes alone.
//! 2. The snapshot is loaded, once.
//! 3. The token is found in the header fields and checked, or recognised.
//! 4. [`decide`](crate::decide::decide) judges.
//! 5. The request passes, with the outcome in its extensions for the extractors; or it is answered
//!    here. In grace, the response is marked `Cache-Control: private, no-store`.
//! 6. A page that this would refuse, and whose browser could have a fresh session, is redirected to
//!    Clerk's handshake while Clerk is healthy; see `visit`.
//! 7. Some requests may wait, a few seconds at most: one with a token whose key is not known, for a
//!    refresh that all such requests share; and, for one call to the Backend API, a browser that comes
//!    back from a handshake with a nonce, a session that has expired and can be renewed, and a machine
//!    with an opaque token; see `wait`.
//!
//! Judging changes nothing. What depends on it is done once for each request, after the decision, however
//! many layers judge the request; see `effects`.
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
