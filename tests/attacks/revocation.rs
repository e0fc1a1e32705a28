//! Revocation: what was taken back stays taken back.

use std::time::Duration;

use clerk_resilience::internals::ticket::TicketKeys;
use clerk_resilience::sim::{SimOrganization, SimSession};
use clerk_resilience::{Builder, GracePolicy, Verdict};
use http::StatusCode;
use test_support::world::{Answer, World, anonymous, bearer, until_saved};

use crate::{balanced, beside, denied, kept};

const SAME_ORIGIN: (&str, &str) = ("sec-fetch-site", "same-origin");

async fn refused(world: &World, token: &str) {
    let answer = world.get(token).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.body);
    assert_eq!(answer.json()["reason"], "session-revoked");
}

/// Somebody who was here.
async fn seen(world: &World) -> (SimSession, String) {
    let session = world.sim.sign_in("user_2");
    let token = world.sim.mint(&session);
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    (session, token)
}

#[tokio::test(start_paused = true)]
async fn a_session_revoked_before_the_outage_gets_no_grace() {
    let world = World::new().await;
    let (session, token) = seen(&world).await;
    world.clerk.revoke_session(session.id.clone());
    world.outage().await;
    refused(&world, &token).await;
}

/// Nobody told this application; then the token's own age is what ends it.
#[tokio::test(start_paused = true)]
async fn a_session_ended_by_clerk_before_is_not_revived() {
    let world = World::new().await;
    let (session, token) = seen(&world).await;
    world.sim.revoke(&session);
    world.pass(11 * 60).await;
    world.outage().await;
    denied(&world.get(&token).await);
}

#[tokio::test(start_paused = true)]
async fn repeated_late_and_reordered_denials_are_one_denial() {
    let world = World::new().await;
    let (session, token) = world.outage().await;
    world.clerk.revoke_user("user_1");
    for _ in 0..3 {
        world.clerk.revoke_session(session.id.clone());
        world.clerk.revoke_user("user_1");
        refused(&world, &token).await;
        world.pass(600).await;
    }
    world.sim.heal_all();
    world.until(Verdict::Healthy).await;
    let again = world.sim.mint(&world.sim.sign_in("user_1"));
    assert_eq!(world.get(&again).await.status, StatusCode::OK, "a new session, after all of it");
    refused(&world, &world.sim.mint(&session)).await;
}

/// A clock that is behind would date the denial before the tokens that it is about.
#[tokio::test(start_paused = true)]
async fn a_ban_applies_while_the_clock_is_set_back() {
    let world = World::new().await;
    let token = world.sim.mint(&world.sim.sign_in("user_1"));
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.clock.jump(-3_600_000);
    world.clerk.revoke_user("user_1");
    world.clock.jump(3_600_000);
    refused(&world, &token).await;
}

#[tokio::test(start_paused = true)]
async fn a_gap_in_the_denial_feed_ends_grace_until_reread() {
    let world = World::with(|builder| balanced(builder).external_deny_list()).await;
    let (_, token) = world.outage().await;
    for _ in 0..3 {
        world.clerk.deny_list_complete(Duration::ZERO);
        assert_eq!(world.get(&token).await.status, StatusCode::OK);
        world.pass(61).await;
        denied(&world.get(&token).await);
    }
    let fresh = world.sim.mint(&world.sim.sign_in("user_2"));
    assert_eq!(world.get(&fresh).await.status, StatusCode::OK, "it is a matter of grace alone");
}

