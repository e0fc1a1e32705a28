//! What every engine does. An engine is tested by being named at the end.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use clerk_resilience::clock::Timestamp;
use clerk_resilience::id::{KeyId, TokenId, UserId};
use clerk_resilience::internals::revocation::Denial;
use clerk_resilience::profile::{Change, Person, Profile};
use clerk_resilience::store::{
    Accepted, FollowUp, InboxEvent, Store, StoredSighting, Task, TaskOutcome,
};

use crate::{DAY, at, entry, hooks, joined, named, session, sighted, user};

const LEASE: Duration = Duration::from_secs(30);
const FOR_GOOD: Timestamp = Timestamp::from_millis(i64::MAX);

fn denials(store: &dyn Store) -> HashSet<Denial> {
    store.denials().expect("readable").into_iter().collect()
}

async fn person(store: &dyn Store, id: &str) -> Option<Person> {
    store.user(&UserId::from(id)).await.expect("answered")
}

async fn accept(store: &dyn Store, entry: InboxEvent) -> Accepted {
    store.accept(entry).await.expect("accepted")
}

async fn claim(store: &dyn Store, secs: i64) -> Option<(String, u32)> {
    let task = store.claim(at(secs), LEASE).await.expect("claimed");
    task.map(|task| (task.id, task.attempts))
}

/// Settles the last claim of a task, as its worker does.
async fn settle(store: &dyn Store, id: &str, claim: u64, outcome: TaskOutcome) -> bool {
    store.settle(id, claim, outcome).await.expect("answered")
}

/// Claims the task that is due.
async fn work(store: &dyn Store, secs: i64) -> Task {
    store.claim(at(secs), LEASE).await.expect("claimed").expect("a task")
}

#[expect(clippy::unnecessary_wraps, reason = "to be compared with what was claimed")]
fn taken(id: &str, attempts: u32) -> Option<(String, u32)> {
    Some((id.to_owned(), attempts))
}

async fn a_second_delivery_changes_nothing(store: Arc<dyn Store>) {
    let first = InboxEvent { denials: vec![session("sess_1", 60)], ..entry("msg_1", hooks("1")) };
    let again = InboxEvent { denials: vec![session("sess_2", 60)], ..entry("msg_1", hooks("2")) };
    assert_eq!(accept(&*store, first).await, Accepted::New);
    assert_eq!(accept(&*store, again).await, Accepted::Duplicate);
    assert_eq!(denials(&*store), HashSet::from([session("sess_1", 60)]));
    let task = store.claim(at(0), LEASE).await.expect("claimed").expect("a task");
    assert_eq!((task.data.as_str(), task.kind.as_str()), ("1", "session.revoked"));
    assert_eq!(task.happened, at(-1));
    assert_eq!(claim(&*store, 0).await, None);
}

async fn the_later_of_two_denials_counts_in_any_order(store: Arc<dyn Store>) {
    for (id, until) in [("msg_1", 60), ("msg_2", 90), ("msg_3", 30)] {
        let denials = vec![session("sess_1", until), user("user_1", until)];
        accept(&*store, InboxEvent { denials, ..entry(id, FollowUp::Nothing) }).await;
    }
    assert_eq!(denials(&*store), HashSet::from([session("sess_1", 90), user("user_1", 90)]));
}

async fn every_kind_of_denial_is_stored_unchanged(store: Arc<dyn Store>) {
    let (user, org) = (|| "user_1".into(), || "org_1".into());
    let denials_of_all_kinds = vec![
        session("sess_1", 60),
        self::user("user_1", 60),
        Denial::Member(user(), org(), at(60)),
        Denial::Organization(org(), at(60)),
        Denial::Outdated(user(), org(), at(60)),
        Denial::Role(Some("admin".to_owned()), at(60)),
        Denial::Role(None, at(70)),
        Denial::Permission(Some("invoices:read".to_owned()), at(60)),
        Denial::Permission(None, at(70)),
    ];
    let expected: HashSet<_> = denials_of_all_kinds.iter().cloned().collect();
    let entry = InboxEvent { denials: denials_of_all_kinds, ..entry("msg_1", FollowUp::Nothing) };
    accept(&*store, entry).await;
    assert_eq!(denials(&*store), expected);
}

