//! Each event takes effect on the next request.

use clerk_resilience::internals::revocation::Denial;
use clerk_resilience::sim::SimOrganization;
use clerk_resilience::{Builder, Verdict};
use http::StatusCode;
use serde_json::{Value, json};
use test_support::world::World;

use super::{at, data, deliver, parsed, post, revoked, with};

#[tokio::test(start_paused = true)]
async fn every_clerk_sample_is_stored_and_takes_effect() {
    let index = parsed("webhook-samples/index.json");
    let files = index["files"].as_array().expect("files");
    assert_eq!(files.len(), 33);
    for file in files {
        let sent: i64 =
            file["headers"]["svix-timestamp"].as_str().expect("a time").parse().expect("a number");
        let world = at(sent, index["secret"].as_str().expect("text"));
        let name = file["file"].as_str().expect("a name");
        let answer =
            world.send(post(&file["headers"], data(&format!("webhook-samples/{name}")))).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{name}");
        let expected = file["expect"].to_string();
        let revocations = &world.clerk.snapshot().revocations;
        let denies = revocations.denials().map(|denial| match denial {
            Denial::Session(..) => "session",
            Denial::User(..) => "user",
            Denial::Member(..) => "member",
            Denial::Organization(..) => "organization",
            Denial::Outdated(..) => "outdated",
            Denial::Role(..) => "role",
            Denial::Permission(..) => "permission",
            _ => "something else",
        });
        let should = match file["type"].as_str().expect("a type") {
            _ if expected.contains("revoke_session") => Some("session"),
            _ if expected.contains("revoke_all_sessions") => Some("user"),
            "organizationMembership.deleted" => Some("member"),
            "organizationMembership.updated" => Some("outdated"),
            "organization.deleted" => Some("organization"),
            "role.updated" | "role.deleted" => Some("role"),
            "permission.deleted" => Some("permission"),
            _ => None,
        };
        assert_eq!(denies.collect::<Vec<_>>(), Vec::from_iter(should), "{name}: {expected}");
        let counts = world.clerk.counts();
        let tells = ["upsert_profile", "upsert embedded", "_membership", "iat"]
            .iter()
            .any(|effect| expected.contains(effect));
        let used =
            should.is_some() || tells || name == "session.pending.json" || name.contains("older");
        assert_eq!(counts.webhooks_accepted, u64::from(used), "{name}");
        assert_eq!(counts.webhooks_unused, u64::from(!used), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_revocation_event_applies_to_the_next_request() {
    let world = with(|builder| builder).await;
    let session = world.sim.sign_in("user_1");
    let (token, other) = (world.sim.mint(&session), world.sim.mint(&world.sim.sign_in("user_2")));
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    let answer = deliver(&world, "msg_1", &revoked(session.id.as_str())).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(world.get(&other).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_revocation_event_ends_grace_at_once() {
    let world = with(|builder| builder).await;
    let (session, token) = world.outage().await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    deliver(&world, "msg_1", &revoked(session.id.as_str())).await;
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn a_ban_ends_only_sessions_issued_before_it() {
    let world = with(|builder| builder).await;
    let session = world.sim.sign_in("user_1");
    let before = world.sim.mint(&session);
    let banned = world.now().as_millis();
    let ban = json!({ "type": "user.updated", "timestamp": banned, "data": { "id": "user_1", "banned": true, "updated_at": banned } });
    deliver(&world, "msg_1", &ban.to_string()).await;
    assert_eq!(world.get(&before).await.status, StatusCode::UNAUTHORIZED);

    world.pass(10).await;
    let after = world.sim.mint(&world.sim.sign_in("user_1"));
    for id in ["msg_1", "msg_2"] {
        deliver(&world, id, &ban.to_string()).await;
        assert_eq!(world.get(&after).await.status, StatusCode::OK, "{id}");
    }
    let deleted = json!({ "type": "user.deleted", "data": { "id": "user_1", "deleted": true } });
    deliver(&world, "msg_3", &deleted.to_string()).await;
    deliver(&world, "msg_4", &ban.to_string()).await;
    world.pass(30).await;
    let last = world.sim.mint(&world.sim.sign_in("user_1"));
    assert_eq!(world.get(&last).await.status, StatusCode::UNAUTHORIZED, "deleted is for good");
}

fn membership(world: &World, event: &str) -> String {
    let data = json!({
        "organization": { "id": "org_1" }, "public_user_data": { "user_id": "user_1" },
    });
    let kind = format!("organizationMembership.{event}");
    json!({ "type": kind, "timestamp": world.now().as_millis(), "data": data }).to_string()
}

fn member_of(world: &World, user: &str, organization: &str) -> String {
    let (id, slug) = (organization.to_owned(), organization.to_owned());
    world.sim.token(&world.sim.sign_in(user)).organization(SimOrganization::new(id, slug)).sign()
}

#[tokio::test(start_paused = true)]
async fn a_former_member_is_rejected_in_that_organization_only() {
    let world = with(|builder| builder).await;
    let token = member_of(&world, "user_1", "org_1");
    let others = [
        member_of(&world, "user_1", "org_2"),
        member_of(&world, "user_2", "org_1"),
        world.sim.mint(&world.sim.sign_in("user_1")),
    ];
    for _ in 0..2 {
        deliver(&world, "msg_1", &membership(&world, "deleted")).await;
        let answer = world.get(&token).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.json()["reason"], "no-member");
        for other in &others {
            assert_eq!(world.get(other).await.status, StatusCode::OK);
        }
    }
    world.pass(2).await;
    let again = member_of(&world, "user_1", "org_1");
    assert_eq!(world.get(&again).await.status, StatusCode::OK, "the user joined it anew");
    let gone = json!({ "type": "organization.deleted", "data": { "id": "org_1" } });
    deliver(&world, "msg_2", &gone.to_string()).await;
    for token in [&again, &others[1]] {
        assert_eq!(world.get(token).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(world.get(&others[0]).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_membership_end_is_401_in_grace_and_a_change_503() {
    for (event, status) in
        [("deleted", StatusCode::UNAUTHORIZED), ("updated", StatusCode::SERVICE_UNAVAILABLE)]
    {
        let world = with(|builder| builder).await;
        let token = member_of(&world, "user_1", "org_1");
        world.get(&token).await;
        world.break_clerk();
        world.until(Verdict::Outage).await;
        world.pass(70).await;
        assert_eq!(world.get(&token).await.body, "user_1 outage");
        deliver(&world, "msg_1", &membership(&world, event)).await;
        assert_eq!(world.get(&token).await.status, status, "{event}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_change_does_not_affect_unexpired_tokens() {
    let world = with(|builder| builder).await;
    let token = member_of(&world, "user_1", "org_1");
    deliver(&world, "msg_1", &membership(&world, "updated")).await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_lock_or_password_change_ends_sessions_if_configured() {
    type Choose = fn(Builder) -> Builder;
    let body = |world: &World, event: Value| {
        let mut data = json!({ "id": "user_1", "locked": false });
        data.as_object_mut().expect("members").extend(event.as_object().expect("members").clone());
        let now = world.now().as_millis();
        json!({ "type": "user.updated", "timestamp": now, "data": data }).to_string()
    };
    let choices: [(Choose, [u16; 2]); 3] = [
        (|builder| builder, [200, 200]),
        (|builder| builder.revoke_when_locked(true), [401, 200]),
        (|builder| builder.revoke_on_password_change(true), [200, 401]),
    ];
    for (choose, expected) in choices {
        let now = with(choose).await.now().as_millis();
        let events = [json!({ "locked": true }), json!({ "password_last_updated_at": now })];
        for (event, status) in events.into_iter().zip(expected) {
            let world = with(choose).await;
            let token = world.sim.mint(&world.sim.sign_in("user_1"));
            deliver(&world, "msg_1", &body(&world, event)).await;
            assert_eq!(world.get(&token).await.status.as_u16(), status);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn events_may_arrive_twice_and_in_any_order() {
    let world = with(|builder| builder).await;
    let mut deliveries: Vec<usize> = (0..100).flat_map(|n| [n, n]).collect();
    fastrand::Rng::with_seed(3).shuffle(&mut deliveries);
    for n in deliveries {
        let answer =
            deliver(&world, &format!("msg_{n}"), &revoked(&format!("sess_{}", n / 2))).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
    }
    let counts = world.clerk.counts();
    assert_eq!((counts.webhooks_accepted, counts.webhooks_repeated), (100, 100));
    assert_eq!(world.clerk.snapshot().revocations.sessions().count(), 50);
}
