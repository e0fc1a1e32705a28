//! Guards demand of a session what routes demand, and answer alike.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use clerk_resilience::guard::{
    Demand, Feature, Fresh, Lax, Moderate, Named, Permission, Plan, RecentlyVerified, Role, Strict,
    StrictMfa,
};
use clerk_resilience::sim::{SimClerk, SimOrganization};
use clerk_resilience::{
    Access, Auth, Rejection, Require, RequireFeature, RequirePermission, RequirePlan,
    RequireReverification, RequireRole, Reverification, RoutePolicy,
};
use http::StatusCode;
use serde_json::{Value, json};
use test_support::world::{Answer, NAVIGATION, World, bearer, signed};

macro_rules! names {
    ($($marker:ident = $name:literal;)*) => {$(
        struct $marker;
        impl Named for $marker {
            const NAME: &'static str = $name;
        }
    )*};
}

names! {
    Admin = "org:admin";
    ReadPosts = "org:posts:read";
    Teams = "teams";
    Pro = "u:pro";
}

struct Beta;

impl Demand for Beta {
    fn check(auth: &Auth) -> Result<(), Rejection> {
        let enrolled = auth.session().claim("beta").unwrap_or(false);
        if enrolled { Ok(()) } else { Err(Rejection::Forbidden) }
    }
}

type All = (RecentlyVerified<Lax>, Role<Admin>, Feature<Teams>, Plan<Pro>);

/// A path, the handler behind it, and the route policy with the same demand.
fn pairs() -> Vec<(&'static str, Router, RoutePolicy)> {
    macro_rules! pair {
        ($path:literal, $guard:ty, $policy:expr) => {
            ($path, Router::new().route($path, get(async |_: $guard| "in")), $policy)
        };
    }
    let required = RoutePolicy::required;
    vec![
        pair!("/role", RequireRole<Admin>, required().role("org:admin")),
        pair!("/permission", RequirePermission<ReadPosts>, required().permission("org:posts:read")),
        pair!("/feature", RequireFeature<Teams>, required().feature("teams")),
        pair!("/plan", RequirePlan<Pro>, required().plan("u:pro")),
        pair!(
            "/strict-mfa",
            RequireReverification<StrictMfa>,
            required().reverification(Reverification::STRICT_MFA)
        ),
        pair!(
            "/strict",
            RequireReverification<Strict>,
            required().reverification(Reverification::STRICT)
        ),
        pair!(
            "/moderate",
            RequireReverification<Moderate>,
            required().reverification(Reverification::MODERATE)
        ),
        pair!("/lax", RequireReverification<Lax>, required().reverification(Reverification::LAX)),
        pair!(
            "/all",
            Require<All>,
            required().access(
                Access::role("org:admin")
                    .and_feature("teams")
                    .and_plan("u:pro")
                    .and_reverification(Reverification::LAX)
            )
        ),
        pair!(
            "/two",
            Require<(Permission<ReadPosts>, RecentlyVerified<Strict>)>,
            required().permission("org:posts:read").reverification(Reverification::STRICT)
        ),
    ]
}

/// A token of somebody with this role, and what else it says.
fn token(sim: &SimClerk, role: &str, claims: &Value) -> String {
    let acme = SimOrganization::new("org_1", "acme").role(role).permission("org:posts:read");
    let token = sim.token(&sim.sign_in("user_1")).organization(acme);
    let claims = claims.as_object().expect("an object").clone();
    claims.into_iter().fold(token, |token, (name, value)| token.claim(name, value)).sign()
}

/// What the guard and the route answer; they must not differ.
async fn asked(world: &World, path: &str, token: &str) -> Answer {
    let pairs = pairs();
    let (_, app, policy) = pairs.into_iter().find(|pair| pair.0 == path).expect("a pair");
    let guarded = app.clone().route_layer(world.clerk.clone());
    let open = Router::new().route(path, get(async || "in"));
    let routed = open.route_layer(world.clerk.policy(policy));
    let by_guard = World::ask(&guarded, bearer("GET", path, token)).await;
    let by_route = World::ask(&routed, bearer("GET", path, token)).await;
    assert_eq!((by_guard.status, unhurried(&by_guard)), (by_route.status, unhurried(&by_route)));
    assert_eq!(by_guard.header("www-authenticate"), by_route.header("www-authenticate"));
    by_guard
}

/// The body without the random part.
fn unhurried(answer: &Answer) -> Value {
    let Ok(mut body) = serde_json::from_str::<Value>(&answer.body) else {
        return answer.body.clone().into();
    };
    body["retry_after"] = Value::Null;
    body
}

