use super::Condition::{Degraded, Maintenance, Major, Operational, Partial, Unknown};
use super::*;

macro_rules! sample {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/data/statuspage-samples/", $name)).as_slice()
    };
}

fn parse(body: &[u8]) -> StatusReport {
    StatusReport::parse(body).expect("a known shape")
}

fn parse_json(json: &serde_json::Value) -> StatusReport {
    parse(json.to_string().as_bytes())
}

fn components(report: &StatusReport) -> Vec<(&str, Condition)> {
    report.components.iter().map(|it| (it.name.as_str(), it.condition)).collect()
}

#[test]
fn every_sample_parses_as_its_row_states() {
    type Row = (&'static str, &'static [u8], Condition, Condition, bool, usize, usize);
    #[rustfmt::skip]
    let rows: [Row; 17] = [
        // sample, body, overall, sessions, corroborates an outage, components, incidents
        ("atlassian components", sample!("atlassian-components.json"), Major, Major, true, 4, 0),
        ("atlassian status", sample!("atlassian-status.json"), Major, Major, false, 0, 0),
        ("atlassian incident", sample!("atlassian-summary-incident.json"), Partial, Major, true, 4, 1),
        ("atlassian maintenance", sample!("atlassian-summary-maintenance.json"), Maintenance, Operational, false, 4, 0),
        ("atlassian ok", sample!("atlassian-summary-ok.json"), Operational, Operational, false, 4, 0),
        ("better stack", sample!("betterstack-index.json"), Major, Unknown, false, 3, 1),
        ("clerk-like", sample!("clerk-like-compat-summary.json"), Degraded, Degraded, true, 16, 0),
        ("compat incidents", sample!("incidentio-compat-incidents.json"), Degraded, Degraded, false, 0, 1),
        ("compat summary", sample!("incidentio-compat-summary-minimal.json"), Degraded, Major, true, 3, 0),
        ("impacts", sample!("incidentio-proxy-component-impacts.json"), Degraded, Unknown, false, 1, 0),
        ("proxy summary", sample!("incidentio-proxy-summary.json"), Degraded, Degraded, true, 3, 1),
        ("widget ok", sample!("incidentio-widget-v1-ok.json"), Operational, Operational, false, 0, 0),
        ("widget incident", sample!("incidentio-widget-v1-summary.json"), Major, Major, true, 2, 1),
        ("instatus components", sample!("instatus-components.json"), Major, Major, true, 3, 0),
        ("instatus incident", sample!("instatus-summary-incident.json"), Major, Major, false, 0, 1),
        ("instatus maintenance", sample!("instatus-summary-maintenance.json"), Maintenance, Maintenance, false, 0, 0),
        ("instatus ok", sample!("instatus-summary-ok.json"), Operational, Operational, false, 0, 0),
    ];
    for (name, body, overall, sessions, corroborates, components, incidents) in rows {
        let report = parse(body);
        assert_eq!(report.overall, overall, "{name}: overall");
        assert_eq!(report.sessions(), sessions, "{name}: sessions");
        assert_eq!(report.corroborates_outage(), corroborates, "{name}: corroborates");
        assert_eq!(report.components.len(), components, "{name}: components");
        assert_eq!(report.incidents.len(), incidents, "{name}: incidents");
    }
}

#[test]
fn samples_that_are_no_status_report_are_typed_errors() {
    let rows = [
        (sample!("negative-html-404.html"), StatusPageError::Markup),
        (sample!("incidentio-feed.rss"), StatusPageError::Markup),
        (sample!("negative-empty-object.json"), StatusPageError::UnknownShape),
    ];
    for (body, error) in rows {
        assert_eq!(StatusReport::parse(body), Err(error));
    }
}

#[test]
fn words_that_are_not_known_are_unknown_and_never_operational() {
    let report = parse(sample!("negative-unknown-status-values.json"));
    assert_eq!(report.overall, Unknown);
    assert_eq!(components(&report), [("Session management", Unknown)]);
    assert_eq!(report.sessions(), Unknown);
    assert!(!report.corroborates_outage());
}

