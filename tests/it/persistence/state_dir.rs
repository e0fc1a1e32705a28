//! What survives a restart, and what must not be believed of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use clerk_resilience::sim::{SimFault, SimSession, SimSurface};
use clerk_resilience::{Builder, GracePolicy, Verdict};
use http::StatusCode;
use test_support::world::{World, until_saved};

fn with_state(dir: &Path) -> impl FnOnce(Builder) -> Builder + use<> {
    let dir = dir.to_owned();
    move |builder| builder.grace(GracePolicy::balanced()).state_dir(dir)
}

/// Ends the application as a crash does: what it wrote so far is all there is.
fn restart(world: World, dir: &Path) -> World {
    let World { clock, sim, clerk, app } = world;
    drop((clerk, app));
    World::beside(clock, sim, with_state(dir))
}

/// A proven outage that the next process can take up, and the token of a session alive at its start.
async fn outage_on_record(dir: &Path) -> (World, String) {
    let world = World::with(with_state(dir)).await;
    let (_, token) = world.outage().await;
    until_saved(dir, |json| json["outage_seen_ms"].is_i64()).await;
    (world, token)
}

/// Saved keys, a session that they verify, and a Clerk that has just broken.
async fn keys_on_record(dir: &Path) -> (World, SimSession) {
    let world = World::with(with_state(dir)).await;
    let session = world.sim.sign_in("user_1");
    world.get(&world.sim.mint(&session)).await;
    until_saved(dir, |_| true).await;
    world.break_clerk();
    (world, session)
}

#[tokio::test(start_paused = true)]
async fn a_restart_in_an_outage_keeps_proven_sessions() {
    let dir = tempfile::tempdir().expect("a directory");
    let (world, token) = outage_on_record(dir.path()).await;
    assert_eq!(world.get(&token).await.status, StatusCode::OK);

    let world = restart(world, dir.path());
    for second in 0..120 {
        let answer = world.get(&token).await;
        assert_eq!(answer.status, StatusCode::OK, "second {second}: {}", answer.body);
        world.pass(1).await;
    }
    assert_eq!(world.clerk.verdict(), Verdict::Outage);
}

