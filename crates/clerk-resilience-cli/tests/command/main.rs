//! The command: what it prints, and how it ends.

#[cfg(feature = "sqlite")]
mod dead_letters;
#[cfg(any(feature = "redis", feature = "sqlite"))]
mod reconcile;

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
async fn the_exit_code_is_0_without_faults_and_else_1() {
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
async fn a_proxy_that_blocks_clerk_is_suspected() {
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
async fn an_unexpected_route_policy_exits_with_1() {
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
