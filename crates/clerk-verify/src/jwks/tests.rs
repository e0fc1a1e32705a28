//! Key sets: what is read, what is skipped, what is refused.

use super::*;

/// The modulus of the RSA-2048 key in the test fixtures of Clerk's JavaScript SDK.
const N: &str = "qYy3MY8fOneEyzNDu9lp6iGXKkNUF-u_dUnrlkadZYyB35efzKFJEr9fftmWv5PUj1uRHTQ3bh6X1cceOYsIjy008dHWZJsKhGOxgdTjeK91rjaklxt7tyFXEiKHIOr1LSgKzopClOfCIjxK_oPUOf38pVh7WnekcSBQmU5fqA-EzKMi6k9VwvbzqKlZM4XQsiFyn28d9VubJWjTU8nNot0n1NE-9k6TxM8nglM4RwkBH4Ni4B0LhKKOOV-AG8tBNiZVil415dpBldmJ_j0wk7Ad4VFi9en3Z17oCKr-K-zuT7vKMKSb1548dk0vnmi0vj2QGXSo-61wM5yQWpk6sQ";

fn jwk(kid: &str) -> Value {
    serde_json::json!({"use":"sig","kty":"RSA","kid":kid,"alg":"RS256","n":N,"e":"AQAB"})
}

fn set(keys: &[Value]) -> Result<KeySet, JwksError> {
    KeySet::parse(serde_json::json!({ "keys": keys }).to_string().as_bytes())
}

#[test]
fn invalid_key_sets_are_distinguished() {
    for (document, error) in [
        ("<!DOCTYPE html><html></html>", JwksError::NotJson),
        ("{\"keys\":[{\"kty\"", JwksError::NotJson),
        ("{}", JwksError::NotJwks),
        ("[]", JwksError::NotJwks),
        ("{\"keys\":[]}", JwksError::NoUsableKey),
        ("{\"keys\":[null,1,\"x\",{}]}", JwksError::NoUsableKey),
    ] {
        assert_eq!(KeySet::parse(document.as_bytes()).expect_err(document), error);
    }
}

#[test]
fn unusable_entries_are_skipped_and_do_not_spoil_the_set() {
    let change = |name: &str, value: Value| {
        let mut jwk = jwk("odd");
        jwk[name] = value;
        jwk
    };
    let odd = [
        change("use", "enc".into()),
        change("alg", "RS512".into()),
        change("kty", "oct".into()),
        change("kty", "EC".into()),
        change("n", "AQAB".into()),
        change("n", "!!".into()),
        change("kid", Value::Null),
        change("kid", "".into()),
        change("kid", "k".repeat(300).into()),
        change("key_ops", serde_json::json!(["sign"])),
    ];
    for entry in &odd {
        let one = std::slice::from_ref(entry);
        assert_eq!(set(one).expect_err("unusable"), JwksError::NoUsableKey, "{entry}");
    }
    let mut all = odd.to_vec();
    all.push(jwk("good"));
    assert_eq!(set(&all).expect("one good key").len(), 1);
}

#[test]
fn an_unfit_key_differs_from_an_unknown_one() {
    let entry = |kid: &str, name: &str, value: Value| {
        let mut jwk = jwk(kid);
        jwk[name] = value;
        jwk
    };
    let keys = set(&[
        entry("ec", "kty", "EC".into()),
        entry("okp", "kty", "OKP".into()),
        entry("oct", "kty", "oct".into()),
        entry("enc", "use", "enc".into()),
        entry("rs512", "alg", "RS512".into()),
        jwk("good"),
    ])
    .expect("one good key");
    let reason = |keys: &KeySet, kid| keys.signer(kid, "", &Vec::new()).err();
    let newer = KeySet::default().replaced_by(&keys);
    let joined = set(&[jwk("b")]).expect("a key").joined_with(&keys);
    for keys in [&keys, &newer, &joined, &keys.distrusting(|id| id.as_str() == "good")] {
        for kid in ["ec", "okp", "oct", "enc", "rs512"] {
            assert_eq!(reason(keys, Some(kid)), Some(NoSigner::UnfitKey), "{kid}");
            assert!(keys.knows(Some(kid)));
        }
        assert_eq!(reason(keys, Some("good")), Some(NoSigner::Forged));
        for kid in [Some("other"), None] {
            assert_eq!(reason(keys, kid), Some(NoSigner::UnknownKey), "{kid:?}");
            assert!(!keys.knows(kid));
        }
    }
    let pinned = KeySet::from_jwk(&jwk("a").to_string()).expect("a key").joined_with(&keys);
    assert_eq!(reason(&pinned, Some("ec")), Some(NoSigner::Forged), "a pinned key is tried");
}

#[test]
fn the_last_entry_of_a_name_counts() {
    let ec = serde_json::json!({"kty":"EC","kid":"a","crv":"P-256","x":"AQAB","y":"AQAB"});
    let reason =
        |entries: &[Value]| set(entries).expect("a key").signer(Some("a"), "", &Vec::new()).err();
    assert_eq!(reason(&[jwk("a"), ec.clone(), jwk("b")]), Some(NoSigner::UnfitKey));
    assert_eq!(reason(&[ec, jwk("a")]), Some(NoSigner::Forged));
    assert_eq!(set(&[jwk("a"), jwk("a")]).expect("a key").len(), 1);
}

