//! What is known of a user without asking Clerk: the profile, and the organisations.
//!
//! Clerk tells it in pieces, which come late, twice and out of order. A [`Person`] takes each
//! [`Change`] in, and is the same in the end whatever the order.

mod document;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use clerk_verify::clock::Timestamp;
use clerk_verify::id::{OrgId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::document::ProfileParseError;

/// A user, as Clerk described them last.
#[derive(Clone, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Profile {
    /// `user_…`.
    pub id: UserId,
    /// Since when they are as described here.
    pub updated_at: Timestamp,
    /// When this application heard last that they are so.
    #[serde(default)]
    pub heard_at: Option<Timestamp>,
    /// When they signed up.
    pub created_at: Option<Timestamp>,
    /// Their own name, where the application asks for one.
    pub username: Option<String>,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// Their picture's address.
    pub image_url: Option<String>,
    /// The primary e-mail address.
    pub email: Option<String>,
    /// The primary phone number.
    pub phone: Option<String>,
    /// As `en-GB`.
    pub locale: Option<String>,
    /// Their name in the application's own records.
    pub external_id: Option<String>,
    /// What the application wrote about them for all to read.
    pub public_metadata: Value,
    /// What they may write themselves. Do not trust it.
    pub unsafe_metadata: Value,
    /// What only the application may read. `None` unless it asked to keep it.
    pub private_metadata: Option<Value>,
    /// An administrator banned them.
    pub banned: bool,
    /// They may not sign in for now.
    pub locked: bool,
}

/// A user's place in an organisation.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Membership {
    /// `org_…`.
    pub organization: OrgId,
    /// Since when it is as described here.
    pub updated_at: Timestamp,
    /// When this application heard last that it is so.
    #[serde(default)]
    pub heard_at: Option<Timestamp>,
    /// The organisation's name.
    pub name: Option<String>,
    /// The organisation's short name, for addresses.
    pub slug: Option<String>,
    /// As `org:admin`.
    pub role: String,
    /// As `org:invoices:read`.
    pub permissions: Vec<String>,
}

impl Profile {
    /// A user of whom nothing more is known.
    #[must_use]
    pub fn new(id: UserId, updated_at: Timestamp) -> Self {
        Self {
            id,
            updated_at,
            heard_at: None,
            created_at: None,
            username: None,
            first_name: None,
            last_name: None,
            image_url: None,
            email: None,
            phone: None,
            locale: None,
            external_id: None,
            public_metadata: Value::Null,
            unsafe_metadata: Value::Null,
            private_metadata: None,
            banned: false,
            locked: false,
        }
    }
}

impl Membership {
    /// A place in an organisation of which nothing more is known.
    #[must_use]
    pub fn new(organization: OrgId, role: &str, updated_at: Timestamp) -> Self {
        let (role, permissions) = (role.to_owned(), Vec::new());
        let (heard_at, name, slug) = Default::default();
        Self { organization, updated_at, heard_at, name, slug, role, permissions }
    }
}

impl fmt::Debug for Profile {
    /// Without what is private.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut profile = f.debug_struct("Profile");
        profile.field("id", &self.id).field("updated_at", &self.updated_at);
        profile.finish_non_exhaustive()
    }
}

/// One thing that Clerk told of a user.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// They are like this.
    User(Box<Profile>),
    /// They exist no more, since then.
    UserDeleted(UserId, Timestamp),
    /// They belong to an organisation.
    Joined(UserId, Box<Membership>),
    /// They belong to it no more, since then.
    Left(UserId, OrgId, Timestamp),
}

impl Change {
    /// Whom it is about.
    #[must_use]
    pub fn user(&self) -> &UserId {
        match self {
            Self::User(profile) => &profile.id,
            Self::UserDeleted(id, _) | Self::Joined(id, _) | Self::Left(id, _, _) => id,
        }
    }
}

/// All that is known of one user.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Person {
    profile: Option<Profile>,
    deleted: Option<Timestamp>,
    #[serde(default)]
    places: BTreeMap<OrgId, Place>,
}

