//! What instances tell each other of Clerk: whoever sees it live vetoes grace everywhere, nobody can force
//! it, and all together ask hardly more than one.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use clerk_resilience::clock::{Clock as _, Timestamp};
use clerk_resilience::internals::health::PeerReport;
use clerk_resilience::sim::{SimClerk, SimFault, SimSurface};
use clerk_resilience::store::{MemoryStore, SharedStore as _};
use clerk_resilience::{Builder, GracePolicy, Transition, Verdict};
use http::StatusCode;
use test_support::world::World;

use super::connection::Connection;
use super::fleet_of;

/// Another way to the same Clerk, which can fail by itself.
fn another_way(world: &World) -> SimClerk {
    SimClerk::builder().clock(world.clock.clone()).seed(7).build()
}

/// Two instances that reach Clerk by ways of their own.
async fn apart(store: &MemoryStore) -> (World, World, Connection) {
    let connection = Connection::to(store);
    let balanced = |connection: &Connection| {
        let connection = connection.clone();
        move |builder: Builder| builder.grace(GracePolicy::balanced()).store(connection)
    };
    let one = World::with(balanced(&Connection::to(store))).await;
    let two = World::beside(one.clock.clone(), another_way(&one), balanced(&connection));
    two.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
    one.pass(10).await;
    (one, two, connection)
}

