//! `clerk-resilience reconcile`: what it does to a store, and how it ends.

use std::process::Output;

use clerk_resilience::sim::{SimClerk, SimOrganization};
use serde_json::json;

use super::{command, text};

/// The variables of an application of this Clerk.
struct Vars(Vec<(&'static str, String)>);

impl Vars {
    fn of(sim: &SimClerk) -> Self {
        Self(vec![
            ("CLERK_PUBLISHABLE_KEY", sim.publishable_key().as_str().to_owned()),
            ("CLERK_SECRET_KEY", sim.secret_key().expose().to_owned()),
            ("CLERK_FRONTEND_API_URL", sim.frontend_api_url().to_string()),
            ("CLERK_API_URL", sim.backend_api_url().to_string()),
            ("CLERK_RESILIENCE_STATUS_URL", "off".to_owned()),
        ])
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.0.retain(|(known, _)| *known != name);
        if !value.is_empty() {
            self.0.push((name, value.to_owned()));
        }
        self
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let vars: Vec<_> = self.0.iter().map(|(name, value)| (*name, value.as_str())).collect();
        command("reconcile", &vars, arguments).await
    }
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A Clerk with so many users, three of them in an organisation.
async fn clerk(users: u32) -> SimClerk {
    let sim = SimClerk::start().await.expect("three ports");
    for n in 0..users {
        // Who is new may not be known to all of Clerk's machines.
        let long_ago = 1_700_000_000_000_u64;
        let private = json!({
            "first_name": "Ada", "private_metadata": { "plan": "gold" },
            "created_at": long_ago, "updated_at": long_ago,
        });
        sim.update_user(format!("user_{n}"), private);
    }
    for n in 0..3 {
        sim.join(format!("user_{n}"), &SimOrganization::new("org_1", "one"));
    }
    sim
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use rusqlite::Connection;

    use super::*;

    /// A place for the application's file.
    fn place() -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("store.sqlite").to_str().expect("text").to_owned();
        (dir, file)
    }

    fn count(file: &str, of: &str) -> i64 {
        let rows = Connection::open(file).expect("a database");
        let query = format!("SELECT count(*) FROM {of}");
        rows.query_row(&query, [], |row| row.get(0)).expect("a number")
    }

    #[tokio::test]
    async fn reconcile_fills_the_file_and_reports_counts() {
        let (sim, (_dir, file)) = (clerk(120).await, place());
        let vars = Vars::of(&sim);
        let output = vars.run(&["--sqlite", &file]).await;
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let said = "Read 130 users and 3 memberships, and compared 120 users who are kept: 0 users and memberships are gone. All that changed up to ";
        assert!(text(&output).starts_with(said), "{output:?}");
        assert_eq!(count(&file, "person"), 120);
        assert_eq!(count(&file, "person WHERE data LIKE '%org_1%'"), 3);
        assert_eq!(count(&file, "person WHERE data LIKE '%gold%'"), 0);

        sim.delete_user(&"user_50".into());
        sim.update_user("user_5", json!({ "locked": true }));
        let output = vars.run(&["--sqlite", &file]).await;
        assert!(text(&output).contains(": 1 users and memberships are gone."), "{output:?}");
        assert_eq!(count(&file, "denial WHERE kind = 'user' AND id = 'user_50'"), 1);
        assert_eq!(count(&file, "denial"), 1, "who is locked is not signed out");
    }

    #[tokio::test]
    async fn reconcile_follows_the_applications_settings() {
        let (sim, (_dir, file)) = (clerk(3).await, place());
        sim.update_user("user_1", json!({ "locked": true }));
        sim.update_user("user_2", json!({ "password_last_updated_at": 1_700_000_000_000_u64 }));
        let choices = ["--keep-private-metadata", "--revoke-when-locked"];
        let arguments =
            [&["--sqlite", &file, "--revoke-on-password-change"], &choices[..]].concat();
        let output = Vars::of(&sim).run(&arguments).await;
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(count(&file, "person WHERE data LIKE '%gold%'"), 3);
        assert_eq!(count(&file, "denial WHERE kind = 'user' AND id = 'user_1'"), 1);
        assert_eq!(count(&file, "denial WHERE kind = 'user' AND id = 'user_2'"), 1);
        assert_eq!(count(&file, "denial"), 2);
    }

    #[tokio::test]
    async fn an_error_is_reported_and_exits_with_1() {
        let (sim, other, (dir, file)) = (clerk(3).await, clerk(3).await, place());
        let refused = "sk_live_0123456789abcdefghijklmnopqrstuvwxyzABCDEF";
        let elsewhere = Vars::of(&sim)
            .with("CLERK_API_URL", other.backend_api_url().as_str())
            .with("CLERK_SECRET_KEY", other.secret_key().expose());
        for (vars, said) in [
            (Vars::of(&sim).with("CLERK_SECRET_KEY", refused), "refuses CLERK_SECRET_KEY"),
            (Vars::of(&sim).with("CLERK_SECRET_KEY", ""), "CLERK_SECRET_KEY is not set"),
            (Vars::of(&sim).with("CLERK_PUBLISHABLE_KEY", ""), "CLERK_PUBLISHABLE_KEY"),
            (elsewhere, "CLERK_SECRET_KEY belongs to another instance"),
        ] {
            let output = vars.run(&["--sqlite", &file]).await;
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            assert!(words(&output).contains(said), "{}", words(&output));
        }
        assert_eq!(count(&file, "person"), 0, "nothing is another instance's");
        std::fs::write(dir.path().join("store.sqlite"), "no database").expect("written");
        let output = Vars::of(&sim).run(&["--sqlite", &file]).await;
        assert_eq!(output.status.code(), Some(1));
        assert!(words(&output).contains("is damaged or no store"), "{}", words(&output));
    }

    #[tokio::test]
    async fn exactly_one_store_must_be_named() {
        let (sim, (_dir, file)) = (clerk(0).await, place());
        for arguments in [
            &[][..],
            &["--sqlite", &file, "--redis", "unix:///nowhere", "--namespace", "test"],
            &["--sqlite", &file, "--namespace", "test"],
        ] {
            let output = Vars::of(&sim).run(arguments).await;
            assert_eq!(output.status.code(), Some(2), "{arguments:?} {output:?}");
        }
    }
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn reconcile_fills_a_shared_store() {
    use clerk_resilience::store::{RedisStore, Store as _};

    let (sim, server) = (clerk(3).await, test_support::redis_server::Server::start());
    let (vars, url) = (Vars::of(&sim), server.url());
    let place = ["--redis", &url, "--namespace", "test"];
    let output = vars.run(&place).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let store = RedisStore::connect(&server.url(), "test").await.expect("a running server");
    let roll = store.users(None).await.expect("answered");
    let belong = roll.people.iter().filter(|(_, person)| person.memberships().count() == 1);
    assert_eq!((roll.people.len(), belong.count()), (3, 3));

    assert_eq!(vars.run(&["--redis", &url]).await.status.code(), Some(2), "whose is it?");
    drop(server);
    let output = vars.run(&place).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains("the store failed"), "{}", words(&output));
}
