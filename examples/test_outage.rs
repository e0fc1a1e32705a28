//! How an application tests its own behavior in an outage: `cargo run --example test_outage`.
//!
//! In a test, `#[tokio::test(start_paused = true)]` takes the place of `#[tokio::main(..)]`. Time is
//! virtual, so the hours below pass at once.

use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use clerk_resilience::sim::{SimClerk, SimFault, SimSurface};
use clerk_resilience::{Auth, ClerkResilience, FreshAuth, GracePolicy, SimClerkExt as _, Verdict};

const MINUTE: Duration = Duration::from_secs(60);

fn app(clerk: &ClerkResilience) -> Router {
    Router::new()
        .route("/notes", get(async |_: Auth| "notes"))
        .route("/notes", post(async |_: Auth| "saved"))
        .route("/account", get(async |_: FreshAuth| "account"))
        .route_layer(clerk.clone())
        .merge(clerk.routes())
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let sim = SimClerk::in_memory();
    let clerk = sim.layer(|builder| builder.grace(GracePolicy::balanced()));
    let app = app(&clerk);
    let [session, banned] = ["user_1", "user_2"].map(|user| sim.sign_in(user));
    let notes = sim.get("/notes", &session);
    let theirs = sim.get("/notes", &banned);
    let (save, account) = (sim.post("/notes", &session), sim.get("/account", &session));
    for request in [&notes, &theirs, &save, &account] {
        assert_eq!(sim.send(&app, request).await.status(), 200, "Clerk is healthy");
    }

    sim.break_with(SimSurface::CLERK, SimFault::status(429));
    sim.pass(2 * MINUTE).await;
    assert_eq!(clerk.verdict(), Verdict::Outage);
    assert_eq!(sim.send(&app, &notes).await.status(), 200, "reading goes on in grace");
    assert_eq!(sim.send(&app, &save).await.status(), 503, "writing needs GraceAccess::Full");
    assert_eq!(sim.send(&app, &account).await.status(), 503, "FreshAuth is never in grace");
    assert_eq!(sim.send(&app, &sim.page("/notes", None)).await.status(), 503, "no session");

    let webhook = sim.user_banned("user_2");
    assert_eq!(sim.send(&app, &webhook).await.status(), 204);
    assert_eq!(sim.send(&app, &theirs).await.status(), 401, "a ban counts in grace, too");

    sim.pass(60 * MINUTE).await;
    assert_eq!(sim.send(&app, &notes).await.status(), 503, "grace has an end");

    sim.heal_all();
    sim.pass(5 * MINUTE).await;
    assert_eq!(clerk.verdict(), Verdict::Healthy);
    assert_eq!(sim.send(&app, &notes).await.status(), 401, "an expired token is expired again");
    assert_eq!(sim.send(&app, &sim.get("/notes", &session)).await.status(), 200);
    println!("test_outage: an outage of an hour came, was survived within its bounds, and ended");
}
