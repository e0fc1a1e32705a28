//! Session tokens, from their form to the cookies of a handshake.

use clerk_resilience::clock::Timestamp;
use clerk_resilience::handshake;
use clerk_resilience::jwks::{KeySet, PemError};
use clerk_resilience::token::{Expectations, InvalidToken, decode};
use clerk_resilience::verify::signer;
use serde_json::{Value, json};

use crate::minted;
use crate::options::{
    entries, expectations, header_types, judge, leeway, now, recorded_keys, reply, texts,
};
use crate::verdict::{Aspect, Verdict, same};

/// `verifyToken` and `verifyJwt`.
pub(crate) fn verify_token(row: &Value) -> Verdict {
    let input = &row["input"];
    let token = input["token"].as_str().unwrap_or_default();
    Verdict::outcome(verified(row, token), &row["expected"], "reason")
}

fn verified(row: &Value, token: &str) -> Result<Option<String>, String> {
    let expect = expectations(&row["input"]["options"])?;
    let session = with_keys(row, |keys| judge(token, keys, &expect, now(row)))?;
    let claims: Value = session.claims().map_err(|error| error.to_string())?;
    let expected = &row["expected"]["claims"];
    Ok((!same(&claims, expected)).then(|| format!("{claims} instead of {expected}")))
}

/// Judges with the row's keys. When there are none, the token's own faults come first and then the
/// reason why there are none, as in a request.
pub(crate) fn with_keys<T>(
    row: &Value,
    judge: impl Fn(&KeySet) -> Result<T, String>,
) -> Result<T, String> {
    let (keys, lacking) = match keys(&row["input"], row) {
        Ok(keys) => return judge(&keys),
        Err(lacking) => (KeySet::default(), lacking),
    };
    judge(&keys).map_err(
        |code| {
            if code == InvalidToken::UnknownKey.code() { lacking } else { code }
        },
    )
}

fn keys(input: &Value, row: &Value) -> Result<KeySet, String> {
    if let Some(jwk) = input.get("key_jwk") {
        return KeySet::from_jwk(&jwk.to_string()).map_err(|_| "token-verification-failed".into());
    }
    let pem = ["key_pem", "jwt_key"].iter().find_map(|name| input[*name].as_str());
    if let Some(pem) = pem.or(input["options"]["jwtKey"].as_str()) {
        return KeySet::from_pem(pem).map_err(|error| match error {
            PemError::Empty => "jwk-failed-to-resolve".to_owned(),
            other => format!("refused as configuration: {other}"),
        });
    }
    if let Some(document) = input.get("jwks") {
        return KeySet::parse(document.to_string().as_bytes()).map_err(|e| e.code().to_owned());
    }
    match input["upstream"].as_array().and_then(|answers| answers.first()) {
        None => Ok(recorded_keys(row)),
        Some(answer) => match reply(answer) {
            Some(reply) => KeySet::from_reply(&reply).map_err(|error| error.code().to_owned()),
            None => Err("jwk-remote-failed-to-load".to_owned()),
        },
    }
}

/// `decodeJwt`.
pub(crate) fn decode_jwt(row: &Value) -> Verdict {
    let token = row["input"]["token"].as_str().unwrap_or_default();
    let expected = &row["expected"];
    let found = decode(token).map_err(|reason| reason.code().to_owned()).map(|decoded| {
        let alike = same(&decoded.header, &expected["header"])
            && same(&decoded.claims, &expected["payload"]);
        (!alike).then(|| format!("{decoded:?}"))
    });
    Verdict::outcome(found, expected, "reason")
}

