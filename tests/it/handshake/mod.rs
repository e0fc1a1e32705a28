//! Browsers that are sent to Clerk and come back.

mod authorized_parties;
pub(crate) mod browser;
mod client_uat;
mod nonces;
mod round_trip;
mod session_refresh;
mod sign_in;
mod sites;
mod trust;

use std::time::Duration;

use clerk_resilience::key::{InstanceKind, PublishableKey};
use clerk_resilience::sim::{SimClerk, SimClock, SimSession};
use clerk_resilience::{Builder, GracePolicy};
use test_support::world::{Answer, World, start_of_time};
use url::Url;

use self::browser::{APP, Browser};

/// A production or development instance beside an application.
pub(crate) async fn world(kind: InstanceKind, choose: impl FnOnce(Builder) -> Builder) -> World {
    skewed(kind, 0, choose).await
}

/// The same, with the clock of Clerk behind that of the application.
pub(crate) async fn skewed(
    kind: InstanceKind,
    behind: i64,
    choose: impl FnOnce(Builder) -> Builder,
) -> World {
    let clock = SimClock::starting_at(start_of_time());
    let theirs = clock.skewed(-behind * 1000);
    let key = PublishableKey::for_host("clerk.sim.example", kind).expect("a host");
    let sim = SimClerk::builder().clock(theirs).publishable_key(key).seed(7).build();
    let world = World::beside(clock, sim, |builder| choose(builder.grace(GracePolicy::balanced())));
    world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    world.pass(5).await;
    world
}

pub(crate) fn uat(session: &SimSession) -> String {
    session.since.as_secs().to_string()
}

/// The address at which Clerk sends a browser back.
pub(crate) async fn returning(browser: &mut Browser<'_>) -> String {
    let app = Url::parse(APP).expect("an address").join("/me").expect("an address");
    let (_, out, _) = browser.go(&app).await;
    let (_, back, _) = browser.go(&Url::parse(&out.expect("sent away")).expect("address")).await;
    back.expect("sent back")[APP.len()..].to_owned()
}

/// The address at which Clerk is to send the browser back.
pub(crate) fn way_back(answer: &Answer) -> Url {
    let location = Url::parse(answer.header("location")).expect("an address");
    let back = location.query_pairs().find(|(name, _)| name == "redirect_url");
    Url::parse(&back.expect("a way back").1).expect("an address")
}
