//! Unknown users are looked up at Clerk.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use clerk_resilience::sim::{SimClerk, SimClock, SimFault, SimOrganization, SimSurface};
use clerk_resilience::transport::{ApiRequest, Calling, Transport};
use clerk_resilience::{ProfileError, RoutePolicy, Source, UserProfile};
use http::StatusCode;
use serde_json::json;
use test_support::world::{World, anonymous, bearer, start_of_time};
use tokio::time::Instant;

use super::{Watched, asked, called, hear, known, name, places, text};
use crate::webhooks::with;

/// A page that greets, one that must know whom, and one for all.
fn pages(world: &World) -> Router {
    async fn hello(user: Option<UserProfile>) -> String {
        let name = user.and_then(|user| user.profile.first_name.clone());
        format!("Hello, {}", name.as_deref().unwrap_or("you"))
    }
    async fn account(user: UserProfile) -> String {
        format!("{} {:?}", user.profile.id, user.source)
    }
    let strict = Router::new().route("/account", get(account)).route("/hello", get(hello));
    let open = Router::new().route("/", get(hello)).route("/must", get(account));
    let optional = world.clerk.policy(RoutePolicy::optional());
    strict.route_layer(world.clerk.clone()).merge(open.route_layer(optional))
}

async fn page(world: &World, path: &str, token: &str) -> (u16, String) {
    let answer = World::ask(&pages(world), bearer("GET", path, token)).await;
    (answer.status.as_u16(), answer.body)
}

