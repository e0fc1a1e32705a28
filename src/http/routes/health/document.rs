//! Builds the health document.

use std::time::Duration;

use clerk_verify::clock::{Moment, Timestamp};
use serde_json::{Map, Value, json};

use crate::decide::policy::GraceMode;
use crate::engine::Shared;
use crate::state::health::{Status, Surface, Tracker, Verdict};
use crate::state::snapshot::{DenyList, Snapshot};

/// Maximum clock difference. Clerk's SDK allows 5 s; beyond that valid tokens are rejected.
const SKEW_LIMIT_MILLIS: i64 = 5_000;
/// Maximum delay of webhooks. Clerk retries a delivery after 5 s, then after five minutes.
const LATE: Duration = Duration::from_secs(5 * 60);
const SILENCE: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn live(down: &[&str]) -> Value {
    if !down.is_empty() {
        let output = format!("background parts that do not run: {}", down.join(", "));
        return json!({ "status": "fail", "output": output });
    }
    json!({ "status": "pass", "description": "the process runs" })
}

pub(super) fn ready(usable: bool) -> Value {
    if usable {
        json!({ "status": "pass", "description": "session tokens can be verified" })
    } else {
        json!({ "status": "fail", "output": NO_KEYS })
    }
}

const NO_KEYS: &str = "there are no usable keys, so no session token can be verified; is Clerk reachable from here, and is a state directory or CLERK_JWT_KEY configured?";

/// Returns the document, and whether the response is a success.
pub(super) fn health(
    known: &Snapshot,
    shared: &Shared,
    usable: bool,
    strict: bool,
    now: Moment,
) -> (bool, Value) {
    let verdict = known.verdict(now);
    let mut checks = Map::new();
    for surface in Surface::ALL {
        let check = surface_check(known.health.surface(surface));
        checks.insert(format!("clerk:{}", surface.name()), json!([check]));
    }
    checks.insert("clerk:keys".into(), json!([keys_check(known, usable, now)]));
    checks.insert("clerk:clock-skew".into(), json!([skew_check(known)]));
    if shared.webhooks.is_some() {
        checks.insert("clerk:webhooks".into(), json!([webhooks_check(known, now)]));
    }
    if known.feeds.store.shared {
        checks.insert("store:shared".into(), json!([store_check(known, now)]));
    } else if shared.webhooks.is_some() {
        checks.insert("store:own".into(), json!([own_store_check(known, shared)]));
    }
    if let Some(components) = components(known) {
        checks.insert("clerk:reported".into(), components);
    }
    let down = matches!(verdict, Verdict::Outage | Verdict::Isolated);
    let all_pass = checks.values().all(all_pass) && verdict == Verdict::Healthy;
    let status = match () {
        () if !usable || (strict && down) => "fail",
        () if all_pass => "pass",
        () => "warn",
    };
    let mut document = json!({
        "status": status,
        "description": "Clerk, as this application sees it",
        "verdict": verdict.name(),
        "since": known.renewed.map(|_| known.health.since.wall.to_string()),
        "grace": grace(known, shared, verdict),
        "checks": checks,
        "counts": counts(shared),
    });
    if !usable {
        document["output"] = NO_KEYS.into();
    } else if status != "pass" {
        document["output"] = sentence(verdict).into();
    }
    (status != "fail", document)
}

fn all_pass(check: &Value) -> bool {
    let checks = check.as_array().map(Vec::as_slice).unwrap_or_default();
    checks.iter().all(|check| check["status"] == "pass" || check["advisory"] == true)
}

fn sentence(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Unknown => "the state of Clerk is not known yet",
        Verdict::Healthy => "Clerk works, with the limitations listed under checks",
        Verdict::Suspect => "Clerk may be failing; the layer is probing it",
        Verdict::Outage => "Clerk is down",
        Verdict::Recovering => "Clerk works again; sessions are renewing their tokens",
        Verdict::Isolated => {
            "Clerk is not reachable from this host, but the cause is probably on this side"
        }
    }
}