#[tokio::test(start_paused = true)]
async fn each_guard_agrees_with_its_route_policy() {
    let world = World::new().await;
    let sim = &world.sim;
    let rich = token(
        sim,
        "admin",
        &json!({ "fea": "o:posts,o:teams", "pla": "u:pro", "fva": [1, 1], "per": "read", "fpm": "1" }),
    );
    let poor = token(sim, "member", &json!({ "fea": "", "pla": "o:pro", "fva": [1, 1] }));
    for path in ["/role", "/feature", "/plan", "/all"] {
        assert_eq!(asked(&world, path, &rich).await.status, StatusCode::OK, "{path}");
        let answer = asked(&world, path, &poor).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(answer.json()["code"], "insufficient_permission", "{path}");
    }
    let plain = token(sim, "member", &json!({}));
    assert_eq!(asked(&world, "/permission", &plain).await.status, StatusCode::OK);
    assert_eq!(asked(&world, "/permission", &poor).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test(start_paused = true)]
async fn each_level_of_reverification_has_its_factor_and_its_age() {
    let world = World::new().await;
    for (path, good, old) in [
        ("/strict-mfa", json!([9, 9]), vec![json!([10, 9]), json!([9, 10])]),
        ("/strict", json!([500, 9]), vec![json!([9, 10])]),
        ("/moderate", json!([500, 59]), vec![json!([9, 60])]),
        ("/lax", json!([5000, 1439]), vec![json!([9, 1440]), json!([-1, -1])]),
    ] {
        let good = token(&world.sim, "member", &json!({ "fva": good }));
        assert_eq!(asked(&world, path, &good).await.status, StatusCode::OK, "{path}");
        for fva in old {
            let old = token(&world.sim, "member", &json!({ "fva": fva }));
            let answer = asked(&world, path, &old).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {fva}");
            assert_eq!(answer.json()["code"], "reverification_required", "{path} {fva}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn missing_verification_is_reported_in_clerks_format() {
    let world = World::new().await;
    let old = token(&world.sim, "member", &json!({ "fva": [900, 900] }));
    let answer = asked(&world, "/strict", &old).await;
    let hint = json!({
        "type": "forbidden",
        "reason": "reverification-error",
        "metadata": { "reverification": { "level": "second_factor", "afterMinutes": 10 } },
    });
    assert_eq!(answer.json()["clerk_error"], hint);
    assert_eq!(
        answer.header("www-authenticate"),
        "Bearer error=\"insufficient_user_authentication\""
    );
    let forbidden = asked(&world, "/role", &old).await;
    assert_eq!(forbidden.json().get("clerk_error"), None);
    let policy = RoutePolicy::required().reverification(Reverification::STRICT);
    let app = test_support::world::routes().route_layer(world.clerk.policy(policy));
    let page = World::ask(&app, signed("GET", "/me", &old, &NAVIGATION)).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.body.contains("verify again"), "{}", page.body);
    assert_eq!(world.clerk.counts().forbidden, 3);
}

#[tokio::test(start_paused = true)]
async fn no_verification_is_required_that_cannot_help() {
    let world = World::new().await;
    let old = json!({ "fva": [9000, 9000], "fea": "o:posts,o:teams", "pla": "u:pro" });
    let member = token(&world.sim, "member", &old);
    assert_eq!(asked(&world, "/all", &member).await.json()["code"], "insufficient_permission");
    let admin = token(&world.sim, "admin", &old);
    assert_eq!(asked(&world, "/all", &admin).await.json()["code"], "reverification_required");
    let reader = token(&world.sim, "member", &json!({ "fva": [9000, 9000] }));
    assert_eq!(asked(&world, "/two", &reader).await.json()["code"], "reverification_required");
}

#[tokio::test(start_paused = true)]
async fn in_grace_old_verification_is_503_and_a_missing_role_403() {
    let world = World::new().await;
    let young = token(&world.sim, "member", &json!({ "fva": [5, 5] }));
    let old = token(&world.sim, "member", &json!({ "fva": [50, 50] }));
    for token in [&young, &old] {
        assert_eq!(world.get(token).await.status, StatusCode::OK);
    }
    world.break_clerk();
    world.until(clerk_resilience::Verdict::Outage).await;
    world.pass(60).await;
    assert_eq!(asked(&world, "/strict", &young).await.body, "in");
    let answer = asked(&world, "/strict", &old).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["code"], "step_up_unavailable");
    assert_eq!(answer.json().get("clerk_error"), None);
    assert_eq!(asked(&world, "/role", &old).await.status, StatusCode::FORBIDDEN);
    assert_eq!(asked(&world, "/two", &old).await.status, StatusCode::SERVICE_UNAVAILABLE);
    world.pass(240).await;
    let answer = asked(&world, "/strict", &young).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "verified too long ago by now");
}

#[tokio::test(start_paused = true)]
async fn custom_requirements_combine_with_the_others() {
    let world = World::new().await;
    let preview = async |guard: Require<(Beta, Fresh)>| guard.user_id().to_string();
    let app = Router::new().route("/preview", get(preview)).route_layer(world.clerk.clone());
    let ask = async |token: &str| World::ask(&app, bearer("GET", "/preview", token)).await;
    let member = token(&world.sim, "member", &json!({}));
    let tester = token(&world.sim, "member", &json!({ "beta": true }));
    assert_eq!(ask(&member).await.status, StatusCode::FORBIDDEN);
    assert_eq!(ask(&tester).await.body, "user_1");
    world.break_clerk();
    world.until(clerk_resilience::Verdict::Outage).await;
    world.pass(Duration::from_secs(60).as_secs()).await;
    assert_eq!(ask(&tester).await.json()["code"], "step_up_unavailable");
    assert_eq!(ask(&member).await.status, StatusCode::FORBIDDEN);
}