async fn expired_ends_of_grace_are_deleted(store: Arc<dyn Store>) {
    let lasting = Denial::Member("user_1".into(), "org_1".into(), at(0));
    let brief =
        [Denial::Outdated("user_1".into(), "org_1".into(), at(0)), Denial::Role(None, at(0))];
    let all: Vec<_> = brief.into_iter().chain([lasting.clone()]).collect();
    accept(&*store, InboxEvent { denials: all, ..entry("msg_1", FollowUp::Nothing) }).await;
    store.prune(at(0).plus(2 * DAY)).await.expect("pruned");
    assert_eq!(denials(&*store).len(), 3);
    store.prune(at(1).plus(2 * DAY)).await.expect("pruned");
    assert_eq!(denials(&*store), HashSet::from([lasting]));
}

async fn one_of_many_concurrent_deliveries_is_new(store: Arc<dyn Store>) {
    let deliveries = (0..16).map(|_| store.accept(entry("msg_1", hooks("1"))));
    let outcomes = futures_util::future::join_all(deliveries).await;
    let new = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Accepted::New)));
    assert_eq!(new.count(), 1);
    assert_eq!(claim(&*store, 0).await, taken("msg_1", 1));
    assert_eq!(claim(&*store, 0).await, None);
}

async fn a_task_of_a_dead_worker_is_due_again_after_its_lease(store: Arc<dyn Store>) {
    accept(&*store, entry("msg_1", hooks("1"))).await;
    assert_eq!(claim(&*store, 0).await, taken("msg_1", 1));
    assert_eq!(claim(&*store, 29).await, None);
    assert_eq!(claim(&*store, 30).await, taken("msg_1", 2));
}

async fn a_finished_task_is_never_due_again(store: Arc<dyn Store>) {
    accept(&*store, entry("msg_1", hooks("1"))).await;
    let task = work(&*store, 0).await;
    assert!(settle(&*store, "msg_1", task.claim, TaskOutcome::Done).await);
    let late = TaskOutcome::Retry { at: at(0), why: "late".to_owned() };
    assert!(!settle(&*store, "msg_1", task.claim, late).await);
    assert_eq!(claim(&*store, 1_000_000).await, None);
    assert_eq!(accept(&*store, entry("msg_1", hooks("1"))).await, Accepted::Duplicate);
}

fn outcomes() -> [TaskOutcome; 3] {
    let why = || "late".to_owned();
    [
        TaskOutcome::Done,
        TaskOutcome::Retry { at: at(0), why: why() },
        TaskOutcome::Dead { why: why() },
    ]
}

async fn an_expired_claim_settles_no_newer_claim(store: Arc<dyn Store>) {
    accept(&*store, entry("msg_1", hooks("1"))).await;
    let late = work(&*store, 0).await;
    let present = work(&*store, 30).await;
    assert!(present.claim > late.claim);
    for outcome in outcomes() {
        assert!(!settle(&*store, "msg_1", late.claim, outcome).await);
        assert_eq!(claim(&*store, 59).await, None, "it is still claimed");
    }
    assert!(store.dead_letters().await.expect("readable").is_empty());
    assert!(settle(&*store, "msg_1", present.claim, TaskOutcome::Done).await);
    assert_eq!(claim(&*store, 1_000).await, None);
}

async fn a_claim_settles_an_unclaimed_task_after_its_lease(store: Arc<dyn Store>) {
    accept(&*store, entry("msg_1", hooks("1"))).await;
    let task = work(&*store, 0).await;
    assert!(settle(&*store, "msg_1", task.claim, TaskOutcome::Done).await);
    assert_eq!(claim(&*store, 1_000).await, None);
}

async fn a_claim_settles_once_and_never_a_requeued_task(store: Arc<dyn Store>) {
    accept(&*store, entry("msg_1", hooks("1"))).await;
    let first = work(&*store, 0).await;
    let again = TaskOutcome::Retry { at: at(0), why: "later".to_owned() };
    assert!(settle(&*store, "msg_1", first.claim, again).await);
    assert!(
        !settle(&*store, "msg_1", first.claim, TaskOutcome::Done).await,
        "before the next claim"
    );
    let second = work(&*store, 0).await;
    let dead = TaskOutcome::Dead { why: "never".to_owned() };
    assert!(settle(&*store, "msg_1", second.claim, dead).await);
    assert!(store.requeue("msg_1", at(0)).await.expect("answered"));
    for claim in [first.claim, second.claim] {
        assert!(!settle(&*store, "msg_1", claim, TaskOutcome::Done).await);
    }
    let third = work(&*store, 0).await;
    assert_eq!(third.attempts, 1);
    for claim in [first.claim, second.claim] {
        assert!(!settle(&*store, "msg_1", claim, TaskOutcome::Done).await);
    }
    assert!(settle(&*store, "msg_1", third.claim, TaskOutcome::Done).await);
}

