//! What is accepted, and every way to be refused.

use super::*;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const BODY: &[u8] = br#"{"type":"user.created"}"#;
const SENT: i64 = 1_750_000_000;

fn secret(text: &str) -> WebhookSecret {
    WebhookSecret::parse(text).expect("a secret")
}

fn check(signature: &str, timestamp: &str, now: i64) -> Result<(), InvalidWebhook> {
    let verifier = WebhookVerifier::new([secret(SECRET)]).expect("one secret");
    let mut headers = HeaderMap::new();
    for (name, value) in [(ID, "msg_1"), (TIMESTAMP, timestamp), (SIGNATURE, signature)] {
        headers.insert(name, value.parse().expect("a field"));
    }
    verifier.verify(&headers, BODY, Timestamp::from_secs(now)).map(drop)
}

#[test]
fn a_message_is_good_for_five_minutes_in_both_directions() {
    let signature = secret(SECRET).sign("msg_1", SENT, BODY);
    let at = |now| check(&signature, "1750000000", now);
    for now in [SENT - 300, SENT, SENT + 300] {
        assert_eq!(at(now), Ok(()), "{now}");
    }
    assert_eq!(at(SENT + 301), Err(InvalidWebhook::TooOld));
    assert_eq!(at(SENT - 301), Err(InvalidWebhook::TooNew));
}

#[test]
fn one_valid_v1_signature_in_the_list_is_enough() {
    let good = secret(SECRET).sign("msg_1", SENT, BODY);
    let other = secret("whsec_AAAA").sign("msg_1", SENT, BODY);
    let of_version_2 = good.replace("v1", "v2");
    for (list, outcome) in [
        (format!("{other} {good}"), Ok(())),
        (other.clone(), Err(InvalidWebhook::Signature)),
        (of_version_2, Err(InvalidWebhook::Signature)),
        (format!("{other},{good}"), Err(InvalidWebhook::Signature)),
        ("v1".to_owned(), Err(InvalidWebhook::Signature)),
    ] {
        assert_eq!(check(&list, "1750000000", SENT), outcome, "{list}");
    }
}

#[test]
fn a_signature_covers_whole_seconds() {
    let good = secret(SECRET).sign("msg_1", SENT, BODY);
    assert_eq!(check(&good, "1750000000.75", SENT), Ok(()));
    for (time, error) in [
        ("soon", InvalidWebhook::Timestamp),
        ("99999999999999999999", InvalidWebhook::Timestamp),
        ("-1", InvalidWebhook::TooOld),
        (" ", InvalidWebhook::MissingHeader),
    ] {
        assert_eq!(check(&good, time, SENT), Err(error), "{time}");
    }
}

#[test]
fn any_of_several_secrets_will_do_while_they_are_replaced() {
    let old = secret("whsec_AAAA");
    let verifier = WebhookVerifier::new([secret(SECRET), old.clone()]).expect("two secrets");
    let mut headers = HeaderMap::new();
    headers.insert(ID, "msg_1".parse().expect("a field"));
    headers.insert(TIMESTAMP, "1750000000".parse().expect("a field"));
    headers.insert(SIGNATURE, old.sign("msg_1", SENT, BODY).parse().expect("a field"));
    let delivery = verifier.verify(&headers, BODY, Timestamp::from_secs(SENT)).expect("good");
    assert_eq!((delivery.id, delivery.sent_at), ("msg_1", Timestamp::from_secs(SENT)));
    let other = verifier.verify(&headers, b"{}", Timestamp::from_secs(SENT));
    assert_eq!(other, Err(InvalidWebhook::Signature));
}

#[test]
fn an_empty_or_foreign_secret_is_rejected_first() {
    for (text, error) in [
        ("", WebhookSecretError::Empty),
        ("whsec_", WebhookSecretError::Empty),
        ("sk_test_abc", WebhookSecretError::OtherKey),
        ("pk_live_abc", WebhookSecretError::OtherKey),
        ("whsec_!!", WebhookSecretError::Damaged),
    ] {
        assert_eq!(WebhookSecret::parse(text).err(), Some(error), "{text}");
    }
    assert_eq!(WebhookVerifier::new([]).err(), Some(WebhookSecretError::Empty));
    assert!(!format!("{:?}", secret(SECRET)).contains("C2FV"));
}

fn fields(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, value.parse().expect("a field"));
    }
    headers
}

#[test]
fn signatures_may_stand_in_several_fields_and_an_id_may_not() {
    let (good, other) =
        (secret(SECRET).sign("msg_1", SENT, BODY), secret("AAAA").sign("", 1, BODY));
    let (id, time) = (("svix-id", "msg_1"), ("svix-timestamp", "1750000000"));
    let [good, other] = [&good, &other].map(|signature| ("svix-signature", signature.as_str()));
    let verifier = WebhookVerifier::new([secret(SECRET)]).expect("one secret");
    let now = Timestamp::from_secs(SENT);
    for (list, outcome) in [
        (vec![id, time, other, good], Ok(())),
        (vec![id, time, good, other], Ok(())),
        (vec![id, id, time, good], Err(InvalidWebhook::Signature)),
        (vec![id, ("svix-id", "msg_2"), time, good], Err(InvalidWebhook::Signature)),
    ] {
        let headers = fields(&list);
        assert_eq!(verifier.verify(&headers, BODY, now).map(drop), outcome, "{list:?}");
        assert_eq!(verifier.verify_strictly(&headers, BODY, now).map(drop), outcome, "{list:?}");
    }
}

#[test]
fn each_field_has_a_name_for_when_the_other_is_missing() {
    let good = secret(SECRET).sign("msg_1", SENT, BODY);
    let values = ["msg_1", "1750000000", good.as_str()];
    let verifier = WebhookVerifier::new([secret(SECRET)]).expect("one secret");
    let now = Timestamp::from_secs(SENT);
    for standard in 0..8 {
        let name = |n: usize| {
            if standard & (1 << n) == 0 {
                [ID, TIMESTAMP, SIGNATURE][n]
            } else {
                STANDARD_FIELDS[n]
            }
        };
        let headers = fields(&[0, 1, 2].map(|n| (name(n), values[n])));
        assert!(verifier.verify_strictly(&headers, BODY, now).is_ok(), "{headers:?}");
        assert_eq!(verifier.verify(&headers, BODY, now).is_ok(), standard == 0, "{headers:?}");
    }
}

/// A list as long as a server lets it be: were each entry a signature to make, this would take hours.
#[test]
fn a_long_list_of_signatures_costs_no_more_than_reading_it() {
    let list = "v1, ".repeat(100_000) + &format!("v1,{} ", "A".repeat(43) + "=").repeat(2_000);
    let headers = fields(&[(ID, "msg_1"), (TIMESTAMP, "1750000000"), (SIGNATURE, list.trim())]);
    let verifier = WebhookVerifier::new([secret(SECRET), secret("AAAA")]).expect("two secrets");
    let body = vec![b'a'; 1024 * 1024];
    let refused = verifier.verify_strictly(&headers, &body, Timestamp::from_secs(SENT));
    assert_eq!(refused, Err(InvalidWebhook::Signature));
}
