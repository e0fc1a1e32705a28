//! Who is signed in.

use std::collections::{BTreeMap, BTreeSet};

use clerk_verify::clock::Timestamp;
use clerk_verify::id::{OrgId, SessionId, UserId};

use super::state::random_text;

/// A session at a simulated Clerk, as [`SimClerk::sign_in`] makes it.
///
/// [`SimClerk::sign_in`]: super::SimClerk::sign_in
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SimSession {
    /// The session, `sess_…`.
    pub id: SessionId,
    /// Who signed in.
    pub user: UserId,
    /// When.
    pub since: Timestamp,
}

/// An organisation, as a member's tokens speak of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SimOrganization {
    /// The organisation, `org_…`.
    pub id: OrgId,
    /// Its slug.
    pub slug: String,
    /// The member's role without `org:`, as `admin`.
    pub role: String,
    /// The member's permissions in full, as `org:posts:read`.
    pub permissions: Vec<String>,
}

impl SimOrganization {
    /// An organisation in which one is a `member` without permissions.
    #[must_use]
    pub fn new(id: impl Into<OrgId>, slug: impl Into<String>) -> Self {
        Self { id: id.into(), slug: slug.into(), role: "member".to_owned(), permissions: vec![] }
    }

    /// The same with another role, without `org:`.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.role = role.into();
        self
    }

    /// The same with one more permission, as `org:posts:read`.
    #[must_use]
    pub fn permission(mut self, permission: impl Into<String>) -> Self {
        self.permissions.push(permission.into());
        self
    }
}

/// A session and what its tokens say of it.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) session: SimSession,
    pub(super) organization: Option<SimOrganization>,
    pub(super) memberships: Vec<SimOrganization>,
    pub(super) refresh_token: String,
}

/// Every session there is and was.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    alive: BTreeMap<SessionId, Live>,
    ended: BTreeSet<SessionId>,
    browser: Option<SessionId>,
}

impl Sessions {
    pub(super) fn add(&mut self, session: SimSession) {
        let refresh_token = random_text("rt_", 32);
        let id = session.id.clone();
        let live = Live { session, organization: None, memberships: Vec::new(), refresh_token };
        self.alive.insert(id, live);
    }

    /// Ends a session; false when there is none of that name.
    pub(super) fn end(&mut self, id: &str) -> bool {
        match self.alive.remove_entry(id) {
            Some((id, _)) => self.ended.insert(id),
            None => false,
        }
    }

    pub(super) fn get(&self, id: &str) -> Option<&Live> {
        self.alive.get(id)
    }

    pub(super) fn has_ended(&self, id: &str) -> bool {
        self.ended.contains(id)
    }

    pub(super) fn join(&mut self, id: &str, organization: Option<SimOrganization>) {
        if let Some(live) = self.alive.get_mut(id) {
            live.organization = organization;
        }
    }

    pub(super) fn enroll(&mut self, id: &str, organization: SimOrganization) {
        if let Some(live) = self.alive.get_mut(id) {
            live.memberships.push(organization);
        }
    }

    /// Makes an organisation active by its id or slug, or none by an empty name. `None` when there is
    /// no such session, or its user is no member.
    pub(super) fn activate(&mut self, id: &str, wanted: &str) -> Option<Live> {
        let live = self.alive.get_mut(id)?;
        let named = |org: &&SimOrganization| org.id.as_str() == wanted || org.slug == wanted;
        let found = live.memberships.iter().chain(&live.organization).find(named).cloned();
        if found.is_none() && !wanted.is_empty() {
            return None;
        }
        live.organization = found;
        Some(live.clone())
    }

    pub(super) fn alive(&self) -> impl Iterator<Item = &Live> {
        self.alive.values()
    }

    pub(super) fn set_browser(&mut self, id: Option<SessionId>) {
        self.browser = id;
    }

    /// The session of the browser that every request without a better claim is taken to come from.
    pub(super) fn browser(&self) -> Option<&Live> {
        self.get(self.browser.as_ref()?.as_str())
    }
}
