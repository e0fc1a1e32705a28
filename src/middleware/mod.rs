//! The layer: what happens to a request.
//!
//! 1. A CORS preflight passes untouched: it carries no credentials by design.
//! 2. The snapshot is loaded, once.
//! 3. The token is found in the header fields and checked, or recognised.
//! 4. [`decide`](crate::decide::decide) judges.
//! 5. The request passes, with the outcome in its extensions for the extractors; or it is answered
//!    here. In grace, the response is marked `Cache-Control: private, no-store`.
//! 6. Only a token whose key is not known may wait, a few seconds at most, for a refresh that all
//!    such requests share.
//!
//! Steps 2 to 5 do no I/O, take no lock and allocate no future.

mod future;
mod public;
mod service;

pub use future::ResponseFuture;
pub use public::{PublicPathError, PublicPaths};
pub use service::Authenticate;

pub(crate) use service::Gate;
