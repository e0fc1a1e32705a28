//! What a session may do. The claims are asked of whole tokens, signed for the purpose.

use std::sync::Arc;

use clerk_resilience::clock::Timestamp;
use clerk_resilience::id::SessionId;
use clerk_resilience::token::{Expectations, Scoped, Session, SessionStatus};
use clerk_resilience::verify::verify;
use clerk_resilience::{Access, Factor, Reverification};
use serde_json::{Map, Value, json};

use crate::minted;
use crate::verdict::{Aspect, Verdict, refuses, same};

fn session(claims: &Map<String, Value>) -> Option<Arc<Session>> {
    let mut token = minted::Token::at(Timestamp::from_secs(1_750_000_000));
    for (name, value) in claims {
        token.claim(name, Some(value.clone()));
    }
    let verified = verify(&token.sign(), minted::keys(), &Expectations::any());
    verified.ok().map(|verified| Arc::clone(verified.session()))
}

/// The claims of both versions. `expected_alternate` is what other SDKs make of the same claims; what
/// both grant is granted.
pub(crate) fn organization(row: &Value) -> Verdict {
    let expected = &row["expected"];
    let claims = row["input"]["claims"].as_object().cloned().unwrap_or_default();
    let Some(session) = session(&claims) else {
        return Verdict::differs(Aspect::Outcome, false, "the token does not verify");
    };
    let found = described(&session);
    if refuses(expected) {
        let nothing = found["orgPermissions"].as_array().is_none_or(Vec::is_empty);
        return Verdict::differs(Aspect::Reason, !nothing, "read instead of a thrown error");
    }
    let (permissions, recorded) = (&found["orgPermissions"], &expected["orgPermissions"]);
    let common = common(recorded, row.get("expected_alternate"));
    if !alike(permissions, &common) {
        let detail = format!("permissions {permissions} instead of {common}");
        return Verdict::differs(Aspect::Content, true, detail);
    }
    for (name, value) in found.iter().filter(|(name, _)| *name != "orgPermissions") {
        let expected = expected.get(name);
        if row.get("sdk").is_some() && expected.is_none() {
            continue;
        }
        if !alike(value, expected.unwrap_or(&Value::Null)) {
            let detail = format!("{name} {value} instead of {expected:?}");
            return Verdict::differs(Aspect::Content, true, detail);
        }
    }
    if alike(permissions, recorded) {
        return Verdict::Pass;
    }
    Verdict::differs(Aspect::Intersection, false, format!("{permissions} instead of {recorded}"))
}

/// Nothing is nothing: absent, `null`, an empty text and an empty list.
fn alike(a: &Value, b: &Value) -> bool {
    let nothing =
        |value: &Value| matches!(value, Value::Null) || *value == json!([]) || value == "";
    same(a, b) || nothing(a) && nothing(b)
}

fn common(recorded: &Value, alternate: Option<&Value>) -> Value {
    let alternate = alternate.and_then(|alternate| alternate["orgPermissions"].as_array());
    match (recorded.as_array(), alternate) {
        (Some(recorded), Some(alternate)) => {
            recorded.iter().filter(|name| alternate.contains(name)).cloned().collect()
        }
        _ => recorded.clone(),
    }
}

fn described(session: &Session) -> Map<String, Value> {
    let organization = session.organization.as_ref();
    let minutes = |age: Option<u32>| age.map_or(json!(-1), |minutes| json!(minutes));
    let status = match session.status {
        SessionStatus::Pending => Some(json!("pending")),
        _ => session.claim::<Value>("sts"),
    };
    let mut found = Map::new();
    let mut put = |name: &str, value: Value| found.insert(name.to_owned(), value);
    put("sessionId", json!(session.session_id.as_ref().map(SessionId::as_str)));
    put("userId", json!(session.user_id.as_str()));
    put("sessionStatus", json!(status));
    put("orgId", json!(organization.map(|org| org.id.as_str())));
    put("orgSlug", json!(organization.map(|org| &org.slug)));
    put("orgRole", json!(organization.map(|org| &org.role)));
    put("orgPermissions", json!(organization.map(|org| &org.permissions)));
    let actor = session.actor.as_ref().and_then(|_| session.claim::<Value>("act"));
    put("actor", json!(actor));
    put("factorVerificationAge", json!(session.factor_ages.map(|ages| ages.map(minutes))));
    found
}

/// `splitByScope`.
pub(crate) fn scope_split(row: &Value) -> Verdict {
    let scoped = Scoped::parse(row["input"]["fea"].as_str().unwrap_or_default());
    let found = json!({ "org": scoped.organization, "user": scoped.user });
    Verdict::equal(&found, &row["expected"])
}

/// `has()`, asked of a session whose claims of version 1 say what the recorded object says.
pub(crate) fn authorization(row: &Value) -> Verdict {
    let auth = &row["input"]["auth"];
    let mut claims = Map::new();
    for (claim, member) in [
        ("sub", "userId"),
        ("org_id", "orgId"),
        ("org_role", "orgRole"),
        ("org_permissions", "orgPermissions"),
        ("fea", "features"),
        ("pla", "plans"),
        ("fva", "factorVerificationAge"),
    ] {
        claims.insert(claim.to_owned(), auth[member].clone());
    }
    let demand = demand(&row["input"]["params"]);
    let found = session(&claims).is_some_and(|session| session.has(&demand));
    Verdict::equal(&json!(found), &row["expected"])
}

/// What is asked for but is not text is asked for by a name that nothing has.
fn demand(params: &Value) -> Access {
    let asked = |name: &str| {
        let value = params.get(name).filter(|value| value.get("$undefined").is_none())?;
        Some(value.as_str().unwrap_or_default().to_owned())
    };
    let mut demand = Access::default();
    if let Some(role) = asked("role") {
        demand = demand.and_role(role);
    }
    if let Some(permission) = asked("permission") {
        demand = demand.and_permission(permission);
    }
    if let Some(feature) = asked("feature") {
        demand = demand.and_feature(feature);
    }
    if let Some(plan) = asked("plan") {
        demand = demand.and_plan(plan);
    }
    match params.get("reverification") {
        None => demand,
        Some(asked) if asked.get("$undefined").is_some() => demand,
        Some(asked) => demand.and_reverification(reverification(asked).unwrap_or(NEVER)),
    }
}

const NEVER: Reverification = Reverification { level: Factor::Multi, within_minutes: 0 };

fn reverification(asked: &Value) -> Option<Reverification> {
    match asked.as_str() {
        Some("strict_mfa") => return Some(Reverification::STRICT_MFA),
        Some("strict") => return Some(Reverification::STRICT),
        Some("moderate") => return Some(Reverification::MODERATE),
        Some("lax") => return Some(Reverification::LAX),
        Some(_) => return None,
        None => {}
    }
    let level = match asked["level"].as_str()? {
        "first_factor" => Factor::First,
        "second_factor" => Factor::Second,
        "multi_factor" => Factor::Multi,
        _ => return None,
    };
    let within_minutes = u32::try_from(asked["afterMinutes"].as_u64()?).ok()?;
    Some(Reverification { level, within_minutes })
}
