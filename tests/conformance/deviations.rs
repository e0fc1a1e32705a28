//! Where this library differs from the reference on purpose. Each rule is a predicate over a row, so
//! that it holds for rows not seen before, and each has its reason in `docs/conformance.md`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clerk_resilience::jwks::KeySet;
use clerk_resilience::key::PublishableKey;
use clerk_resilience::token::{MAX_TOKEN_BYTES, decode};
use clerk_resilience::verify::signer;
use serde_json::Value;
use url::Url;

use crate::options::texts;
use crate::request::{mixed_modes, organizations};
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
    rule("parties-in-one-text", REFUSED, |_, row| {
        let asserted = row["input"]["assertion"] == "assertAuthorizedPartiesClaim";
        let options = &row["input"]["options"];
        let given = if asserted { &row["input"]["args"][1] } else { &options["authorizedParties"] };
        given.is_string()
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
    rule("token-without-a-kid", REFUSED, |_, row| {
        row["input"]["jwks"].is_object() && !header(row, "kid").is_string()
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
    rule("set-without-a-usable-key", &[Aspect::Reason], |_, row| {
        let entries = |set: &Value| set["keys"].as_array().is_some_and(|keys| !keys.is_empty());
        let unusable = |set: &Value| KeySet::parse(set.to_string().as_bytes()).is_err();
        key_sets(row).iter().any(|set| entries(set) && unusable(set))
    }),
    rule("modulus-of-another-size", REFUSED, |_, row| {
        let keys = key_sets(row).into_iter().filter_map(|set| set["keys"].as_array().cloned());
        keys.flatten().any(|key| {
            let modulus = URL_SAFE_NO_PAD.decode(key["n"].as_str().unwrap_or_default());
            key["kty"] == "RSA" && modulus.map_or(true, |n| !(256..=1024).contains(&n.len()))
        })
    }),
    rule("withdrawn-key", &[Aspect::Outcome, Aspect::Reason, Aspect::Calls], |group, row| {
        let steps = row["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
        let sets = steps.iter().filter_map(step_keys);
        let sets: Vec<Vec<Value>> = sets.collect();
        let withdrawn = |pair: &[Vec<Value>]| pair[0].iter().any(|kid| !pair[1].contains(kid));
        group == "jwks_loading" && sets.windows(2).any(withdrawn)
    }),
    rule("no-suffix-without-a-key", REFUSED, |group, row| {
        let key = row["input"]["publishable_key"].as_str().unwrap_or_default();
        matches!(group, "cookie_suffix" | "suffixed_cookie_selection")
            && PublishableKey::parse(key).is_err()
    }),
    rule("satellite-refused-at-start", REFUSED, |group, row| {
        let options = &row["input"]["options"];
        let option = |name: &str| options[name].as_str().unwrap_or_default();
        let (sign_in, domain) = (option("signInUrl"), option("domain"));
        let at_home = match Url::parse(sign_in) {
            Ok(url) => url.host_str() == Some(domain),
            Err(_) => option("publishableKey").starts_with("pk_test_") || !sign_in.is_empty(),
        };
        let mixed = mixed_modes(options);
        group == "authenticate_request" && options["isSatellite"] == true && (at_home || mixed)
    }),
    rule("pattern-refused-at-start", REFUSED, |_, row| {
        let sync = &row["input"]["options"]["organizationSyncOptions"];
        !organizations(sync).is_readable()
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
    rule("what-both-sdks-grant", &[Aspect::Intersection], |group, _| group == "org_claims"),
    rule("claims-that-cannot-be-read", REFUSED, |_, row| tokens(row).any(|t| unreadable(&t))),
    rule("organization-without-an-id", &[Aspect::Content], |group, row| {
        let organization = &row["input"]["claims"]["o"];
        let named = organization["id"].as_str().is_some_and(|id| !id.is_empty());
        group == "org_claims" && !organization.is_null() && !named
    }),
    rule("minutes-of-another-kind", &[Aspect::Outcome], |group, row| {
        let minutes = row["input"]["params"]["reverification"]["afterMinutes"].as_f64();
        let whole = |n: f64| n.fract() == 0.0 && n <= f64::from(u32::MAX);
        group == "has_authorization" && minutes.is_some_and(|minutes| !whole(minutes))
    }),
    rule("name-that-names-nothing", &[Aspect::Outcome], |group, row| {
        let asked = |name: &str| row["input"]["params"][name].as_str();
        let hollow = |name: &str| name.replace("org:", "").is_empty();
        let odd = |name: &str| {
            let slug = name.split_once(':').map_or(name, |(_, slug)| slug);
            slug.is_empty() || slug.contains(':')
        };
        group == "has_authorization"
            && (["role", "permission"].into_iter().filter_map(asked).any(hollow)
                || ["feature", "plan"].into_iter().filter_map(asked).any(odd))
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

/// The key sets in a row.
fn key_sets(row: &Value) -> Vec<Value> {
    let answers = row["input"]["upstream"].as_array().into_iter().flatten();
    let bodies = answers.filter_map(|answer| serde_json::from_str(answer["body"].as_str()?).ok());
    bodies.chain(row["input"].get("jwks").cloned()).collect()
}

/// The names of the keys that a step of a sequence brings, if it brings any.
fn step_keys(step: &Value) -> Option<Vec<Value>> {
    let body = step["upstream"].as_array()?.last()?["body"].as_str()?;
    let set: Value = serde_json::from_str(body).ok()?;
    let keys = set["keys"].as_array()?;
    Some(keys.iter().map(|key| key["kid"].clone()).collect())
}

/// The claims of each token in a row: by itself, or in a request.
fn tokens(row: &Value) -> impl Iterator<Item = Value> {
    let fields = header_field(row, "cookie") + ";" + &header_field(row, "authorization");
    let words = fields.split([';', ' ', '=']).map(str::to_owned).collect::<Vec<_>>();
    let decoded = words.into_iter().chain([token(row).to_owned()]);
    let decoded = decoded.filter_map(|text| decode(&text).ok()).map(|token| token.claims);
    decoded.chain(row["input"].get("claims").cloned())
}

/// Claims of version 2 for which the reference's `toAuth()` throws.
fn unreadable(claims: &Value) -> bool {
    let nothing = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        _ => false,
    };
    let organization = &claims["o"];
    let bare = |list: &str| list.split(',').any(|entry| !entry.contains(':'));
    let features = &claims["fea"];
    let bad_features = !nothing(features) && features.as_str().is_none_or(bare);
    let (names, masks) = (&organization["per"], &organization["fpm"]);
    let lists = !nothing(names) && !nothing(masks);
    let bad_lists = lists && !(names.is_string() && masks.is_string());
    claims["v"].as_f64() == Some(2.0) && !nothing(organization) && (bad_features || bad_lists)
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
