//! Verification keys: from PEM, from Clerk, and over time.

use std::time::Duration;

use clerk_resilience::clock::Timestamp;
use clerk_resilience::internals::snapshot::KeyState;
use clerk_resilience::jwks::{KeySet, PemError};
use clerk_resilience::token::{Expectations, InvalidToken, decode};
use clerk_resilience::verify::{Unverified, verify};
use serde_json::{Value, json};

use crate::options::{expectations, judge, reply};
use crate::tokens::{calls, moment, verify_token};
use crate::verdict::{Aspect, Verdict, same};

/// How old keys may be, as the reference has it: younger than 300 s. Here it is a setting.
const MAX_KEY_AGE: Duration = Duration::from_millis(299_999);

/// The reason when Clerk did not hand out keys.
const NOT_LOADED: &str = "jwk-remote-failed-to-load";

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

/// A token after another while Clerk answers now so, now otherwise. `KeyState` are asked for when those at
/// hand are too old to be used, and when one is not known; an answer without keys replaces nothing.
fn sequence(row: &Value) -> Verdict {
    let mut keys = KeyState::default();
    let mut found = Verdict::Pass;
    for step in row["steps"].as_array().into_iter().flatten() {
        let now = moment(row, step);
        if step["options"]["skipJwksCache"] == true {
            keys = KeyState::default();
        }
        let loaded = needs_keys(step, now, &keys).then(|| load(step, now, &mut keys));
        let verdict = match judge_step(step, now, &keys, loaded.as_ref()) {
            Verdict::Pass => calls(u64::from(loaded.is_some()), &step["expected"]["jwks_fetches"]),
            other => other,
        };
        if weight(&verdict) > weight(&found) {
            found = verdict;
        }
    }
    found
}

/// The difference of the heaviest weight is the one that counts: a step that lets something in must
/// not hide behind one that does not.
fn weight(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Differs(how) if how.accepted => 3,
        Verdict::Differs(how) if how.aspect == Aspect::Calls => 1,
        Verdict::Differs(_) => 2,
        _ => 0,
    }
}

fn needs_keys(step: &Value, now: Timestamp, keys: &KeyState) -> bool {
    let token = step["token"].as_str().unwrap_or_default();
    decode(token).is_ok() && (!keys.usable(now, MAX_KEY_AGE) || is_unknown(token, &keys.set))
}

/// True when the set does not settle whether the token is good.
fn is_unknown(token: &str, keys: &KeySet) -> bool {
    matches!(
        verify(token, keys, &Expectations::any()),
        Err(Unverified::UnknownKey(_) | Unverified::Invalid(InvalidToken::UnknownKey))
    )
}

/// One call.
fn load(step: &Value, now: Timestamp, keys: &mut KeyState) -> Result<(), String> {
    let answer = step["upstream"].as_array().and_then(|answers| answers.first());
    let reply = answer.and_then(reply).ok_or(NOT_LOADED)?;
    let newer = KeySet::from_reply(&reply).map_err(|error| error.code().to_owned())?;
    keys.set = keys.set.replaced_by(&newer);
    keys.confirmed = Some(now);
    Ok(())
}

/// Judges with keys that may be used. Without any, the reason is the one for which there are none.
fn judge_step(
    step: &Value,
    now: Timestamp,
    keys: &KeyState,
    loaded: Option<&Result<(), String>>,
) -> Verdict {
    let token = step["token"].as_str().unwrap_or_default();
    let found = match loaded {
        Some(Err(why)) if !keys.usable(now, MAX_KEY_AGE) || is_unknown(token, &keys.set) => {
            Err(why.clone())
        }
        _ => {
            expectations(&step["options"]).and_then(|expect| judge(token, &keys.set, &expect, now))
        }
    };
    match Verdict::outcome(found.map(|_| None), &step["expected"], "reason") {
        Verdict::Differs(mut how) => {
            how.detail = format!("at {} s: {}", step["at_s"], how.detail);
            Verdict::Differs(how)
        }
        other => other,
    }
}