#[test]
fn groups_and_hidden_rows_are_not_components() {
    let report = parse(sample!("atlassian-components.json"));
    let rows = [
        ("Session management", Major),
        ("User and authentication", Partial),
        ("Webhooks", Degraded),
        ("Dashboard", Maintenance),
    ];
    assert_eq!(components(&report), rows);
    let report = parse(sample!("instatus-components.json"));
    let rows = [("Session management", Major), ("Webhooks", Degraded), ("Dashboard", Maintenance)];
    assert_eq!(components(&report), rows);
}

#[test]
fn a_row_shown_only_when_degraded_counts_when_it_is() {
    let report = parse(
        br#"{"components": [
            {"name": "Session management", "status": "degraded_performance", "only_show_if_degraded": true},
            {"name": "Webhooks", "status": "operational", "only_show_if_degraded": true}
        ]}"#,
    );
    assert_eq!(components(&report), [("Session management", Degraded)]);
}

#[test]
fn trouble_of_the_platform_api_alone_does_not_corroborate() {
    let summary = serde_json::json!({
        "status": {"indicator": "major"},
        "components": [
            {"name": "Session management", "status": "operational"},
            {"name": "User and authentication", "status": "operational"},
            {"name": "Platform API", "status": "partial_outage"},
        ],
        "incidents": [{"name": "Platform API errors", "status": "identified", "impact": "major"}],
    });
    let report = parse_json(&summary);
    assert_eq!((report.overall, report.sessions()), (Partial, Operational));
    assert_eq!(report.incidents, ["Platform API errors"]);
    assert!(!report.corroborates_outage());

    let widget = serde_json::json!({"ongoing_incidents": [{
        "name": "Platform API errors",
        "current_worst_impact": "partial_outage",
        "affected_components": [{"name": "Platform API", "current_status": "partial_outage"}],
    }]});
    let report = parse_json(&widget);
    assert_eq!((report.overall, report.sessions()), (Partial, Unknown));
    assert!(!report.corroborates_outage());
}

#[test]
fn either_session_component_corroborates_when_impaired() {
    for name in ["Session management", "USER AND AUTHENTICATION", " session Management "] {
        for (status, corroborates) in [
            ("operational", false),
            ("degraded_performance", true),
            ("partial_outage", true),
            ("major_outage", true),
            ("full_outage", true),
            ("under_maintenance", false),
            ("on_fire", false),
        ] {
            let page = serde_json::json!({"components": [{"name": name, "status": status}]});
            let report = parse_json(&page);
            assert_eq!(report.corroborates_outage(), corroborates, "{name}: {status}");
        }
    }
}

#[test]
fn a_component_with_a_similar_name_is_not_a_session_component() {
    for name in ["Sessions", "Session management (legacy)", "Machine authentication", ""] {
        let page = serde_json::json!({
            "status": {"indicator": "critical"},
            "components": [{"name": name, "status": "major_outage"}],
        });
        let report = parse_json(&page);
        assert_eq!(report.sessions(), Unknown, "{name}");
        assert!(!report.corroborates_outage(), "{name}");
    }
}

#[test]
fn an_unreadable_list_does_not_use_the_overall_status() {
    for list in ["[]", "[1, null, {}]", "{}"] {
        let body = format!(r#"{{"status": {{"indicator": "none"}}, "components": {list}}}"#);
        let report = parse(body.as_bytes());
        assert_eq!((report.overall, report.sessions()), (Operational, Unknown), "{list}");
    }
}

#[test]
fn malformed_rows_are_skipped() {
    let report = parse(
        br#"{
            "status": "fine",
            "components": [
                7,
                {"status": "major_outage"},
                {"name": ["Session management"], "status": "major_outage"},
                {"name": "Session management", "status": 3, "group": "none", "id": {}},
                {"name": "Webhooks"},
                {"name": "Search", "status": "operational"}
            ],
            "incidents": [null, {"status": "identified"}, {"name": "Slow", "impact": []}]
        }"#,
    );
    let rows = [("Session management", Unknown), ("Webhooks", Unknown), ("Search", Operational)];
    assert_eq!(components(&report), rows);
    assert_eq!(report.incidents, ["Slow"]);
    assert_eq!(report.overall, Unknown);
}

