//! The layer around one route: `cargo run --example minimal`.
//!
//! An application for real users builds the layer from its environment, and serves:
//!
//! ```ignore
//! let clerk = ClerkResilience::new(ClerkConfig::from_env()?);
//! axum::serve(listener, app(&clerk)).await?;
//! ```

use axum::Router;
use axum::routing::get;
use clerk_resilience::sim::SimClerk;
use clerk_resilience::{Auth, ClerkResilience, SimClerkExt as _};

async fn me(auth: Auth) -> String {
    format!("Hello, {}!", auth.user_id())
}

/// `/me` needs a session. The layer's own routes, such as `/auth/health`, stand beside it.
fn app(clerk: &ClerkResilience) -> Router {
    Router::new().route("/me", get(me)).route_layer(clerk.clone()).merge(clerk.routes())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let sim = SimClerk::in_memory();
    let app = app(&sim.layer(|builder| builder));

    let session = sim.sign_in("user_1");
    let response = sim.send(&app, &sim.get("/me", &session)).await;
    assert_eq!(response.status(), 200);

    let forged = format!("Bearer {}", sim.forge(&session)).parse().expect("a header value");
    let mut request = sim.get("/me", &session);
    request.headers_mut().insert("authorization", forged);
    assert_eq!(sim.send(&app, &request).await.status(), 401);

    println!("minimal: a session passes, a forged token gets 401");
}
