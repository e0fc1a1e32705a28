//! Clerk's JSON documents of users and memberships, as in webhooks and the Backend API.
//!
//! Missing, null, unknown or mistyped fields do not fail the document. Documents change over time,
//! and the other fields stay valid.

use std::time::Duration;

use clerk_verify::clock::Timestamp;
use clerk_verify::id::{OrgId, UserId};
use serde_json::Value;

use super::{Membership, Profile};
use crate::state::json;

/// Maximum time by which Clerk's clock may be ahead of the local clock.
const AHEAD: Duration = Duration::from_secs(300);

impl Profile {
    /// Parses the JSON of a user.
    ///
    /// The primary addresses are those that `primary_email_address_id` and
    /// `primary_phone_number_id` name. Without a name, the address is `None`. A user without
    /// `updated_at` counts as older than any user with one. `private_metadata` is dropped unless
    /// `keep_private` is true.
    ///
    /// # Errors
    ///
    /// [`ProfileParseError`] if the document has no `id`.
    pub fn of(user: &Value, keep_private: bool) -> Result<Self, ProfileParseError> {
        let id = text(user, "id").ok_or(ProfileParseError("id"))?;
        let flag = |name: &str| user.get(name) == Some(&Value::Bool(true));
        let data = |name: &str| user.get(name).cloned().unwrap_or_default();
        Ok(Self {
            created_at: time(user, "created_at"),
            username: text(user, "username"),
            first_name: text(user, "first_name"),
            last_name: text(user, "last_name"),
            image_url: text(user, "image_url"),
            email: primary(user, "primary_email_address_id", "email_addresses", "email_address"),
            phone: primary(user, "primary_phone_number_id", "phone_numbers", "phone_number"),
            locale: text(user, "locale"),
            external_id: text(user, "external_id"),
            public_metadata: data("public_metadata"),
            unsafe_metadata: data("unsafe_metadata"),
            private_metadata: keep_private.then(|| data("private_metadata")),
            banned: flag("banned"),
            locked: flag("locked"),
            ..Self::new(UserId::new(id), time(user, "updated_at").unwrap_or_default())
        })
    }
}

impl Membership {
    /// Parses the JSON of an organization membership: the user's ID and the membership.
    ///
    /// # Errors
    ///
    /// [`ProfileParseError`] if the document has no `public_user_data.user_id` or no
    /// `organization.id`.
    pub fn of(membership: &Value) -> Result<(UserId, Self), ProfileParseError> {
        let person = &membership["public_user_data"];
        let user = text(person, "user_id").ok_or(ProfileParseError("public_user_data.user_id"))?;
        let organization = &membership["organization"];
        let id = text(organization, "id").ok_or(ProfileParseError("organization.id"))?;
        let role = text(membership, "role").unwrap_or_default();
        let since = time(membership, "updated_at").unwrap_or_default();
        let described = Self {
            name: text(organization, "name"),
            slug: text(organization, "slug"),
            permissions: texts(&membership["permissions"]),
            ..Self::new(OrgId::new(id), &role, since)
        };
        Ok((UserId::new(user), described))
    }
}

impl Profile {
    /// Records when the application received the profile, and limits `updated_at` to 300 s after
    /// that time.
    #[must_use]
    pub fn heard(mut self, at: Timestamp) -> Self {
        self.updated_at = self.updated_at.min(at.plus(AHEAD));
        self.heard_at = Some(at);
        self
    }
}

impl Membership {
    /// Records when the application received the membership, and limits `updated_at` to 300 s after
    /// that time.
    #[must_use]
    pub fn heard(mut self, at: Timestamp) -> Self {
        self.updated_at = self.updated_at.min(at.plus(AHEAD));
        self.heard_at = Some(at);
        self
    }
}

/// The address that the user's field `named` refers to in the given list.
fn primary(user: &Value, named: &str, list: &str, address: &str) -> Option<String> {
    let id = text(user, named)?;
    let known = user.get(list)?.as_array()?;
    let chosen = known.iter().find(|entry| entry["id"].as_str() == Some(&id))?;
    text(chosen, address)
}

