//! Memberships, roles and deletions of which no webhook told.

use std::time::Duration;

use clerk_resilience::id::UserId;
use clerk_resilience::sim::{SimFault, SimOrganization, SimSurface};
use clerk_resilience::{Builder, GracePolicy, Progress, Verdict};
use http::StatusCode;
use serde_json::{Value, json};
use test_support::world::World;

use super::{Ear, ended, with};

fn org(id: &str) -> SimOrganization {
    SimOrganization::new(id, id)
}

fn user(n: u32) -> UserId {
    UserId::new(format!("user_{n}"))
}

/// Three users, all of them members of an organisation, and all of that known here.
async fn settled(choose: impl FnOnce(Builder) -> Builder) -> (World, Ear) {
    let (world, ear) = with(3, |builder| choose(builder.reconcile_on_demand())).await;
    for n in 0..3 {
        world.sim.join(user(n), &org("org_1"));
    }
    ended(&world).await;
    // What is new may not be known to all of Clerk's machines, so that nothing is concluded from it.
    world.pass(11 * 60).await;
    (world, ear)
}

#[tokio::test(start_paused = true)]
async fn a_new_user_not_found_yet_is_not_deleted() {
    for (after, gone) in [(590, 0), (600, 1)] {
        let (world, _) = with(3, Builder::reconcile_on_demand).await;
        world.sim.update_user(user(1), json!({ "updated_at": world.now().as_millis() }));
        world.sim.join(user(2), &org("org_1"));
        ended(&world).await;
        world.pass(after).await;
        world.sim.delete_user(&user(1));
        assert_eq!(ended(&world).await.gone, gone, "after {after} s");
    }
}

/// The store of another application, or of another instance.
#[tokio::test(start_paused = true)]
async fn if_clerk_knows_no_stored_user_nothing_is_deleted() {
    let (world, _) = settled(|builder| builder).await;
    for n in 0..3 {
        world.sim.delete_user(&user(n));
    }
    assert_eq!(ended(&world).await.gone, 0);
    assert_eq!(world.clerk.snapshot().revocations.denials().count(), 0);
}

/// A token of a session in an organisation.
fn token(world: &World, n: u32, organization: &SimOrganization) -> String {
    let session = world.sim.sign_in(user(n));
    world.sim.set_organization(&session, Some(organization.clone()));
    world.sim.mint(&session)
}

/// The user's roles, by organisation.
async fn places(world: &World, n: u32) -> Vec<(String, String)> {
    let known = world.clerk.profiles().get(&user(n)).await.expect("told").expect("a user");
    let places = known.memberships.into_iter();
    places.map(|place| (place.organization.as_str().to_owned(), place.role)).collect()
}

fn place(organization: &str, role: &str) -> Vec<(String, String)> {
    vec![(organization.to_owned(), role.to_owned())]
}

async fn refused(world: &World, token: &str) -> Option<String> {
    let answer = world.get(token).await;
    let refused = answer.status == StatusCode::UNAUTHORIZED;
    refused.then(|| answer.json()["reason"].as_str().expect("a reason").to_owned())
}

#[tokio::test(start_paused = true)]
async fn missed_memberships_and_roles_are_found() {
    let (world, ear) = settled(|builder| builder).await;
    assert_eq!(places(&world, 1).await, place("org_1", "org:member"));
    world.sim.join(user(1), &org("org_1").role("admin"));
    world.sim.leave(&user(2), &"org_1".into());
    world.sim.join(user(2), &org("org_2"));
    let progress = ended(&world).await;
    assert_eq!((progress.memberships, progress.memberships_total), (3, Some(3)));
    assert_eq!(places(&world, 1).await, place("org_1", "org:admin"));
    assert_eq!(places(&world, 2).await, place("org_2", "org:member"));
    let by_name = [0, 1, 2].map(|n| ear.heard_of(&format!("/v1/users/user_{n}/")).len());
    assert_eq!(by_name, [0, 0, 1], "only whom the list of all did not tell of");
}

