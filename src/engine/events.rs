//! Events as values of their own types, for hooks that do not want to read JSON.

use std::error::Error;

use clerk_verify::clock::Timestamp;
use clerk_verify::id::{OrgId, SessionId, UserId};
use serde_json::Value;

use super::inbox::Event;
use crate::state::profile::{Membership, Profile, ProfileParseError};

/// What a hook can take instead of an [`Event`]; see [`Builder::on`](crate::Builder::on). An application can
/// write its own for the kinds that it cares about.
///
/// ```
/// use clerk_resilience::{Event, FromEvent};
///
/// struct PastDue {
///     subscription: String,
/// }
///
/// impl FromEvent for PastDue {
///     const KINDS: &'static [&'static str] = &["subscription.pastDue"];
///
///     fn from_event(event: &Event) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
///         let id = event.data["id"].as_str().ok_or("no id")?;
///         Ok(Self { subscription: id.to_owned() })
///     }
/// }
/// ```
pub trait FromEvent: Sized {
    /// The kinds of events that it stands for, as `user.created`.
    const KINDS: &'static [&'static str];

    /// Reads an event of one of these kinds.
    ///
    /// # Errors
    ///
    /// When it does not say what it should. The hook has then failed.
    fn from_event(event: &Event) -> Result<Self, Box<dyn Error + Send + Sync>>;
}

/// A user was made or changed: `user.created`, `user.updated`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct UserChanged {
    /// The message's id: the same when a hook hears of the event again.
    pub message: String,
    /// What the user is like, without `private_metadata`.
    pub profile: Profile,
    /// The user was made just now.
    pub created: bool,
}

/// A user was deleted: `user.deleted`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct UserDeleted {
    /// The message's id: the same when a hook hears of the event again.
    pub message: String,
    /// Who it was.
    pub user: UserId,
    /// When.
    pub happened: Timestamp,
}

/// A session is over: `session.ended`, `session.removed`, `session.revoked`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SessionEnded {
    /// The message's id: the same when a hook hears of the event again.
    pub message: String,
    /// The session.
    pub session: SessionId,
    /// Whose it was.
    pub user: UserId,
    /// When it was over.
    pub happened: Timestamp,
}

/// A user joined an organisation, or has another place in it: `organizationMembership.created`,
/// `organizationMembership.updated`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MembershipChanged {
    /// The message's id: the same when a hook hears of the event again.
    pub message: String,
    /// Who.
    pub user: UserId,
    /// The organisation, and the role in it.
    pub membership: Membership,
    /// The user joined just now.
    pub created: bool,
}

/// A user belongs to an organisation no more: `organizationMembership.deleted`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct MembershipEnded {
    /// The message's id: the same when a hook hears of the event again.
    pub message: String,
    /// Who.
    pub user: UserId,
    /// The organisation.
    pub organization: OrgId,
    /// When.
    pub happened: Timestamp,
}

type Read<T> = Result<T, Box<dyn Error + Send + Sync>>;

impl FromEvent for UserChanged {
    const KINDS: &'static [&'static str] = &["user.created", "user.updated"];

    fn from_event(event: &Event) -> Read<Self> {
        let profile = Profile::of(&event.data, false)?;
        Ok(Self { message: event.id.clone(), profile, created: event.kind == "user.created" })
    }
}

impl FromEvent for UserDeleted {
    const KINDS: &'static [&'static str] = &["user.deleted"];

    fn from_event(event: &Event) -> Read<Self> {
        let user = UserId::new(text(&event.data, "id")?);
        Ok(Self { message: event.id.clone(), user, happened: event.happened })
    }
}

impl FromEvent for SessionEnded {
    const KINDS: &'static [&'static str] = &["session.ended", "session.removed", "session.revoked"];

    fn from_event(event: &Event) -> Read<Self> {
        let session = SessionId::new(text(&event.data, "id")?);
        let user = UserId::new(text(&event.data, "user_id")?);
        Ok(Self { message: event.id.clone(), session, user, happened: event.happened })
    }
}

impl FromEvent for MembershipChanged {
    const KINDS: &'static [&'static str] =
        &["organizationMembership.created", "organizationMembership.updated"];

    fn from_event(event: &Event) -> Read<Self> {
        let (user, membership) = Membership::of(&event.data)?;
        let created = event.kind == "organizationMembership.created";
        Ok(Self { message: event.id.clone(), user, membership, created })
    }
}

impl FromEvent for MembershipEnded {
    const KINDS: &'static [&'static str] = &["organizationMembership.deleted"];

    fn from_event(event: &Event) -> Read<Self> {
        let (user, membership) = Membership::of(&event.data)?;
        let (message, organization) = (event.id.clone(), membership.organization);
        Ok(Self { message, user, organization, happened: event.happened })
    }
}

fn text<'a>(data: &'a Value, name: &'static str) -> Result<&'a str, ProfileParseError> {
    data[name].as_str().ok_or(ProfileParseError(name))
}