#[tokio::test(start_paused = true)]
async fn a_page_shows_the_user_in_an_outage_without_a_call() {
    let world = with(|builder| builder).await;
    hear(&world, "msg_1", "user_1", "Ada").await;
    let (_, token) = world.outage().await;
    let (asked_before, begun) = (asked(&world), Instant::now());
    assert_eq!(page(&world, "/hello", &token).await, text(200, "Hello, Ada"));
    assert_eq!(page(&world, "/account", &token).await, text(200, "user_1 Memory"));
    assert_eq!((asked(&world), begun.elapsed()), (asked_before, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_an_unknown_user_is_reported_at_once() {
    let world = with(|builder| builder).await;
    let (_, token) = world.outage().await;
    let (asked_before, begun) = (asked(&world), Instant::now());
    assert_eq!(known(&world, "user_1").await, Err(ProfileError::ClerkUnwell));
    assert_eq!(page(&world, "/hello", &token).await, text(200, "Hello, you"));
    let answer = World::ask(&pages(&world), bearer("GET", "/account", &token)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["code"], "profile_unavailable");
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!((asked(&world), begun.elapsed()), (asked_before, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn no_session_or_user_means_no_profile() {
    let world = with(|builder| builder).await;
    let nobody = World::ask(&pages(&world), anonymous("GET", "/", &[])).await;
    assert_eq!(nobody.body, "Hello, you");
    let refused = World::ask(&pages(&world), anonymous("GET", "/must", &[])).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    world.sim.delete_user(&"user_1".into());
    assert_eq!(page(&world, "/account", &token).await.0, 401, "Clerk knows no such user");
    assert_eq!(page(&world, "/hello", &token).await, text(200, "Hello, you"));
    let bare = Router::new().route("/", get(async |_: Option<UserProfile>| "never"));
    let answer = World::ask(&bare, anonymous("GET", "/", &[])).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "there is no layer");
}

#[tokio::test(start_paused = true)]
async fn unknown_users_are_looked_up_once_and_cached() {
    let store = Watched::default();
    let world = with(|builder| builder.store(store.clone()).reconcile_on_demand()).await;
    world.sim.update_user("user_1", json!({ "first_name": "Ada" }));
    world.sim.break_with(SimSurface::BackendApi, SimFault::Latency(Duration::from_millis(200)));
    let all = (0..100).map(|_| name(&world, "user_1"));
    for found in futures_util::future::join_all(all).await {
        assert_eq!(found, called("Ada", Source::Clerk));
    }
    assert_eq!((asked(&world), store.reads()), (2, 1), "the user, and where they belong");
    for _ in 0..10 {
        assert_eq!(name(&world, "user_1").await, called("Ada", Source::Memory));
    }
    assert_eq!((asked(&world), store.reads()), (2, 1), "memory is enough");

    world.break_clerk();
    let next = World::beside(world.clock.clone(), world.sim.clone(), |builder| {
        builder.store(store.clone()).reconcile_on_demand()
    });
    assert_eq!(name(&next, "user_1").await, called("Ada", Source::Store));
    assert_eq!(name(&next, "user_1").await, called("Ada", Source::Memory));
    assert_eq!((asked(&next), store.reads()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_missing_user_is_cached_briefly_and_webhooks_apply() {
    let world = with(|builder| builder).await;
    for _ in 0..5 {
        assert_eq!(known(&world, "user_9").await, Ok(None));
    }
    assert_eq!(asked(&world), 1);
    world.pass(10).await;
    assert_eq!(known(&world, "user_9").await, Ok(None));
    assert_eq!(asked(&world), 2);
    hear(&world, "msg_1", "user_9", "Ada").await;
    assert_eq!(name(&world, "user_9").await, called("Ada", Source::Memory));
}

#[tokio::test(start_paused = true)]
async fn only_valid_ids_become_part_of_a_url() {
    let world = with(|builder| builder).await;
    let long = "u".repeat(129);
    for id in ["", ".", "..", "a/b", "user_1?x=1", "user_1#", "user 1", "user_ä", long.as_str()] {
        assert_eq!(known(&world, id).await, Ok(None), "{id}");
    }
    assert_eq!(asked(&world), 0);
    assert_eq!(known(&world, "count").await, Err(ProfileError::Unanswered), "that is no user");
    world.sim.update_user("user_1", json!({ "id": "user_2" }));
    assert_eq!(known(&world, "user_1").await, Err(ProfileError::Unanswered), "that is another");
}

#[tokio::test(start_paused = true)]
async fn after_a_429_no_profile_is_fetched_until_retry_after() {
    let world = with(|builder| builder).await;
    world.sim.update_user("user_1", json!({ "first_name": "Ada" }));
    let limited = SimFault::status(429).retry_after(Duration::from_secs(30));
    world.sim.break_with(SimSurface::BackendApi, limited);
    assert_eq!(known(&world, "user_1").await, Err(ProfileError::Limited));
    assert_eq!(asked(&world), 1);
    world.sim.heal_all();
    for n in 0..29 {
        world.pass(1).await;
        assert_eq!(known(&world, &format!("user_{n}")).await, Err(ProfileError::Limited), "{n}");
    }
    assert_eq!(asked(&world), 1);
    world.pass(1).await;
    assert_eq!(name(&world, "user_1").await, called("Ada", Source::Clerk));
}

#[tokio::test(start_paused = true)]
async fn at_most_twenty_users_a_second_are_fetched() {
    let world = with(|builder| builder).await;
    let told = futures_util::future::join_all((0..60).map(|n| {
        let world = &world;
        async move { known(world, &format!("user_{n}")).await }
    }))
    .await;
    let limited = told.iter().filter(|told| **told == Err(ProfileError::Limited)).count();
    assert_eq!((limited, asked(&world)), (40, 20));
}

#[tokio::test(start_paused = true)]
async fn bad_backend_answers_change_no_profile() {
    for fault in [SimFault::status(500), SimFault::InvalidJson, SimFault::Html, SimFault::Hang] {
        let world = with(|builder| builder).await;
        world.sim.update_user("user_1", json!({ "first_name": "Ada" }));
        world.sim.break_with(SimSurface::BackendApi, fault.clone());
        let begun = Instant::now();
        assert_eq!(known(&world, "user_1").await, Err(ProfileError::Unanswered), "{fault:?}");
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(3), "{fault:?}");
        assert_eq!(known(&world, "user_1").await, Err(ProfileError::Unanswered), "{fault:?}");
        assert_eq!(
            (begun.elapsed(), asked(&world)),
            (took, 1),
            "for a moment it is not asked again"
        );
        world.sim.heal_all();
        world.pass(1).await;
        assert_eq!(name(&world, "user_1").await, called("Ada", Source::Clerk), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetched_user_has_the_memberships_from_clerk() {
    let world = with(|builder| builder).await;
    world.sim.join("user_1", &SimOrganization::new("org_1", "one").role("admin"));
    world.sim.join("user_1", &SimOrganization::new("org_2", "two"));
    world.sim.join("user_2", &SimOrganization::new("org_1", "one"));
    let mut found = known(&world, "user_1").await.expect("told").expect("a user").memberships;
    found.sort_by(|one, other| one.organization.cmp(&other.organization));
    let roles: Vec<_> = found.iter().map(|place| place.role.as_str()).collect();
    assert_eq!(roles, ["org:admin", "org:member"]);
    assert_eq!(found[0].heard_at, Some(world.now()));
    world.sim.switch_organizations_off();
    assert_eq!(places(&world, "user_2").await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_partly_read_user_is_not_returned() {
    let (world, ear) = overheard(|path| {
        path.ends_with("/organization_memberships").then_some((StatusCode::OK, "{}"))
    });
    world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    world.sim.update_user("user_1", json!({ "first_name": "Ada" }));
    assert_eq!(known(&world, "user_1").await, Err(ProfileError::Unanswered));
    assert_eq!(*ear.lock().expect("sound"), 1, "the second half was asked for");
}

/// A Clerk whose answers to some paths are others'; and how often they were.
fn overheard(
    instead: impl Fn(&str) -> Option<(StatusCode, &'static str)> + Send + Sync + 'static,
) -> (World, Arc<Mutex<u32>>) {
    struct Ear(Arc<dyn Transport>, Instead, Arc<Mutex<u32>>);
    type Instead = Box<dyn Fn(&str) -> Option<(StatusCode, &'static str)> + Send + Sync>;
    impl std::fmt::Debug for Ear {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Ear")
        }
    }
    impl Transport for Ear {
        fn call(&self, call: ApiRequest) -> Calling {
            let (instead, answer) = ((self.1)(call.url.path()), self.0.call(call));
            if instead.is_some() {
                *self.2.lock().expect("sound") += 1;
            }
            Box::pin(async move {
                let mut reply = answer.await?;
                if let Some((status, body)) = instead {
                    (reply.status, reply.body) = (status, body.into());
                }
                Ok(reply)
            })
        }
    }
    let (clock, heard) = (SimClock::starting_at(start_of_time()), Arc::new(Mutex::new(0)));
    let sim = SimClerk::builder().clock(clock.clone()).seed(7).build();
    let ear = Ear(Arc::new(sim.transport()), Box::new(instead), Arc::clone(&heard));
    (World::beside(clock, sim, |builder| builder.transport(ear)), heard)
}

#[tokio::test(start_paused = true)]
async fn a_user_is_missing_only_by_this_instances_secret_key() {
    for (fault, reason) in [
        (SimFault::ForeignKeys, ProfileError::SecretKeyForeign),
        (SimFault::status(500), ProfileError::Unanswered),
    ] {
        let world = with(|builder| builder).await;
        let token = world.sim.mint(&world.sim.sign_in("user_1"));
        world.sim.delete_user(&"user_1".into());
        world.sim.break_with(SimSurface::BackendJwks, fault);
        assert_eq!(known(&world, "user_1").await, Err(reason));
        assert_eq!(page(&world, "/account", &token).await.0, 503, "{reason:?}");
        world.sim.heal_all();
        world.pass(60).await;
        let token = world.sim.mint(&world.sim.sign_in("user_1"));
        world.sim.delete_user(&"user_1".into());
        assert_eq!(page(&world, "/account", &token).await.0, 401, "then it is certain");
    }
}

#[tokio::test(start_paused = true)]
async fn a_404_from_another_server_deletes_no_user() {
    let (world, _) = overheard(|path| {
        let elsewhere = r#"{"message":"no Route matched with those values"}"#;
        (path == "/v1/users/user_1").then_some((StatusCode::NOT_FOUND, elsewhere))
    });
    world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    assert_eq!(known(&world, "user_1").await, Err(ProfileError::Unanswered));
    assert_eq!(known(&world, "user_2").await, Ok(None));
}
