//! Sign-outs while Clerk is down: they apply here at once and reach Clerk later.

mod delivery;
mod repeats;
mod route;

use std::time::Duration;

use clerk_resilience::ClerkConfig;
use clerk_resilience::key::{InstanceKind, PublishableKey};
use clerk_resilience::sim::{SimClerk, SimClock};
use test_support::world::{Answer, World, anonymous, bearer, start_of_time};

const SAME_ORIGIN: (&str, &str) = ("sec-fetch-site", "same-origin");

fn cookies_gone(answer: &Answer) -> bool {
    let lines: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    let gone = |name: &str| {
        lines.iter().any(|line| {
            let line = line.to_str().expect("text");
            line.starts_with(&format!("{name}=;")) && line.contains("Max-Age=0")
        })
    };
    gone("__session") && gone("__Host-clerk_ticket")
}

async fn sign_out(world: &World, token: &str, fields: &[(&str, &str)]) -> Answer {
    let cookie = format!("__session={token}; __client_uat=1");
    let fields = [&[("cookie", cookie.as_str())], fields].concat();
    world.send(anonymous("POST", "/auth/sign-out", &fields)).await
}

/// Sends a sign-out with a bearer token.
async fn leave(world: &World, token: &str) -> Answer {
    world.send(bearer("POST", "/auth/sign-out", token)).await
}

/// A production instance without a secret key.
async fn without_secret_key(choose: impl FnOnce(ClerkConfig) -> ClerkConfig) -> World {
    let clock = SimClock::starting_at(start_of_time());
    let key = PublishableKey::for_host("clerk.sim.example", InstanceKind::Production);
    let sim = SimClerk::builder().clock(clock.clone()).seed(7);
    let sim = sim.publishable_key(key.expect("a host")).build();
    let config = ClerkConfig::new(sim.publishable_key().clone())
        .frontend_api(sim.frontend_api_url())
        .backend_api(sim.backend_api_url());
    let world = World::configured(choose(config), clock, sim, |builder| builder);
    world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    world
}
