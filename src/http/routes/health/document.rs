//! The health document.

use std::time::Duration;

use clerk_verify::clock::{Moment, Timestamp};
use serde_json::{Map, Value, json};

use crate::decide::policy::GraceMode;
use crate::engine::Shared;
use crate::state::health::{Status, Surface, Tracker, Verdict};
use crate::state::snapshot::{DenyList, Snapshot};

/// Clerk's own SDK allows 5 s; beyond that honest tokens are refused.
const SKEW_LIMIT_MILLIS: i64 = 5_000;
/// The second attempt at a delivery comes after five seconds, the third after five minutes.
const LATE: Duration = Duration::from_secs(5 * 60);
const SILENCE: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn live() -> Value {
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

/// The document, and whether the answer is a success.
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
        Verdict::Unknown => "nothing certain is known of Clerk yet",
        Verdict::Healthy => "Clerk works, with the limitations listed under checks",
        Verdict::Suspect => "Clerk seems to fail; it is being found out",
        Verdict::Outage => "Clerk is down",
        Verdict::Recovering => "Clerk is back; sessions renew themselves",
        Verdict::Isolated => "Clerk is not reachable from here, but that seems to be our side",
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

/// Silence may be that of an application in which nothing happens, so it decides nothing.
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
        check["output"] = "no webhook came to this process for a day, or since it started; if that is unusual, is the endpoint still enabled in the Clerk dashboard?".into();
        check["advisory"] = true.into();
    } else if late {
        check["output"] = "Clerk's webhooks come more than five minutes late, and so do the revocations they tell of".into();
    }
    check
}

/// The store that this process has to itself.
fn own_store_check(known: &Snapshot, shared: &Shared) -> Value {
    let refuses = shared.webhooks.as_ref().is_some_and(|webhooks| webhooks.store_fails());
    let unwritten = known.feeds.store.unwritten_since;
    let fallback_error = shared.core.counters.read().store_fallen_back > 0;
    let (status, output) = match () {
        () if refuses => (
            "fail",
            "the store does not take webhooks; they act here, and Clerk is told to send them again",
        ),
        () if unwritten.is_some() => (
            "fail",
            "the store does not take what is revoked here, so it would be lost with this process",
        ),
        () if fallback_error => (
            "warn",
            "the store could not be opened and is kept in memory; nothing outlives this process, and for a day there is no grace",
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

/// The store that instances share.
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
        check["output"] = "the store cannot be read, so what others revoke is not heard of here, and after a minute there is no grace".into();
    } else if store.unwritten_since.is_some() {
        check["output"] =
            "the store does not take what is revoked here, so others do not hear of it".into();
    }
    check
}

/// What Clerk's status page says of its parts. A hint for people; it never decides the status.
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
