//! Organization memberships, roles and permissions, as the Backend API describes them.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Value, json};

use clerk_verify::clock::Timestamp;
use clerk_verify::id::{OrgId, UserId};

use super::answer::SimAnswer;
use super::ask::Ask;
use super::clerk::SimClerk;
use super::session::SimOrganization;
use super::state::SimState;
use super::user::{range, unreadable};

/// Sort keys of memberships, besides `created_at`.
const BY_NAME: [&str; 5] = ["phone_number", "email_address", "first_name", "last_name", "username"];

/// Memberships, roles and permissions. Faults do not affect these methods, and these methods do not
/// change what tokens contain.
impl SimClerk {
    /// Adds a user to an organization, or changes the user's role and permissions in it. Creates
    /// the user if necessary. `updated_at` becomes the present time. Returns the membership's JSON,
    /// as in Backend API responses and webhooks.
    pub fn join(&self, user: impl Into<UserId>, organization: &SimOrganization) -> Value {
        let (user, now) = (user.into(), self.state.now().wall);
        self.state.users().enter(&user, now);
        self.state.members().join(&user, organization, now).clone()
    }

    /// Deletes a membership.
    pub fn leave(&self, user: &UserId, organization: &OrgId) {
        self.state.members().places.remove(&(user.clone(), organization.clone()));
    }

    /// Deletes an organization and its memberships.
    pub fn delete_organization(&self, organization: &OrgId) {
        self.state.members().places.retain(|(_, place), _| place != organization);
    }

    /// Updates a role, such as `org:admin`: `updated_at` becomes the present time. Creates the role
    /// if necessary.
    pub fn update_role(&self, key: &str) {
        let now = self.state.now().wall;
        changed(&mut self.state.members().roles, "role", key, now);
    }

    /// Updates a permission, such as `org:invoices:read`: `updated_at` becomes the present time.
    /// Creates the permission if necessary.
    pub fn update_permission(&self, key: &str) {
        let now = self.state.now().wall;
        changed(&mut self.state.members().permissions, "permission", key, now);
    }

    /// Disables organizations on this instance: their endpoints answer 403 with
    /// `organization_not_enabled_in_instance`.
    pub fn switch_organizations_off(&self) {
        self.state.members().off = true;
    }
}

/// All memberships, roles and permissions.
#[derive(Debug, Default)]
pub(super) struct Members {
    places: BTreeMap<(UserId, OrgId), Value>,
    roles: BTreeMap<String, Value>,
    permissions: BTreeMap<String, Value>,
    off: bool,
}

impl Members {
    fn join(&mut self, user: &UserId, organization: &SimOrganization, now: Timestamp) -> &Value {
        let place = self.places.entry((user.clone(), organization.id.clone()));
        let place = place.or_insert_with(|| begun(user, organization, now));
        place["role"] = json!(format!("org:{}", organization.role));
        place["permissions"] = json!(organization.permissions);
        place["updated_at"] = json!(now.as_millis());
        place
    }

    /// Removes the memberships of a deleted user.
    pub(super) fn forget(&mut self, user: &UserId) {
        self.places.retain(|(member, _), _| member != user);
    }
}

/// `GET /v1/organization_memberships?order_by=+created_at&limit=100&offset=0`.
pub(super) fn list(state: &SimState, ask: &Ask) -> SimAnswer {
    let order = ask.param("order_by").unwrap_or_else(|| "-created_at".to_owned());
    let by = order.trim_start_matches(['-', '+']);
    let known = by == "created_at" || BY_NAME.contains(&by);
    if !known {
        return unreadable("order_by is not a known order");
    }
    let members = state.members();
    let mut all: Vec<&Value> = members.places.values().collect();
    all.sort_by_key(|place| (place["created_at"].as_i64(), place["public_user_data"][by].as_str()));
    if order.starts_with('-') {
        all.reverse();
    }
    page(&all, &members, ask)
}

/// `GET /v1/users/{id}/organization_memberships?limit=100&offset=0`, the newest first.
pub(super) fn of_user(state: &SimState, ask: &Ask, id: &str) -> SimAnswer {
    if state.users().get(id).is_none() {
        return SimAnswer::not_found();
    }
    let members = state.members();
    let own = members.places.iter().filter(|((user, _), _)| user.as_str() == id);
    let mut own: Vec<&Value> = own.map(|(_, place)| place).collect();
    own.sort_by_key(|place| std::cmp::Reverse(place["created_at"].as_i64()));
    page(&own, &members, ask)
}

/// `GET /v1/organization_roles`.
pub(super) fn roles(state: &SimState, ask: &Ask) -> SimAnswer {
    let members = state.members();
    page(&members.roles.values().collect::<Vec<_>>(), &members, ask)
}

/// `GET /v1/organization_permissions`.
pub(super) fn permissions(state: &SimState, ask: &Ask) -> SimAnswer {
    let members = state.members();
    page(&members.permissions.values().collect::<Vec<_>>(), &members, ask)
}

fn changed(all: &mut BTreeMap<String, Value>, object: &str, key: &str, now: Timestamp) {
    let now = now.as_millis();
    let one = all.entry(key.to_owned()).or_insert_with(
        || json!({ "object": object, "id": format!("{object}_{key}"), "key": key, "created_at": now }),
    );
    one["updated_at"] = json!(now);
}

fn page(all: &[&Value], members: &Members, ask: &Ask) -> SimAnswer {
    if members.off {
        let message = "The organizations feature is not enabled for this instance.";
        let code = "organization_not_enabled_in_instance";
        return SimAnswer::error(StatusCode::FORBIDDEN, code, message);
    }
    let Some((limit, offset)) = range(ask) else {
        return unreadable("limit or offset is out of range");
    };
    let data: Vec<_> = all.iter().skip(offset).take(limit).collect();
    SimAnswer::ok(&json!({ "data": data, "total_count": all.len() }))
}

fn begun(user: &UserId, organization: &SimOrganization, now: Timestamp) -> Value {
    let now = now.as_millis();
    let SimOrganization { id, slug, .. } = organization;
    json!({
        "object": "organization_membership",
        "id": format!("orgmem_{user}_{id}"),
        "public_metadata": {},
        "private_metadata": {},
        "organization": { "object": "organization", "id": id, "name": slug, "slug": slug },
        "public_user_data": {
            "user_id": user, "first_name": null, "last_name": null, "image_url": "", "has_image": false,
        },
        "created_at": now,
        "updated_at": now,
    })
}
