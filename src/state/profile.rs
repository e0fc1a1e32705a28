//! A user's profile and organizations, as known without a request to Clerk.
//!
//! [`Profiles`](crate::Profiles) returns profiles; webhooks, reconciliation and look-ups fill them.
//!
//! Clerk reports changes in parts, which can arrive late, twice and out of order. A [`Person`]
//! merges each [`Change`], and the final result does not depend on the order.

mod document;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use clerk_verify::clock::Timestamp;
use clerk_verify::id::{OrgId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::document::ProfileParseError;

/// A user, as Clerk last described the user. `Debug` prints the id and the time only, because the
/// rest is personal data.
///
/// # Examples
///
/// ```
/// use clerk_resilience::profile::Profile;
///
/// let json = serde_json::json!({
///     "id": "user_1",
///     "first_name": "Ada",
///     "updated_at": 1_780_000_000_000_i64, // milliseconds
///     "primary_email_address_id": "idn_1",
///     "email_addresses": [{ "id": "idn_1", "email_address": "ada@example.com" }],
/// });
/// let profile = Profile::of(&json, false)?;
/// assert_eq!(profile.first_name.as_deref(), Some("Ada"));
/// assert_eq!(profile.email.as_deref(), Some("ada@example.com"));
/// # Ok::<(), clerk_resilience::profile::ProfileParseError>(())
/// ```
#[derive(Clone, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Profile {
    /// The ID, `user_…`.
    pub id: UserId,
    /// When the user last changed at Clerk. At most 300 s after [`heard_at`](Self::heard_at), if
    /// that is set.
    pub updated_at: Timestamp,
    /// When this application last received the description, from a webhook or a response of Clerk.
    /// Compare it with the present to show how old the data may be.
    #[serde(default)]
    pub heard_at: Option<Timestamp>,
    /// When the user signed up.
    pub created_at: Option<Timestamp>,
    /// The username, if the application uses usernames.
    pub username: Option<String>,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// The URL of the user's picture.
    pub image_url: Option<String>,
    /// The primary email address. Clerk's document also says whether it is verified; this field
    /// does not.
    pub email: Option<String>,
    /// The primary phone number.
    pub phone: Option<String>,
    /// The locale, such as `en-GB`.
    pub locale: Option<String>,
    /// The user's ID in the application's own records, as the application set it at Clerk. Useful
    /// after an import of users from another system.
    pub external_id: Option<String>,
    /// Metadata that only the application's backend can write. Its frontend can read it.
    pub public_metadata: Value,
    /// Metadata that the user can write. Do not trust it: decide nothing by it, and escape it for
    /// HTML.
    pub unsafe_metadata: Value,
    /// Metadata that only the application's backend can read. `None` unless the application enabled
    /// its storage.
    pub private_metadata: Option<Value>,
    /// An administrator banned the user. The webhook also revokes the user's tokens.
    pub banned: bool,
    /// The user is temporarily unable to sign in, for example after too many wrong passwords.
    /// Existing sessions continue, unless
    /// [`Builder::revoke_when_locked`](crate::Builder::revoke_when_locked) is set.
    pub locked: bool,
}

/// A user's membership of an organization. Name, slug and permissions are those of the last
/// description; an `organization.updated` event alone does not change them.
///
/// ```
/// use clerk_resilience::profile::Membership;
///
/// let json = serde_json::json!({
///     "role": "org:admin",
///     "permissions": ["org:invoices:read"],
///     "updated_at": 1_780_000_000_000_i64,
///     "organization": { "id": "org_1", "name": "Example", "slug": "example" },
///     "public_user_data": { "user_id": "user_1" },
/// });
/// let (user, membership) = Membership::of(&json)?;
/// assert_eq!((user.as_str(), membership.role.as_str()), ("user_1", "org:admin"));
/// # Ok::<(), clerk_resilience::profile::ProfileParseError>(())
/// ```
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Membership {
    /// The ID of the organization, `org_…`.
    pub organization: OrgId,
    /// When the membership last changed at Clerk. At most 300 s after [`heard_at`](Self::heard_at),
    /// if that is set.
    pub updated_at: Timestamp,
    /// When this application last received the description.
    #[serde(default)]
    pub heard_at: Option<Timestamp>,
    /// The name of the organization.
    pub name: Option<String>,
    /// The slug of the organization, for URLs.
    pub slug: Option<String>,
    /// The role, such as `org:admin`. For access decisions use
    /// [`Auth::has_role`](crate::Auth::has_role): the token's role is what Clerk signed.
    pub role: String,
    /// The permissions, such as `org:invoices:read`.
    pub permissions: Vec<String>,
}

impl Profile {
    /// A profile with an ID and a time only. Every other field is empty.
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
    /// A membership with an organization, a role and a time only. Every other field is empty.
    #[must_use]
    pub fn new(organization: OrgId, role: &str, updated_at: Timestamp) -> Self {
        let (role, permissions) = (role.to_owned(), Vec::new());
        let (heard_at, name, slug) = Default::default();
        Self { organization, updated_at, heard_at, name, slug, role, permissions }
    }
}

