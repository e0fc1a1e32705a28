//! Webhooks whose effects survive a restart: `cargo run --example webhooks_sqlite --features sqlite`.
//!
//! `clerk.routes()` receives them at `POST /auth/webhooks`. An application for real users sets
//! `CLERK_WEBHOOK_SIGNING_SECRET`; the simulated Clerk brings a secret of its own.

use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use clerk_resilience::sim::SimClerk;
use clerk_resilience::store::SqliteStore;
use clerk_resilience::{Auth, ClerkResilience, SimClerkExt as _, UserChanged};
use tokio::sync::mpsc;

type Failure = Box<dyn std::error::Error>;

fn app(clerk: &ClerkResilience) -> Router {
    Router::new()
        .route("/me", get(async |auth: Auth| auth.user_id().to_string()))
        .route_layer(clerk.clone())
        .merge(clerk.routes())
}

/// The layer with its store, and a hook that runs after the webhook was answered. A hook that fails
/// runs again later, so it must bear an event that it has seen.
fn layer(
    sim: &SimClerk,
    file: &Path,
    changed: mpsc::UnboundedSender<String>,
) -> Result<ClerkResilience, Failure> {
    let store = SqliteStore::open(file)?;
    let clerk = sim.try_layer(|builder| {
        builder.store(store).on(move |event: UserChanged| {
            let sent = changed.send(event.profile.id.to_string());
            async move { sent }
        })
    })?;
    Ok(clerk)
}

#[tokio::main(flavor = "current_thread")]
async fn first_process(sim: &SimClerk, file: &Path) -> Result<(), Failure> {
    let (changed, mut changes) = mpsc::unbounded_channel();
    let app = app(&layer(sim, file, changed)?);
    let session = sim.sign_in("user_1");
    let request = sim.get("/me", &session);
    assert_eq!(sim.send(&app, &request).await.status(), 200);

    let user = sim.update_user("user_1", serde_json::json!({ "first_name": "Ada" }));
    assert_eq!(sim.send(&app, &sim.webhook("user.updated", &user)).await.status(), 204);
    let id = tokio::time::timeout(Duration::from_secs(10), changes.recv()).await?;
    assert_eq!(id.as_deref(), Some("user_1"));

    assert_eq!(sim.send(&app, &sim.user_banned("user_1")).await.status(), 204);
    assert_eq!(sim.send(&app, &request).await.status(), 401);
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn second_process(sim: &SimClerk, file: &Path) -> Result<(), Failure> {
    let app = app(&layer(sim, file, mpsc::unbounded_channel().0)?);
    // The token is new, but the file says that the user is banned.
    assert_eq!(sim.send(&app, &sim.get("/me", &sim.sign_in("user_2"))).await.status(), 200);
    let banned = sim.sign_in("user_1");
    let old = sim.token(&banned).ago(Duration::from_secs(5)).sign();
    let mut request = sim.get("/me", &banned);
    request.headers_mut().insert("authorization", format!("Bearer {old}").parse()?);
    assert_eq!(sim.send(&app, &request).await.status(), 401);
    Ok(())
}

fn main() -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("clerk.sqlite");
    let sim = SimClerk::in_memory();
    first_process(&sim, &file)?;
    second_process(&sim, &file)?;
    println!("webhooks_sqlite: a ban by webhook is in force, before and after a restart");
    Ok(())
}