#[tokio::test(start_paused = true)]
async fn a_live_peer_report_vetoes_grace_everywhere() {
    let (one, two, connection) = apart(&MemoryStore::shared()).await;
    let token = one.sim.mint(&one.sim.sign_in("user_1"));
    assert_eq!(one.get(&token).await.status, StatusCode::OK);
    one.break_clerk();
    let mut proven = 0;
    for _ in 0..180 {
        one.pass(1).await;
        proven += u32::from(one.clerk.verdict() == Verdict::Outage);
    }
    assert!(proven <= 2, "an outage for {proven} s");
    assert_eq!(one.clerk.verdict(), Verdict::Isolated);
    assert_eq!(one.get(&token).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(two.clerk.verdict(), Verdict::Healthy);
    // It is not heard of any more.
    connection.hang();
    one.until(Verdict::Outage).await;
}

#[tokio::test(start_paused = true)]
async fn a_veto_ends_when_its_reporter_sees_minting_fail() {
    let (one, two, _) = apart(&MemoryStore::shared()).await;
    one.break_clerk();
    one.until(Verdict::Isolated).await;
    two.break_clerk();
    for world in [&one, &two] {
        assert!(world.until(Verdict::Outage).await <= 60);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sees_clerk_live_ends_the_outage() {
    let (one, two, _) = apart(&MemoryStore::shared()).await;
    let token = one.sim.mint(&one.sim.sign_in("user_1"));
    assert_eq!(one.get(&token).await.status, StatusCode::OK);
    one.break_clerk();
    two.break_clerk();
    for world in [&one, &two] {
        world.until(Verdict::Outage).await;
    }
    one.pass(60).await;
    assert_eq!(one.get(&token).await.status, StatusCode::OK, "in grace");
    two.sim.heal_all();
    one.until(Verdict::Isolated).await;
    assert_eq!(one.get(&token).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

/// Nothing is heard of Clerk, and a canary answers: what an outage is, or a cut of ours.
async fn silent(count: usize) -> (Vec<World>, MemoryStore) {
    let canary = SimClerk::in_memory().status_page_url();
    let (worlds, store) =
        fleet_of(count, |_, builder| builder.egress_canary(url::Url::clone(&canary))).await;
    worlds[0].sim.break_with(SimSurface::CLERK, SimFault::Refused);
    (worlds, store)
}

#[tokio::test(start_paused = true)]
async fn silence_is_an_outage_if_most_peers_agree() {
    for (count, expected) in [(1, Verdict::Suspect), (2, Verdict::Suspect), (3, Verdict::Outage)] {
        let (worlds, _) = silent(count).await;
        worlds[0].pass(60).await;
        for world in &worlds {
            assert_eq!(world.clerk.verdict(), expected, "{count} instances");
        }
    }
}

/// Whoever can write to the store can take a view away, as if its member were lost.
#[tokio::test(start_paused = true)]
async fn deleted_views_make_no_quorum_of_the_rest() {
    for (lost, expected) in [(1, Verdict::Outage), (2, Verdict::Suspect)] {
        let canary = SimClerk::in_memory().status_page_url();
        let store = MemoryStore::shared();
        let choose = |connection: Connection| {
            let canary = canary.clone();
            move |builder: Builder| builder.store(connection).egress_canary(canary)
        };
        let first = World::with(choose(Connection::to(&store))).await;
        let beside = |sim: SimClerk, connection: &Connection| {
            World::beside(first.clock.clone(), sim, choose(connection.clone()))
        };
        let cut: Vec<World> =
            (0..2).map(|_| beside(first.sim.clone(), &Connection::to(&store))).collect();
        let connection = Connection::to(&store);
        let well: Vec<World> =
            (0..lost).map(|_| beside(another_way(&first), &connection)).collect();
        for world in cut.iter().chain(&well) {
            world.clerk.ready(Duration::from_secs(5)).await.expect("a healthy Clerk");
        }
        first.pass(10).await;
        connection.hang();
        first.pass(20).await;
        first.sim.break_with(SimSurface::CLERK, SimFault::Refused);
        first.pass(90).await;
        assert_eq!(first.clerk.verdict(), expected, "{lost} views taken away");
    }
}

#[tokio::test(start_paused = true)]
async fn silent_peers_do_not_leave_the_verdict_unknown() {
    let (store, changes): (_, Arc<Mutex<Vec<Verdict>>>) = (MemoryStore::shared(), Arc::default());
    let first = World::with(|builder| builder.store(store.clone())).await;
    let connections: Vec<Connection> = (0..5).map(|_| Connection::to(&store)).collect();
    let others = connections.iter().map(|connection| {
        let (connection, changes) = (connection.clone(), Arc::clone(&changes));
        World::beside(first.clock.clone(), first.sim.clone(), |builder| {
            builder.store(connection).on_transition(move |change| {
                changes.lock().expect("whole").push(change.to);
                async {}
            })
        })
    });
    let others: Vec<World> = others.collect();
    first.pass(200).await;
    connections.iter().for_each(Connection::hang);
    first.pass(180).await;
    assert_eq!(*changes.lock().expect("whole"), [Verdict::Healthy]);
    for world in &others {
        assert_eq!(world.clerk.verdict(), Verdict::Healthy);
    }
}

/// As one without a secret would write it.
async fn forge(
    store: &MemoryStore,
    member: &str,
    now: Timestamp,
    change: impl Fn(&mut PeerReport),
) {
    let mut view = PeerReport::new(member.to_owned(), now, false, false);
    change(&mut view);
    let news = [vec![0; 32], view.to_json()].concat();
    store.tell(member, news, Duration::from_secs(15)).await.expect("told");
}

#[tokio::test(start_paused = true)]
async fn a_store_writer_can_veto_grace_but_not_open_it() {
    let (worlds, store) = silent(1).await;
    let world = &worlds[0];
    for _ in 0..60 {
        for member in ["x", "y", "z"] {
            forge(&store, member, world.clock.now().wall, |view| view.failing = true).await;
        }
        world.pass(1).await;
        assert_ne!(world.clerk.verdict(), Verdict::Outage);
    }
    let (worlds, store) = fleet_of(1, |_, builder| builder).await;
    let world = &worlds[0];
    world.break_clerk();
    for _ in 0..60 {
        let now = world.clock.now().wall;
        forge(&store, "x", now, |view| view.alive = Some(now)).await;
        world.pass(1).await;
        assert_ne!(world.clerk.verdict(), Verdict::Outage);
    }
}

/// A hundred suspicious strangers, and nonsense.
#[tokio::test(start_paused = true)]
async fn forged_peers_hardly_change_the_probe_rate() {
    let (worlds, store) = fleet_of(1, |_, builder| builder).await;
    let world = &worlds[0];
    let before = asked(&worlds);
    for second in 0..300 {
        for member in 0..100 {
            let name = format!("{second}-{member}");
            forge(&store, &name, world.clock.now().wall, |view| view.suspicious = true).await;
        }
        store.tell("nonsense", b"{".to_vec(), Duration::from_secs(15)).await.expect("told");
        world.pass(1).await;
    }
    let calls = asked(&worlds) - before;
    assert!(calls <= 300, "{calls} calls in 300 s");
    assert_eq!(world.clerk.verdict(), Verdict::Healthy);
}

#[tokio::test(start_paused = true)]
async fn one_instance_of_a_fleet_sends_each_transition_alert() {
    for (shared, expected) in [(true, 1), (false, 3)] {
        let told: Arc<Mutex<Vec<Transition>>> = Arc::default();
        let hook = |builder: Builder| {
            let told = Arc::clone(&told);
            builder.on_transition(move |change| {
                told.lock().expect("whole").push(change);
                async {}
            })
        };
        let store = MemoryStore::shared();
        let first = World::unready(|builder| hook(builder).store(store.clone()));
        let others = (0..2).map(|_| {
            World::beside(first.clock.clone(), first.sim.clone(), |builder| {
                if shared { hook(builder).store(store.clone()) } else { hook(builder) }
            })
        });
        let others: Vec<_> = others.collect();
        first.pass(90).await;
        first.break_clerk();
        for world in others.iter().chain([&first]) {
            world.until(Verdict::Outage).await;
        }
        first.pass(5).await;
        for verdict in [Verdict::Healthy, Verdict::Suspect, Verdict::Outage] {
            let told = told.lock().expect("whole");
            let count = told.iter().filter(|change| change.to == verdict).count();
            assert_eq!(count, expected, "{verdict:?}: {told:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_back_within_a_minute_is_alerted_once_more() {
    let told: Arc<Mutex<Vec<Verdict>>> = Arc::default();
    let (worlds, _) = fleet_of(3, |_, builder| {
        let told = Arc::clone(&told);
        builder.on_transition(move |change| {
            told.lock().expect("whole").push(change.to);
            async {}
        })
    })
    .await;
    let is = async |verdict| {
        for world in &worlds {
            world.until(verdict).await;
        }
    };
    worlds[0].break_clerk();
    is(Verdict::Outage).await;
    worlds[0].sim.heal_all();
    is(Verdict::Recovering).await;
    let before = worlds[0].now_secs();
    worlds[0].break_clerk();
    is(Verdict::Outage).await;
    assert!(worlds[0].now_secs() - before < 40);
    worlds[0].pass(5).await;
    let told = told.lock().expect("whole");
    let outages = told.iter().filter(|to| **to == Verdict::Outage).count();
    assert_eq!(outages, 2, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn failing_hooks_and_stores_delay_no_alert() {
    let told: Arc<Mutex<Vec<Verdict>>> = Arc::default();
    let connection = Connection::to(&MemoryStore::shared());
    let world = {
        let (told, connection) = (Arc::clone(&told), connection.clone());
        World::with(move |builder| {
            builder.store(connection).on_transition(move |change: Transition| {
                told.lock().expect("whole").push(change.to);
                async move {
                    match change.to {
                        Verdict::Suspect => panic!("as asked"),
                        Verdict::Healthy => std::future::pending().await,
                        _ => {}
                    }
                }
            })
        })
        .await
    };
    connection.hang();
    world.break_clerk();
    world.until(Verdict::Outage).await;
    world.pass(60).await;
    let told = told.lock().expect("whole").clone();
    assert_eq!(told, [Verdict::Healthy, Verdict::Suspect, Verdict::Outage]);
}

fn asked(worlds: &[World]) -> u64 {
    worlds.iter().map(|world| world.clerk.counts().upstream_calls).sum()
}

/// Calls per second of all of them over eight minutes.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
async fn rate(worlds: &[World]) -> f64 {
    let before = asked(worlds);
    worlds[0].pass(8 * 60).await;
    (asked(worlds) - before) as f64 / (8.0 * 60.0)
}

#[tokio::test(start_paused = true)]
async fn a_fleet_hardly_adds_probes_of_a_healthy_clerk() {
    for count in [1, 3, 10] {
        let (worlds, _) = fleet_of(count, |_, builder| builder).await;
        worlds[0].pass(60).await;
        let rate = rate(&worlds).await;
        println!("{count} instances, Clerk healthy: {rate:.3} calls a second");
        assert!(rate <= 0.25, "{count} instances ask {rate} times a second");
        for world in &worlds {
            assert_eq!(world.clerk.verdict(), Verdict::Healthy);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fleet_adds_few_probes_of_a_broken_clerk() {
    for count in [1, 3, 10] {
        let (worlds, _) = fleet_of(count, |_, builder| builder).await;
        worlds[0].break_clerk();
        worlds[0].pass(120).await;
        let rate = rate(&worlds).await;
        println!("{count} instances, Clerk down: {rate:.3} calls a second");
        assert!(rate <= 1.0, "{count} instances ask {rate} times a second");
        for world in &worlds {
            assert_eq!(world.clerk.verdict(), Verdict::Outage);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_instance_of_a_fleet_proves_an_outage_in_time() {
    let (worlds, _) = fleet_of(6, |_, builder| builder).await;
    let mut slowest = 0;
    for pause in [3, 7, 11, 17] {
        worlds[0].pass(300 + pause).await;
        let before = worlds[0].now_secs();
        worlds[0].break_clerk();
        for world in &worlds {
            world.until(Verdict::Outage).await;
        }
        slowest = slowest.max(worlds[0].now_secs() - before);
        worlds[0].sim.heal_all();
        for world in &worlds {
            world.until(Verdict::Healthy).await;
        }
    }
    println!("the last of six instances proves an outage within {slowest} s of its beginning");
    // The first to ask again asks within 12 s.
    assert!(slowest <= 37, "{slowest} s");
}
