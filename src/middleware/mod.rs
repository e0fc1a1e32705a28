//! The layer: what happens to a request.
//!
//! 1. A CORS preflight passes untouched: it carries no credentials by design.
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
//! Steps 2 to 6 do no I/O, take no lock and allocate no future.

mod future;
mod grace_field;
mod kinds;
mod lease;
mod nonces;
mod public;
mod record;
mod renewal;
mod service;
mod tickets;
mod visit;
mod wait;

pub use future::ResponseFuture;
pub use lease::Lease;
pub use public::{PublicPathError, PublicPaths};
pub use service::Authenticate;

pub(crate) use nonces::Nonces;
pub(crate) use service::Gate;
pub(crate) use visit::{HostWarnings, Visits};