#[test]
fn incidents_that_are_over_are_not_listed() {
    let report = parse(
        br#"{"incidents": [
            {"name": "a", "status": "resolved", "impact": "critical"},
            {"name": "b", "status": "postmortem", "impact": "critical"},
            {"name": "c", "status": "monitoring", "impact": "critical", "resolved_at": "2026-03-10T16:23:00Z"},
            {"name": "d", "status": "monitoring", "impact": "minor", "resolved_at": null}
        ]}"#,
    );
    assert_eq!(report.incidents, ["d"]);
    assert_eq!(report.overall, Degraded);
    assert_eq!(parse(br#"{"incidents": []}"#).overall, Unknown);
    let instatus = br#"{"page": {"status": "HASISSUES"}, "activeIncidents": [
        {"name": "a", "status": "RESOLVED", "impact": "MAJOROUTAGE"}
    ]}"#;
    let report = parse(instatus);
    assert!(report.incidents.is_empty());
    assert_eq!(report.overall, Degraded);
    let better_stack =
        br#"{"data": {"attributes": {"aggregate_state": "operational"}}, "included": [
        {"type": "status_report", "attributes": {"title": "a", "ends_at": "2026-03-10T16:23:00Z"}}
    ]}"#;
    assert!(parse(better_stack).incidents.is_empty());
}