impl fmt::Debug for Profile {
    /// Prints the ID and `updated_at` only, because the rest is personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut profile = f.debug_struct("Profile");
        profile.field("id", &self.id).field("updated_at", &self.updated_at);
        profile.finish_non_exhaustive()
    }
}

/// One change of a user that Clerk reported, by a webhook, a look-up or a reconciliation.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// A description of the user.
    User(Box<Profile>),
    /// The user was deleted at this time.
    UserDeleted(UserId, Timestamp),
    /// A description of a membership.
    Joined(UserId, Box<Membership>),
    /// The user left the organization at this time.
    Left(UserId, OrgId, Timestamp),
}

impl Change {
    /// The user that the change concerns.
    #[must_use]
    pub fn user(&self) -> &UserId {
        match self {
            Self::User(profile) => &profile.id,
            Self::UserDeleted(id, _) | Self::Joined(id, _) | Self::Left(id, _, _) => id,
        }
    }
}

/// The merged knowledge about one user.
///
/// # Examples
///
/// Changes give the same result in any order:
///
/// ```
/// use clerk_resilience::clock::Timestamp;
/// use clerk_resilience::id::{OrgId, UserId};
/// use clerk_resilience::profile::{Change, Membership, Person};
///
/// let user = UserId::from("user_1");
/// let joined = Membership::new(OrgId::from("org_1"), "org:admin", Timestamp::from_secs(1));
/// let joined = Change::Joined(user.clone(), Box::new(joined));
/// let left = Change::Left(user, OrgId::from("org_1"), Timestamp::from_secs(2));
///
/// let mut person = Person::default();
/// assert!(person.take(&left));
/// assert!(!person.take(&joined), "it is older than the end");
/// assert_eq!(person.memberships().count(), 0);
/// ```
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Person {
    profile: Option<Profile>,
    deleted: Option<Timestamp>,
    #[serde(default)]
    places: BTreeMap<OrgId, Place>,
}

/// A current or former membership. The time of leaving is stored, so that an older change does not
/// restore the membership.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    In(Membership),
    Left(Timestamp),
}

impl Person {
    /// The profile. `None` if Clerk never reported it, or if the user is deleted.
    #[must_use]
    pub fn profile(&self) -> Option<&Profile> {
        self.profile.as_ref()
    }

    /// When the user was deleted; `None` if the user is not deleted.
    #[must_use]
    pub fn deleted(&self) -> Option<Timestamp> {
        self.deleted
    }

    /// True when the profile or a membership changed within the last 10 minutes. Clerk's servers
    /// may not all know such a change yet.
    pub(crate) fn is_new(&self, now: Timestamp) -> bool {
        let profile =
            self.profile.as_ref().map(|profile| profile.created_at.max(Some(profile.updated_at)));
        profile.flatten().is_some_and(|at| is_new(at, now))
            || self.memberships().any(|place| is_new(place.updated_at, now))
    }

    /// The same user without `private_metadata`.
    pub(crate) fn without_private(mut self) -> Self {
        if let Some(profile) = &mut self.profile {
            profile.private_metadata = None;
        }
        self
    }

    /// The current memberships.
    pub fn memberships(&self) -> impl Iterator<Item = &Membership> {
        self.places.values().filter_map(|place| match place {
            Place::In(membership) => Some(membership),
            Place::Left(_) => None,
        })
    }

    /// Merges a change. Returns true if the change had an effect.
    ///
    /// Of two descriptions, the one with the later `updated_at` counts, then the one with the later
    /// `heard_at`, then the first to arrive. If a membership and its end have the same time, the
    /// end counts. A deleted user stays deleted, because Clerk never reuses an ID.
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

    /// Merges a current or former membership. At equal times, the end of a membership counts.
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

/// Age below which a change may be unknown to some of Clerk's servers.
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
    fn updates_in_any_order_give_the_same_user() {
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
    fn a_user_who_rejoins_is_a_member() {
        for order in orders(&[joined("org:admin", 1), left(2), joined("org:member", 3)]) {
            let roles: Vec<_> =
                after(&order).memberships().map(|place| place.role.clone()).collect();
            assert_eq!(roles, ["org:member"], "{order:?}");
        }
        assert_eq!(after(&[left(2), joined("org:admin", 2)]).memberships().count(), 0);
        assert_eq!(after(&[joined("org:admin", 2), left(2)]).memberships().count(), 0);
    }

    #[test]
    fn a_deleted_user_stays_deleted_without_data() {
        let told = [described("Ada", 1), joined("org:admin", 3), deleted(2), described("Ada", 9)];
        for order in orders(&told) {
            let person = after(&order);
            assert_eq!(person, Person { deleted: person.deleted, ..Person::default() });
            assert_eq!(person.deleted(), Some(Timestamp::from_secs(2)));
        }
    }

    #[test]
    fn a_repeated_update_refreshes_and_an_older_one_does_not() {
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
    fn an_update_reports_whether_it_was_new() {
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
