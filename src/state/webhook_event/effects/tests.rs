use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

fn denials(body: &str) -> Result<Vec<Denial>, EventError> {
    under(EventRules::default(), body)
}

fn under(rules: EventRules, body: &str) -> Result<Vec<Denial>, EventError> {
    WebhookEvent::parse(body.as_bytes()).expect("an event").denials(NOW, rules)
}

/// Of a user who was shut out then: what another of Clerk's machines made a moment later is denied, too.
fn shut_out(then: Timestamp) -> Denial {
    Denial::User(UserId::from("user_1"), then.plus(LEEWAY))
}

#[test]
fn an_ended_session_is_denied_a_day_beyond_its_lifetime() {
    let end = NOW.plus(Duration::from_secs(60));
    for kind in ["ended", "removed", "revoked"] {
        let expires = end.as_millis();
        let body = format!(
            r#"{{"type":"session.{kind}","data":{{"id":"sess_1","expire_at":{expires},"user":null}}}}"#
        );
        let denial = Denial::Session(SessionId::from("sess_1"), end.plus(AFTERLIFE));
        assert_eq!(denials(&body), Ok(vec![denial]));
    }
    let past = r#"{"type":"session.ended","data":{"id":"sess_1","expire_at":1}}"#;
    let denial = Denial::Session(SessionId::from("sess_1"), NOW.plus(AFTERLIFE));
    assert_eq!(denials(past), Ok(vec![denial]));
}

#[test]
fn seconds_and_milliseconds_are_told_apart_by_their_size() {
    for timestamp in ["1789999990", "1789999990000"] {
        let body = format!(
            r#"{{"type":"user.updated","timestamp":{timestamp},"data":{{"id":"user_1","banned":true}}}}"#
        );
        let denial = shut_out(Timestamp::from_secs(1_789_999_990));
        assert_eq!(denials(&body), Ok(vec![denial]));
    }
}

#[test]
fn an_event_from_the_future_denies_within_the_clock_skew() {
    let body = r#"{"type":"user.updated","timestamp":99999999999999,"data":{"id":"user_1","deprovisioned":true,"updated_at":99999999999999}}"#;
    let denial = shut_out(NOW.plus(TOLERANCE));
    assert_eq!(denials(body), Ok(vec![denial]));
}

