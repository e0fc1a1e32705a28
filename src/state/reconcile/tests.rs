use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

fn ago(secs: u64) -> Timestamp {
    NOW.minus(Duration::from_secs(secs))
}

/// Users who changed one second apart, the first one so long ago.
fn page(first: u64, count: u64) -> Vec<Timestamp> {
    (first..first + count).map(ago).collect()
}

fn begun(synced: Option<Timestamp>, reach: SyncScope) -> SyncCursor {
    let mut course = SyncCursor { synced, whole: Some(ago(3600)), ..SyncCursor::default() };
    course.begin(reach, NOW);
    course
}

fn read(course: &mut SyncCursor, page: &[Timestamp]) {
    course.read_users(page, page.len() as u64, NOW);
}

fn users_from(course: &SyncCursor) -> Option<u64> {
    match course.next() {
        Some((Step::Users { offset, .. }, _)) => Some(offset),
        _ => None,
    }
}

#[test]
fn missing_or_future_change_times_end_no_run() {
    let mut course = begun(None, SyncScope::Changes);
    let mut dates = page(0, USERS - 1);
    dates[0] = NOW.plus(LIFETIME);
    course.read_users(&dates, USERS, NOW);
    assert_eq!(users_from(&course), Some(90));
    course.read_users(&[], 0, NOW);
    assert_eq!((course.next(), course.synced()), (None, Some(NOW)));
}

#[test]
fn the_first_run_reads_all_pages_with_overlap() {
    let mut course = begun(None, SyncScope::Changes);
    let mut offsets = Vec::new();
    for _ in 0..9 {
        let Some(offset) = users_from(&course) else { break };
        offsets.push(offset);
        assert_eq!(course.synced(), None, "not before it is over");
        read(&mut course, &page(offset, USERS.min(250 - offset)));
    }
    assert_eq!(offsets, [0, 90, 180]);
    assert_eq!((course.next(), course.synced()), (None, Some(NOW)));
}

#[test]
fn a_later_run_overlaps_the_known_users() {
    let mut course = begun(Some(ago(1000)), SyncScope::Changes);
    read(&mut course, &page(0, USERS));
    read(&mut course, &page(1201, USERS));
    assert_eq!(users_from(&course), Some(180), "the margin is read too");
    read(&mut course, &page(1202, USERS));
    assert_eq!((course.next(), course.synced()), (None, Some(NOW)));
}

#[test]
fn a_run_resumes_within_an_idle_hour_and_a_day() {
    let mut course = begun(None, SyncScope::Whole);
    read(&mut course, &page(0, USERS));
    let text = serde_json::to_string(&course).expect("JSON");
    let mut course: SyncCursor = serde_json::from_str(&text).expect("the same");
    let left = course.clone();
    course.begin(SyncScope::Changes, NOW.plus(PAUSE));
    assert_eq!(users_from(&course), Some(90));
    assert!(course.walk.as_ref().is_some_and(|walk| walk.whole), "as whole as it began");
    let mut late = left.clone();
    late.begin(SyncScope::Changes, NOW.plus(PAUSE + Duration::from_secs(1)));
    assert_eq!(users_from(&late), Some(0));
    for (age, wanted) in [(LIFETIME, 90), (LIFETIME + Duration::from_secs(1), 0)] {
        let mut busy = left.clone();
        busy.walk.as_mut().expect("a walk").touched = NOW.plus(age);
        busy.begin(SyncScope::Changes, NOW.plus(age));
        assert_eq!(users_from(&busy), Some(wanted));
    }
}

#[test]
fn a_course_belongs_to_the_instance_that_claimed_it_first() {
    let mut course = SyncCursor::default();
    assert!(course.claim("https://one") && course.claim("https://one"));
    assert!(!course.claim("https://two"));
    let text = serde_json::to_string(&course).expect("JSON");
    let mut read: SyncCursor = serde_json::from_str(&text).expect("the same");
    assert!(!read.claim("https://two") && read.claim("https://one"));
}