/// Where a user stands, or stood, in an organisation. That they left is kept, so that nothing older
/// brings them back.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    In(Membership),
    Left(Timestamp),
}

impl Person {
    /// The profile; `None` when Clerk never told it, or when the user is deleted.
    #[must_use]
    pub fn profile(&self) -> Option<&Profile> {
        self.profile.as_ref()
    }

    /// Since when the user is deleted.
    #[must_use]
    pub fn deleted(&self) -> Option<Timestamp> {
        self.deleted
    }

    /// True when something of them is so new that not all of Clerk's machines may know it yet.
    pub(crate) fn is_new(&self, now: Timestamp) -> bool {
        let profile =
            self.profile.as_ref().map(|profile| profile.created_at.max(Some(profile.updated_at)));
        profile.flatten().is_some_and(|at| is_new(at, now))
            || self.memberships().any(|place| is_new(place.updated_at, now))
    }

    /// The same without `private_metadata`.
    pub(crate) fn without_private(mut self) -> Self {
        if let Some(profile) = &mut self.profile {
            profile.private_metadata = None;
        }
        self
    }

    /// The organisations they belong to.
    pub fn memberships(&self) -> impl Iterator<Item = &Membership> {
        self.places.values().filter_map(|place| match place {
            Place::In(membership) => Some(membership),
            Place::Left(_) => None,
        })
    }

    /// Takes in what Clerk told. True when it was news.
    ///
    /// Of two descriptions the later one counts, of two that are equally old the one heard later, then the
    /// one that came first. Who is deleted stays so: Clerk never gives an id twice.
    pub fn take(&mut self, change: &Change) -> bool {
        match change {
            Change::UserDeleted(_, at) => self.delete(*at),
            _ if self.deleted.is_some() => false,
            Change::User(profile) => self.describe(profile),
            Change::Joined(_, membership) => {
                let place = Place::In(Membership::clone(membership));
                self.stand(&membership.organization, place)
            }
            Change::Left(_, organization, at) => self.stand(organization, Place::Left(*at)),
        }
    }

    fn delete(&mut self, at: Timestamp) -> bool {
        let known = self.deleted.is_some_and(|earlier| earlier <= at);
        if !known {
            *self = Self { deleted: Some(at), ..Self::default() };
        }
        !known
    }

    fn describe(&mut self, profile: &Profile) -> bool {
        let rank = |profile: &Profile| (profile.updated_at, profile.heard_at);
        let known = self.profile.as_ref().is_some_and(|now| rank(now) >= rank(profile));
        if !known {
            self.profile = Some(profile.clone());
        }
        !known
    }

    /// Who left at the very instant of a description has left.
    fn stand(&mut self, organization: &OrgId, place: Place) -> bool {
        let rank = |place: &Place| (place.since(), matches!(place, Place::Left(_)), place.heard());
        let present = self.places.get(organization);
        let known = present.is_some_and(|present| rank(present) >= rank(&place));
        if !known {
            self.places.insert(organization.clone(), place);
        }
        !known
    }
}

/// What changed within so short a time is not known to all of Clerk's machines.
const NEW: Duration = Duration::from_secs(10 * 60);

pub(crate) fn is_new(at: Timestamp, now: Timestamp) -> bool {
    at.plus(NEW) > now
}

impl Place {
    fn since(&self) -> Timestamp {
        match self {
            Self::In(membership) => membership.updated_at,
            Self::Left(at) => *at,
        }
    }

