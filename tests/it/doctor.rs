//! The doctor finds each fault, and says what to do.

use std::sync::Arc;

use clerk_resilience::doctor::{Finding, Severity, examine, examine_routes, examine_vars};
use clerk_resilience::key::{InstanceKind, SecretKey};
use clerk_resilience::sim::{SimClerk, SimFault, SimSurface};
use clerk_resilience::{ClerkConfig, ClerkResilience};

use crate::support::{config, routes};

async fn findings(sim: &SimClerk, config: ClerkConfig) -> Vec<Finding> {
    examine(&config, Arc::new(sim.upstream()), sim.clock()).await
}

fn severity(findings: &[Finding], code: &str) -> Option<Severity> {
    findings.iter().find(|finding| finding.code == code).map(|finding| finding.severity)
}

#[tokio::test(start_paused = true)]
async fn a_good_configuration_has_no_errors() {
    let sim = SimClerk::in_memory();
    let config = config(&sim).jwt_key(&sim.public_key_pem()).expect("a PEM");
    let found = findings(&sim, config.authorized_parties(["https://app.example.com"])).await;
    assert!(found.iter().all(|finding| finding.severity < Severity::Error), "{found:?}");
    for code in ["one-instance", "jwt-key", "clock-skew", "session-mint", "backend-api", "jwks"] {
        assert_eq!(severity(&found, code), Some(Severity::Fine), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_named() {
    let sim = SimClerk::in_memory();
    let config = ClerkConfig::new(sim.publishable_key().clone());
    let found = findings(&sim, config).await;
    assert_eq!(severity(&found, "no-secret-key"), Some(Severity::Note));
    assert_eq!(severity(&found, "no-authorized-parties"), Some(Severity::Warning));
    assert_eq!(severity(&found, "no-state-dir"), Some(Severity::Warning));
}

#[tokio::test(start_paused = true)]
async fn keys_of_two_instances_or_modes_are_told_by_their_signing_keys() {
    let (sim, other) = (SimClerk::in_memory(), SimClerk::in_memory());
    sim.break_with(SimSurface::BackendJwks, SimFault::ForeignKeys);
    let found = findings(&sim, config(&sim)).await;
    assert_eq!(severity(&found, "two-instances"), Some(Severity::Error), "{found:?}");

    let test_mode = SecretKey::parse("sk_test_0123456789").expect("a secret key");
    let found = findings(&sim, config(&sim).secret_key(test_mode)).await;
    assert_eq!(sim.publishable_key().kind(), InstanceKind::Production);
    assert_eq!(severity(&found, "mixed-modes"), Some(Severity::Error));
    assert_eq!(severity(&found, "secret-key-refused"), Some(Severity::Error));

    let foreign = config(&sim).jwt_key(&other.public_key_pem()).expect("a PEM");
    let found = findings(&sim, foreign).await;
    assert_eq!(severity(&found, "jwt-key-mismatch"), Some(Severity::Error));
}

#[tokio::test(start_paused = true)]
async fn trouble_of_clerks_is_told_from_trouble_of_ours() {
    let sim = SimClerk::in_memory();
    sim.break_with(SimSurface::CLERK, SimFault::status(503));
    let found = findings(&sim, config(&sim)).await;
    assert_eq!(severity(&found, "it-is-clerk"), Some(Severity::Note), "{found:?}");

    sim.break_with(SimSurface::CLERK, SimFault::Hang);
    let canary = sim.status_page_url();
    let found = findings(&sim, config(&sim).egress_canary(canary.clone())).await;
    assert_eq!(severity(&found, "it-is-clerk"), Some(Severity::Note), "{found:?}");

    sim.break_with(SimSurface::ALL, SimFault::Refused);
    let found = findings(&sim, config(&sim).egress_canary(canary)).await;
    assert_eq!(severity(&found, "it-is-us"), Some(Severity::Error), "{found:?}");

    sim.break_with(SimSurface::ALL, SimFault::Dns);
    let found = findings(&sim, config(&sim)).await;
    assert_eq!(severity(&found, "dns"), Some(Severity::Error), "{found:?}");

    sim.break_with(SimSurface::ALL, SimFault::Html);
    let found = findings(&sim, config(&sim)).await;
    assert_eq!(severity(&found, "stranger"), Some(Severity::Error), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_is_measured() {
    let sim = SimClerk::in_memory();
    for (skew, expected) in
        [(0, Severity::Fine), (-3_000, Severity::Warning), (60_000, Severity::Error)]
    {
        sim.skew_date(skew);
        let found = findings(&sim, config(&sim)).await;
        assert_eq!(severity(&found, "clock-skew"), Some(expected), "{skew}");
    }
}

#[tokio::test]
async fn every_malformed_variable_is_reported_and_no_key_is_shown() {
    let vars = |name: &str| {
        let value = match name {
            "CLERK_SECRET_KEY" => "pk_oops_secret",
            "CLERK_JWT_KEY" => "oops_secret",
            "CLERK_API_URL" => "nonsense",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let text = examine_vars(vars).await.to_string();
    assert!(text.contains("CLERK_PUBLISHABLE_KEY is not set"), "{text}");

    let more = |name: &str| match name {
        "CLERK_PUBLISHABLE_KEY" => Some("pk_test_broken".to_owned()),
        other => vars(other),
    };
    let diagnosis = examine_vars(more).await;
    let text = diagnosis.to_string();
    assert!(diagnosis.has_errors());
    assert!(text.contains("CLERK_PUBLISHABLE_KEY") && !text.contains("oops_secret"), "{text}");
}

#[tokio::test]
async fn what_each_route_demands_is_found_by_asking() {
    use axum::{Router, routing::get};
    use clerk_resilience::fetch::HttpUpstream;

    let sim = SimClerk::in_memory();
    let clerk = ClerkResilience::builder(config(&sim)).upstream(sim.upstream()).build();
    let app = routes()
        .route_layer(clerk.expect("a good configuration"))
        .merge(Router::new().route("/open", get(async || "all")));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let app = format!("http://{address}").parse().expect("an address");
    let paths = ["/me", "/open", "/nowhere"].map(str::to_owned);
    let upstream = HttpUpstream::new().expect("a client");
    let found = examine_routes(&app, &paths, &upstream).await;
    server.abort();
    let says = |n: usize, words: &str| {
        let what: &str = &found[n].what;
        assert!(what.contains(words), "{what}");
    };
    says(0, "demands a session");
    says(1, "is open to everybody");
    says(2, "does not exist");
    assert_eq!(found[1].code, "route-open");
}