fn text(object: &Value, name: &str) -> Option<String> {
    let text = object.get(name)?.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

fn time(object: &Value, name: &str) -> Option<Timestamp> {
    object.get(name).and_then(json::whole).map(Timestamp::from_number)
}

/// A document without a field that identifies its subject.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the document's field {0} is missing or invalid")]
pub struct ProfileParseError(pub(crate) &'static str);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_user_needs_an_id_and_no_more() {
        let bare = Profile::of(&json!({ "id": "user_1" }), false);
        assert_eq!(bare, Ok(Profile::new(UserId::new("user_1"), Timestamp::default())));
        for nobody in [json!({}), json!({ "id": 7 }), json!({ "id": "" }), json!(null), json!([])] {
            assert_eq!(Profile::of(&nobody, false), Err(ProfileParseError("id")), "{nobody}");
        }
    }

    #[test]
    fn null_mistyped_and_unknown_fields_are_ignored() {
        let odd = json!({
            "id": "user_1", "updated_at": "soon", "created_at": null, "username": null, "first_name": 7,
            "email_addresses": null, "primary_email_address_id": "idn_1", "phone_numbers": [null, 7],
            "primary_phone_number_id": "idn_2", "banned": "yes", "locked": null, "passkeys": [[]],
        });
        let bare = Profile::new(UserId::new("user_1"), Timestamp::default());
        assert_eq!(Profile::of(&odd, false), Ok(bare));
    }

    #[test]
    fn only_the_primary_email_address_is_primary() {
        let user = |primary: &str| {
            json!({
                "id": "user_1",
                "primary_email_address_id": primary,
                "email_addresses": [
                    { "id": "idn_1", "email_address": "old@ada.example" },
                    { "id": "idn_2", "email_address": "ada@ada.example", "verification": null },
                ],
                "primary_phone_number_id": "idn_4",
                "phone_numbers": [
                    { "id": "idn_3", "phone_number": "+441130000001" },
                    { "id": "idn_4", "phone_number": "+441130000002" },
                ],
            })
        };
        let read = |primary: &str| Profile::of(&user(primary), false).expect("a user");
        assert_eq!(read("idn_2").email.as_deref(), Some("ada@ada.example"));
        assert_eq!(read("idn_9").email, None);
        assert_eq!(read("").email, None);
        assert_eq!(read("").phone.as_deref(), Some("+441130000002"));
    }

    #[test]
    fn private_metadata_is_stored_only_if_enabled() {
        let user = json!({ "id": "user_1", "private_metadata": { "plan": "gold" } });
        let kept = |keep| Profile::of(&user, keep).expect("a user").private_metadata;
        assert_eq!(kept(false), None);
        assert_eq!(kept(true), Some(json!({ "plan": "gold" })));
    }

    #[test]
    fn a_membership_names_its_user_and_organization() {
        let whole = json!({
            "public_user_data": { "user_id": "user_1" },
            "organization": { "id": "org_1", "name": "Northwind", "slug": "north" },
            "role": "org:admin", "permissions": ["org:invoices:read", null], "updated_at": 1_790_000_000_123_i64,
        });
        let (user, place) = Membership::of(&whole).expect("a membership");
        assert_eq!(user, UserId::new("user_1"));
        let since = Timestamp::from_millis(1_790_000_000_123);
        let mut wanted = Membership::new(OrgId::new("org_1"), "org:admin", since);
        wanted.permissions = vec!["org:invoices:read".to_owned()];
        (wanted.name, wanted.slug) = (Some("Northwind".to_owned()), Some("north".to_owned()));
        assert_eq!(place, wanted);
        for missing in ["public_user_data", "organization"] {
            let mut part = whole.clone();
            part[missing] = Value::Null;
            assert!(Membership::of(&part).is_err(), "{missing}");
        }
    }
}
