//! Users, as the Backend API tells of them.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Value, json};

use clerk_verify::clock::Timestamp;
use clerk_verify::id::UserId;

use super::answer::Answer;
use super::ask::Ask;
use super::clerk::SimClerk;
use super::state::State;

/// A page has so many users when nothing else is asked for.
const PAGE: usize = 10;
/// Longer pages are refused.
const MAX_PAGE: usize = 500;
/// So many can be asked for by name.
const MAX_NAMED: usize = 100;

/// Users. None of it is touched by faults.
impl SimClerk {
    /// Changes members of a user's JSON, as `first_name`, and `updated_at` with them unless it is among
    /// them; makes the user when there is none of that id. Whoever [signs in](Self::sign_in) is one.
    pub fn update_user(&self, id: impl Into<UserId>, members: Value) -> Value {
        self.state.users().update(&id.into(), members, self.state.now().wall).clone()
    }

    /// Deletes a user: the Backend API knows none of that id any more. Sessions stay as they are.
    pub fn delete_user(&self, id: &UserId) {
        self.state.users().0.remove(id);
        self.state.members().forget(id);
    }

    /// A user's JSON, as the Backend API answers it and webhooks carry it.
    #[must_use]
    pub fn user(&self, id: &UserId) -> Option<Value> {
        self.state.users().0.get(id).cloned()
    }
}

/// Every user there is.
#[derive(Debug, Default)]
pub(super) struct Users(BTreeMap<UserId, Value>);

impl Users {
    /// Makes a user whom nobody described, unless there is one of that id.
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

    /// Those named, or all, by a date of theirs, the newest first if so wished.
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
pub(super) fn one(state: &State, id: &str) -> Answer {
    state.users().0.get(id).map_or_else(Answer::not_found, Answer::ok)
}

/// `GET /v1/users?order_by=-updated_at&limit=100&offset=0`, or `GET /v1/users?user_id=user_1&user_id=user_2`.
pub(super) fn list(state: &State, ask: &Ask) -> Answer {
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
    Answer::ok(&json!(all.into_iter().skip(offset).take(limit).collect::<Vec<_>>()))
}

/// How many are wanted, and from which one on.
pub(super) fn range(ask: &Ask) -> Option<(usize, usize)> {
    let number = |name: &str, otherwise| match ask.param(name) {
        None => Some(otherwise),
        Some(text) => text.parse::<usize>().ok(),
    };
    let limit = number("limit", PAGE).filter(|limit| (1..=MAX_PAGE).contains(limit));
    limit.zip(number("offset", 0))
}

pub(super) fn unreadable(message: &str) -> Answer {
    Answer::error(StatusCode::UNPROCESSABLE_ENTITY, "form_param_value_invalid", message)
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
