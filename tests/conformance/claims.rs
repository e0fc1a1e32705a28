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
/// all grant is granted.
pub(crate) fn organization(row: &Value) -> Verdict {
    let expected = &row["expected"];
    let claims = row["input"]["claims"].as_object().cloned().unwrap_or_default();
    let Some(session) = session(&claims) else {
        let aspect = if refuses(expected) { Aspect::Reason } else { Aspect::Outcome };
        return Verdict::differs(aspect, false, "the token does not verify");
    };
    let mut found = described(&session);
    if refuses(expected) {
        let nothing = found["orgPermissions"].as_array().is_none_or(Vec::is_empty);
        return Verdict::differs(Aspect::Reason, !nothing, "read instead of a thrown error");
    }
    // Some SDKs hand out a set, recorded in any order.
    let as_set = expected.get("orgPermissions_set");
    if as_set.is_some() {
        found["orgPermissions"] = sorted(&found["orgPermissions"]);
    }
    let permissions = &found["orgPermissions"];
    let recorded = &as_set.map_or_else(|| expected["orgPermissions"].clone(), sorted);
    let common = common(recorded, row.get("expected_alternate"), &claims);
    let fewer = repeats_a_name(&claims)
        && names(permissions).iter().all(|name| names(&common).contains(name));
    if !alike(permissions, &common) && !fewer {
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

fn sorted(list: &Value) -> Value {
    let mut names = names(list);
    names.sort_unstable();
    json!(names)
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// What the recorded outcome, its alternative and the other SDKs all grant.
fn common(recorded: &Value, alternate: Option<&Value>, claims: &Map<String, Value>) -> Value {
    let Some(recorded) = recorded.as_array() else { return recorded.clone() };
    let alternate = alternate.and_then(|alternate| {
        let given = alternate.get("orgPermissions").or(alternate.get("orgPermissions_set"));
        given.map(names)
    });
    let others = of_other_sdks(claims);
    let granted = |name: &&Value| {
        let name = name.as_str().unwrap_or_default();
        alternate.as_ref().is_none_or(|names| names.contains(&name))
            && others.as_ref().is_none_or(|names| names.iter().any(|other| other == name))
    };
    recorded.iter().filter(granted).cloned().collect()
}

/// The permissions that the SDKs for Go, Python and Java all read from claims of version 2: by the
/// place in the whole list, without trimming, and for features of exactly two parts.
fn of_other_sdks(claims: &Map<String, Value>) -> Option<Vec<String>> {
    if claims.get("v") != Some(&json!(2)) {
        return None;
    }
    let organization = claims.get("o")?;
    if organization["id"].as_str().is_none_or(str::is_empty) {
        return Some(Vec::new());
    }
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let features = text(claims.get("fea"));
    let (names, masks) = (text(organization.get("per")), text(organization.get("fpm")));
    let mut granted = Vec::new();
    for (feature, mask) in features.split(',').zip(masks.split(',')) {
        let [scope, name] = feature.split(':').collect::<Vec<_>>()[..] else { continue };
        let digits = !mask.is_empty() && mask.bytes().all(|byte| byte.is_ascii_digit());
        if !scope.contains('o') || !digits {
            continue;
        }
        let bits = BigUint::from_decimal(mask);
        let set = names.split(',').enumerate().filter(|(place, _)| bits.has(*place));
        granted.extend(set.map(|(_, permission)| format!("org:{name}:{permission}")));
    }
    Some(granted)
}

/// A permission that is listed twice has two bits, which the SDKs read apart and this library as one.
fn repeats_a_name(claims: &Map<String, Value>) -> bool {
    let listed = claims.get("o").and_then(|o| o["per"].as_str()).unwrap_or_default();
    let names: Vec<&str> = listed.split(',').map(str::trim).collect();
    (1..names.len()).any(|place| names[..place].contains(&names[place]))
}

/// A number of any size, as its 32-bit digits, lowest first.
struct BigUint(Vec<u32>);

impl BigUint {
    fn from_decimal(text: &str) -> Self {
        let mut digits: Vec<u32> = Vec::new();
        for byte in text.bytes() {
            let mut carry = u64::from(byte - b'0');
            for digit in &mut digits {
                carry += u64::from(*digit) * 10;
                *digit = u32::try_from(carry & 0xffff_ffff).expect("32 bits");
                carry >>= 32;
            }
            if carry > 0 {
                digits.push(u32::try_from(carry).expect("a carry of one digit"));
            }
        }
        Self(digits)
    }

    fn has(&self, bit: usize) -> bool {
        self.0.get(bit / 32).is_some_and(|digit| digit >> (bit % 32) & 1 == 1)
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

/// `splitByScope`. A list for which the reference throws yields nothing here.
pub(crate) fn scope_split(row: &Value) -> Verdict {
    let scoped = Scoped::parse(row["input"]["fea"].as_str().unwrap_or_default());
    if refuses(&row["expected"]) && scoped == Scoped::default() {
        return Verdict::differs(Aspect::Reason, false, "nothing instead of a thrown error");
    }
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
