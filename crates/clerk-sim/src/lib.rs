//! A Clerk to run against: real tokens, the real paths, and every way to fail, on demand.
//!
//! [`SimClerk`] is one Clerk instance with its own signing key. It can be asked in two ways that
//! share one set of rules: in the same process through [`SimClerk::upstream`], where tokio's paused
//! time works, and over loopback sockets after [`SimClerk::start`].
//!
//! ```
//! use clerk_sim::{SimClerk, SimFault, SimSurface};
//!
//! let clerk = SimClerk::in_memory();
//! let session = clerk.sign_in("user_ada");
//! let token = clerk.mint(&session);
//! assert_eq!(token.split('.').count(), 3);
//!
//! clerk.break_with(SimSurface::CLERK, SimFault::status(503));
//! clerk.heal_all();
//! ```
//!
//! # What it answers
//!
//! | host | path |
//! |---|---|
//! | Frontend API | `GET /.well-known/jwks.json`, `/v1/client`, `/v1/environment`, `/v1/health`, `/v1/client/handshake` |
//! | | `POST /v1/client/sessions/{sid}/tokens`, `…/touch`, `…/end`, `…/remove`, `/v1/client/sign_ins` with `identifier=…` |
//! | | `/sign-in?redirect_url=…`: the page on which people sign in, without a password |
//! | Backend API, with the secret key | `GET /v1/jwks`, `/v1/users`, `/v1/users/{id}`, `/v1/users/count`, `/v1/clients/handshake_payload?nonce=…` |
//! | | `POST /v1/sessions/{sid}/tokens`, `…/refresh`, `…/revoke` |
//! | | `POST /api_keys/verify`, `/m2m_tokens/verify`, `/oauth_applications/access_tokens/verify` |
//! | Status page | `GET /api/v2/summary.json`, `/api/v2/status.json` |
//!
//! Recorded outages can be [replayed](SimClerk::replay) from a [timeline].
//!
//! A session's id is all the proof a token request needs. A browser without the sign-in's cookie
//! can be given one with [`SimClerk::set_browser_session`]. A real browser signs in on the page and
//! comes back through the handshake when the instance is for development; the cookies that an
//! instance for production shares with its application's domain are not simulated.
#![forbid(unsafe_code)]

mod answer;
mod ask;
mod backend;
mod builder;
mod clerk;
mod clock;
mod control;
mod fault;
mod faults;
mod frontend;
mod handshake;
mod machine;
mod member;
mod memory;
mod mint;
mod permissions;
mod refresh;
mod respond;
mod session;
mod sign_in;
mod signing;
mod socket;
mod state;
mod status_page;
mod surface;
pub mod timeline;
mod token;
mod user;

pub use builder::SimBuilder;
pub use clerk::SimClerk;
pub use clock::SimClock;
pub use fault::{SimBody, SimFault};
pub use machine::SimMachine;
pub use session::{SimOrganization, SimSession};
pub use status_page::{SimBoard, SimComponentState};
pub use surface::SimSurface;
pub use token::TokenBuilder;

#[cfg(test)]
mod tests;