/// `hasValidSignature`.
pub(crate) fn signature_check(row: &Value) -> Verdict {
    let input = &row["input"];
    let token = input["token"].as_str().unwrap_or_default();
    let keys = match &input["key"] {
        Value::String(pem) => KeySet::from_pem(pem).map_err(|error| error.to_string()),
        jwk => KeySet::from_jwk(&jwk.to_string()).map_err(|error| error.to_string()),
    };
    let found = keys.and_then(|keys| match signer(token, &keys) {
        Ok(_) => Ok(true),
        Err(InvalidToken::Signature) => Ok(false),
        Err(other) => Err(other.code().to_owned()),
    });
    let expected = &row["expected"];
    let alike = found.map(|good| {
        (expected["data"] != good).then(|| format!("{good} instead of {}", expected["data"]))
    });
    Verdict::outcome(alike, expected, "reason")
}

/// The assertions on single claims, asked of a whole token that is signed for the purpose.
pub(crate) fn claim_assertion(row: &Value) -> Verdict {
    let arguments = row["input"]["args"].as_array().map(Vec::as_slice).unwrap_or_default();
    let argument = |place: usize| {
        let given = arguments.get(place).filter(|value| value.get("$undefined").is_none());
        given.map(defined)
    };
    let found = assertion(row, argument(0), &argument(1).unwrap_or_default()).map(|()| None);
    Verdict::outcome(found, &row["expected"], "reason")
}

fn assertion(row: &Value, claim: Option<Value>, option: &Value) -> Result<(), String> {
    let now = now(row);
    let mut expect = Expectations::any();
    let mut token = minted::Token::at(now);
    match row["input"]["assertion"].as_str().unwrap_or_default() {
        "assertAudienceClaim" => {
            token.claim("aud", claim);
            expect.audiences = texts(option);
        }
        "assertAuthorizedPartiesClaim" => {
            token.claim("azp", claim);
            expect.authorized_parties = entries(option);
        }
        "assertIssuerClaim" => {
            token.claim("iss", claim);
            expect.issuers = texts(option);
        }
        "assertSubClaim" => token.claim("sub", claim),
        "assertHeaderType" => {
            token.header("typ", claim);
            expect.header_types = header_types(&json!({ "headerType": option }));
            if option.is_null() {
                expect.header_types.clear();
            }
        }
        "assertHeaderAlgorithm" => token.header("alg", claim),
        dated => {
            let name = match dated {
                "assertExpirationClaim" => "exp",
                "assertActivationClaim" => "nbf",
                "assertIssuedAtClaim" => "iat",
                other => return Err(format!("unknown assertion {other}")),
            };
            token.claim(name, claim);
            expect.leeway = leeway(option)?;
        }
    }
    judge(&token.sign(), minted::keys(), &expect, now).map(drop)
}

/// A list's places that are `undefined` are `null` in JSON.
fn defined(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(defined).collect(),
        Value::Object(members) if members.contains_key("$undefined") => Value::Null,
        other => other.clone(),
    }
}

/// The payload of `__clerk_handshake`. Of what is recorded, the cookies are compared.
pub(crate) fn handshake_token(row: &Value) -> Verdict {
    let token = row["input"]["token"].as_str().unwrap_or_default();
    let found = with_keys(row, |keys| {
        handshake::verify(token, keys).map_err(|reason| reason.code().to_owned())
    });
    let expected = &row["expected"]["payload"]["handshake"];
    let alike = found.map(|handshake| {
        let cookies = json!(handshake.directives);
        (cookies != *expected).then(|| format!("{cookies} instead of {expected}"))
    });
    Verdict::outcome(alike, &row["expected"], "reason")
}

/// The time at a step of a sequence.
pub(crate) fn moment(row: &Value, step: &Value) -> Timestamp {
    let start = row["t0_ms"].as_i64().unwrap_or_default();
    Timestamp::from_millis(start + step["at_s"].as_i64().unwrap_or_default() * 1000)
}

/// A difference in the number of calls only.
pub(crate) fn calls(found: u64, expected: &Value) -> Verdict {
    match expected.as_u64() {
        Some(recorded) if recorded != found => {
            Verdict::differs(Aspect::Calls, false, format!("{found} calls instead of {recorded}"))
        }
        _ => Verdict::Pass,
    }
}
