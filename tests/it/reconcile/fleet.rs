//! One member of a fleet reads back for all.

use std::time::Duration;

use clerk_resilience::sim::{SimClerk, SimClock};
use clerk_resilience::store::MemoryStore;
use serde_json::json;
use test_support::world::{World, start_of_time};

use super::{Ear, ended, secret};

struct Fleet {
    clock: SimClock,
    sim: SimClerk,
    store: MemoryStore,
}

impl Fleet {
    fn with(users: u32) -> Self {
        let clock = SimClock::starting_at(start_of_time());
        let sim = SimClerk::builder().clock(clock.clone()).seed(7).build();
        for n in 0..users {
            sim.update_user(format!("user_{n}"), json!({ "first_name": "Ada" }));
        }
        Self { clock, sim, store: MemoryStore::shared() }
    }

    /// A member for whom each page takes so long.
    fn member(&self, slow: Duration, on_demand: bool) -> (World, Ear) {
        let ear = Ear { slow, ..Ear::at(&self.sim) };
        let wire = ear.clone();
        let world = World::beside(self.clock.clone(), self.sim.clone(), |builder| {
            let builder = builder.webhook_secret(secret()).store(self.store.clone());
            let builder = if on_demand { builder.reconcile_on_demand() } else { builder };
            builder.transport(wire)
        });
        (world, ear)
    }
}

#[tokio::test(start_paused = true)]
async fn the_other_instances_wait_during_a_run() {
    let fleet = Fleet::with(7200);
    let (first, one) = fleet.member(Duration::from_secs(14), false);
    first.pass(660).await;
    let (second, two) = fleet.member(Duration::ZERO, false);
    second.pass(400).await;
    assert!(one.heard().len() > 70, "more than ten minutes of reading");
    assert_eq!(two.heard(), []);
    first.pass(1200).await;
    assert_eq!(two.heard(), [], "nor once it is done");
}

#[tokio::test(start_paused = true)]
async fn another_instance_resumes_an_interrupted_run() {
    let fleet = Fleet::with(1000);
    let (first, one) = fleet.member(Duration::from_secs(10), false);
    first.pass(35).await;
    let offsets: Vec<_> = one.heard().into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(offsets, [0, 90, 180, 270]);
    drop(first);
    let (second, two) = fleet.member(Duration::ZERO, false);
    second.pass(1300).await;
    let offsets: Vec<_> = two.heard().into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(offsets, [270, 360, 450, 540, 630, 720, 810, 900, 990]);
}

#[tokio::test(start_paused = true)]
async fn each_run_starts_where_the_last_one_ended() {
    let fleet = Fleet::with(250);
    let (first, one) = fleet.member(Duration::ZERO, true);
    let (second, two) = fleet.member(Duration::ZERO, true);
    first.pass(400).await;
    fleet.sim.update_user("user_3", json!({ "first_name": "Eve" }));
    assert_eq!(ended(&first).await.total, Some(250));
    assert_eq!(one.heard().len(), 3);
    fleet.sim.update_user("user_3", json!({ "first_name": "Eva" }));
    assert_eq!(ended(&second).await.total, None, "not the first time");
    assert_eq!(two.heard().len(), 1);
}
