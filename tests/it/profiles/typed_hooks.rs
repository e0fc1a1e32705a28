//! Hooks that receive typed events.

use std::sync::{Arc, Mutex};

use clerk_resilience::{Event, FromEvent, UserChanged};

use super::{ADA, BEN};
use crate::webhooks::{data, deliver, with};

/// An event of the application's own.
#[derive(Debug, PartialEq)]
struct PastDue(String);

impl FromEvent for PastDue {
    const KINDS: &'static [&'static str] = &["subscription.pastDue"];

    fn from_event(event: &Event) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self(event.data["id"].as_str().ok_or("no id")?.to_owned()))
    }
}

#[tokio::test(start_paused = true)]
async fn typed_hooks_receive_their_types_and_fail_on_bad_data() {
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let world = with(|builder| {
        builder
            .on(noting(&heard, |told: UserChanged| {
                let name = told.profile.first_name.unwrap_or_default();
                format!("{} {name} {}", told.message, told.created)
            }))
            .on(noting(&heard, |PastDue(id): PastDue| id))
    })
    .await;
    let created = r#"{"type":"user.created","data":{"id":"user_1","first_name":"Ada","private_metadata":{"a":1}}}"#;
    for (id, body) in [
        ("msg_1", created),
        ("msg_2", r#"{"type":"user.updated","data":{"id":"user_1","first_name":"Adaeze"}}"#),
        ("msg_3", r#"{"type":"user.deleted","data":{"id":"user_2"}}"#),
        ("msg_4", r#"{"type":"subscription.pastDue","data":{"id":"sub_1"}}"#),
        ("msg_5", r#"{"type":"subscription.pastDue","data":{}}"#),
    ] {
        deliver(&world, id, body).await;
        world.pass(1).await;
    }
    assert_eq!(*heard.lock().expect("sound"), ["msg_1 Ada true", "msg_2 Adaeze false", "sub_1"]);
    assert_eq!(world.clerk.counts().hook_failures, 1);
}

/// A hook that notes what it heard.
fn noting<T: 'static>(
    heard: &Arc<Mutex<Vec<String>>>,
    line: fn(T) -> String,
) -> impl Fn(T) -> std::future::Ready<Result<(), String>> + Send + Sync + 'static {
    let heard = Arc::clone(heard);
    move |told| {
        heard.lock().expect("sound").push(line(told));
        std::future::ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn every_typed_event_parses_its_samples() {
    use clerk_resilience::{MembershipChanged, MembershipEnded, SessionEnded, UserDeleted};
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let world = with(|builder| {
        builder
            .on(noting(&heard, |told: UserDeleted| told.user.to_string()))
            .on(noting(&heard, |told: SessionEnded| format!("{} {}", told.session, told.user)))
            .on(noting(&heard, |told: MembershipChanged| {
                format!("{} {} {}", told.user, told.membership.role, told.created)
            }))
            .on(noting(&heard, |told: MembershipEnded| {
                format!("{} left {}", told.user, told.organization)
            }))
    })
    .await;
    for file in [
        "user.deleted",
        "session.revoked",
        "organizationMembership.created",
        "organizationMembership.updated",
        "organizationMembership.deleted",
    ] {
        deliver(&world, file, &data(&format!("webhook-samples/{file}.json"))).await;
        world.pass(1).await;
    }
    let wanted = [
        ADA.to_owned(),
        format!("sess_2qAda0000000000000000000S1 {ADA}"),
        format!("{BEN} org:member true"),
        format!("{BEN} org:admin false"),
        format!("{BEN} left org_2qNorthwind0000000000000001"),
    ];
    assert_eq!(*heard.lock().expect("sound"), wanted);
}