#[tokio::test(start_paused = true)]
async fn a_restart_extends_no_deadline() {
    let dir = tempfile::tempdir().expect("a directory");
    let (world, token) = outage_on_record(dir.path()).await;
    let before = world.clerk.snapshot().health.outages.episode_start();
    world.pass(50 * 60).await;
    let world = restart(world, dir.path());
    assert_eq!(world.clerk.snapshot().health.outages.episode_start(), before);
    assert_eq!(world.get(&token).await.status, StatusCode::OK);
    world.pass(12 * 60).await;
    assert_eq!(world.get(&token).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn a_start_in_an_outage_verifies_with_saved_keys() {
    let dir = tempfile::tempdir().expect("a directory");
    let (world, session) = keys_on_record(dir.path()).await;

    let world = restart(world, dir.path());
    let valid = world.sim.mint(&session);
    assert_eq!(world.get(&valid).await.status, StatusCode::OK);

    fs::remove_file(dir.path().join("keys.json")).expect("there");
    let world = restart(world, dir.path());
    let answer = world.get(&valid).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let health = world.send(test_support::world::anonymous("GET", "/auth/health", &[])).await;
    assert_eq!(health.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(health.json()["status"], "fail");
}

#[tokio::test(start_paused = true)]
async fn a_lost_outage_record_makes_grace_stricter() {
    let dir = tempfile::tempdir().expect("a directory");
    let (world, token) = outage_on_record(dir.path()).await;
    let path = dir.path().join("outages.json");
    let world = {
        let World { clock, sim, clerk, app } = world;
        drop((clerk, app));
        tokio::time::sleep(Duration::from_secs(1)).await;
        fs::remove_file(&path).expect("there");
        World::beside(clock, sim, with_state(dir.path()))
    };
    world.until(Verdict::Outage).await;
    assert_eq!(world.get(&token).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn a_revocation_survives_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = World::with(with_state(dir.path())).await;
    let (session, token) = world.outage().await;
    world.clerk.revoke_session(session.id.clone());
    let id = session.id.to_string();
    until_saved(dir.path(), |json| json["revoked_sessions"].to_string().contains(&id)).await;
    let world = restart(world, dir.path());
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn files_writable_by_others_or_foreign_are_ignored() {
    let dir = tempfile::tempdir().expect("a directory");
    let (world, _) = keys_on_record(dir.path()).await;
    let keys = dir.path().join("keys.json");

    fs::set_permissions(&keys, fs::Permissions::from_mode(0o666)).expect("ours");
    let world = restart(world, dir.path());
    assert!(world.clerk.snapshot().keys.set.is_empty());
    assert!(world.clerk.counts().state_failures > 0);

    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).expect("ours");
    let text = fs::read_to_string(&keys).expect("there");
    let other = text.replace("clerk.sim.example", "clerk.other.example");
    assert_ne!(text, other);
    fs::write(&keys, other).expect("ours");
    let world = restart(world, dir.path());
    assert!(world.clerk.snapshot().keys.set.is_empty());

    fs::write(&keys, text).expect("ours");
    let world = restart(world, dir.path());
    assert!(!world.clerk.snapshot().keys.set.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_unwritable_directory_costs_only_a_warning() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let world = World::with(with_state(file.path())).await;
    assert!(world.clerk.counts().state_failures > 0);
    let session = world.sim.sign_in("user_1");
    assert_eq!(world.get(&world.sim.mint(&session)).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn damaged_files_are_ignored_and_replaced() {
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["keys.json", "outages.json"] {
        fs::write(dir.path().join(name), "{ damaged").expect("ours");
    }
    let world = World::with(with_state(dir.path())).await;
    let session = world.sim.sign_in("user_1");
    assert_eq!(world.get(&world.sim.mint(&session)).await.status, StatusCode::OK);
    until_saved(dir.path(), |json| json["version"] == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_while_grace_drains_signs_nobody_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let (world, token) = outage_on_record(dir.path()).await;
    world.sim.heal_all();
    world.until(Verdict::Recovering).await;
    let world = restart(world, dir.path());
    for second in 0..10 {
        let answer = world.get(&token).await;
        assert_eq!(answer.status, StatusCode::OK, "second {second}: {}", answer.body);
        world.pass(1).await;
    }
    assert!(world.until(Verdict::Healthy).await <= 120);
    assert_eq!(world.get(&token).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn a_restart_in_a_forced_outage_gives_no_time_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = World::with(with_state(dir.path())).await;
    let hours = Duration::from_secs(4 * 3_600);
    world.clerk.force_outage(hours);
    world.pass(40 * 60).await;
    let start = world.clerk.snapshot().health.outages.episode_start();
    assert!(start.is_some());
    let world = restart(world, dir.path());
    world.pass(1).await;
    assert_ne!(world.clerk.verdict(), Verdict::Outage, "the word was the other process's");
    world.clerk.force_outage(hours);
    world.pass(1).await;
    let outages = world.clerk.snapshot().health.outages.clone();
    assert_eq!(outages.episode_start(), start);
    assert!(outages.spent_in_episode(world.now()) > Duration::from_secs(35 * 60));
}

#[tokio::test(start_paused = true)]
async fn repeated_starts_do_not_extend_an_outage() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut world, token) = outage_on_record(dir.path()).await;
    // Nobody answers at all, so that no process learns anything of its own.
    world.sim.break_with(SimSurface::ALL, SimFault::Hang);
    for _ in 0..8 {
        world.clock.jump(60_000);
        world = restart(world, dir.path());
        until_saved(dir.path(), |_| true).await;
    }
    assert_ne!(world.clerk.verdict(), Verdict::Outage);
    assert_eq!(world.get(&token).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn an_expired_denial_is_removed_from_the_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = World::with(with_state(dir.path())).await;
    let old = world.sim.sign_in("user_1").id;
    world.clerk.revoke_session(old.clone());
    let listed = |json: &serde_json::Value| json["revoked_sessions"].to_string();
    until_saved(dir.path(), |json| listed(json).contains(old.as_str())).await;
    world.clock.jump(31 * 24 * 3_600 * 1_000);
    world.pass(180).await;
    let new = world.sim.sign_in("user_2").id;
    world.clerk.revoke_session(new.clone());
    until_saved(dir.path(), |json| listed(json).contains(new.as_str())).await;
    let text = fs::read_to_string(dir.path().join("outages.json")).expect("there");
    assert!(!text.contains(old.as_str()), "{text}");
    assert_eq!(world.clerk.snapshot().revocations.sessions().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_oversized_record_is_reported_and_not_replaced() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("outages.json");
    let long = 64 * 1024 * 1024 + 1;
    fs::File::create(&path).and_then(|file| file.set_len(long)).expect("ours");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
    let world = World::with(with_state(dir.path())).await;
    let failures = || world.clerk.counts().state_failures;
    let before = failures();
    assert!(before > 0, "at the start");
    world.clerk.revoke_session("sess_1");
    for _ in 0..200 {
        world.pass(1).await;
        if failures() > before {
            break;
        }
    }
    assert!(failures() > before, "and at each write");
    assert_eq!(fs::metadata(&path).expect("there").len(), long);
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_of_a_revocation_is_retried() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = World::with(with_state(dir.path())).await;
    until_saved(dir.path(), |_| true).await;
    let session = world.sim.sign_in("user_1");
    let token = world.sim.mint(&session);
    let away = dir.path().with_extension("away");
    fs::rename(dir.path(), &away).expect("moved");
    world.clerk.revoke_session(session.id.as_str());
    world.pass(3).await;
    fs::rename(&away, dir.path()).expect("moved back");
    until_saved(dir.path(), |json| json["revoked_sessions"][0].is_array()).await;
    let world = restart(world, dir.path());
    world.pass(1).await;
    assert_eq!(world.get(&token).await.json()["reason"], "session-revoked");
}

/// Both end at once, as in a deploy that stops two processes together: nobody is left to write again.
#[tokio::test(start_paused = true)]
async fn two_concurrent_writers_lose_no_revocation() {
    for _ in 0..5 {
        let dir = tempfile::tempdir().expect("a directory");
        let first = World::with(with_state(dir.path())).await;
        let second = World::beside(first.clock.clone(), first.sim.clone(), with_state(dir.path()));
        second.pass(5).await;
        first.clerk.revoke_session("sess_first");
        second.clerk.revoke_session("sess_second");
        drop((first, second));
        until_saved(dir.path(), |json| {
            let denied = json["revoked_sessions"].to_string();
            denied.contains("sess_first") && denied.contains("sess_second")
        })
        .await;
    }
}
