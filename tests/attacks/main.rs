//! What attackers try, in the groups of `docs/threat-model.md`. Each name says what must stay true.

mod app_reports;
mod bombs;
mod clock;
mod downgrade;
mod health;
mod http;
mod keys;
mod revocation;
mod stalls;
mod tokens;

use std::path::Path;
use std::time::Duration;

use ::http::StatusCode;
use clerk_resilience::sim::{SimClerk, SimClock};
use clerk_resilience::{Builder, ClerkResilience, GracePolicy};
use test_support::world::{Answer, World, config, routes};

/// Refused by grace: not now, and not signed out.
fn denied(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
    assert_eq!(answer.json()["code"], "authentication_unavailable");
}

fn balanced(builder: Builder) -> Builder {
    builder.grace(GracePolicy::balanced())
}

/// Balanced grace, and a state directory.
fn kept(dir: &Path) -> impl Fn(Builder) -> Builder + use<> {
    let dir = dir.to_owned();
    move |builder| balanced(builder).state_dir(&dir)
}

/// Another process of the same application, beside the first.
fn beside(world: &World, choose: impl FnOnce(Builder) -> Builder) -> World {
    World::beside(world.clock.clone(), world.sim.clone(), choose)
}

/// An application that knows its key from the configuration, too.
async fn with_pem(dir: &Path) -> World {
    let World { clock, sim, .. } = World::unready(|builder| builder);
    let pem = sim.public_key_pem();
    let world = with_this_pem(clock, sim, &pem, dir);
    world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    world
}

fn with_this_pem(clock: SimClock, sim: SimClerk, pem: &str, dir: &Path) -> World {
    let config = config(&sim).jwt_key(pem).expect("a key").state_dir(dir);
    let builder = ClerkResilience::builder(config).clock(clock.clone());
    let clerk = balanced(builder.transport(sim.transport())).build().expect("a good configuration");
    let app = routes().route_layer(clerk.clone()).merge(clerk.routes());
    World { clock, sim, clerk, app }
}
