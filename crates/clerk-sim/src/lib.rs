//! A simulated Clerk for tests: real tokens, the real paths, and faults on demand.
//!
//! [`SimClerk`] is one Clerk instance with its own signing key. Two front ends share one set of
//! rules. [`SimClerk::transport`] works in the same process and under tokio's paused time.
//! [`SimClerk::start`] opens loopback sockets.
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
//! # Endpoints
//!
//! | host | path |
//! |---|---|
//! | Frontend API | `GET /.well-known/jwks.json`, `/v1/client`, `/v1/environment`, `/v1/health`, `/v1/client/handshake` |
//! | | `POST /v1/client/sessions/{sid}/tokens`, `…/touch`, `…/end`, `…/remove`, `/v1/client/sign_ins` with `identifier=…` |
//! | | `/sign-in?redirect_url=…`: the sign-in page, without a password |
//! | Backend API, with the secret key | `GET /v1/jwks`, `/v1/users`, `/v1/users/{id}`, `/v1/users/count`, `/v1/clients/handshake_payload?nonce=…` |
//! | | `POST /v1/sessions/{sid}/tokens`, `…/refresh`, `…/revoke` |
//! | | `POST /api_keys/verify`, `/m2m_tokens/verify`, `/oauth_applications/access_tokens/verify` |
//! | Status page | `GET /api/v2/summary.json`, `/api/v2/status.json` |
//!
//! [`SimClerk::replay`] replays recorded outages from a [timeline].
//!
//! A token request needs no proof besides the session's id. [`SimClerk::set_browser_session`] sets
//! the session of a browser without the sign-in's cookie.
//!
//! On a development instance a real browser signs in on the page and returns through the handshake.
//! The simulation lacks the cookies that a production instance shares with its application's
//! domain.
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
