//! No body makes the reader of events panic, and nothing that it says reaches further than it may.
#![no_main]

use clerk_resilience::clock::Timestamp;
use clerk_resilience::profile::{Change, Person};
use clerk_resilience::internals::revocation::Revocations;
use clerk_resilience::internals::webhook_event::{EventRules, WebhookEvent};
use libfuzzer_sys::fuzz_target;

const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

// Several bodies, with a byte between them that no JSON has.
fuzz_target!(|bodies: &[u8]| {
    let (mut person, mut denied) = (Person::default(), Revocations::default());
    for body in bodies.split(|byte| *byte == 0x1e) {
        let Ok(event) = WebhookEvent::parse(body) else { continue };
        let latest = NOW.plus(std::time::Duration::from_secs(300));
        assert!(event.happened(NOW) <= latest);
        if let Ok(denials) = event.denials(NOW, EventRules::default()) {
            denied = denied.with_all(&denials);
        }
        for change in event.changes(NOW, false).unwrap_or_default() {
            take(&mut person, &change);
            let described = person.profile().into_iter();
            assert!(described.clone().all(|profile| profile.updated_at <= latest));
            assert!(described.clone().all(|profile| profile.private_metadata.is_none()));
            assert!(person.memberships().all(|membership| membership.updated_at <= latest));
        }
    }
});

/// What was heard once is no news, and who is deleted stays so.
fn take(person: &mut Person, change: &Change) {
    let deleted = person.deleted().is_some();
    person.take(change);
    assert!(!person.take(change));
    assert!(!deleted || person.profile().is_none() && person.memberships().next().is_none());
}
