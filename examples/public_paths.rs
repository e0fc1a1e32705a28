//! One layer around the whole application, with named public paths:
//! `cargo run --example public_paths`.
//!
//! Every path that is not named needs a session. A new route is therefore closed until somebody opens
//! it.

use axum::Router;
use axum::routing::get;
use clerk_resilience::sim::SimClerk;
use clerk_resilience::{Auth, ClerkResilience, SimClerkExt as _};

/// Visitors may be anonymous here, so the handler takes `Option<Auth>`.
async fn home(auth: Option<Auth>) -> String {
    match auth {
        Some(auth) => format!("Welcome back, {}!", auth.user_id()),
        None => "Welcome! Please sign in.".to_owned(),
    }
}

fn app(clerk: &ClerkResilience) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/help/{*page}", get(async || "help"))
        .route("/orders", get(async |auth: Auth| format!("orders of {}", auth.user_id())))
        .layer(clerk.clone())
        .merge(clerk.routes())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let sim = SimClerk::in_memory();
    let clerk = sim.layer(|builder| builder.public(["/", "/help/{*page}"]));
    let app = app(&clerk);
    let session = sim.sign_in("user_1");

    for (path, anonymous) in [("/", 200), ("/help/faq", 200), ("/orders", 401)] {
        let status = sim.send(&app, &sim.page(path, None)).await.status();
        assert_eq!(status, anonymous, "{path} without a session");
        println!("public_paths: {path} answers {status} to an anonymous visitor");
    }
    assert_eq!(sim.send(&app, &sim.get("/orders", &session)).await.status(), 200);
    // A mistake in a pattern stops the start; it never opens a path.
    assert!(sim.try_layer(|builder| builder.public(["help/{"])).is_err());
}
