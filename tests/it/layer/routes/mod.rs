//! Which requests the layer lets through, and what a handler learns of them.

mod credentials;
mod extractors;
mod policies;
mod public_paths;

use axum::Router;
use axum::routing::get;
use clerk_resilience::guard::Named;
use clerk_resilience::sim::{SimClerk, SimOrganization, SimSession};
use clerk_resilience::{Auth, AuthRejection, FreshAuth, RequirePermission, RequireRole};
use test_support::world::{Answer, World, bearer};

struct Admin;

impl Named for Admin {
    const NAME: &'static str = "org:admin";
}

struct ReadPosts;

impl Named for ReadPosts {
    const NAME: &'static str = "org:posts:read";
}

fn kind(auth: &Auth) -> String {
    let grace = auth.grace().map_or("fresh", |grace| grace.reason.name());
    format!("{} {grace}", auth.user_id())
}

/// One route for each extractor.
fn extractors() -> Router {
    Router::new()
        .route("/auth", get(async |auth: Auth| kind(&auth)))
        .route("/fresh", get(async |FreshAuth(auth): FreshAuth| kind(&auth)))
        .route("/admin", get(async |admin: RequireRole<Admin>| kind(&admin)))
        .route(
            "/reader",
            get(async |reader: RequirePermission<ReadPosts>| kind(&reader.into_inner())),
        )
        .route(
            "/option",
            get(async |auth: Option<Auth>| auth.map_or("nobody".to_owned(), |auth| kind(&auth))),
        )
        .route(
            "/reason",
            get(async |auth: Result<Auth, AuthRejection>| match auth {
                Ok(auth) => kind(&auth),
                Err(error) => format!("{}: {error}", error.rejection().reason()),
            }),
        )
}

fn member(sim: &SimClerk, role: &str, permission: &str) -> (SimSession, String) {
    let session = sim.sign_in("user_1");
    let acme = SimOrganization::new("org_1", "acme").role(role).permission(permission);
    sim.set_organization(&session, Some(acme));
    let token = sim.mint(&session);
    (session, token)
}

async fn get_from(app: &Router, path: &str, token: &str) -> Answer {
    World::ask(app, bearer("GET", path, token)).await
}
