//! Authorization checks of a session: Clerk's `has()`.

use super::Session;
use super::scope::entries;
use crate::access::{Access, Factor, Reverification};
use crate::id::bare;

impl Session {
    /// Returns true when the session meets every requirement at the time the token was made.
    #[must_use]
    pub fn has(&self, demand: &Access) -> bool {
        self.has_after(demand, 0)
    }

    /// Returns true when the session meets every requirement `minutes` after the token was made.
    /// The ages of verified factors grow by `minutes`.
    #[must_use]
    pub fn has_after(&self, demand: &Access, minutes: u32) -> bool {
        let asked = *demand != Access::default() && self.has_user();
        let met =
            |name: &Option<_>, check: &dyn Fn(&str) -> bool| name.as_deref().is_none_or(check);
        asked
            && met(&demand.role, &|role| self.has_role(role))
            && met(&demand.permission, &|name| self.has_permission(name))
            && met(&demand.feature, &|name| listed(&self.features, name))
            && met(&demand.plan, &|name| listed(&self.plans, name))
            && demand.reverification.is_none_or(|demand| self.is_verified(demand, minutes))
    }

    /// Returns true when the user has this role in the active organisation; `admin` and `org:admin`
    /// are equivalent.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        let held = self.organization.as_ref().and_then(|org| org.role.as_deref());
        let named = self.has_user() && !bare(role).is_empty();
        named && held.is_some_and(|held| bare(held) == bare(role))
    }

    /// Returns true when the user has this permission in the active organisation.
    /// `org:teams:manage` and `teams:manage` are equivalent. As in Clerk's SDK, the permission in
    /// the token must have the prefix `org:`.
    #[must_use]
    pub fn has_permission(&self, permission: &str) -> bool {
        let held = self.organization.as_ref().map(|org| org.permissions.as_slice());
        let asked = ["org:", bare(permission)].concat();
        let named = self.has_user() && !bare(permission).is_empty();
        named && held.unwrap_or_default().contains(&asked)
    }

    /// Returns true when the token names a user. Without one it authorizes nothing, as in Clerk's
    /// SDK.
    fn has_user(&self) -> bool {
        !self.user_id.as_str().is_empty()
    }

    fn is_verified(&self, demand: Reverification, minutes: u32) -> bool {
        let Some([first, second]) = self.factor_ages else { return false };
        let recent = |age: Option<u32>| {
            age.is_some_and(|age| age.saturating_add(minutes) < demand.within_minutes)
        };
        match (demand.level, second) {
            (Factor::First, _) | (Factor::Second | Factor::Multi, None) => recent(first),
            (Factor::Second, second) => recent(second),
            (Factor::Multi, second) => recent(first) && recent(second),
        }
    }
}

/// Returns true when `name`, with or without a scope, is in a list such as
/// `o:teams,u:basic,ou:both`. A name with a second colon never matches. A list with an unscoped
/// entry matches nothing.
fn listed(list: &str, name: &str) -> bool {
    let (organizations, users, slug) = match name.split_once(':') {
        None => (true, true, name),
        Some(("o" | "org" | "organization", slug)) => (true, false, slug),
        Some(("u" | "user", slug)) => (false, true, slug),
        Some(_) => return false,
    };
    if slug.is_empty() || slug.contains(':') {
        return false;
    }
    let entries = entries(list).unwrap_or_default();
    entries.iter().filter(|entry| entry.name == slug).any(|entry| {
        organizations && entry.scope.is_organizations() || users && entry.scope.is_users()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_and_plans_are_found_with_and_without_their_scope() {
        let list = "o:teams,u:basic, ou:both,x:odd,o:a:b";
        for name in [
            "teams",
            "o:teams",
            "org:teams",
            "organization:teams",
            "u:basic",
            "user:basic",
            "o:both",
            "u:both",
            "both",
        ] {
            assert!(listed(list, name), "{name}");
        }
        for name in ["u:teams", "o:basic", "x:odd", "odd", "", "o:", "team", "a:b", "o:a:b"] {
            assert!(!listed(list, name), "{name}");
        }
    }

    #[test]
    fn an_entry_without_a_scope_grants_no_other_entry() {
        for list in ["o:teams,bare", "o:teams,", "bare,o:teams", "o:teams, ,u:basic"] {
            assert!(!listed(list, "teams"), "{list:?}");
        }
    }
}