#[test]
fn a_deleted_user_is_denied_and_a_locked_one_is_not() {
    let deleted = denials(r#"{"type":"user.deleted","data":{"id":"user_1"}}"#);
    assert_eq!(deleted, Ok(vec![Denial::User(UserId::from("user_1"), FOR_GOOD)]));
    for body in [
        r#"{"type":"user.updated","data":{"id":"user_1","locked":true,"banned":false}}"#,
        r#"{"type":"session.pending","data":{"id":"sess_1"}}"#,
        r#"{"type":"passkey.rotated","data":{"id":"pk_1"}}"#,
        r#"{"type":"email.created"}"#,
    ] {
        assert_eq!(denials(body), Ok(Vec::new()), "{body}");
    }
}

#[test]
fn an_end_event_must_name_its_subject() {
    for body in [
        r#"{"type":"session.revoked"}"#,
        r#"{"type":"session.revoked","data":{"id":""}}"#,
        r#"{"type":"user.deleted","data":{"deleted":true}}"#,
        r#"{"type":"user.updated","data":{"id":7,"banned":true}}"#,
        r#"{"type":"organization.deleted","data":{"deleted":true}}"#,
        r#"{"type":"organizationMembership.deleted","data":{"organization":{"id":"org_1"}}}"#,
        r#"{"type":"organizationMembership.deleted","data":{"public_user_data":{"user_id":"user_1"}}}"#,
        r#"{"type":"organizationMembership.updated","data":{"organization":"org_1","public_user_data":{"user_id":"user_1"}}}"#,
    ] {
        assert!(denials(body).is_err(), "{body}");
    }
}

#[test]
fn an_end_event_with_an_invalid_time_applies() {
    let session = r#"{"type":"session.revoked","data":{"id":"sess_1","expire_at":"soon"}}"#;
    let denial = Denial::Session(SessionId::from("sess_1"), NOW.plus(LONG).plus(AFTERLIFE));
    assert_eq!(denials(session), Ok(vec![denial]));
    let fraction = session.replace("\"soon\"", "1790000001000.5");
    let end = Timestamp::from_secs(1_790_000_001).plus(AFTERLIFE);
    assert_eq!(denials(&fraction), Ok(vec![Denial::Session(SessionId::from("sess_1"), end)]));
    let banned =
        r#"{"type":"user.updated","data":{"id":"user_1","banned":true,"updated_at":"now"}}"#;
    assert_eq!(denials(banned), Ok(vec![shut_out(NOW)]));
}

/// Whoever may write a part of it must not keep us from hearing the rest.
#[test]
fn user_metadata_cannot_hide_an_end_event() {
    for odd in ["[".repeat(5_000) + &"]".repeat(5_000), "1e400".to_owned()] {
        let user = format!(r#"{{"id":"user_1","banned":true,"unsafe_metadata":{{"a":{odd}}}}}"#);
        let banned = format!(r#"{{"type":"user.updated","data":{user}}}"#);
        assert_eq!(denials(&banned), Ok(vec![shut_out(NOW)]));
        let ended = format!(
            r#"{{"type":"session.ended","data":{{"id":"sess_1","expire_at":1,"user":{user}}}}}"#
        );
        let denial = Denial::Session(SessionId::from("sess_1"), NOW.plus(AFTERLIFE));
        assert_eq!(denials(&ended), Ok(vec![denial]));
    }
}

fn membership(event: &str) -> String {
    let data = r#"{"updated_at":1789999990000,"role":"org:admin","organization":{"id":"org_1"},"public_user_data":{"user_id":"user_1"}}"#;
    format!(
        r#"{{"type":"organizationMembership.{event}","timestamp":1789999991000,"data":{data}}}"#
    )
}

#[test]
fn an_end_of_membership_denies_and_a_change_of_it_outdates() {
    let (user, org) = (UserId::from("user_1"), OrgId::from("org_1"));
    let up_to = Timestamp::from_secs(1_789_999_991);
    let over = Denial::Member(user.clone(), org.clone(), up_to);
    assert_eq!(denials(&membership("deleted")), Ok(vec![over]));
    let changed = Denial::Outdated(user, org.clone(), up_to);
    assert_eq!(denials(&membership("updated")), Ok(vec![changed]));
    assert_eq!(denials(&membership("created")), Ok(Vec::new()));
    let gone = r#"{"type":"organization.deleted","timestamp":1789999991,"data":{"id":"org_1"}}"#;
    assert_eq!(denials(gone), Ok(vec![Denial::Organization(org, up_to)]));
}

#[test]
fn a_role_change_outdates_that_role_or_all() {
    type Make = fn(Option<String>, Timestamp) -> Denial;
    let kinds: [(&str, Make); 2] = [("role", Denial::Role), ("permission", Denial::Permission)];
    for (kind, make) in kinds {
        for event in ["updated", "deleted"] {
            let body = |data| format!(r#"{{"type":"{kind}.{event}","data":{data}}}"#);
            let key = Some("org:x".to_owned());
            assert_eq!(denials(&body(r#"{"key":"org:x"}"#)), Ok(vec![make(key, NOW)]));
            assert_eq!(denials(&body(r#"{"id":"some_1"}"#)), Ok(vec![make(None, NOW)]));
        }
        assert_eq!(denials(&format!(r#"{{"type":"{kind}.created"}}"#)), Ok(Vec::new()));
    }
}

#[test]
fn a_lock_and_a_new_password_revoke_only_where_that_is_demanded() {
    let locked = r#"{"type":"user.updated","data":{"id":"user_1","locked":true}}"#;
    let changed = r#"{"type":"user.updated","data":{"id":"user_1","password_last_updated_at":1789999990000}}"#;
    assert_eq!((denials(locked), denials(changed)), (Ok(Vec::new()), Ok(Vec::new())));

    let rules = EventRules { locked: true, ..EventRules::default() };
    let user = |up_to| Ok(vec![Denial::User(UserId::from("user_1"), up_to)]);
    let out = Ok(vec![shut_out(NOW)]);
    assert_eq!((under(rules, locked), under(rules, changed)), (out.clone(), Ok(Vec::new())));

    let rules = EventRules { new_password: true, ..EventRules::default() };
    let then = Timestamp::from_secs(1_789_999_990);
    assert_eq!((under(rules, locked), under(rules, changed)), (Ok(Vec::new()), user(then)));
    let ahead = changed.replace("1789999990000", "99999999999999");
    assert_eq!(under(rules, &ahead), user(NOW.plus(TOLERANCE)));
    assert_eq!(under(rules, &changed.replace("1789999990000", "\"now\"")), Ok(Vec::new()));
    let banned = changed.replace(r#""id""#, r#""banned":true,"id""#);
    assert_eq!(under(rules, &banned), out, "the later of both");
}
