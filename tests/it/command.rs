//! The command: what it prints, and how it ends.

use std::process::{Command, Output};

use clerk_resilience::sim::SimClerk;
use serde_json::Value;

async fn doctor(vars: &[(&str, &str)], arguments: &[&str]) -> Output {
    command("doctor", vars, arguments).await
}

async fn command(name: &str, vars: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clerk-resilience"));
    command.env_clear().envs(vars.iter().copied()).arg(name).args(arguments);
    let run = tokio::task::spawn_blocking(move || command.output());
    run.await.expect("no panic").expect("the command runs")
}

fn text(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("text")
}

fn codes(output: &Output) -> Vec<String> {
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let findings = json["findings"].as_array().expect("a list");
    findings.iter().map(|found| found["code"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn it_ends_with_0_when_all_works_and_with_1_when_something_does_not() {
    let sim = SimClerk::start().await.expect("three ports");
    let (fapi, api) = (sim.frontend_api_url(), sim.backend_api_url());
    let good = [
        ("CLERK_PUBLISHABLE_KEY", sim.publishable_key().as_str()),
        ("CLERK_SECRET_KEY", sim.secret_key().expose()),
        ("CLERK_FRONTEND_API_URL", fapi.as_str()),
        ("CLERK_API_URL", api.as_str()),
        ("CLERK_RESILIENCE_STATUS_URL", "off"),
    ];
    let output = doctor(&good, &[]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("It works, and could be better."), "{}", text(&output));
    assert!(!text(&output).contains("sk_live"), "{}", text(&output));
    assert!(codes(&doctor(&good, &["--json"]).await).contains(&"one-instance".to_owned()));

    let nothing = doctor(&[], &[]).await;
    assert_eq!(nothing.status.code(), Some(1));
    assert!(text(&nothing).contains("CLERK_PUBLISHABLE_KEY is not set"), "{}", text(&nothing));
    let json: Value = serde_json::from_slice(&doctor(&[], &["--json"]).await.stdout).expect("JSON");
    assert_eq!(json["worst"], "error");
    assert_eq!(json["findings"][0]["severity"], "error");
}

#[tokio::test]
async fn a_proxy_that_does_not_let_clerk_through_is_suspected() {
    let sim = SimClerk::in_memory();
    let vars = [
        ("CLERK_PUBLISHABLE_KEY", sim.publishable_key().as_str()),
        ("CLERK_RESILIENCE_STATUS_URL", "off"),
        // Nobody listens there.
        ("HTTPS_PROXY", "http://127.0.0.1:9"),
    ];
    let output = doctor(&vars, &["--json"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(codes(&output).contains(&"proxy".to_owned()), "{}", text(&output));
}

#[tokio::test]
async fn a_route_that_is_not_what_it_is_meant_to_be_ends_with_1() {
    use axum::{Router, routing::get};

    let app = Router::new().route("/open", get(async || "all"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let output =
        doctor(&[], &["--json", "--app", &address, "--protected", "/open", "/other"]).await;
    server.abort();
    assert_eq!(codes(&output), ["variable", "not-asked", "public-by-mistake", "route"]);
    assert_eq!(
        doctor(&[], &["--protected", "/open"]).await.status.code(),
        Some(2),
        "--app is missing"
    );
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn reconcile_reads_all_users_into_the_store_and_says_how_many() {
    let sim = SimClerk::start().await.expect("three ports");
    for n in 0..120 {
        sim.update_user(format!("user_{n}"), serde_json::json!({ "first_name": "Ada" }));
    }
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("store.sqlite");
    let (fapi, api) = (sim.frontend_api_url(), sim.backend_api_url());
    let mut vars = vec![
        ("CLERK_PUBLISHABLE_KEY", sim.publishable_key().as_str()),
        ("CLERK_SECRET_KEY", sim.secret_key().expose()),
        ("CLERK_FRONTEND_API_URL", fapi.as_str()),
        ("CLERK_API_URL", api.as_str()),
        ("CLERK_RESILIENCE_STATUS_URL", "off"),
    ];
    let arguments = ["--sqlite", file.to_str().expect("text")];
    let output = command("reconcile", &vars, &arguments).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output).starts_with("Read 130 users; all that changed up to "), "{output:?}");
    let rows = rusqlite::Connection::open(&file).expect("a database");
    let count = rows.query_row("SELECT count(*) FROM person", [], |row| row.get(0));
    assert_eq!(count, Ok(120));

    vars[1].1 = "sk_live_0123456789abcdefghijklmnopqrstuvwxyzABCDEF";
    let output = command("reconcile", &vars, &arguments).await;
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("refuses CLERK_SECRET_KEY"), "{words}");
    vars.remove(1);
    let output = command("reconcile", &vars, &arguments).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("CLERK_SECRET_KEY is not set"));
}