fn surface_check(tracker: &Tracker) -> Value {
    let status = match tracker.status() {
        Status::Up => "pass",
        Status::Down => "fail",
        Status::Degraded | Status::Unknown => "warn",
    };
    let millis = |span: Option<std::time::Duration>| {
        span.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    };
    let mut check = json!({
        "componentType": "component",
        "status": status,
        "state": tracker.status().name(),
        "since": tracker.since().map(|at| at.to_string()),
        "time": tracker.checked().map(|at| at.to_string()),
    });
    if let Some(latency) = millis(tracker.latency().filter(|_| tracker.failures() == 0)) {
        check["observedValue"] = latency.into();
        check["observedUnit"] = "ms".into();
        check["p50"] = json!(millis(tracker.percentile(50)));
        check["p95"] = json!(millis(tracker.percentile(95)));
    }
    if let Some(fault) = tracker.own_fault() {
        check["output"] = fault.to_string().into();
        check["ourFault"] = true.into();
    } else if let Some(trouble) = tracker.trouble() {
        check["output"] = trouble.to_string().into();
    }
    if tracker.checked().is_none() {
        check["output"] = "not watched, or not observed yet".into();
        check["advisory"] = true.into();
    }
    check
}

fn keys_check(known: &Snapshot, usable: bool, now: Moment) -> Value {
    let age = known.keys.age(now.wall).map(|age| age.as_secs());
    json!({
        "componentType": "datastore",
        "status": if usable { "pass" } else { "fail" },
        "observedValue": known.keys.set.len(),
        "observedUnit": "keys",
        "confirmed": known.keys.confirmed.map(|at| at.to_string()),
        "ageSeconds": age,
        "pinned": known.keys.pinned,
    })
}

fn skew_check(known: &Snapshot) -> Value {
    let skew = known.health.clock_skew_millis;
    let large = skew.is_some_and(|skew| skew.abs() > SKEW_LIMIT_MILLIS);
    let trusted = known.health.clock_sane || known.renewed.is_none();
    let mut check = json!({
        "componentType": "system",
        "status": if large || !trusted { "warn" } else { "pass" },
        "observedValue": skew,
        "observedUnit": "ms",
    });
    if large {
        check["output"] =
            "this host's clock and Clerk's differ by more than 5 s, so good tokens are refused; synchronise the clock".into();
    } else if !trusted {
        check["output"] = "this host's clock jumped; grace is suspended for a minute".into();
    }
    check
}

/// Checks the webhooks. Silence is advisory, because an application may be idle.
fn webhooks_check(known: &Snapshot, now: Moment) -> Value {
    let last = known.feeds.delivery;
    let late = last.is_some_and(|last| last.lag > LATE);
    let silent = last.is_none_or(|last| now.wall.since(last.at) > SILENCE);
    let mut check = json!({
        "componentType": "component",
        "status": if late || silent { "warn" } else { "pass" },
        "time": last.map(|last| last.at.to_string()),
        "observedValue": last.map(|last| u64::try_from(last.lag.as_millis()).unwrap_or(u64::MAX)),
        "observedUnit": "ms",
    });
    if silent {
        check["output"] = "this process received no webhook for a day, or since its start; if that is unusual, check that the endpoint is enabled in the Clerk dashboard".into();
        check["advisory"] = true.into();
    } else if late {
        check["output"] =
            "Clerk's webhooks arrive more than five minutes late, and so do their revocations"
                .into();
    }
    check
}