    fn heard(&self) -> Option<Timestamp> {
        match self {
            Self::In(membership) => membership.heard_at,
            Self::Left(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(name: &str, at: i64) -> Change {
        let mut profile = Profile::new(UserId::from("user_1"), Timestamp::from_secs(at));
        profile.first_name = Some(name.to_owned());
        Change::User(Box::new(profile))
    }

    fn joined(role: &str, at: i64) -> Change {
        let organization = OrgId::from("org_1");
        let membership = Membership::new(organization, role, Timestamp::from_secs(at));
        Change::Joined(UserId::from("user_1"), Box::new(membership))
    }

    fn left(at: i64) -> Change {
        Change::Left(UserId::from("user_1"), OrgId::from("org_1"), Timestamp::from_secs(at))
    }

    fn deleted(at: i64) -> Change {
        Change::UserDeleted(UserId::from("user_1"), Timestamp::from_secs(at))
    }

    fn after(changes: &[Change]) -> Person {
        let mut person = Person::default();
        for change in changes {
            person.take(change);
        }
        person
    }

    fn orders(changes: &[Change]) -> Vec<Vec<Change>> {
        let Some((first, rest)) = changes.split_first() else { return vec![Vec::new()] };
        let places = 0..=rest.len();
        let insert = |order: Vec<Change>, at: usize| {
            let mut order = order;
            order.insert(at, first.clone());
            order
        };
        orders(rest)
            .into_iter()
            .flat_map(|order| places.clone().map(move |at| insert(order.clone(), at)))
            .collect()
    }

    #[test]
    fn in_whatever_order_things_are_told_the_person_is_the_same() {
        let told = [described("Ada", 1), described("Adaeze", 2), joined("org:admin", 3), left(4)];
        let wanted = after(&told);
        assert_eq!(wanted.profile().and_then(|now| now.first_name.as_deref()), Some("Adaeze"));
        assert_eq!(wanted.memberships().count(), 0);
        for order in orders(&told) {
            assert_eq!(after(&order), wanted, "{order:?}");
            assert_eq!(after(&[order.clone(), order].concat()), wanted, "twice");
        }
    }

    #[test]
    fn who_leaves_and_joins_again_belongs_to_it() {
        for order in orders(&[joined("org:admin", 1), left(2), joined("org:member", 3)]) {
            let roles: Vec<_> =
                after(&order).memberships().map(|place| place.role.clone()).collect();
            assert_eq!(roles, ["org:member"], "{order:?}");
        }
        assert_eq!(after(&[left(2), joined("org:admin", 2)]).memberships().count(), 0);
        assert_eq!(after(&[joined("org:admin", 2), left(2)]).memberships().count(), 0);
    }

    #[test]
    fn nothing_brings_a_deleted_user_back_and_nothing_is_kept_of_them() {
        let told = [described("Ada", 1), joined("org:admin", 3), deleted(2), described("Ada", 9)];
        for order in orders(&told) {
            let person = after(&order);
            assert_eq!(person, Person { deleted: person.deleted, ..Person::default() });
            assert_eq!(person.deleted(), Some(Timestamp::from_secs(2)));
        }
    }

    #[test]
    fn hearing_the_same_again_makes_it_fresher_and_nothing_older_new() {
        let heard = |name: &str, at, heard| match described(name, at) {
            Change::User(mut profile) => {
                profile.heard_at = Some(Timestamp::from_secs(heard));
                Change::User(profile)
            }
            other => other,
        };
        for order in orders(&[heard("Ada", 2, 5), heard("Ada", 2, 8), heard("Old", 1, 9)]) {
            let person = after(&order);
            let profile = person.profile().expect("described");
            assert_eq!(profile.first_name.as_deref(), Some("Ada"), "{order:?}");
            assert_eq!(profile.heard_at, Some(Timestamp::from_secs(8)), "{order:?}");
        }
    }

    #[test]
    fn a_person_says_whether_something_was_news() {
        let mut person = Person::default();
        let told = [described("Ada", 2), described("Ada", 2), described("Old", 1), deleted(3)];
        let news = told.map(|change| person.take(&change));
        assert_eq!(news, [true, false, false, true]);
        assert!(!person.take(&deleted(3)), "it is known");
    }

    #[test]
    fn a_person_outlives_writing_and_reading() {
        let person = after(&[described("Ada", 1), joined("org:admin", 3)]);
        let text = serde_json::to_string(&person).expect("it is JSON");
        assert_eq!(serde_json::from_str::<Person>(&text).expect("the same"), person);
    }
}
