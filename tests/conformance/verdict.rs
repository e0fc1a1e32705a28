//! What comes of one row.

use serde_json::Value;

/// What a check of one row found.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// As recorded.
    Pass,
    /// Not as recorded.
    Differs(Difference),
    /// Nothing in the library answers to this group yet.
    NotImplemented,
}

/// How an outcome differs from the recorded one.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    pub(crate) aspect: Aspect,
    /// This library lets in, or grants, what was asked for.
    pub(crate) accepted: bool,
    pub(crate) detail: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Aspect {
    /// One accepts, the other refuses.
    Outcome,
    /// Both refuse, for different reasons.
    Reason,
    /// Both accept, and say different things.
    Content,
    /// Both accept, and this library grants exactly what two disagreeing SDKs both grant.
    Intersection,
    /// The same outcome with another number of calls to Clerk.
    Calls,
}

impl Verdict {
    pub(crate) fn differs(aspect: Aspect, accepted: bool, detail: impl Into<String>) -> Self {
        Self::Differs(Difference { aspect, accepted, detail: detail.into() })
    }

    /// Pass if two values of any kind are equal.
    pub(crate) fn equal(found: &Value, expected: &Value) -> Self {
        if same(found, expected) {
            return Self::Pass;
        }
        let aspect = match (refuses(expected), refuses(found)) {
            (true, true) => Aspect::Reason,
            (false, false) => Aspect::Content,
            _ => Aspect::Outcome,
        };
        Self::differs(aspect, !refuses(found), format!("{found} instead of {expected}"))
    }

    /// Compares an outcome with `{"ok":…,"reason":…}`; `reason` is the member's name. `content` says
    /// whether what was accepted is as recorded.
    pub(crate) fn outcome(
        found: Result<Option<String>, String>,
        expected: &Value,
        reason: &str,
    ) -> Self {
        match (found, expected["ok"].as_bool() == Some(true)) {
            (Ok(None), true) => Self::Pass,
            (Ok(Some(content)), true) => Self::differs(Aspect::Content, true, content),
            (Ok(_), false) => {
                let why = expected.get(reason).or(expected.get("message"));
                Self::differs(Aspect::Outcome, true, format!("accepted instead of {why:?}"))
            }
            (Err(code), true) => {
                Self::differs(Aspect::Outcome, false, format!("{code} instead of accepted"))
            }
            (Err(code), false) if expected.get(reason) == Some(&code.as_str().into()) => Self::Pass,
            (Err(code), false) => {
                let why = expected.get(reason).unwrap_or(&Value::Null);
                Self::differs(Aspect::Reason, false, format!("{code} instead of {why}"))
            }
        }
    }
}

/// True when a recorded outcome is a refusal of any form.
pub(crate) fn refuses(expected: &Value) -> bool {
    match expected {
        Value::Null | Value::Bool(false) => true,
        Value::Object(members) => {
            members.get("ok") == Some(&Value::Bool(false))
                || members.contains_key("throws")
                || members.get("status").is_some_and(|status| status != "signed-in")
        }
        _ => false,
    }
}

/// Equal as JavaScript sees it: 1 and 1.0 are one number.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

/// `Err` says how a member differs.
pub(crate) type Outcome = Result<(), String>;

pub(crate) fn member(what: &str, found: &Value, expected: &Value) -> Outcome {
    if same(found, expected) {
        return Ok(());
    }
    Err(format!("{what}: found {found}, expected {expected}"))
}