#[tokio::test(start_paused = true)]
async fn no_grace_while_the_denial_store_is_down_or_stale() {
    let world = World::with(|builder| balanced(builder).external_deny_list()).await;
    let (gone, ended) = seen(&world).await;
    let (_, token) = world.outage().await;
    world.clerk.deny_list_complete(Duration::ZERO);
    world.clerk.revoke_session(gone.id.clone());
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    refused(&world, &ended).await;

    world.pass(61).await;
    for age in [61, 3_600] {
        world.clerk.deny_list_complete(Duration::from_secs(age));
        denied(&world.get(&token).await);
        refused(&world, &ended).await;
    }
    world.clerk.deny_list_complete(Duration::from_secs(30));
    assert_eq!(world.get(&token).await.status, StatusCode::OK, "a replica may be behind");
    world.pass(31).await;
    denied(&world.get(&token).await);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_evicts_sightings_and_no_denials() {
    let world = World::with(|builder| balanced(builder).session_capacity(4)).await;
    let victim = world.sim.sign_in("user_1");
    let revoked = world.sim.sign_in("user_2");
    let (token, ended) = (world.sim.mint(&victim), world.sim.mint(&revoked));
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    assert_eq!(world.get(&ended).await.status, StatusCode::OK);
    world.clerk.revoke_session(revoked.id.clone());
    world.pass(1).await;
    for n in 0..8 {
        let own = world.sim.sign_in(format!("attacker_{n}"));
        world.get(&world.sim.mint(&own)).await;
        world.clerk.revoke_session(own.id.clone());
    }
    world.break_clerk();
    world.until(Verdict::Outage).await;
    world.pass(60).await;
    denied(&world.get(&token).await);
    refused(&world, &ended).await;
}

/// Many sessions of one's own are many allowances, but none of them is larger than before.
#[tokio::test(start_paused = true)]
async fn a_crowd_does_not_raise_the_limit_of_a_session() {
    let policy = || GracePolicy::balanced().requests_per_minute(5);
    let world = World::with(|builder| builder.grace(policy())).await;
    let (_, token) = world.outage().await;
    let others: Vec<_> = (0..20).map(|n| world.sim.sign_in(format!("attacker_{n}"))).collect();
    let ago = Duration::from_secs(70);
    let others: Vec<_> = others.iter().map(|own| world.sim.token(own).ago(ago).sign()).collect();
    let mut passed = 0;
    for other in others.iter().cycle().take(100) {
        passed += usize::from(world.get(&token).await.status == StatusCode::OK);
        world.get(other).await;
    }
    assert!(passed <= 10, "{passed} in at most two of the clock's minutes");
}

async fn sign_out(world: &World, token: &str) {
    let answer = world.send(bearer("POST", "/auth/sign-out", token)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
}

/// As while a new version takes over from an old one, on the same disk.
#[tokio::test(start_paused = true)]
async fn processes_with_one_directory_share_sign_outs() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = World::with(kept(dir.path())).await;
    let (session, token) = first.outage().await;
    until_saved(dir.path(), |record| record["outage_seen_ms"].is_i64()).await;
    let second = beside(&first, kept(dir.path()));
    second.until(Verdict::Outage).await;
    assert_eq!(second.get(&token).await.status, StatusCode::OK);

    sign_out(&first, &token).await;
    until_saved(dir.path(), |record| record.to_string().contains(session.id.as_str())).await;
    second.pass(60).await;
    refused(&second, &token).await;

    let world = (first.clock.clone(), first.sim.clone());
    drop((first, second));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let third = World::beside(world.0, world.1, kept(dir.path()));
    refused(&third, &token).await;
}

#[tokio::test(start_paused = true)]
async fn a_foreign_writer_does_not_stop_sign_outs() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = tempfile::tempdir().expect("a directory");
    let world = World::with(kept(dir.path())).await;
    let (session, token) = world.outage().await;
    until_saved(dir.path(), |record| record["outage_seen_ms"].is_i64()).await;
    let open = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(dir.path().join("outages.json"), open).expect("ours");
    sign_out(&world, &token).await;
    until_saved(dir.path(), |record| record.to_string().contains(session.id.as_str())).await;
    let mode = std::fs::metadata(dir.path().join("outages.json")).expect("there").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
}

const TICKET_KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

fn with_tickets(builder: Builder) -> Builder {
    balanced(builder).tickets(TicketKeys::parse(TICKET_KEY).expect("a key"))
}

async fn call(world: &World, method: &str, path: &str, cookies: &str) -> Answer {
    let fields = [("host", "app.example.com"), ("cookie", cookies), SAME_ORIGIN];
    world.send(anonymous(method, path, &fields)).await
}

/// The cookies of a browser whose session was seen valid, its ticket among them.
async fn browser(world: &World) -> (SimSession, String) {
    let session = world.sim.sign_in("user_1");
    let cookies = format!("__session={}; __client_uat=1", world.sim.mint(&session));
    let answer = call(world, "GET", "/me", &cookies).await;
    let ticket = answer.header("set-cookie").split(';').next().unwrap_or_default();
    assert!(ticket.starts_with("__Host-clerk_ticket="), "{ticket}");
    (session, format!("{cookies}; {ticket}"))
}

#[tokio::test(start_paused = true)]
async fn a_ticket_from_before_a_sign_out_is_rejected() {
    let first = World::with(with_tickets).await;
    let second = beside(&first, with_tickets);
    let told = beside(&first, |builder| with_tickets(builder).external_deny_list());
    let (session, cookies) = browser(&first).await;
    first.pass(1).await;
    first.break_clerk();
    for world in [&first, &second, &told] {
        world.until(Verdict::Outage).await;
    }
    first.pass(60).await;
    assert_eq!(
        call(&first, "POST", "/auth/sign-out", &cookies).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(call(&first, "GET", "/me", &cookies).await.status, StatusCode::UNAUTHORIZED);

    // What remains: a process that nobody told. It is why `fed_deny_list` is there.
    assert_eq!(call(&second, "GET", "/me", &cookies).await.status, StatusCode::OK);
    denied(&call(&told, "GET", "/me", &cookies).await);
    for world in [&second, &told] {
        world.clerk.revoke_session(session.id.clone());
        assert_eq!(call(world, "GET", "/me", &cookies).await.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test(start_paused = true)]
async fn an_older_token_does_not_restore_a_lowered_role() {
    let world = World::new().await;
    let session = world.sim.sign_in("user_1");
    let role = |role: &str| {
        let organization = SimOrganization::new("org_1", "acme");
        world.sim.token(&session).organization(organization).role(role).sign()
    };
    let admin = role("admin");
    assert_eq!(world.get(&admin).await.status, StatusCode::OK);
    world.pass(30).await;
    let member = role("member");
    assert_eq!(world.get(&member).await.status, StatusCode::OK);
    world.break_clerk();
    world.until(Verdict::Outage).await;
    world.pass(60).await;
    assert_eq!(world.get(&member).await.status, StatusCode::OK);
    denied(&world.get(&admin).await);
}
