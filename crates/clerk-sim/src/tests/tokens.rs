use std::time::Duration;

use clerk_verify::clock::Timestamp;
use serde_json::{Value, json};

use crate::{SimClerk, SimOrganization};

use super::{decode, verify};

#[test]
fn a_default_token_has_clerks_claims_and_verifies() {
    let clerk = SimClerk::in_memory();
    let session = clerk.sign_in("user_ada");
    let (header, payload) = verify(&clerk.mint(&session), &clerk.jwks()).expect("it verifies");
    let kid = clerk.key_id();
    assert_eq!(
        header,
        json!({ "alg": "RS256", "cat": "cl_B7d4PD111AAA", "kid": kid.as_str(), "typ": "JWT" })
    );
    assert!(kid.as_str().starts_with("ins_"));
    let issued = payload["iat"].as_i64().expect("a number");
    assert_eq!(payload["exp"], issued + 60);
    assert_eq!(payload["nbf"], issued - 10);
    assert_eq!(payload["iss"], "https://clerk.sim.example");
    assert_eq!(payload["sub"], "user_ada");
    assert_eq!(payload["sid"], session.id.as_str());
    assert_eq!(payload["v"], 2);
    assert_eq!(payload["sts"], "active");
    assert_eq!(payload["fva"], json!([0, -1]));
    assert!(payload["jti"].is_string());
    assert_eq!(payload.get("azp"), None);
    assert_eq!(payload.get("o"), None);
}

#[test]
fn a_token_can_be_given_every_other_form() {
    let clerk = SimClerk::in_memory();
    let session = clerk.sign_in("user_ada");
    let token = clerk
        .token(&session)
        .issued(Timestamp::from_secs(1_000))
        .lifetime(Duration::from_secs(5))
        .authorized_party("https://app.example")
        .organization(SimOrganization::new("org_a", "acme").permission("org:posts:read"))
        .role("admin")
        .claim("plan", "gold")
        .without_claim("jti")
        .header("oiat", 900)
        .header("cat", Value::Null)
        .sign();
    let (header, payload) = verify(&token, &clerk.jwks()).expect("it verifies");
    assert_eq!(header["oiat"], 900);
    assert_eq!(header.get("cat"), None);
    assert_eq!(payload["exp"], 1_005);
    assert_eq!(payload["azp"], "https://app.example");
    assert_eq!(
        payload["o"],
        json!({ "id": "org_a", "slg": "acme", "rol": "admin", "per": "read", "fpm": "1" })
    );
    assert_eq!(payload["fea"], "o:posts");
    assert_eq!(payload["plan"], "gold");
    assert_eq!(payload.get("jti"), None);
}

#[test]
fn version_1_names_the_organization_in_claims_of_its_own() {
    let clerk = SimClerk::in_memory();
    let session = clerk.sign_in("user_ada");
    let organization = SimOrganization::new("org_a", "acme").permission("org:posts:read");
    let token = clerk.token(&session).organization(organization).version1().sign();
    let (_, payload) = verify(&token, &clerk.jwks()).expect("it verifies");
    assert_eq!(payload["org_id"], "org_a");
    assert_eq!(payload["org_role"], "org:member");
    assert_eq!(payload["org_permissions"], json!(["org:posts:read"]));
    for absent in ["v", "o", "jti", "sts", "fea"] {
        assert_eq!(payload.get(absent), None, "{absent}");
    }
}

#[test]
fn each_invalid_token_has_one_fault() {
    let clerk = SimClerk::in_memory();
    let session = clerk.sign_in("user_ada");
    let forged = clerk.forge(&session);
    assert_eq!(decode(&forged).0["kid"], clerk.key_id().as_str());
    assert_eq!(verify(&forged, &clerk.jwks()), None);
    let unknown = clerk.token(&session).kid("ins_unknown").sign();
    assert_eq!(decode(&unknown).0["kid"], "ins_unknown");
    let late = clerk.token(&session).ago(Duration::from_secs(3_600)).sign();
    let (_, payload) = verify(&late, &clerk.jwks()).expect("it verifies");
    assert!(payload["exp"].as_i64() < Some(clerk.clock().now().wall.as_secs()));
}

#[test]
fn rotation_keeps_the_old_key_and_replacement_drops_it() {
    let clerk = SimClerk::in_memory();
    let session = clerk.sign_in("user_ada");
    let old = clerk.mint(&session);
    let kid = clerk.rotate_key();
    let new = clerk.mint(&session);
    assert_eq!(decode(&new).0["kid"], kid.as_str());
    assert!(verify(&old, &clerk.jwks()).is_some() && verify(&new, &clerk.jwks()).is_some());
    clerk.retire_keys();
    assert!(verify(&old, &clerk.jwks()).is_none() && verify(&new, &clerk.jwks()).is_some());
    clerk.replace_key();
    assert_eq!(clerk.key_id(), kid);
    assert!(verify(&new, &clerk.jwks()).is_none());
}
