//! Requirements in handler signatures and on whole routers: `cargo run --example guards`.

use axum::Router;
use axum::routing::{get, post};
use clerk_resilience::guard::Named;
use clerk_resilience::sim::{SimClerk, SimOrganization};
use clerk_resilience::{
    Access, Auth, ClerkResilience, FreshAuth, GraceAccess, RequirePermission, RequireRole,
    RoutePolicy, SimClerkExt as _,
};

struct Admin;

impl Named for Admin {
    const NAME: &'static str = "org:admin";
}

struct ReadInvoices;

impl Named for ReadInvoices {
    const NAME: &'static str = "org:invoices:read";
}

/// A role in the active organization; 403 without it.
async fn settings(admin: RequireRole<Admin>) -> String {
    format!("settings for {}", admin.user_id())
}

/// A permission, with the same answer.
async fn invoices(_: RequirePermission<ReadInvoices>) -> &'static str {
    "invoices"
}

/// A session that Clerk confirmed within its last minute: never one in grace.
async fn pay(FreshAuth(auth): FreshAuth) -> String {
    format!("paid by {}", auth.user_id())
}

/// A question inside a handler, where both answers make a page.
async fn menu(auth: Auth) -> &'static str {
    if auth.has(&Access::role("org:admin")) { "menu with settings" } else { "menu" }
}

fn app(clerk: &ClerkResilience) -> Router {
    let admins = RoutePolicy::required().role("org:admin").grace(GraceAccess::Never);
    let audit =
        Router::new().route("/audit", get(async || "audit log")).route_layer(clerk.policy(admins));
    Router::new()
        .route("/settings", get(settings))
        .route("/invoices", get(invoices))
        .route("/pay", post(pay))
        .route("/menu", get(menu))
        .route_layer(clerk.clone())
        .merge(audit)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let sim = SimClerk::in_memory();
    let app = app(&sim.layer(|builder| builder));
    let acme = SimOrganization::new("org_1", "acme");
    let [admin, member] = ["user_admin", "user_member"].map(|user| sim.sign_in(user));
    let _ = sim.member_added(&admin, &acme.clone().role("admin"));
    let _ = sim.member_added(&member, &acme.permission("org:invoices:read"));

    for (path, for_admin, for_member) in [
        ("/settings", 200, 403),
        ("/invoices", 403, 200),
        ("/audit", 200, 403),
        ("/menu", 200, 200),
    ] {
        for (session, expected) in [(&admin, for_admin), (&member, for_member)] {
            let status = sim.send(&app, &sim.get(path, session)).await.status();
            assert_eq!(status, expected, "{path} for {}", session.user);
            println!("guards: {path} answers {status} to {}", session.user);
        }
    }
    assert_eq!(sim.send(&app, &sim.post("/pay", &member)).await.status(), 200);
}
