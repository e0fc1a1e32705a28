//! Instances on several machines share one Redis or Valkey server:
//! `REDIS_URL=redis://127.0.0.1:6379 cargo run --example fleet_redis --features redis`.
//!
//! A revocation on one instance reaches the others within one second. Two layers in this process
//! stand for two machines.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use clerk_resilience::sim::SimClerk;
use clerk_resilience::store::RedisStore;
use clerk_resilience::{Auth, ClerkResilience, GracePolicy, SimClerkExt as _};

type Failure = Box<dyn std::error::Error>;

fn app(clerk: &ClerkResilience) -> Router {
    Router::new()
        .route("/me", get(async |auth: Auth| auth.user_id().to_string()))
        .route_layer(clerk.clone())
        .merge(clerk.routes())
}

/// The namespace tells applications apart on one server.
async fn instance(sim: &SimClerk, server: &str, namespace: &str) -> Result<Router, Failure> {
    let store = RedisStore::connect(server, namespace).await?;
    let layer =
        |builder: clerk_resilience::Builder| builder.store(store).grace(GracePolicy::balanced());
    Ok(app(&sim.try_layer(layer)?))
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let Ok(server) = std::env::var("REDIS_URL") else {
        return Err("set REDIS_URL to a Redis or Valkey server, as redis://127.0.0.1:6379".into());
    };
    let sim = SimClerk::in_memory();
    // A namespace of this run's own; an application uses its name.
    let namespace = format!("example-{}", std::process::id());
    let first = instance(&sim, &server, &namespace).await?;
    let second = instance(&sim, &server, &namespace).await?;
    let session = sim.sign_in("user_1");
    let request = sim.get("/me", &session);
    for instance in [&first, &second] {
        assert_eq!(sim.send(instance, &request).await.status(), 200);
    }

    // Clerk sends a webhook once, to whichever instance the load balancer picks.
    assert_eq!(sim.send(&first, &sim.session_ended(&session)).await.status(), 204);
    assert_eq!(sim.send(&first, &request).await.status(), 401);

    let reached = tokio::time::timeout(Duration::from_secs(5), async {
        while sim.send(&second, &request).await.status() != 401 {
            sim.pass(Duration::from_millis(20)).await;
        }
    });
    reached.await.map_err(|_| "the revocation did not reach the second instance")?;
    println!("fleet_redis: a webhook that one instance received ended the session on both");
    Ok(())
}
