//! Profiles follow webhook events.

use clerk_resilience::clock::Timestamp;
use clerk_resilience::sim::{SimClerk, SimClock};
use clerk_resilience::webhook_signature::WebhookSecret;
use clerk_resilience::{KnownUser, Source};
use http::StatusCode;
use serde_json::Value;
use test_support::world::World;

use super::{ADA, BEN, called, known, name, samples, updated};
use crate::webhooks::{SECRET, data, deliver, parsed, post};

#[tokio::test(start_paused = true)]
async fn every_clerk_sample_gives_the_documented_profile() {
    let index = parsed("webhook-samples/index.json");
    let secret = WebhookSecret::parse(index["secret"].as_str().expect("text")).expect("a secret");
    for (file, body, row) in samples() {
        let sent: i64 =
            row["headers"]["svix-timestamp"].as_str().expect("text").parse().expect("n");
        let clock = SimClock::starting_at(Timestamp::from_secs(sent));
        let sim = SimClerk::builder().clock(clock.clone()).build();
        let world = World::beside(clock, sim, |builder| builder.webhook_secret(secret.clone()));
        let answer =
            world.send(post(&row["headers"], data(&format!("webhook-samples/{file}")))).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{file}");
        let expected = row["expect"].to_string();
        let user = match body["type"].as_str().expect("a type") {
            "user.created" | "user.updated" => &body["data"],
            kind if kind.starts_with("session.") => &body["data"]["user"],
            _ => &Value::Null,
        };
        let upsert = expected.contains("upsert_profile") || expected.contains("upsert embedded");
        assert!(!upsert || user.is_object(), "{file}");
        let told = known(&world, ADA).await;
        if user.is_object() {
            let KnownUser { profile, .. } = told.expect(&file).expect(&file);
            assert_eq!(profile.first_name.as_deref(), user["first_name"].as_str(), "{file}");
            assert_eq!(profile.email.as_deref(), Some("ada.okafor@northwind.example"), "{file}");
            let latest = Timestamp::from_secs(sent + 300);
            let since = Timestamp::from_millis(user["updated_at"].as_i64().expect("a time"));
            assert_eq!(profile.updated_at, since.min(latest), "{file}");
            assert_eq!(profile.heard_at, Some(world.now()), "{file}");
            assert_eq!(profile.banned, expected.contains("while banned"), "{file}");
            assert_eq!(profile.locked, file.contains("locked"), "{file}");
            assert_eq!(profile.external_id.as_deref(), Some("crm-10442"), "{file}");
            assert_eq!(profile.private_metadata, None, "{file}");
        } else if file == "user.deleted.json" {
            assert_eq!(told, Ok(None), "{file}");
        } else {
            assert!(told.is_err(), "nothing is known of Ada after {file}");
        }
        if file == "user.deleted.minimal.json" {
            assert_eq!(known(&world, BEN).await, Ok(None), "{file}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn memberships_follow_the_samples() {
    let world = Samples::world();
    world.told("Ben", &[updated(BEN, "Ben", world.0.now())]).await;
    let roles = async || -> Vec<(String, Vec<String>, Option<String>)> {
        let known = known(&world.0, BEN).await.expect("told").expect("known");
        known.memberships.into_iter().map(|m| (m.role, m.permissions, m.name)).collect()
    };
    assert_eq!(roles().await, []);
    world.told("1", &[data("webhook-samples/organizationMembership.created.json")]).await;
    let first = roles().await;
    assert_eq!((first[0].0.as_str(), first.len()), ("org:member", 1));
    assert_eq!(first[0].2.as_deref(), Some("Northwind Traders"));
    world.told("2", &[data("webhook-samples/organizationMembership.updated.json")]).await;
    let second = roles().await;
    assert_eq!(second[0].0, "org:admin");
    assert!(second[0].1.contains(&"org:invoices:write".to_owned()));
    world.told("3", &[data("webhook-samples/organization.updated.json")]).await;
    assert_eq!(roles().await, second, "a name stays until the membership changes");
    world.told("4", &[data("webhook-samples/organizationMembership.deleted.json")]).await;
    world.told("5", &[data("webhook-samples/organizationMembership.created.json")]).await;
    assert_eq!(roles().await, [], "a late event brings nobody back");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_organization_has_no_members() {
    let world = Samples::world();
    world.told("Ben", &[updated(BEN, "Ben", world.0.now())]).await;
    let places = async || known(&world.0, BEN).await.expect("told").expect("known").memberships;
    world.told("1", &[data("webhook-samples/organizationMembership.created.json")]).await;
    assert_eq!(places().await.len(), 1);
    world.told("2", &[data("webhook-samples/organization.deleted.json")]).await;
    assert_eq!(places().await, []);
}

/// A world a moment after all samples happened, which does not know them yet.
struct Samples(World);

impl Samples {
    fn world() -> Self {
        let clock = SimClock::starting_at(Timestamp::from_secs(1_791_000_100));
        let sim = SimClerk::builder().clock(clock.clone()).build();
        let secret = WebhookSecret::parse(SECRET).expect("a secret");
        Self(World::beside(clock, sim, |builder| builder.webhook_secret(secret)))
    }

    async fn told(&self, delivery: &str, bodies: &[String]) {
        for (n, body) in bodies.iter().enumerate() {
            let answer = deliver(&self.0, &format!("msg_{delivery}_{n}"), body).await;
            assert_eq!(answer.status, StatusCode::NO_CONTENT);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn repeated_and_reordered_events_give_the_same_profile() {
    let files = samples();
    for seed in 0..12 {
        let dice = &mut fastrand::Rng::with_seed(seed);
        let deleted = seed % 2 == 1;
        let mut bodies: Vec<String> = files
            .iter()
            .filter(|(file, ..)| deleted || !file.starts_with("user.deleted"))
            .map(|(file, ..)| data(&format!("webhook-samples/{file}")))
            .collect();
        let world = Samples::world();
        bodies.push(updated(BEN, "Ben", Timestamp::from_secs(1_791_000_000)));
        for round in 0..2 {
            dice.shuffle(&mut bodies);
            world.told(&format!("{seed}_{round}"), &bodies).await;
            // Whoever is asked for meanwhile is in memory, and has to hear what follows.
            let (ada, ben) = (known(&world.0, ADA).await, known(&world.0, BEN).await);
            if deleted {
                assert_eq!((ada, ben), (Ok(None), Ok(None)), "{seed}");
                continue;
            }
            let ada = ada.expect("told").expect("known").profile;
            assert_eq!(ada.updated_at, Timestamp::from_millis(1_791_000_009_000), "{seed}");
            assert_eq!((ada.banned, ada.locked), (false, false), "{seed}");
            assert_eq!(ben.expect("told").expect("known").memberships, [], "{seed}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn memory_and_store_apply_events_in_any_order_alike() {
    let world = Samples::world();
    world.told("first", &[updated(ADA, "Ada", Timestamp::from_secs(1_790_000_000))]).await;
    assert_eq!(name(&world.0, ADA).await, called("Ada", Source::Store));
    world.told("new", &[data("webhook-samples/user.updated.json")]).await;
    assert_eq!(name(&world.0, ADA).await, called("Adaeze", Source::Memory));
    world.told("late", &[data("webhook-samples/user.updated.older-arrives-late.json")]).await;
    assert_eq!(name(&world.0, ADA).await, called("Adaeze", Source::Memory));
    world.told("gone", &[data("webhook-samples/user.deleted.json")]).await;
    assert_eq!(known(&world.0, ADA).await, Ok(None));
}
