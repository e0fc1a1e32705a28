//! The recorded verdicts of Clerk's own backend SDK on session tokens.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clerk_resilience::clock::Timestamp;
use clerk_resilience::jwks::KeySet;
use clerk_resilience::token::{Expectations, InvalidToken, Timing};
use clerk_resilience::verify::{Unverified, verify};
use serde_json::{Map, Value, json};

/// Where this crate decides otherwise on purpose. A row that agrees again must leave this list.
const DEVIATIONS: &[(&str, &str)] = &[
    ("o.header.alg.RS384-with-algless-jwk", "RS256 is pinned, whatever the key allows"),
    ("o.header.alg.RS512-with-RS256-jwk", "refused there too, under the name of a key error"),
    ("o.header.alg.RS512-pem", "refused there too, under the name of a key error"),
    ("o.header.kid.proto", "`__proto__` is a name like any other here, and no key has it"),
    ("o.header.kid.constructor", "`constructor` is a name like any other here, and no key has it"),
    ("o.claims.aud.number", "an `aud` that is no text cannot be the expected one"),
    ("o.pem.rsa-4096", "the PEM is read as DER, so keys of every size work"),
    ("o.pem.empty-string", "an empty PEM is a configuration error here; no key, no pass"),
];

fn vectors() -> Value {
    serde_json::from_str(include_str!("../data/clerk-vectors.json")).expect("JSON")
}

fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(one) => vec![one.clone()],
        Value::Array(many) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn expectations(options: &Value) -> Expectations {
    let mut expect = Expectations::any();
    expect.issuer = options["issuer"].as_str().map(str::to_owned);
    expect.authorized_parties = strings(&options["authorizedParties"]);
    expect.audiences = strings(&options["audience"]);
    expect.header_types = strings(&options["headerType"]);
    // Anything but a finite number falls back to 5 s there; here it has no other type.
    if let Some(millis) = options["clockSkewInMs"].as_u64() {
        expect.leeway = Duration::from_millis(millis);
    }
    expect
}

/// The key material of a row; `None` when the row has none that can be read.
fn keys(all: &Value, input: &Value) -> Option<KeySet> {
    let pem = input["jwt_key"].as_str().or(input["key_pem"].as_str());
    if let Some(pem) = pem {
        return KeySet::from_pem(pem).ok();
    }
    let document = match (input["jwks_ref"].as_str(), &input["key_jwk"]) {
        (Some(name), _) => all["jwks"][name].to_string(),
        // There the key itself is handed over, and none is looked up.
        (None, Value::Object(jwk)) => {
            let token = input["token"].as_str().expect("a token");
            json!({ "keys": [named(jwk, token)] }).to_string()
        }
        _ => input["upstream"][0]["body"].as_str().unwrap_or("{}").to_owned(),
    };
    KeySet::parse(document.as_bytes()).ok()
}

/// A key without a name gets the one that the token asks for.
fn named(jwk: &Map<String, Value>, token: &str) -> Value {
    let part = token.split('.').next().unwrap_or_default();
    let header = URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
    let header: Value = serde_json::from_slice(&header).unwrap_or_default();
    let mut jwk = jwk.clone();
    jwk.entry("kid").or_insert_with(|| header["kid"].clone());
    jwk.into()
}

/// What this crate says: `Ok` with all claims, or the reason's code.
fn judge(all: &Value, row: &Value) -> Result<Value, String> {
    let input = &row["input"];
    let expect = expectations(&input["options"]);
    let keys = keys(all, input).unwrap_or_default();
    let token = input["token"].as_str().expect("a token");
    let now = Timestamp::from_millis(row["now_ms"].as_i64().expect("a time"));
    let code = |reason: InvalidToken| Err(reason.code().to_owned());
    let verified = match verify(token, &keys, &expect) {
        Ok(verified) => verified,
        Err(Unverified::Invalid(reason)) => return code(reason),
        // The layer refreshes the keys and then calls it what the reference calls it.
        Err(Unverified::UnknownKey(_)) => return code(InvalidToken::UnknownKey),
        Err(other) => panic!("another way not to be verified: {other:?}"),
    };
    match verified.timing(now, expect.leeway) {
        Timing::Current => Ok(verified.session().claims().expect("an object")),
        Timing::Expired { .. } => code(InvalidToken::Expired),
        Timing::NotYet => code(InvalidToken::NotYet),
        Timing::IssuedInFuture => code(InvalidToken::IssuedInFuture),
        _ => panic!("another timing"),
    }
}

/// What the reference said, and what this crate says when it is not the same.
fn difference(all: &Value, row: &Value) -> Option<String> {
    let (ours, theirs) = (judge(all, row), &row["expected"]);
    let same = match (&ours, theirs["ok"].as_bool(), theirs["reason"].as_str()) {
        (Ok(claims), Some(true), _) => theirs["claims"].is_null() || *claims == theirs["claims"],
        (Err(code), Some(false), Some(reason)) => code == reason,
        // The reference threw an error that is none of its own: refusing is what matters.
        (Err(_), Some(false), None) => true,
        _ => false,
    };
    let id = row["id"].as_str().expect("a name");
    (!same).then(|| format!("{id}: theirs {theirs}, ours {ours:?}"))
}

#[test]
fn every_token_from_the_reference_s_own_tests_is_judged_alike() {
    let all = vectors();
    let rows = all["vectors"]["verify_token"].as_array().expect("rows");
    let extracted: Vec<_> = rows.iter().filter(|row| row["kind"] == "extracted").collect();
    assert_eq!(extracted.len(), 14);
    let wrong: Vec<_> = extracted.iter().filter_map(|row| difference(&all, row)).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_recorded_token_is_judged_alike_but_for_the_listed_deviations() {
    let all = vectors();
    let rows = all["vectors"]["verify_token"].as_array().expect("rows");
    let (mut alike, mut listed, mut wrong) = (0, Vec::new(), Vec::new());
    for row in rows {
        let id = row["id"].as_str().expect("a name");
        let known = DEVIATIONS.iter().find(|(name, _)| *name == id);
        match (difference(&all, row), known) {
            (None, None) => alike += 1,
            (None, Some(_)) => wrong.push(format!("{id}: agrees, take it off the list")),
            (Some(_), Some((_, reason))) => listed.push(format!("{id}: {reason}")),
            (Some(difference), None) => wrong.push(difference),
        }
    }
    println!("{} rows: {alike} alike, {} deliberate deviations", rows.len(), listed.len());
    println!("{}", listed.join("\n"));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_eq!(listed.len(), DEVIATIONS.len(), "a listed row is not in the data");
    assert_eq!(alike + listed.len(), 142);
}
