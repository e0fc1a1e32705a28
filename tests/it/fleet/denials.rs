//! Whatever one instance revokes all refuse, and a store that fails costs grace and nothing else.

use std::time::Duration;

use clerk_resilience::clock::{Moment, Timestamp};
use clerk_resilience::internals::revocation::Denial;
use clerk_resilience::internals::snapshot::DenyList;
use clerk_resilience::store::{MemoryStore, Store as _};
use clerk_resilience::{GracePolicy, Verdict};
use http::StatusCode;
use serde_json::json;
use test_support::world::{World, anonymous};

use super::connection::Connection;
use super::two;

#[tokio::test(start_paused = true)]
async fn a_revocation_reaches_every_instance_within_a_second() {
    let (one, _, two, _) = two(|builder| builder).await;
    let (session, other) = (one.sim.sign_in("user_1"), one.sim.sign_in("user_2"));
    let (token, others) = (one.sim.mint(&session), one.sim.mint(&other));
    assert_eq!(two.get(&token).await.status, StatusCode::OK);
    assert_eq!(two.get(&others).await.status, StatusCode::OK);
    one.clerk.revoke_session(session.id.as_str());
    one.clerk.revoke_user("user_2");
    one.pass(1).await;
    assert_eq!(two.get(&token).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(two.get(&others).await.status, StatusCode::UNAUTHORIZED);
    let third = one.sim.mint(&one.sim.sign_in("user_3"));
    assert_eq!(two.get(&third).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn every_instance_distrusts_a_distrusted_key() {
    let (one, _, two, _) = two(|builder| builder).await;
    let token = one.sim.mint(&one.sim.sign_in("user_1"));
    assert_eq!(two.get(&token).await.status, StatusCode::OK);
    let key = one.clerk.snapshot().keys.set.key_ids().next().expect("a key").clone();
    one.clerk.distrust_key(key);
    one.pass(1).await;
    assert_eq!(two.get(&token).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn a_new_instance_rejects_earlier_revocations() {
    let (one, connection, _two, _) = two(|builder| builder).await;
    let session = one.sim.sign_in("user_1");
    let token = one.sim.mint(&session);
    one.clerk.revoke_session(session.id.as_str());
    one.pass(1).await;
    let third =
        World::beside(one.clock.clone(), one.sim.clone(), |builder| builder.store(connection));
    third.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    assert_eq!(third.get(&token).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn failed_writes_apply_locally_and_later_everywhere() {
    for cut in [Connection::fail, Connection::hang] {
        let (one, connection, two, _) = two(|builder| builder).await;
        let sessions: Vec<_> = (0..3).map(|n| one.sim.sign_in(format!("user_{n}"))).collect();
        let mint = || sessions.iter().map(|session| one.sim.mint(session));
        cut(&connection);
        for session in &sessions {
            let began = tokio::time::Instant::now();
            one.clerk.revoke_session(session.id.as_str());
            let token = one.sim.mint(session);
            assert_eq!(one.get(&token).await.status, StatusCode::UNAUTHORIZED);
            assert_eq!(began.elapsed(), Duration::ZERO, "nobody waits for the store");
            one.pass(20).await;
        }
        for token in mint() {
            assert_eq!(one.get(&token).await.status, StatusCode::UNAUTHORIZED);
            assert_eq!(two.get(&token).await.status, StatusCode::OK);
        }
        assert!(one.clerk.snapshot().feeds.store.unwritten_since.is_some());
        let health = one.send(anonymous("GET", "/auth/health", &[])).await.json();
        assert_eq!(health["checks"]["store:shared"][0]["status"], "fail");
        connection.heal();
        one.pass(40).await;
        for token in mint() {
            assert_eq!(two.get(&token).await.status, StatusCode::UNAUTHORIZED);
        }
        assert!(one.clerk.snapshot().feeds.store.unwritten_since.is_none());
        let health = one.send(anonymous("GET", "/auth/health", &[])).await.json();
        let check = &health["checks"]["store:shared"][0];
        assert_eq!((&check["status"], &check["observedValue"]), (&json!("pass"), &json!(2)));
    }
}

/// More at once than the way to the store has room for.
#[tokio::test(start_paused = true)]
async fn a_flood_of_revocations_loses_none() {
    let (one, _, two, _) = two(|builder| builder).await;
    for n in 0..5_000 {
        one.clerk.revoke_session(format!("sess_{n}"));
    }
    one.pass(5).await;
    assert_eq!(two.clerk.snapshot().revocations.sessions().count(), 5_000);
}

#[tokio::test(start_paused = true)]
async fn a_partition_ends_grace_after_a_minute_until_it_heals() {
    for cut in [Connection::fail, Connection::hang] {
        let (one, _, two, connection) = two(|builder| builder).await;
        let (session, other) = (one.sim.sign_in("user_1"), one.sim.sign_in("user_2"));
        let (token, others) = (one.sim.mint(&session), one.sim.mint(&other));
        for token in [&token, &others] {
            assert_eq!(two.get(token).await.status, StatusCode::OK);
        }
        one.break_clerk();
        two.until(Verdict::Outage).await;
        two.pass(60).await;
        assert_eq!(two.get(&token).await.status, StatusCode::OK, "in grace");
        cut(&connection);
        one.clerk.revoke_session(session.id.as_str());
        two.pass(50).await;
        assert_eq!(two.get(&others).await.status, StatusCode::OK, "the list is complete enough");
        two.pass(20).await;
        assert_eq!(two.get(&others).await.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(one.clerk.snapshot().feeds.store.unread_since, None);
        assert!(two.clerk.snapshot().feeds.store.unread_since.is_some());
        connection.heal();
        two.pass(35).await;
        assert_eq!(two.get(&token).await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(two.get(&others).await.status, StatusCode::OK, "in grace again");
        assert!(two.clerk.snapshot().feeds.store.unread_since.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn instances_refill_a_store_that_lost_its_denials() {
    let empty = MemoryStore::shared();
    let connection = Connection::to(&empty);
    connection.hang();
    let world = World::with(|builder| builder.store(connection.clone())).await;
    world.clerk.revoke_session("sess_1");
    world.pass(100).await;
    assert!(empty.denials().expect("readable").is_empty());
    connection.heal();
    world.pass(40).await;
    assert_eq!(empty.denials().expect("readable").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_grace_before_the_store_was_read() {
    let store = MemoryStore::shared();
    let connection = Connection::to(&store);
    connection.hang();
    let world =
        World::with(|builder| builder.grace(GracePolicy::balanced()).store(connection.clone()));
    let world = world.await;
    let (_, token) = world.outage().await;
    assert_eq!(world.get(&token).await.status, StatusCode::SERVICE_UNAVAILABLE);
    connection.heal();
    world.pass(35).await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
}

fn complete(world: &World) -> Option<Moment> {
    match world.clerk.snapshot().feeds.deny_list {
        DenyList::External { complete } => complete,
        _ => panic!("it is shared"),
    }
}

/// Ten pages of five seconds take longer than any call may. Meanwhile the store fails for a while, and
/// more is revoked than finds room on the way there.
#[tokio::test(start_paused = true)]
async fn a_read_of_many_pages_always_completes() {
    let store = MemoryStore::shared();
    let revoked = (0..100).map(|n| Denial::User(format!("user_{n}").into(), Timestamp::default()));
    store.deny(revoked.collect()).await.expect("kept");
    let connection = Connection::to(&store);
    connection.in_pages_of(10);
    let world = World::with(|builder| builder.store(connection.clone())).await;
    world.pass(17).await;
    for n in 0..6_000 {
        world.clerk.revoke_session(format!("sess_{n}"));
    }
    world.pass(8).await;
    connection.fail();
    world.pass(10).await;
    connection.heal();
    assert!(complete(&world).is_none());
    for _ in 0..60 {
        if complete(&world).is_some() {
            break;
        }
        world.pass(1).await;
    }
    assert!(complete(&world).is_some());
    assert_eq!(connection.readings(), 1, "it went on where it was");
    connection.in_pages_of(0);
    world.pass(60).await;
    assert_eq!(store.denials().expect("readable").len(), 6_100, "what the store lacked");
}

#[tokio::test(start_paused = true)]
async fn a_truncated_feed_page_completes_nothing() {
    let (one, _, two, connection) = two(|builder| builder).await;
    connection.in_pages_of(10);
    two.pass(10).await;
    let before = complete(&two).expect("it was read");
    for n in 0..50 {
        one.clerk.revoke_session(format!("sess_{n}"));
    }
    let known = || two.clerk.snapshot().revocations.sessions().count();
    let mut last = before;
    for _ in 0..60 {
        two.pass(1).await;
        let now = complete(&two).expect("it was read");
        assert!(now == last || known() == 0 || known() == 50, "{} are known", known());
        last = now;
    }
    assert_eq!(known(), 50);
    assert!(last.since(before) > Duration::from_secs(30));
}

/// A write that fails again and again must not make a member read all again and again.
#[tokio::test(start_paused = true)]
async fn a_failed_batch_is_retried_without_a_read() {
    let (one, connection, two, _) = two(|builder| builder).await;
    connection.in_pages_of(1_000);
    connection.refuse_writing();
    one.clerk.revoke_session("sess_1");
    one.pass(30).await;
    assert!(one.clerk.snapshot().feeds.store.unwritten_since.is_some());
    assert_eq!(connection.readings(), 0);
    connection.heal();
    two.pass(5).await;
    assert_eq!(two.clerk.snapshot().revocations.sessions().count(), 1);
}
