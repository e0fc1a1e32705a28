//! A simulated Clerk and one application beside it, in virtual time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router, middleware};
use clerk_resilience::clock::{Clock as _, Timestamp};
use clerk_resilience::sim::{SimClerk, SimClock};
use clerk_resilience::{Auth, ClerkConfig, ClerkResilience, GracePolicy};
use demo_support::address::Address;
use demo_support::outcome::SESSION_FIELD;
use demo_support::plain::{Plain, verify_session};
use demo_support::user::PlainUser;
use serde::Serialize;

use crate::transport::CountingTransport;

const EPOCH: Timestamp = Timestamp::from_secs(1_780_000_000);
/// Where people sign in, which is not simulated.
pub(crate) const SIGN_IN: &str = "https://accounts.sim.example/sign-in";
pub(crate) const PAGE: &str = "/";
pub(crate) const API: &str = "/api";
pub(crate) const FORM: &str = "/form";

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// Who verifies the sessions.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Variant {
    /// What the incumbents do.
    Plain,
    /// The layer without grace.
    Off,
    /// The layer with balanced grace.
    Balanced,
}

impl Variant {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Off, Self::Balanced];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Off => "grace off",
            Self::Balanced => "balanced",
        }
    }
}

/// Where it all happens.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) clock: SimClock,
    pub(crate) sim: SimClerk,
    pub(crate) transport: CountingTransport,
    pub(crate) app: Router,
    /// The layer's handle, if there is a layer.
    pub(crate) clerk: Option<ClerkResilience>,
}

impl Stage {
    pub(crate) async fn new(variant: Variant, seed: u64) -> Result<Self, Error> {
        let clock = SimClock::starting_at(EPOCH);
        let sim = SimClerk::builder().clock(clock.clone()).seed(seed).build();
        let transport = CountingTransport::new(sim.transport());
        let grace = match variant {
            Variant::Plain => None,
            Variant::Off => Some(GracePolicy::disabled()),
            Variant::Balanced => Some(GracePolicy::balanced()),
        };
        let Some(grace) = grace else {
            let app = plain(&sim, &clock, &transport);
            return Ok(Self { clock, sim, transport, app, clerk: None });
        };
        let clerk = ClerkResilience::builder(config(&sim))
            .grace(grace)
            .egress_canary(CountingTransport::canary())
            .clock(clock.clone())
            .transport(transport.clone())
            .build()?;
        clerk.ready(Duration::from_secs(5)).await?;
        let app = routes(get(protected), post(protected)).route_layer(clerk.clone());
        Ok(Self { clock, sim, transport, app, clerk: Some(clerk) })
    }

    pub(crate) fn now(&self) -> i64 {
        second_of(self.clock.now().wall)
    }
}

/// Whole seconds since the beginning.
pub(crate) fn second_of(at: Timestamp) -> i64 {
    at.as_secs() - EPOCH.as_secs()
}

type Routes = axum::routing::MethodRouter;

fn routes(read: Routes, write: Routes) -> Router {
    Router::new().route(PAGE, read.clone()).route(API, read).route(FORM, write)
}

async fn protected(auth: Auth) -> Response {
    let session = auth.grace().map_or("fresh", |grace| grace.reason.name());
    ([(SESSION_FIELD, session)], auth.user_id().to_string()).into_response()
}

async fn verified(Extension(PlainUser(user)): Extension<PlainUser>) -> Response {
    ([(SESSION_FIELD, "fresh")], user.to_string()).into_response()
}

fn config(sim: &SimClerk) -> ClerkConfig {
    demo_support::address::config(sim).sign_in_url(SIGN_IN)
}

fn plain(sim: &SimClerk, clock: &SimClock, transport: &CountingTransport) -> Router {
    let plain = Plain {
        transport: Arc::new(transport.clone()),
        clock: Arc::new(clock.clone()),
        address: Address::of(sim),
        publishable: sim.publishable_key().clone(),
        secret: sim.secret_key().clone(),
        cache: Mutex::default(),
    };
    let verify = middleware::from_fn_with_state(Arc::new(plain), verify_session);
    routes(get(verified), post(verified)).route_layer(verify)
}