#[tokio::test(start_paused = true)]
async fn a_missed_departure_is_rejected_there_only() {
    let (world, _) = settled(|builder| builder).await;
    let theirs = token(&world, 1, &org("org_1"));
    let others = [
        token(&world, 2, &org("org_1")),
        token(&world, 1, &org("org_2")),
        world.sim.mint(&world.sim.sign_in(user(1))),
    ];
    world.sim.leave(&user(1), &"org_1".into());
    let progress = ended(&world).await;
    assert_eq!((progress.gone, progress.trouble), (1, None));
    assert_eq!(refused(&world, &theirs).await.as_deref(), Some("no-member"));
    for other in &others {
        assert_eq!(world.get(other).await.status, StatusCode::OK);
    }
    assert_eq!(places(&world, 1).await, []);
    world.pass(2).await;
    world.sim.join(user(1), &org("org_1"));
    assert_eq!(ended(&world).await.gone, 0, "it is known");
    assert_eq!(places(&world, 1).await, place("org_1", "org:member"));
    assert_eq!(refused(&world, &token(&world, 1, &org("org_1"))).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_missed_organization_deletion_removes_its_members() {
    let (world, _) = settled(|builder| builder).await;
    let tokens = [0, 1, 2].map(|n| token(&world, n, &org("org_1")));
    world.sim.delete_organization(&"org_1".into());
    assert_eq!(ended(&world).await.gone, 3);
    for token in &tokens {
        assert_eq!(refused(&world, token).await.as_deref(), Some("no-member"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_missed_role_change_ends_grace_of_older_tokens() {
    let (world, _) = settled(|builder| builder.grace(GracePolicy::balanced())).await;
    let changed = token(&world, 1, &org("org_1"));
    let same = token(&world, 2, &org("org_1"));
    world.pass(2).await;
    world.sim.join(user(1), &org("org_1").role("admin"));
    ended(&world).await;
    let after = token(&world, 1, &org("org_1").role("admin"));
    for token in [&changed, &same, &after] {
        assert_eq!(world.get(token).await.status, StatusCode::OK, "within their time all count");
    }
    world.break_clerk();
    world.until(Verdict::Outage).await;
    world.pass(60).await;
    let status = async |token: &str| world.get(token).await.status;
    assert_eq!(status(&changed).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(status(&same).await, StatusCode::OK);
    assert_eq!(status(&after).await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_missed_permission_change_ends_grace() {
    let (world, _) = settled(|builder| builder.grace(GracePolicy::balanced())).await;
    for key in ["org:admin", "org:member"] {
        world.sim.update_role(key);
    }
    world.sim.update_permission("org:invoices:read");
    world.pass(60).await;
    let may_read = org("org_1").permission("org:invoices:read");
    let [admin, reader, same] = [org("org_1").role("admin"), may_read, org("org_1")];
    let [admin, reader, same] = [admin, reader, same].map(|org| token(&world, 1, &org));
    world.pass(2).await;
    world.sim.update_role("org:admin");
    world.sim.update_permission("org:invoices:read");
    ended(&world).await;
    let after = token(&world, 1, &org("org_1").role("admin"));
    for token in [&admin, &reader, &same, &after] {
        assert_eq!(world.get(token).await.status, StatusCode::OK, "within their time all count");
    }
    world.break_clerk();
    world.until(Verdict::Outage).await;
    world.pass(60).await;
    let status = async |token: &str| world.get(token).await.status;
    assert_eq!(status(&admin).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(status(&reader).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(status(&same).await, StatusCode::OK);
    assert_eq!(status(&after).await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_missed_user_deletion_is_applied() {
    let (world, _) = settled(|builder| builder).await;
    let tokens = [0, 1].map(|n| world.sim.mint(&world.sim.sign_in(user(n))));
    world.sim.delete_user(&user(1));
    assert_eq!(ended(&world).await.gone, 1);
    assert_eq!(refused(&world, &tokens[0]).await, None);
    assert_eq!(refused(&world, &tokens[1]).await.as_deref(), Some("session-revoked"));
    assert_eq!(world.clerk.profiles().get(&user(1)).await, Ok(None));
    assert_eq!(ended(&world).await.gone, 0, "it is known");
}

/// Nobody is gone, whatever was said.
async fn all_are_there(world: &World) {
    for n in 0..3 {
        assert_eq!(places(world, n).await, place("org_1", "org:member"), "{n}");
        assert_eq!(refused(world, &token(world, n, &org("org_1"))).await, None, "{n}");
    }
    assert_eq!(world.clerk.snapshot().revocations.denials().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn users_skipped_by_a_moving_list_are_fetched_by_id() {
    let (world, ear) = settled(|builder| builder).await;
    ear.tamper(|path, _, told| match (path, told) {
        ("/v1/users", Value::Array(list)) => list.retain(|user| user["id"] != "user_1"),
        ("/v1/organization_memberships", told) => told["data"] = json!([]),
        _ => {}
    });
    let Progress { gone, trouble, compared, .. } = ended(&world).await;
    assert_eq!((gone, trouble, compared), (0, None, 3));
    all_are_there(&world).await;
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_list_deletes_nothing() {
    let (world, ear) = settled(|builder| builder).await;
    ear.tamper(|path, _, told| {
        if path.ends_with("/organization_memberships") {
            (told["data"], told["total_count"]) = (json!([]), json!(501));
        }
    });
    assert_eq!(ended(&world).await.gone, 0);
    all_are_there(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_404_not_from_clerk_deletes_nothing() {
    let (world, ear) = settled(|builder| builder).await;
    world.sim.delete_user(&user(1));
    ear.tamper(|path, _, told| {
        if path == "/v1/users/user_1" {
            *told = json!({ "message": "no Route matched with those values" });
        }
    });
    let progress = world.clerk.reconcile().expect("there is a store");
    world.pass(60).await;
    let now = progress.borrow().clone();
    assert!(now.under_way && now.trouble.expect("trouble").contains("404"));
    assert_eq!(world.clerk.snapshot().revocations.denials().count(), 0);
    assert!(world.clerk.profiles().get(&user(1)).await.expect("told").is_some());
}

#[tokio::test(start_paused = true)]
async fn disabled_organizations_delete_no_membership() {
    let (world, _) = settled(|builder| builder).await;
    world.sim.switch_organizations_off();
    let Progress { gone, trouble, memberships, .. } = ended(&world).await;
    assert_eq!((gone, trouble, memberships), (0, None, 0));
    all_are_there(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_foreign_secret_key_changes_nothing() {
    let (world, ear) = with(3, Builder::reconcile_on_demand).await;
    world.sim.break_with(SimSurface::BackendJwks, SimFault::ForeignKeys);
    world.sim.update_user("user_1", json!({ "banned": true }));
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    let progress = ended(&world).await;
    assert!(progress.trouble.expect("trouble").contains("another instance"));
    assert_eq!((progress.users, ear.heard().len()), (0, 1));
    assert_eq!(world.get(&token).await.status, StatusCode::OK, "nobody's ban is another's");
    world.pass(600).await;
    assert_eq!(ear.heard(), [], "it waits until somebody corrects it");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_applied_before_the_secret_key_is_identified() {
    let (world, _) = with(3, Builder::reconcile_on_demand).await;
    world.sim.break_with(SimSurface::BackendJwks, SimFault::status(500));
    let progress = world.clerk.reconcile().expect("there is a store");
    world.pass(20).await;
    let now = progress.borrow().clone();
    assert!(now.under_way && now.trouble.expect("trouble").contains("one instance"));
    assert_eq!(now.users, 0);
    world.sim.heal_all();
    world.pass(60).await;
    let now = progress.borrow().clone();
    assert_eq!((now.ended, now.users, now.trouble), (1, 3, None));
}

#[tokio::test(start_paused = true)]
async fn lookups_by_id_are_limited_to_four_a_second() {
    let (world, _) = with(120, Builder::reconcile_on_demand).await;
    ended(&world).await;
    world.pass(11 * 60).await;
    for n in (0..120).filter(|n| n % 10 != 0) {
        world.sim.delete_user(&user(n));
    }
    world.sim.forget_requests();
    let begun = tokio::time::Instant::now();
    let progress = ended(&world).await;
    let took = begun.elapsed();
    assert_eq!((progress.gone, progress.compared), (108, 120));
    assert!(took >= Duration::from_secs(27), "{took:?}");
}
