//! Where this library differs from the reference on purpose. Each rule is a predicate over a row, so
//! that it holds for rows not seen before, and each has its reason in `docs/conformance.md`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clerk_resilience::jwks::KeySet;
use clerk_resilience::token::{MAX_TOKEN_BYTES, decode};
use clerk_resilience::verify::signer;
use serde_json::Value;

use crate::options::texts;
use crate::verdict::Aspect;

/// One rule.
#[derive(Debug)]
pub(crate) struct Deviation {
    pub(crate) name: &'static str,
    /// What may differ under it.
    pub(crate) aspects: &'static [Aspect],
    /// The rule lets in what the reference refuses. One does, and `docs/conformance.md` argues why.
    pub(crate) lets_in: bool,
    /// Whether a row of a group is such a row.
    pub(crate) applies: fn(&str, &Value) -> bool,
}

const REFUSED: &[Aspect] = &[Aspect::Outcome, Aspect::Reason];

pub(crate) const DEVIATIONS: &[Deviation] = &[
    rule("only-rs256", REFUSED, |_, row| {
        let asserted = row["input"]["assertion"] == "assertHeaderAlgorithm";
        let named = if asserted { row["input"]["args"][0].clone() } else { header(row, "alg") };
        ["RS384", "RS512"].iter().any(|name| named == *name)
    }),
    rule("audience-of-another-type", REFUSED, |_, row| {
        let asserted = row["input"]["assertion"] == "assertAudienceClaim";
        let (aud, expected) = if asserted {
            (row["input"]["args"][0].clone(), &row["input"]["args"][1])
        } else {
            (claim(row, "aud"), &row["input"]["options"]["audience"])
        };
        let other = |value: &Value| !value.is_string() && !value.is_null();
        let odd = aud.as_array().map_or(other(&aud), |list| list.iter().any(other));
        odd && !texts(expected).is_empty()
    }),
    rule("date-out-of-range", REFUSED, |_, row| {
        let beyond = |date: Value| date.as_f64().is_some_and(|date| date.abs() > 8.64e12);
        ["exp", "nbf", "iat"].iter().any(|name| beyond(claim(row, name)))
            || beyond(row["input"]["args"][0].clone())
    }),
    rule("oversized-token", REFUSED, |_, row| token(row).len() > MAX_TOKEN_BYTES),
    rule("negative-leeway", REFUSED, |_, row| {
        let asserted = &row["input"]["args"][1];
        let skew = &row["input"]["options"]["clockSkewInMs"];
        [asserted, skew].iter().any(|skew| skew.as_f64().is_some_and(|millis| millis < 0.0))
    }),
    rule("error-of-another-kind", &[Aspect::Reason], |group, row| {
        let expected = &row["expected"];
        let thrown = expected.get("throws").is_some() && group != "authenticate_request";
        thrown || expected.get("unhandled_type").is_some()
    }),
    rule("kid-of-a-prototype", &[Aspect::Reason], |_, row| {
        let inherited = ["constructor", "toString", "valueOf", "hasOwnProperty", "toLocaleString"];
        let kid = header(row, "kid");
        let kid = kid.as_str().unwrap_or_default();
        inherited.contains(&kid) || kid.starts_with("__") && kid.ends_with("__")
    }),
    Deviation {
        name: "pem-in-any-form",
        aspects: REFUSED,
        lets_in: true,
        applies: |_, row| {
            let misread = row["expected"]["reason"] == "token-invalid-signature";
            misread && configured_pem(row).is_some_and(|keys| signer(token(row), &keys).is_ok())
        },
    },
    rule("pem-refused-at-start", &[Aspect::Reason], |_, row| {
        let pem = ["key_pem", "jwt_key"].iter().find_map(|name| row["input"][*name].as_str());
        pem.is_some_and(|pem| KeySet::from_pem(pem).is_err())
    }),
    rule("damaged-pem", REFUSED, |group, row| {
        let modulus = row["expected"]["jwk"]["n"].as_str().unwrap_or_default();
        group == "pem_to_jwk" && URL_SAFE_NO_PAD.decode(modulus).is_err()
    }),
    rule("retries-by-the-driver", &[Aspect::Calls, Aspect::Outcome], |group, row| {
        let repeats = |outcome: &Value| outcome["jwks_fetches"].as_u64() > Some(1);
        let steps = row["steps"].as_array().into_iter().flatten();
        let repeated = repeats(&row["expected"]) || repeats(row);
        let in_a_step = steps.into_iter().any(|step| repeats(&step["expected"]));
        group == "jwks_loading" && (repeated || in_a_step)
    }),
    rule("mocked-verifier", REFUSED, |group, row| {
        let cookie = header_field(row, "cookie");
        (group == "handshake_token" && token(row).split('.').count() != 3)
            || (group == "authenticate_request" && cookie.contains("__session=mock_token"))
    }),
    rule("host-is-an-address", REFUSED, |group, row| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':');
        let host = row["expected"]["frontendApi"].as_str().unwrap_or_default();
        let named = host.is_empty() && row["expected"] == true;
        group == "publishable_key" && (named || host.bytes().any(|b| !plain(b)))
    }),
    rule("what-both-sdks-grant", &[Aspect::Intersection], |_, row| {
        row.get("expected_alternate").is_some()
    }),
    rule("role-with-its-prefix", &[Aspect::Content], |group, row| {
        group == "org_claims" && (row["sdk"] == "python" || row["sdk"] == "java")
    }),
    rule("state-instead-of-an-exception", &[Aspect::Reason], |group, row| {
        group == "authenticate_request" && row["expected"]["throws"] == true
    }),
    rule("loop-guard-that-holds", &[Aspect::Reason], |group, row| {
        group == "authenticate_request" && redirects(row).is_some_and(|count| count > 3.0)
    }),
    rule("revoked-machine-token", &[Aspect::Outcome], |group, row| {
        let body = row["input"]["upstream"][0]["body"].as_str().unwrap_or_default();
        let answer: Value = serde_json::from_str(body).unwrap_or_default();
        group == "authenticate_request" && (answer["revoked"] == true || answer["expired"] == true)
    }),
];

const fn rule(
    name: &'static str,
    aspects: &'static [Aspect],
    applies: fn(&str, &Value) -> bool,
) -> Deviation {
    Deviation { name, aspects, lets_in: false, applies }
}

fn header_field(row: &Value, name: &str) -> String {
    let fields = row["input"]["request"]["headers"].as_array().into_iter().flatten();
    fields.filter(|field| field[0] == name).filter_map(|field| field[1].as_str()).collect()
}

/// The count of redirects that the reference sets.
fn redirects(row: &Value) -> Option<f64> {
    let lines = row["expected"]["set_cookie"].as_array()?;
    let line =
        lines.iter().find_map(|line| line.as_str()?.strip_prefix("__clerk_redirect_count="))?;
    line.split(';').next()?.parse().ok()
}

fn token(row: &Value) -> &str {
    row["input"]["token"].as_str().unwrap_or_default()
}

fn header(row: &Value, name: &str) -> Value {
    decode(token(row)).map(|token| token.header[name].clone()).unwrap_or_default()
}

fn claim(row: &Value, name: &str) -> Value {
    decode(token(row)).map(|token| token.claims[name].clone()).unwrap_or_default()
}

fn configured_pem(row: &Value) -> Option<KeySet> {
    let pem = ["key_pem", "jwt_key"].iter().find_map(|name| row["input"][*name].as_str())?;
    KeySet::from_pem(pem).ok()
}