async fn the_oldest_task_comes_first(store: Arc<dyn Store>) {
    for (id, secs) in [("msg_2", 2), ("msg_1", 1), ("msg_3", 3)] {
        accept(&*store, InboxEvent { received: at(secs), ..entry(id, hooks("1")) }).await;
    }
    for (id, secs) in [("msg_1", 1), ("msg_2", 3), ("msg_3", 3)] {
        assert_eq!(claim(&*store, secs).await, taken(id, 1));
    }
}

async fn a_failed_task_is_retried_then_dead_until_requeued(store: Arc<dyn Store>) {
    accept(&*store, entry("msg_1", hooks("1"))).await;
    let first = work(&*store, 0).await;
    let again = TaskOutcome::Retry { at: at(5), why: "not yet".to_owned() };
    assert!(settle(&*store, "msg_1", first.claim, again).await);
    assert_eq!(claim(&*store, 4).await, None);
    let second = work(&*store, 5).await;
    assert_eq!(second.attempts, 2);
    let dead = TaskOutcome::Dead { why: "never".to_owned() };
    assert!(settle(&*store, "msg_1", second.claim, dead).await);
    assert_eq!(claim(&*store, 1_000).await, None);
    let letters = store.dead_letters().await.expect("readable");
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!((letter.id.as_str(), letter.why.as_str(), letter.attempts), ("msg_1", "never", 2));
    assert!(!store.requeue("msg_2", at(6)).await.expect("answered"));
    assert!(store.requeue("msg_1", at(6)).await.expect("answered"));
    assert!(!store.requeue("msg_1", at(6)).await.expect("answered"), "it is no longer dead");
    assert!(store.dead_letters().await.expect("readable").is_empty());
    assert_eq!(claim(&*store, 6).await, taken("msg_1", 1));
}

async fn a_malformed_event_that_is_later_valid_is_new(store: Arc<dyn Store>) {
    let nonsense = || entry("msg_1", FollowUp::Malformed("a new kind".to_owned()));
    assert_eq!(accept(&*store, nonsense()).await, Accepted::New);
    assert_eq!(accept(&*store, nonsense()).await, Accepted::Duplicate);
    let sense =
        || InboxEvent { denials: vec![session("sess_1", 9)], ..entry("msg_1", hooks("{}")) };
    assert_eq!(accept(&*store, sense()).await, Accepted::New);
    assert_eq!(store.denials().expect("readable"), [session("sess_1", 9)]);
    assert!(store.dead_letters().await.expect("answered").is_empty());
    let again = InboxEvent { denials: vec![session("sess_2", 9)], ..sense() };
    assert_eq!(accept(&*store, again).await, Accepted::Duplicate);
    assert_eq!(accept(&*store, nonsense()).await, Accepted::Duplicate);
    assert_eq!(store.denials().expect("readable").len(), 1);
    let task = store.claim(at(9), LEASE).await.expect("answered").expect("a task");
    assert_eq!((task.id.as_str(), task.attempts), ("msg_1", 1));
    let why = "the hook fails".to_owned();
    assert!(settle(&*store, "msg_1", task.claim, TaskOutcome::Dead { why }).await);
    assert_eq!(
        accept(&*store, sense()).await,
        Accepted::Duplicate,
        "its hook failed, and it was known"
    );
}

async fn a_malformed_event_is_a_dead_letter_without_a_retry(store: Arc<dyn Store>) {
    let nonsense = FollowUp::Malformed("not JSON".to_owned());
    assert_eq!(accept(&*store, entry("msg_1", nonsense)).await, Accepted::New);
    let letters = store.dead_letters().await.expect("readable");
    assert_eq!((letters.len(), letters[0].why.as_str()), (1, "not JSON"));
    assert!(!store.requeue("msg_1", at(0)).await.expect("answered"));
    assert_eq!(claim(&*store, 0).await, None);
}