#[test]
fn unlisted_is_operational_only_in_a_complete_list() {
    let widget = |rows: &str| parse(format!(r#"{{"ongoing_incidents": {rows}}}"#).as_bytes());
    assert_eq!(widget("[]").sessions(), Operational);
    assert_eq!(widget("[17]").sessions(), Unknown);
    assert_eq!(widget("[{}]").overall, Unknown);

    let proxy = |affected: &str| {
        let body = format!(
            r#"{{"summary": {{"affected_components": {affected}, "structure": {{"items": [
                {{"component": {{"component_id": "s", "name": "Session management"}}, "group": null}}
            ]}}}}}}"#
        );
        parse(body.as_bytes())
    };
    assert_eq!(proxy("null").sessions(), Operational);
    assert_eq!(proxy("[17]").sessions(), Unknown);
    assert_eq!(proxy(r#"[{"component_id": "s", "status": "full_outage"}]"#).sessions(), Major);
    let unlisted = proxy(r#"[{"component_id": "x", "status": "partial_outage"}]"#);
    assert_eq!(components(&unlisted), [("Session management", Operational), ("x", Partial)]);
}

#[test]
fn an_ongoing_maintenance_counts_without_a_component() {
    let report = parse(br#"{"ongoing_incidents": [], "in_progress_maintenances": [{}]}"#);
    assert_eq!((report.overall, report.sessions()), (Maintenance, Maintenance));
    assert!(!report.corroborates_outage());
}

#[test]
fn of_a_component_named_twice_the_worse_condition_counts() {
    for (first, second) in
        [("full_outage", "degraded_performance"), ("degraded_performance", "full_outage")]
    {
        let page = serde_json::json!({"ongoing_incidents": [
            {"affected_components": [{"name": "Session management", "current_status": first}]},
            {"affected_components": [{"name": "Session management", "current_status": second}]},
        ]});
        assert_eq!(components(&parse_json(&page)), [("Session management", Major)]);
    }
}

#[test]
fn an_incident_without_a_component_leaves_the_page_unclear() {
    let page = br#"{"summary": {"structure": {}, "ongoing_incidents": [{"name": "Errors"}]}}"#;
    let report = parse(page);
    assert_eq!((report.overall, report.sessions()), (Unknown, Unknown));
    assert_eq!(report.incidents, ["Errors"]);
}

#[test]
fn impacts_are_listed_by_id_while_they_are_open() {
    let report = parse(sample!("incidentio-proxy-component-impacts.json"));
    assert_eq!(components(&report), [("01JSESS0000000000000000001", Degraded)]);
    assert_eq!(parse(br#"{"component_impacts": []}"#).overall, Operational);
    assert_eq!(parse(br#"{"component_impacts": [{}]}"#).overall, Unknown);
}

#[test]
fn rootly_reads_as_statuspage_does() {
    for (indicator, condition) in [
        ("none", Operational),
        ("minor", Degraded),
        ("major", Partial),
        ("maintenance", Maintenance),
    ] {
        let page = serde_json::json!({
            "page": {"name": "Acme", "url": "https://status.acme-auth.example"},
            "status": {"indicator": indicator, "description": ""},
            "incidents": [],
        });
        let report = parse_json(&page);
        assert_eq!((report.overall, report.sessions()), (condition, condition), "{indicator}");
        assert!(!report.corroborates_outage());
    }
}

#[test]
fn missing_lists_are_empty() {
    let bodies = [
        r#"{"status": {"indicator": "none"}}"#,
        r#"{"status": {"indicator": "none"}, "components": null, "incidents": null}"#,
        r#"{"page": {"status": "UP"}, "activeIncidents": null}"#,
        r#"{"data": {"attributes": {"aggregate_state": "operational"}}}"#,
    ];
    for body in bodies {
        let report = parse(body.as_bytes());
        assert_eq!((report.overall, report.sessions()), (Operational, Operational), "{body}");
        assert!(report.components.is_empty() && report.incidents.is_empty(), "{body}");
    }
}

#[test]
fn a_report_is_bounded_in_number_and_in_length() {
    let row = serde_json::json!({"name": "é".repeat(500), "status": "operational"});
    let incident = serde_json::json!({"name": "\u{1b}[31mred\r\n", "impact": "minor"});
    let page = serde_json::json!({"components": vec![row; 1000], "incidents": vec![incident; 100]});
    let report = parse_json(&page);
    assert_eq!(report.components.len(), 200);
    assert_eq!(report.components[0].name, "é".repeat(120));
    assert_eq!(report.incidents, vec!["[31mred"; 20]);
}

#[test]
fn invalid_json_is_an_error_with_its_position() {
    for body in ["", "   ", "Service Unavailable", r#"{"status": {"indicator": "none""#] {
        let result = StatusReport::parse(body.as_bytes());
        assert!(matches!(result, Err(StatusPageError::NotJson { .. })), "{body:?}: {result:?}");
    }
    let error = StatusReport::parse(b"{\n!").expect_err("not JSON");
    assert_eq!(error, StatusPageError::NotJson { line: 2, column: 1 });
    assert!(matches!(
        StatusReport::parse(&[b'"', 0xff, b'"']),
        Err(StatusPageError::NotJson { .. })
    ));
}

#[test]
fn a_nesting_bomb_is_an_error_and_not_a_stack_overflow() {
    for (open, depth) in [("[", 200_000), (r#"{"components":["#, 100_000)] {
        let result = StatusReport::parse(open.repeat(depth).as_bytes());
        assert!(matches!(result, Err(StatusPageError::NotJson { .. })), "{result:?}");
    }
}

#[test]
fn json_of_no_known_shape_is_an_error() {
    let bodies = [
        "null",
        "[]",
        "17",
        r#""operational""#,
        r#"{"page": {"status": 1}}"#,
        r#"{"page": {"name": "Acme"}}"#,
        r#"{"components": {}}"#,
        r#"{"ongoing_incidents": null}"#,
        r#"{"summary": {"structure": 5}}"#,
        r#"{"status": "up"}"#,
        r#"{"error": "not found"}"#,
    ];
    for body in bodies {
        let result = StatusReport::parse(body.as_bytes());
        assert_eq!(result, Err(StatusPageError::UnknownShape), "{body}");
    }
}