#[test]
fn a_key_is_found_by_its_name_only() {
    let keys = set(&[jwk("a"), jwk("b")]).expect("two keys");
    assert_eq!(keys.candidates(Some("a")).count(), 1);
    assert_eq!(keys.candidates(Some("c")).count(), 0);
    assert_eq!(keys.candidates(None).count(), 0);
}

#[test]
fn a_refresh_keeps_unchanged_keys_and_drops_missing_ones() {
    let old = set(&[jwk("a"), jwk("b")]).expect("two keys");
    let a = Arc::clone(old.candidates(Some("a")).next().expect("there"));
    let b = Arc::clone(old.candidates(Some("b")).next().expect("there"));
    let new = old.replaced_by(&set(&[jwk("a"), jwk("c")]).expect("two keys"));
    assert!(new.holds(&a));
    assert!(!new.holds(&b));
}

/// The public keys of the conformance vectors, by name.
fn pem(name: &str) -> String {
    let vectors = include_str!("../../../../tests/data/clerk-vectors.json");
    let vectors: Value = serde_json::from_str(vectors).expect("JSON");
    vectors["keys"][name].as_str().expect("a PEM").to_owned()
}

#[test]
fn a_pem_is_read_in_every_form_in_which_people_paste_it() {
    let plain = pem("oracleA_pem");
    let one_line = plain.replace('\n', "");
    let body: String = plain.lines().filter(|line| !line.starts_with('-')).collect();
    for text in [
        plain.clone(),
        plain.replace('\n', "\r\n"),
        plain.replace('\n', "\\n"),
        format!("\"{plain}\""),
        format!("'{}'", plain.replace('\n', "\\n")),
        plain.replace('\n', "\n    "),
        one_line,
        body.clone(),
        body.replace('+', "-").replace('/', "_"),
        pem("oracleA_pem_pkcs1"),
        pem("oracleC_pem_4096"),
    ] {
        let keys = KeySet::from_pem(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!(keys.candidates(Some("any")).count(), 1);
        assert_eq!(keys.candidates(None).count(), 1);
    }
}

#[test]
fn a_text_other_than_a_public_key_is_identified() {
    let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";
    let private = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----";
    let cut = &pem("oracleA_pem")[..200];
    for (text, error) in [
        (" ", PemError::Empty),
        ("\"\"", PemError::Empty),
        (private, PemError::PrivateKey),
        (certificate, PemError::Certificate),
        ("!!!", PemError::Damaged),
        (cut, PemError::Damaged),
        ("AQAB", PemError::NotRsa),
    ] {
        assert_eq!(KeySet::from_pem(text).expect_err(text), error, "{text}");
    }
}

#[test]
fn a_set_survives_being_written_and_read() {
    let keys = set(&[jwk("a")]).expect("a key");
    let again = KeySet::parse(keys.to_jwks().to_string().as_bytes()).expect("the same");
    assert_eq!(again.key_ids().map(KeyId::as_str).collect::<Vec<_>>(), ["a"]);
    assert!(keys.replaced_by(&again).holds(keys.candidates(Some("a")).next().expect("there")));
}

fn reply(status: u16, body: &str) -> ApiResponse {
    ApiResponse {
        status: http::StatusCode::from_u16(status).expect("a status"),
        headers: http::HeaderMap::new(),
        body: body.to_owned().into(),
        latency: std::time::Duration::ZERO,
    }
}

#[test]
fn an_answer_without_keys_has_the_error_name_of_clerks_sdk() {
    let refused = r#"{"errors":[{"code":"clerk_key_invalid"}]}"#;
    for (status, body, code) in [
        (401, refused, "secret-key-invalid"),
        (401, "{}", "jwk-remote-failed-to-load"),
        (403, refused, "jwk-remote-failed-to-load"),
        (503, "<html>", "jwk-remote-failed-to-load"),
        (200, "<html>", "jwk-remote-failed-to-load"),
        (200, r#"{"keys":[]}"#, "jwk-remote-failed-to-load"),
    ] {
        let error = KeySet::from_reply(&reply(status, body)).expect_err(body);
        assert_eq!(error.code(), code, "{status} {body}");
    }
    let good = serde_json::json!({ "keys": [jwk("a")] }).to_string();
    assert_eq!(KeySet::from_reply(&reply(200, &good)).expect("a key").len(), 1);
}

#[test]
fn a_single_jwk_verifies_any_kid_and_equals_its_pem() {
    let keys = KeySet::from_jwk(&jwk("a").to_string()).expect("a key");
    assert_eq!(keys.candidates(Some("any")).count(), 1);
    let from_pem = KeySet::from_pem(&pem("oracleA_pem")).expect("a key");
    let published = from_pem.keys().next().expect("one").to_jwk();
    assert_eq!(published["e"], "AQAB");
    let again = KeySet::from_jwk(&published.to_string()).expect("the same key");
    assert!(from_pem.replaced_by(&again).holds(from_pem.keys().next().expect("one")));
    assert_eq!(KeySet::from_jwk("{}").expect_err("no key"), JwksError::NoUsableKey);
}