async fn dead_letters_are_listed_newest_first(store: Arc<dyn Store>) {
    for (id, secs) in [("msg_1", 1), ("msg_3", 3), ("msg_2", 2)] {
        let nonsense = FollowUp::Malformed("not JSON".to_owned());
        accept(&*store, InboxEvent { received: at(secs), ..entry(id, nonsense) }).await;
    }
    let letters = store.dead_letters().await.expect("readable");
    let ids: Vec<_> = letters.iter().map(|letter| letter.id.as_str()).collect();
    assert_eq!(ids, ["msg_3", "msg_2", "msg_1"]);
}

async fn old_events_are_deleted_and_waiting_tasks_are_not(store: Arc<dyn Store>) {
    let denials = vec![session("sess_1", 60), user("user_1", 60)];
    accept(&*store, InboxEvent { denials, ..entry("done", FollowUp::Nothing) }).await;
    accept(&*store, entry("waiting", hooks("1"))).await;
    accept(&*store, entry("dead", FollowUp::Malformed("not JSON".to_owned()))).await;
    let week = at(0).plus(7 * DAY);
    store.prune(week).await.expect("pruned");
    assert_eq!(self::denials(&*store), HashSet::from([user("user_1", 60)]));
    assert_eq!(accept(&*store, entry("done", FollowUp::Nothing)).await, Accepted::Duplicate);
    store.prune(week.plus(DAY)).await.expect("pruned");
    assert_eq!(store.dead_letters().await.expect("readable").len(), 1);
    assert_eq!(accept(&*store, entry("done", FollowUp::Nothing)).await, Accepted::New);
    store.prune(week.plus(30 * DAY)).await.expect("pruned");
    assert!(store.dead_letters().await.expect("readable").is_empty());
    assert_eq!(claim(&*store, 0).await, taken("waiting", 1));
}

async fn a_shuffled_flood_loses_and_repeats_no_event(store: Arc<dyn Store>) {
    let mut deliveries: Vec<usize> = (0..300).flat_map(|n| [n, n, n]).collect();
    fastrand::Rng::with_seed(7).shuffle(&mut deliveries);
    let (mut new, mut worked) = (0, HashSet::new());
    for n in deliveries {
        let denials = vec![session(&format!("sess_{n}"), 60)];
        let accepted =
            accept(&*store, InboxEvent { denials, ..entry(&n.to_string(), hooks("1")) }).await;
        new += usize::from(accepted == Accepted::New);
        if n % 3 == 0
            && let Some(task) = store.claim(at(0), LEASE).await.expect("claimed")
        {
            assert!(worked.insert(task.id.clone()), "{} came twice", task.id);
            assert!(settle(&*store, &task.id, task.claim, TaskOutcome::Done).await);
        }
    }
    while let Some(task) = store.claim(at(0), LEASE).await.expect("claimed") {
        assert!(worked.insert(task.id.clone()), "{} came twice", task.id);
        assert!(settle(&*store, &task.id, task.claim, TaskOutcome::Done).await);
    }
    assert_eq!((new, worked.len(), denials(&*store).len()), (300, 300, 300));
}

async fn an_event_changes_its_user_once(store: Arc<dyn Store>) {
    let event = |id: &str, changes| InboxEvent { changes, ..entry(id, FollowUp::Nothing) };
    accept(&*store, event("msg_1", vec![named("Ada", 1), joined("org:member", 1)])).await;
    accept(&*store, event("msg_1", vec![named("Eve", 9)])).await;
    accept(&*store, event("msg_2", vec![named("Too late", 0), joined("org:admin", 2)])).await;
    let person = person(&*store, "user_1").await.expect("known");
    assert_eq!(person.profile().and_then(|known| known.first_name.as_deref()), Some("Ada"));
    let roles: Vec<_> = person.memberships().map(|place| place.role.as_str()).collect();
    assert_eq!(roles, ["org:admin"]);
    assert_eq!(self::person(&*store, "user_2").await, None);
}

