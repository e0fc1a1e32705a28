//! The doctor finds each fault, and says what to do.

use std::sync::Arc;

use clerk_resilience::doctor::{
    Diagnostic, Intent, Severity, examine, examine_routes, examine_vars,
};
use clerk_resilience::key::{InstanceKind, SecretKey};
use clerk_resilience::sim::{SimClerk, SimFault, SimSurface};
use clerk_resilience::{ClerkConfig, ClerkResilience};
use test_support::world::{config, routes};

async fn findings(sim: &SimClerk, config: ClerkConfig) -> Vec<Diagnostic> {
    examine(&config, Arc::new(sim.transport()), sim.clock()).await
}

fn severity(findings: &[Diagnostic], code: &str) -> Option<Severity> {
    findings.iter().find(|finding| finding.code == code).map(|finding| finding.severity)
}

#[tokio::test(start_paused = true)]
async fn a_good_configuration_has_no_errors() {
    let sim = SimClerk::in_memory();
    let config = config(&sim).jwt_key(&sim.public_key_pem()).expect("a PEM");
    let found = findings(&sim, config.authorized_parties(["https://app.example.com"])).await;
    assert!(found.iter().all(|finding| finding.severity < Severity::Error), "{found:?}");
    assert_eq!(severity(&found, "no-authorized-parties"), None);
    for code in ["one-instance", "jwt-key", "clock-skew", "session-mint", "backend-api", "jwks"] {
        assert_eq!(severity(&found, code), Some(Severity::Fine), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn missing_settings_are_named() {
    let sim = SimClerk::in_memory();
    let config = ClerkConfig::new(sim.publishable_key().clone());
    let found = findings(&sim, config).await;
    assert_eq!(severity(&found, "no-secret-key"), Some(Severity::Note));
    assert_eq!(severity(&found, "no-authorized-parties"), Some(Severity::Warning));
    assert_eq!(severity(&found, "no-state-dir"), Some(Severity::Warning));
}

#[tokio::test(start_paused = true)]
async fn keys_of_two_instances_are_detected_by_their_signing_keys() {
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
async fn clerk_failures_differ_from_local_failures() {
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
async fn a_wrong_clock_is_measured() {
    let sim = SimClerk::in_memory();
    for (skew, expected) in
        [(0, Severity::Fine), (-3_000, Severity::Warning), (60_000, Severity::Error)]
    {
        sim.skew_date(skew);
        let found = findings(&sim, config(&sim)).await;
        assert_eq!(severity(&found, "clock-skew"), Some(expected), "{skew}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_frontend_api_address_is_not_an_outage() {
    for fault in [SimFault::Dns, SimFault::Refused, SimFault::Tls] {
        let sim = SimClerk::in_memory();
        sim.break_with(SimSurface::FRONTEND, fault.clone());
        let found = findings(&sim, config(&sim)).await;
        let code = if fault == SimFault::Tls { "stranger" } else { "frontend-api-unreachable" };
        assert_eq!(severity(&found, code), Some(Severity::Error), "{fault:?} {found:?}");
        assert_eq!(severity(&found, "dns"), None, "{found:?}");
    }
    let sim = SimClerk::in_memory();
    sim.break_with(SimSurface::FRONTEND, SimFault::status(500));
    let found = findings(&sim, config(&sim)).await;
    assert_eq!(severity(&found, "it-is-clerk"), Some(Severity::Note), "{found:?}");
    assert_eq!(severity(&found, "frontend-api-unreachable"), None, "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn a_state_directory_writable_by_others_is_an_error() {
    use std::os::unix::fs::PermissionsExt as _;

    let sim = SimClerk::in_memory();
    let dir = tempfile::tempdir().expect("a directory");
    for (mode, expected) in [(0o700, Severity::Fine), (0o777, Severity::Error)] {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(dir.path(), mode).expect("our own directory");
        let found = findings(&sim, config(&sim).state_dir(dir.path())).await;
        assert_eq!(severity(&found, "state-dir"), Some(expected), "{found:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn unusable_settings_are_errors() {
    let sim = SimClerk::in_memory();
    for config in [
        config(&sim).authorized_parties(["https://app.example.com/path"]),
        config(&sim).site(|site| site.satellite(true)),
        config(&sim).site(|site| site.domain("https://app.example.org").satellite(true)),
        config(&sim).frontend_api("http://clerk.example.com".parse().expect("an address")),
    ] {
        let found = findings(&sim, config).await;
        assert_eq!(severity(&found, "setting"), Some(Severity::Error), "{found:?}");
    }
}

#[tokio::test]
async fn every_malformed_variable_is_reported_and_no_key_is_shown() {
    const BAD: [(&str, &str); 6] = [
        ("CLERK_SECRET_KEY", "pk_oops_secret"),
        ("CLERK_JWT_KEY", "oops_secret"),
        ("CLERK_API_URL", "nonsense"),
        ("NEXT_PUBLIC_CLERK_DOMAIN", "https://oops_secret@a.example"),
        ("CLERK_IS_SATELLITE", "true"),
        ("CLERK_RESILIENCE_EGRESS_CANARIES", ","),
    ];
    for (key, says) in [(None, "is not set"), (Some("pk_test_broken"), "cut off")] {
        let vars = |name: &str| match name {
            "CLERK_PUBLISHABLE_KEY" => key.map(str::to_owned),
            _ => BAD.iter().find(|(bad, _)| *bad == name).map(|(_, value)| (*value).to_owned()),
        };
        let diagnosis = examine_vars(vars).await;
        let text = diagnosis.to_string();
        assert!(diagnosis.has_errors());
        assert_eq!(text.matches("CLERK_PUBLISHABLE_KEY ").count(), 1, "{text}");
        assert!(text.contains(says), "{text}");
        for (name, _) in BAD {
            assert!(text.contains(name), "{name}: {text}");
        }
        assert!(!text.contains("oops_secret"), "{text}");
        let last = diagnosis.findings.last().expect("findings");
        assert_eq!((diagnosis.findings.len(), last.code), (BAD.len() + 2, "not-asked"), "{text}");
    }
}

#[tokio::test]
async fn the_requirements_of_each_route_are_probed() {
    use axum::response::Redirect;
    use axum::{Router, routing::get};
    use clerk_resilience::fetch::HttpUpstream;

    let sim = SimClerk::in_memory();
    let builder = ClerkResilience::builder(config(&sim)).clock(sim.clock());
    let clerk = builder.transport(sim.transport()).build();
    let away = get(async || Redirect::to("/elsewhere?token=oops_secret"));
    let open = Router::new().route("/open", get(async || "all")).route("/away", away);
    let app = routes().route_layer(clerk.expect("a good configuration")).merge(open);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let app = format!("http://{address}").parse().expect("an address");
    let transport = HttpUpstream::new().expect("a client");
    for (intent, path, severity, code, says) in [
        (Intent::Unsaid, "/me", Severity::Fine, "route", "demands a session"),
        (Intent::Unsaid, "/open", Severity::Note, "route-open", "is open to everybody"),
        (Intent::Unsaid, "/nowhere", Severity::Fine, "route", "does not exist"),
        (Intent::Unsaid, "/away", Severity::Fine, "route", "sends visitors to /elsewhere"),
        (Intent::Protected, "/me", Severity::Fine, "route", "demands a session"),
        (Intent::Protected, "/open", Severity::Error, "public-by-mistake", "meant to be protected"),
        (Intent::Protected, "/nowhere", Severity::Error, "route", "does not exist"),
        (Intent::Public, "/me", Severity::Error, "protected-by-mistake", "meant to be public"),
        (Intent::Public, "/open", Severity::Fine, "route", "is open to everybody"),
        (Intent::Public, "//evil.example/", Severity::Error, "route", "is no path"),
    ] {
        let routes = [(intent, path.to_owned())];
        let found = examine_routes(&app, &routes, &transport).await.remove(0);
        assert_eq!((found.severity, found.code), (severity, code), "{intent:?} {path} {found:?}");
        assert!(found.what.contains(says), "{found:?}");
        assert!(!found.what.contains("oops_secret"), "{found:?}");
        assert!(found.severity != Severity::Error || code == "route" || !found.advice.is_empty());
    }
    server.abort();
}

#[tokio::test(start_paused = true)]
async fn the_report_shows_the_grace_variables() {
    let sim = SimClerk::in_memory();
    let key = sim.publishable_key().as_str().to_owned();
    let told = async |vars: &[(&str, &str)]| {
        let read = |name: &str| match name {
            "CLERK_PUBLISHABLE_KEY" => Some(key.clone()),
            _ => vars.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()),
        };
        let config = ClerkConfig::from_vars(read).expect("good variables");
        findings(&sim, config.frontend_api(sim.frontend_api_url())).await
    };
    let grace = "CLERK_RESILIENCE_GRACE";
    let found = told(&[]).await;
    assert_eq!(severity(&found, "grace"), Some(Severity::Note), "{found:?}");
    assert_eq!(severity(&found, "tickets"), None);
    let ticket = ("CLERK_RESILIENCE_TICKET_KEYS", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let vars = [(grace, "balanced"), ("CLERK_RESILIENCE_MAX_GRACE", "5min"), ticket];
    let found = told(&vars).await;
    let words = |code: &str| {
        let finding = found.iter().find(|finding| finding.code == code).expect(code);
        finding.what.clone()
    };
    assert!(words("grace").contains("given: for 5m after"), "{}", words("grace"));
    assert!(words("tickets").contains("1 of them"), "{}", words("tickets"));
    assert!(!format!("{found:?}").contains("AAAA"), "{found:?}");
}
