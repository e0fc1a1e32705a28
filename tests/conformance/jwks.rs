//! Verification keys: from PEM, from Clerk, and over time.

use clerk_resilience::clock::Timestamp;
use clerk_resilience::id::KeyId;
use clerk_resilience::jwks::{KeySet, PemError};
use clerk_resilience::token::{InvalidToken, decode};
use serde_json::{Value, json};

use crate::options::{expectations, judge, reply};
use crate::tokens::{calls, moment, verify_token};
use crate::verdict::{Verdict, same};

/// How old a set of keys may be before the driver asks again, in seconds, as in `engine::schedule`.
const REFRESH: i64 = 60;

/// The reason when Clerk did not hand out keys.
pub(crate) const NOT_LOADED: &str = "jwk-remote-failed-to-load";

/// `loadClerkJwkFromPem`. The `kid` in the recorded key is a name in the reference's cache and is not
/// compared.
pub(crate) fn pem_to_jwk(row: &Value) -> Verdict {
    let expected = &row["expected"];
    let pem = row["input"]["pem"].as_str().unwrap_or_default();
    let found = match KeySet::from_pem(pem) {
        Ok(keys) => Ok(keys.keys().next().map(|key| key.to_jwk()).unwrap_or_default()),
        Err(PemError::Empty) => Err("jwk-local-missing".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    let alike = found.map(|jwk| {
        let member = |name: &&str| !same(&jwk[*name], &expected["jwk"][*name]);
        let other = ["kty", "alg", "n", "e"].into_iter().find(member);
        other.map(|name| format!("{} instead of {}", jwk[name], expected["jwk"][name]))
    });
    Verdict::outcome(alike, expected, "reason")
}

/// Loading keys from the Backend API: of a key by name, with a token, or over time.
pub(crate) fn loading(row: &Value) -> Verdict {
    if row["form"] == "sequence" {
        return sequence(row);
    }
    let (verdict, expected_calls) = if row["input"].get("params").is_some() {
        (by_name(row), &row["jwks_fetches"])
    } else {
        (verify_token(row), &row["expected"]["jwks_fetches"])
    };
    // One wish is one call: retries are the driver's.
    let asked = row["input"]["upstream"].as_array().map_or(0, |answers| answers.len().min(1));
    match verdict {
        Verdict::Pass => calls(asked as u64, expected_calls),
        other => other,
    }
}

/// Looks a key up by its name. With no answer recorded, the key was held before.
fn by_name(row: &Value) -> Verdict {
    let (input, expected) = (&row["input"], &row["expected"]);
    let kid = input["params"]["kid"].as_str().unwrap_or_default();
    let keys = match input["upstream"].as_array().and_then(|answers| answers.first()) {
        None => {
            let held = json!({ "keys": [expected["jwk"]] }).to_string();
            KeySet::parse(held.as_bytes()).map_err(|error| error.code().to_owned())
        }
        Some(answer) => match reply(answer) {
            Some(reply) => KeySet::from_reply(&reply).map_err(|error| error.code().to_owned()),
            None => Err(NOT_LOADED.to_owned()),
        },
    };
    let found = keys.and_then(|keys| {
        let mut named = keys.keys().filter(|key| key.id().is_some_and(|id| id.as_str() == kid));
        named.next().map(|key| key.to_jwk()).ok_or(InvalidToken::UnknownKey.code().to_owned())
    });
    let alike = found.map(|jwk| {
        let member = |name: &&str| !same(&jwk[*name], &expected["jwk"][*name]);
        ["kty", "alg", "kid", "n", "e"]
            .into_iter()
            .find(member)
            .map(|name| format!("{name} of {jwk}"))
    });
    Verdict::outcome(alike, expected, "reason")
}

/// A token after another while Clerk answers now so, now otherwise. Keys are asked for when there are
/// none, when they are old, and when one is not known; an answer without keys replaces nothing.
fn sequence(row: &Value) -> Verdict {
    let (mut keys, mut asked_at) = (KeySet::default(), None);
    let mut found = Verdict::Pass;
    for step in row["steps"].as_array().into_iter().flatten() {
        let now = moment(row, step);
        let asked = refresh(step, now, &mut keys, &mut asked_at);
        match judge_step(step, now, &keys) {
            Verdict::Pass if matches!(found, Verdict::Pass) => {
                found = calls(u64::from(asked), &step["expected"]["jwks_fetches"]);
            }
            Verdict::Pass => {}
            // No rule speaks of any other difference in a sequence.
            other if step["expected"]["reason"] != NOT_LOADED => return other,
            other => found = other,
        }
    }
    found
}

fn judge_step(step: &Value, now: Timestamp, keys: &KeySet) -> Verdict {
    let token = step["token"].as_str().unwrap_or_default();
    let found = expectations(&step["options"]).and_then(|expect| judge(token, keys, &expect, now));
    match Verdict::outcome(found.map(|_| None), &step["expected"], "reason") {
        Verdict::Differs(mut how) => {
            how.detail = format!("at {} s: {}", step["at_s"], how.detail);
            Verdict::Differs(how)
        }
        other => other,
    }
}

fn refresh(
    step: &Value,
    now: Timestamp,
    keys: &mut KeySet,
    asked_at: &mut Option<Timestamp>,
) -> bool {
    let token = decode(step["token"].as_str().unwrap_or_default());
    let kid = token.ok().and_then(|token| token.header["kid"].as_str().map(str::to_owned));
    let known = keys.keys().any(|key| key.id().map(KeyId::as_str) == kid.as_deref());
    let fresh = asked_at.is_some_and(|at| now.as_secs() - at.as_secs() < REFRESH);
    if known && fresh {
        return false;
    }
    *asked_at = Some(now);
    let answer = step["upstream"].as_array().and_then(|answers| answers.first());
    if let Some(Ok(newer)) = answer.and_then(reply).map(|reply| KeySet::from_reply(&reply)) {
        *keys = keys.replaced_by(&newer);
    }
    true
}