async fn changes_merge_and_a_deleted_user_stays_deleted(store: Arc<dyn Store>) {
    let gone = Change::UserDeleted(UserId::from("user_1"), at(2));
    store.merge(vec![named("Ada", 1), named("Adaeze", 2)]).await.expect("merged");
    let person = person(&*store, "user_1").await.expect("known");
    assert_eq!(person.profile().and_then(|known| known.first_name.as_deref()), Some("Adaeze"));
    store.merge(vec![gone, named("Ada", 3)]).await.expect("merged");
    let person = self::person(&*store, "user_1").await.expect("known");
    assert_eq!((person.profile(), person.deleted()), (None, Some(at(2))));
}

async fn a_denial_without_an_event_is_stored(store: Arc<dyn Store>) {
    store.deny(vec![session("sess_1", 60), session("sess_1", 30)]).await.expect("kept");
    store.deny(vec![user("user_1", 60)]).await.expect("kept");
    assert_eq!(denials(&*store), HashSet::from([session("sess_1", 60), user("user_1", 60)]));
}

async fn denials_expire_except_those_of_users(store: Arc<dyn Store>) {
    let ending = [
        session("sess_1", 60),
        Denial::Token(TokenId::from("tok_1"), at(60)),
        Denial::Key(KeyId::from("ins_1"), at(60)),
    ];
    let lasting = [user("user_1", 60), Denial::User(UserId::from("user_2"), FOR_GOOD)];
    let all = ending.into_iter().chain(lasting.clone()).collect::<Vec<_>>();
    store.deny(all.clone()).await.expect("kept");
    assert_eq!(denials(&*store), HashSet::from_iter(all.clone()));
    store.prune(at(60)).await.expect("pruned");
    assert_eq!(denials(&*store), HashSet::from_iter(all));
    store.prune(at(61)).await.expect("pruned");
    assert_eq!(denials(&*store), HashSet::from(lasting));
}

async fn a_document_replaces_the_previous_one(store: Arc<dyn Store>) {
    assert!(store.documents().expect("readable").is_empty());
    for (name, data) in [("keys", "1"), ("outages", "2"), ("keys", "3")] {
        store.put_document(name, data.as_bytes().to_vec()).await.expect("kept");
    }
    let mut records = store.documents().expect("readable");
    records.sort();
    let wanted = [("keys", "3"), ("outages", "2")];
    assert_eq!(records, wanted.map(|(name, data)| (name.to_owned(), data.as_bytes().to_vec())));
}

fn sightings(store: &dyn Store) -> Vec<StoredSighting> {
    let mut sightings = store.sightings().expect("readable").sighted;
    sightings.sort_by(|a, b| a.session.cmp(&b.session));
    sightings
}

async fn the_sighting_with_newer_claims_counts_then_the_later(store: Arc<dyn Store>) {
    assert!(sightings(&*store).is_empty());
    let forth = [sighted("a", 1, 5), sighted("a", 2, 4), sighted("b", 1, 5), sighted("b", 1, 6)];
    let back = forth.iter().rev().cloned().map(|mut sighted| {
        sighted.session.push('2');
        sighted
    });
    store.record_sightings(forth.iter().cloned().chain(back).collect()).await.expect("noted");
    let wanted = [("a", 2, 4), ("a2", 2, 4), ("b", 1, 6), ("b2", 1, 6)];
    let wanted = wanted.map(|(session, claims, seen)| sighted(session, claims, seen));
    assert_eq!(sightings(&*store), wanted);
}

async fn sightings_older_than_a_day_are_deleted(store: Arc<dyn Store>) {
    store.record_sightings(vec![sighted("a", 0, 0), sighted("b", -9, 1)]).await.expect("noted");
    store.prune(at(0).plus(DAY)).await.expect("pruned");
    assert_eq!(sightings(&*store).len(), 2);
    store.prune(at(1).plus(DAY)).await.expect("pruned");
    assert_eq!(sightings(&*store), [sighted("b", -9, 1)]);
}

async fn the_oldest_sightings_beyond_the_capacity_are_deleted(store: Arc<dyn Store>) {
    for n in 0..26 {
        let some = (n * 10_000..).take(10_000);
        let some = some.map(|n| sighted(&format!("{n:06}"), 0, n));
        store.record_sightings(some.collect()).await.expect("noted");
    }
    store.prune(at(0)).await.expect("pruned");
    let left = sightings(&*store);
    assert_eq!((left.len(), left[0].session.as_str()), (250_000, "010000"));
}