#[test]
fn changes_during_a_run_are_left_to_the_next() {
    let mut course = begun(None, SyncScope::Changes);
    read(&mut course, &page(100, USERS));
    read(&mut course, &page(50, 3));
    assert_eq!((course.next(), course.synced()), (None, Some(ago(100))));
}

#[test]
fn an_application_without_users_is_in_step_at_once() {
    let mut course = begun(None, SyncScope::Changes);
    read(&mut course, &[]);
    assert_eq!((course.next(), course.synced()), (None, None));
    read(&mut course, &[]);
    assert_eq!(course.next(), None, "no walk is under way");
}

#[test]
fn a_full_run_reads_memberships_and_stored_users() {
    let mut course = begun(None, SyncScope::Whole);
    read(&mut course, &page(0, 3));
    assert_eq!(course.next(), Some((Step::Members { offset: 0 }, NOW)));
    course.read_members(MEMBERS, NOW);
    assert_eq!(course.next(), Some((Step::Members { offset: MEMBERS - OVERLAP }, NOW)));
    course.read_members(MEMBERS - 1, NOW);
    assert_eq!(course.next(), Some((Step::Kept { after: None }, NOW)));
    course.read_kept(Some("user_7".to_owned()), NOW);
    let after = Some("user_7".to_owned());
    assert_eq!(course.next(), Some((Step::Kept { after }, NOW)));
    assert_eq!(course.whole, Some(ago(3600)), "not before it is over");
    course.read_kept(None, NOW.plus(DAY));
    assert_eq!((course.next(), course.whole), (None, Some(NOW)));
}

#[test]
fn full_runs_follow_requests_and_each_day() {
    for (whole, reach, wanted) in [
        (None, SyncScope::Changes, true),
        (Some(NOW.minus(DAY)), SyncScope::Changes, true),
        (Some(ago(3600)), SyncScope::Changes, false),
        (Some(ago(3600)), SyncScope::Whole, true),
    ] {
        let mut course = SyncCursor { whole, ..SyncCursor::default() };
        course.begin(reach, NOW);
        read(&mut course, &[]);
        assert_eq!(course.next().is_some(), wanted, "{whole:?} {reach:?}");
    }
    let mut course = begun(None, SyncScope::Changes);
    course.begin(SyncScope::Whole, NOW);
    read(&mut course, &[]);
    assert!(course.next().is_some(), "a wish is heard during a walk too");
}

#[test]
fn other_instances_see_a_run_and_its_end() {
    let (minute, mut course) = (Duration::from_secs(60), begun(None, SyncScope::Changes));
    read(&mut course, &page(0, USERS));
    let soon = NOW.plus(Duration::from_secs(59));
    assert!(course.is_busy(soon, minute) && !course.is_busy(NOW.plus(minute), minute));
    assert!(!course.is_fresh(soon, minute), "it is under way");
    read(&mut course, &[]);
    assert!(course.is_fresh(soon, minute) && !course.is_fresh(NOW.plus(minute), minute));
    assert!(!course.is_busy(soon, minute));
}

#[test]
fn records_from_the_future_are_ignored() {
    let (ahead, minute) = (NOW.plus(DAY), Duration::from_secs(60));
    let mut course = begun(None, SyncScope::Whole);
    course.begin(SyncScope::Whole, ahead);
    course.read_users(&[ahead], USERS, ahead);
    assert!(!course.is_busy(NOW, minute), "nobody is at it tomorrow");
    course.begin(SyncScope::Whole, NOW);
    assert_eq!((users_from(&course), course.synced()), (Some(0), None));
    let mut course = SyncCursor {
        synced: Some(ahead),
        whole: Some(ahead),
        ended: Some(ahead),
        ..SyncCursor::default()
    };
    assert!(!course.is_fresh(NOW, minute));
    course.begin(SyncScope::Changes, NOW);
    read(&mut course, &page(0, 3));
    assert_eq!(course.synced(), Some(NOW));
    assert!(course.next().is_some(), "everything is read again");
}
