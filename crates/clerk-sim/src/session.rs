//! Sessions and organizations.

use std::collections::{BTreeMap, BTreeSet};

use clerk_verify::clock::Timestamp;
use clerk_verify::id::{OrgId, SessionId, UserId};

use super::state::random_text;

/// A session at a simulated Clerk, from [`SimClerk::sign_in`].
///
/// [`SimClerk::sign_in`]: super::SimClerk::sign_in
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SimSession {
    /// Id of the session, `sess_…`.
    pub id: SessionId,
    /// Id of the user who signed in.
    pub user: UserId,
    /// Time of the sign-in, in whole seconds.
    pub since: Timestamp,
}

/// An organization with a member's role and permissions, as in the member's tokens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SimOrganization {
    /// Id of the organization, `org_…`.
    pub id: OrgId,
    /// Slug of the organization.
    pub slug: String,
    /// The member's role without `org:`, such as `admin`.
    pub role: String,
    /// The member's permissions in full, such as `org:posts:read`.
    pub permissions: Vec<String>,
}

impl SimOrganization {
    /// Creates an organization with the role `member` and without permissions.
    #[must_use]
    pub fn new(id: impl Into<OrgId>, slug: impl Into<String>) -> Self {
        Self { id: id.into(), slug: slug.into(), role: "member".to_owned(), permissions: vec![] }
    }

    /// Sets the role, without `org:`.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.role = role.into();
        self
    }

    /// Adds a permission, such as `org:posts:read`.
    #[must_use]
    pub fn permission(mut self, permission: impl Into<String>) -> Self {
        self.permissions.push(permission.into());
        self
    }
}

/// An active session, and the data in its tokens.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) session: SimSession,
    pub(super) organization: Option<SimOrganization>,
    pub(super) memberships: Vec<SimOrganization>,
    pub(super) refresh_token: String,
}

/// All active sessions, and the ids of ended ones.
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

    /// Ends a session; false if no active session has this id.
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

    /// Activates an organization by its id or slug; an empty text clears it. `None` if the session
    /// is not active or its user is not a member.
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

    /// Returns the session of browsers that send no client cookie.
    pub(super) fn browser(&self) -> Option<&Live> {
        self.get(self.browser.as_ref()?.as_str())
    }
}