/// Checks a store that belongs to this process alone.
fn own_store_check(known: &Snapshot, shared: &Shared) -> Value {
    let refuses = shared.webhooks.as_ref().is_some_and(|webhooks| webhooks.store_fails());
    let unwritten = known.feeds.store.unwritten_since;
    let fallback_error = shared.core.counters.read().store_fallen_back > 0;
    let (status, output) = match () {
        () if refuses => (
            "fail",
            "the store rejects webhooks; they apply in memory, and Clerk retries after a 503",
        ),
        () if unwritten.is_some() => (
            "fail",
            "the store rejects this process's revocations, so they are lost when the process ends",
        ),
        () if fallback_error => (
            "warn",
            "the store could not be opened and is kept in memory; its data is lost when the process ends, and there is no grace for a day",
        ),
        () => return json!({ "componentType": "datastore", "status": "pass" }),
    };
    json!({
        "componentType": "datastore",
        "status": status,
        "failingSince": unwritten.map(|at| at.wall.to_string()),
        "output": output,
    })
}

/// Checks a shared store.
fn store_check(known: &Snapshot, now: Moment) -> Value {
    let store = known.feeds.store;
    let read = match known.feeds.deny_list {
        DenyList::External { complete } => complete,
        DenyList::Local | DenyList::LostAt(_) => None,
    };
    let failing = store.unread_since.or(store.unwritten_since);
    let mut check = json!({
        "componentType": "datastore",
        "status": match failing {
            Some(_) => "fail",
            None if read.is_none() => "warn",
            None => "pass",
        },
        "observedValue": store.members,
        "observedUnit": "instances",
        "failingSince": failing.map(|at| at.wall.to_string()),
        "readSecondsAgo": read.map(|at| now.since(at).as_secs()),
    });
    if store.unread_since.is_some() {
        check["output"] = "the store cannot be read, so revocations of other instances do not arrive; after a minute there is no grace".into();
    } else if store.unwritten_since.is_some() {
        check["output"] =
            "the store rejects this instance's revocations, so others do not get them".into();
    }
    check
}

/// Lists the components of Clerk's status page. They are advisory and never decide the status.
fn components(known: &Snapshot) -> Option<Value> {
    let page = known.page.as_ref()?;
    let rows: Vec<Value> = page
        .components
        .iter()
        .map(|component| {
            let impaired = component.condition.is_impaired();
            json!({
                "componentId": component.name,
                "status": if impaired { "warn" } else { "pass" },
                "condition": format!("{:?}", component.condition).to_lowercase(),
                "advisory": true,
            })
        })
        .collect();
    (!rows.is_empty()).then(|| rows.into())
}

fn grace(known: &Snapshot, shared: &Shared, verdict: Verdict) -> Value {
    let mode = match shared.rules.grace.mode() {
        GraceMode::Disabled => "disabled",
        GraceMode::ReportOnly => "report-only",
        GraceMode::Enabled => "enabled",
    };
    let active = mode == "enabled" && matches!(verdict, Verdict::Outage | Verdict::Recovering);
    let outages = &known.health.outages;
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    json!({
        "mode": mode,
        "active": active,
        "outageSince": time(outages.current()),
        "episodeSince": time(outages.current().and_then(|_| outages.episode_start())),
    })
}

fn counts(shared: &Shared) -> Value {
    let counts = shared.core.counters.read();
    json!({
        "fresh": counts.fresh,
        "grace": counts.grace,
        "graceReported": counts.grace_reported,
        "anonymous": counts.anonymous,
        "unauthorized": counts.unauthorized,
        "forbidden": counts.forbidden,
        "unavailable": counts.unavailable,
        "handshakes": counts.handshakes,
        "withoutAzp": counts.without_azp,
        "upstreamCalls": counts.upstream_calls,
        "webhooksAccepted": counts.webhooks_accepted,
        "webhooksRefused": counts.webhooks_refused,
        "webhooksNotKept": counts.webhooks_not_kept,
        "hookFailures": counts.hook_failures,
        "storeFailures": counts.store_failures,
        "stateFailures": counts.state_failures,
        "signalsDropped": counts.signals_dropped,
        "signOutsDropped": counts.sign_outs_dropped,
    })
}