async fn a_document_is_read_by_name_in_its_latest_form(store: Arc<dyn Store>) {
    assert_eq!(store.record("course").await.expect("answered"), None);
    for text in ["1", "2"] {
        store.put_document("course", text.as_bytes().to_vec()).await.expect("kept");
        store.put_document("other", b"3".to_vec()).await.expect("kept");
        let found = store.record("course").await.expect("answered");
        assert_eq!(found.as_deref(), Some(text.as_bytes()));
    }
}

async fn all_users_are_paged_during_concurrent_changes(store: Arc<dyn Store>) {
    let describe = |n: u32| {
        let mut profile = Profile::new(UserId::new(format!("user_{n:04}")), at(0));
        profile.first_name = Some("Ada".to_owned());
        Change::User(Box::new(profile))
    };
    store.merge((0..1500).map(describe).collect()).await.expect("merged");
    store.put_document("no-user", b"1".to_vec()).await.expect("kept");
    let (mut met, mut after, mut pages) = (HashSet::new(), None, 0);
    for n in 2000..2100 {
        let roll = store.users(after).await.expect("answered");
        for (id, person) in roll.people {
            assert_eq!(person.profile().map(|profile| &profile.id), Some(&id));
            met.insert(id.as_str().to_owned());
        }
        pages += 1;
        store.merge(vec![describe(n)]).await.expect("merged");
        after = roll.next;
        if after.is_none() {
            break;
        }
    }
    assert!(after.is_none() && pages > 3, "{pages} pages");
    let missing = (0..1500).filter(|n| !met.contains(&format!("user_{n:04}"))).count();
    assert_eq!(missing, 0);
}

async fn no_output_shows_event_data(store: Arc<dyn Store>) {
    let entry = entry("msg_1", hooks("481516"));
    assert!(!format!("{entry:?}").contains("481516"));
    accept(&*store, entry).await;
    let task = store.claim(at(0), LEASE).await.expect("claimed").expect("a task");
    assert!(!format!("{task:?} {store:?}").contains("481516"));
}

macro_rules! contract {
    ($engine:ident, $open:expr, [$($promise:ident),* $(,)?]) => {
        mod $engine {
            $(#[tokio::test]
            async fn $promise() {
                let (_kept, store) = $open;
                super::$promise(std::sync::Arc::new(store)).await;
            })*
        }
    };
}

macro_rules! engines {
    ($($(#[$condition:meta])* $engine:ident => $open:expr;)*) => {$(
        $(#[$condition])*
        contract!($engine, $open, [
            a_second_delivery_changes_nothing,
            the_later_of_two_denials_counts_in_any_order,
            every_kind_of_denial_is_stored_unchanged,
            expired_ends_of_grace_are_deleted,
            one_of_many_concurrent_deliveries_is_new,
            a_task_of_a_dead_worker_is_due_again_after_its_lease,
            a_finished_task_is_never_due_again,
            an_expired_claim_settles_no_newer_claim,
            a_claim_settles_an_unclaimed_task_after_its_lease,
            a_claim_settles_once_and_never_a_requeued_task,
            the_oldest_task_comes_first,
            a_failed_task_is_retried_then_dead_until_requeued,
            a_malformed_event_that_is_later_valid_is_new,
            a_malformed_event_is_a_dead_letter_without_a_retry,
            dead_letters_are_listed_newest_first,
            old_events_are_deleted_and_waiting_tasks_are_not,
            a_shuffled_flood_loses_and_repeats_no_event,
            an_event_changes_its_user_once,
            changes_merge_and_a_deleted_user_stays_deleted,
            a_denial_without_an_event_is_stored,
            denials_expire_except_those_of_users,
            a_document_replaces_the_previous_one,
            the_sighting_with_newer_claims_counts_then_the_later,
            sightings_older_than_a_day_are_deleted,
            the_oldest_sightings_beyond_the_capacity_are_deleted,
            a_document_is_read_by_name_in_its_latest_form,
            all_users_are_paged_during_concurrent_changes,
            no_output_shows_event_data,
        ]);
    )*};
}

engines! {
    memory => ((), clerk_resilience::store::MemoryStore::new());
    #[cfg(feature = "redis")]
    redis => crate::redis::new().await;
    #[cfg(feature = "sqlite")]
    sqlite => crate::sqlite::new();
}
