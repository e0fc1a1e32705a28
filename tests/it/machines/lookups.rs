//! Opaque tokens are looked up at Clerk, and the answers are cached for 30 s.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clerk_resilience::key::SecretKey;
use clerk_resilience::sim::{SimFault, SimMachine, SimSurface};
use clerk_resilience::token::TokenKind;
use clerk_resilience::{ClerkResilience, RoutePolicy, Verdict};
use http::StatusCode;
use test_support::world::{Log, World, config};
use tokio::time::Instant;

use super::{Machines, app, m2m, oauth};

#[tokio::test(start_paused = true)]
async fn one_token_is_looked_up_once_in_30_s() {
    let machines = Arc::new(Machines::new().await);
    let key = machines.key();
    machines.world.after_probe(SimSurface::BackendApi).await;
    machines.break_with(SimFault::Latency(Duration::from_millis(300)));
    let before = machines.world.sim.requests(SimSurface::BackendApi);
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (machines, key) = (machines.clone(), key.clone());
        asking.spawn(async move { machines.ask("/machine", &key).await.status });
    }
    assert!(asking.join_all().await.iter().all(|status| *status == StatusCode::OK));
    let at_clerk = machines.world.sim.requests(SimSurface::BackendApi) - before;
    assert_eq!((at_clerk, machines.asked()), (1, 1));
    machines.world.pass(29).await;
    machines.ask("/machine", &key).await;
    assert_eq!(machines.asked(), 1);
    machines.world.pass(1).await;
    machines.ask("/machine", &key).await;
    assert_eq!(machines.asked(), 2);
    assert_eq!(machines.world.clerk.counts().machine_answers_reused, 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_revoked_at_clerk_is_rejected_after_30_s() {
    let machines = Machines::new().await;
    let key = machines.key();
    assert_eq!(machines.ask("/machine", &key).await.status, StatusCode::OK);
    machines.world.sim.revoke_machine(&key);
    machines.world.pass(29).await;
    assert_eq!(machines.ask("/machine", &key).await.status, StatusCode::OK);
    machines.world.pass(1).await;
    assert_eq!(machines.verdict("/machine", &key).await, (401, "session-revoked".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_local_revocation_applies_at_once() {
    let machines = Machines::new().await;
    let key = machines.key();
    let access = oauth(&machines.world.sim).sign();
    for token in [&key, &access] {
        assert_eq!(machines.ask("/machine", token).await.status, StatusCode::OK);
    }
    machines.world.clerk.revoke_user("user_1");
    for token in [&key, &access] {
        let revoked = (401, "session-revoked".to_owned());
        assert_eq!(machines.verdict("/machine", token).await, revoked);
    }
    machines.world.pass(6).await;
    let later = machines.key();
    assert_eq!(machines.ask("/machine", &later).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_cached_answer_ends_with_its_token() {
    let machines = Machines::new().await;
    let key = SimMachine::api_key("user_1").lifetime(Duration::from_secs(10));
    let key = machines.world.sim.issue(key);
    assert_eq!(machines.ask("/machine", &key).await.status, StatusCode::OK);
    machines.world.pass(10).await;
    assert_eq!(machines.verdict("/machine", &key).await, (401, "token-expired".to_owned()));
    assert_eq!(machines.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_unknown_to_clerk_is_401_after_one_lookup() {
    let machines = Machines::new().await;
    for _ in 0..50 {
        assert_eq!(machines.verdict("/machine", "ak_made_up").await.0, 401);
    }
    assert_eq!(machines.asked(), 1);
    let long = format!("ak_{}", "x".repeat(5_000));
    assert_eq!(machines.verdict("/machine", &long).await.0, 401);
    assert_eq!(machines.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_opaque_token_without_an_answer_is_503() {
    for fault in [
        SimFault::Hang,
        SimFault::Refused,
        SimFault::Reset,
        SimFault::Dns,
        SimFault::status(429),
        SimFault::status(500),
        SimFault::status(503),
        SimFault::Html,
        SimFault::InvalidJson,
        SimFault::Truncated,
        SimFault::Huge,
    ] {
        let machines = Machines::new().await;
        machines.break_with(fault.clone());
        let started = Instant::now();
        let (status, reason) = machines.verdict("/machine", &machines.key()).await;
        assert_eq!((status, &*reason), (503, "backend-api"), "{fault:?}");
        assert!(started.elapsed() < Duration::from_secs(3), "{fault:?}");
        let answer = machines.ask("/machine", &machines.key()).await;
        assert!(!answer.header("retry-after").is_empty(), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_secret_key_is_not_the_callers_fault() {
    let world = World::with(|builder| builder).await;
    let secret = SecretKey::parse("sk_test_another").expect("a secret key");
    let builder = ClerkResilience::builder(config(&world.sim).secret_key(secret));
    let builder = builder.clock(world.clock.clone()).transport(world.sim.transport());
    let machines = Machines { app: app(&builder.build().expect("good")), world };
    machines.world.pass(5).await;
    let (status, reason) = machines.verdict("/machine", &machines.key()).await;
    assert_eq!((status, &*reason), (503, "secret-key-invalid"));
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_cached_machines_pass_for_30_s() {
    let machines = Machines::new().await;
    let (known, unknown) = (machines.key(), machines.key());
    let token = m2m(&machines.world.sim).lifetime(Duration::from_secs(600)).sign();
    machines.world.break_clerk();
    machines.world.until(Verdict::Suspect).await;
    machines.world.sim.heal(SimSurface::BackendApi);
    assert_eq!(machines.ask("/machine", &known).await.status, StatusCode::OK);
    machines.world.break_clerk();
    machines.world.until(Verdict::Outage).await;
    for token in [&known, &token] {
        assert_eq!(machines.ask("/machine", token).await.status, StatusCode::OK);
    }
    assert_eq!(machines.verdict("/machine", &unknown).await.0, 503);
    machines.world.pass(30).await;
    assert_eq!(machines.verdict("/machine", &known).await.0, 503);
    let (before, started) = (machines.asked(), Instant::now());
    assert_eq!(machines.verdict("/machine", &unknown).await.0, 503);
    assert_eq!(machines.asked(), before, "a Backend API that is known to be down is not asked");
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(machines.ask("/machine", &token).await.status, StatusCode::OK);
    machines.world.pass(600).await;
    let expired = (401, "token-expired".to_owned());
    assert_eq!(machines.verdict("/machine", &token).await, expired, "no grace for machines");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_invented_tokens_blocks_no_known_machine() {
    let machines = Machines::new().await;
    let key = machines.key();
    assert_eq!(machines.ask("/machine", &key).await.status, StatusCode::OK);
    machines.world.pass(30).await;
    let before = machines.asked();
    let mut refused = BTreeMap::<u16, u32>::new();
    for number in 0..1_000 {
        let (status, _) = machines.verdict("/machine", &format!("ak_{number}")).await;
        *refused.entry(status).or_default() += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let asked = machines.asked() - before;
    assert!((20..=45).contains(&asked), "{asked} in a second");
    assert_eq!(refused.keys().copied().collect::<Vec<_>>(), [401, 503]);
    assert_eq!(machines.ask("/machine", &key).await.status, StatusCode::OK);
    let new = [machines.key(), machines.key(), machines.key()];
    let mut statuses = Vec::new();
    for key in &new {
        statuses.push(machines.verdict("/machine", key).await.0);
    }
    assert!(statuses.contains(&503), "new machines wait, which is the price");
}

#[tokio::test(start_paused = true)]
async fn concurrent_lookups_are_limited_and_all_finish() {
    let machines = Arc::new(Machines::new().await);
    machines.break_with(SimFault::Hang);
    for _ in 0..10 {
        let token = machines.key();
        let gone = machines.ask("/machine", &token);
        assert!(tokio::time::timeout(Duration::from_millis(10), gone).await.is_err());
    }
    machines.world.sim.heal_all();
    machines.world.pass(5).await;
    assert_eq!(machines.ask("/machine", &machines.key()).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn opaque_tokens_without_a_secret_key_are_503() {
    let world = World::with(|builder| builder).await;
    let config = || {
        clerk_resilience::ClerkConfig::new(world.sim.publishable_key().clone())
            .frontend_api(world.sim.frontend_api_url())
            .status_page(None)
    };
    let keys = RoutePolicy::required().accepts([TokenKind::ApiKey]);
    let error = ClerkResilience::builder(config()).policy(keys).build().expect_err("no key");
    assert!(error.to_string().contains("CLERK_SECRET_KEY"), "{error}");

    let builder = ClerkResilience::builder(config()).clock(world.clock.clone());
    let clerk = builder.transport(world.sim.transport()).build().expect("good");
    clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    let machines = Machines { app: app(&clerk), world };
    let (status, reason) = machines.verdict("/machine", &machines.key()).await;
    assert_eq!((status, &*reason), (503, "secret-key-missing"));
    let signed = m2m(&machines.world.sim).sign();
    assert_eq!(machines.ask("/machine", &signed).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn no_token_or_secret_key_is_logged() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
    let subscriber = subscriber.with_ansi(false).with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let machines = Machines::new().await;
    let key = machines.key();
    let signed = m2m(&machines.world.sim).sign();
    for fault in [None, Some(SimFault::status(401)), Some(SimFault::status(500))] {
        machines.world.pass(31).await;
        if let Some(fault) = fault {
            machines.break_with(fault);
        }
        for token in [&key, &signed, &"ak_made_up".to_owned()] {
            for path in ["/machine", "/user", "/both"] {
                machines.ask(path, token).await;
            }
        }
    }
    let said = log.text();
    assert!(said.contains("clerk.secret_key.refused"), "it is said what is wrong");
    assert_eq!(said.matches("clerk.secret_key.refused").count(), 1, "and not again and again");
    for secret in [&key[3..], &*signed, "made_up", machines.world.sim.secret_key().expose()] {
        assert!(!said.contains(secret), "{said}");
    }
}
