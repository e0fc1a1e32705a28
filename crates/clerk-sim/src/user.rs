//! `SimUsers`, as the Backend API describes them.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Value, json};

use clerk_verify::clock::Timestamp;
use clerk_verify::id::UserId;

use super::answer::SimAnswer;
use super::ask::Ask;
use super::clerk::SimClerk;
use super::state::SimState;

/// Default number of users on a page.
const PAGE: usize = 10;
/// Maximum number of users on a page.
const MAX_PAGE: usize = 500;
/// Maximum number of `user_id` parameters in one request.
const MAX_NAMED: usize = 100;

/// `SimUsers`. Faults do not affect these methods.
impl SimClerk {
    /// Sets members of a user's JSON, such as `first_name`, and returns the whole JSON. Creates the
    /// user if necessary; a [sign-in](Self::sign_in) creates one too. `updated_at` becomes the
    /// present time, unless `members` contains it.
    pub fn update_user(&self, id: impl Into<UserId>, members: Value) -> Value {
        self.state.users().update(&id.into(), members, self.state.now().wall).clone()
    }

    /// Deletes a user and their memberships: the Backend API no longer knows the id. Sessions stay
    /// active.
    pub fn delete_user(&self, id: &UserId) {
        self.state.users().0.remove(id);
        self.state.members().forget(id);
    }

    /// Returns a user's JSON, as in Backend API responses and webhooks. `None` if the user does not
    /// exist.
    #[must_use]
    pub fn user(&self, id: &UserId) -> Option<Value> {
        self.state.users().0.get(id).cloned()
    }
}

/// All users.
#[derive(Debug, Default)]
pub(super) struct SimUsers(BTreeMap<UserId, Value>);

impl SimUsers {
    /// Creates a user with default members, unless the id exists.
    pub(super) fn enter(&mut self, id: &UserId, now: Timestamp) {
        self.0.entry(id.clone()).or_insert_with(|| plain(id, now));
    }

    fn update(&mut self, id: &UserId, members: Value, now: Timestamp) -> &Value {
        let user = self.0.entry(id.clone()).or_insert_with(|| plain(id, now));
        user["updated_at"] = json!(now.as_millis());
        if let Value::Object(members) = members {
            for (name, value) in members {
                user[name] = value;
            }
        }
        user
    }

    pub(super) fn get(&self, id: &str) -> Option<&Value> {
        self.0.get(id)
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns the named users, or all, sorted by the date in member `by`.
    fn sorted(&self, named: &[String], by: &str, newest_first: bool) -> Vec<&Value> {
        let wanted = |id: &UserId| named.is_empty() || named.iter().any(|name| name == id.as_str());
        let all = self.0.iter().filter(|(id, _)| wanted(id));
        let mut all: Vec<_> = all.map(|(_, user)| user).collect();
        all.sort_by_key(|user| user[by].as_i64());
        if newest_first {
            all.reverse();
        }
        all
    }
}

/// `GET /v1/users/{id}`.
pub(super) fn one(state: &SimState, id: &str) -> SimAnswer {
    state.users().0.get(id).map_or_else(SimAnswer::not_found, SimAnswer::ok)
}

/// `GET /v1/users?order_by=-updated_at&limit=100&offset=0`, or `GET
/// /v1/users?user_id=user_1&user_id=user_2`.
pub(super) fn list(state: &SimState, ask: &Ask) -> SimAnswer {
    let named = ask.params("user_id");
    let order = ask.param("order_by").unwrap_or_else(|| "-created_at".to_owned());
    let by = order.trim_start_matches(['-', '+']);
    let Some((limit, offset)) = range(ask) else {
        return unreadable("limit or offset is out of range");
    };
    if !matches!(by, "created_at" | "updated_at") {
        return unreadable("order_by is not a known order");
    }
    if named.len() > MAX_NAMED {
        return unreadable("user_id may be given 100 times");
    }
    let users = state.users();
    let all = users.sorted(&named, by, order.starts_with('-'));
    SimAnswer::ok(&json!(all.into_iter().skip(offset).take(limit).collect::<Vec<_>>()))
}

/// Returns the requested limit and offset. `None` if one is malformed or out of range.
pub(super) fn range(ask: &Ask) -> Option<(usize, usize)> {
    let number = |name: &str, otherwise| match ask.param(name) {
        None => Some(otherwise),
        Some(text) => text.parse::<usize>().ok(),
    };
    let limit = number("limit", PAGE).filter(|limit| (1..=MAX_PAGE).contains(limit));
    limit.zip(number("offset", 0))
}

pub(super) fn unreadable(message: &str) -> SimAnswer {
    SimAnswer::error(StatusCode::UNPROCESSABLE_ENTITY, "form_param_value_invalid", message)
}

fn plain(id: &UserId, now: Timestamp) -> Value {
    let now = now.as_millis();
    json!({
        "object": "user",
        "id": id,
        "username": null,
        "first_name": null,
        "last_name": null,
        "locale": null,
        "image_url": "",
        "has_image": false,
        "primary_email_address_id": null,
        "primary_phone_number_id": null,
        "email_addresses": [],
        "phone_numbers": [],
        "external_id": null,
        "public_metadata": {},
        "private_metadata": {},
        "unsafe_metadata": {},
        "banned": false,
        "locked": false,
        "created_at": now,
        "updated_at": now,
    })
}
