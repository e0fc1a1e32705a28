//! Typed webhook events, for hooks that do not parse JSON themselves.
//!
//! [`Builder::on`](crate::Builder::on) takes a hook for one of these types:
//!
//! | type | kinds |
//! |---|---|
//! | [`UserChanged`] | `user.created`, `user.updated` |
//! | [`UserDeleted`] | `user.deleted` |
//! | [`SessionEnded`] | `session.ended`, `session.removed`, `session.revoked` |
//! | [`MembershipChanged`] | `organizationMembership.created`, `organizationMembership.updated` |
//! | [`MembershipEnded`] | `organizationMembership.deleted` |
//!
//! A hook runs after the layer itself has applied the event: the revocation is in force, and the
//! profile is current.
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use std::time::Duration;
//! use clerk_resilience::sim::SimClerk;
//! use clerk_resilience::{SimClerkExt, UserChanged};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! let sim = SimClerk::in_memory();
//! let seen = Arc::new(Mutex::new(Vec::new()));
//! let ids = Arc::clone(&seen);
//! let clerk = sim.layer(|builder| {
//!     builder.on(move |event: UserChanged| {
//!         ids.lock().expect("no holder panics").push(event.profile.id.to_string());
//!         async { Ok::<(), std::io::Error>(()) }
//!     })
//! });
//! let user = sim.update_user("user_1", serde_json::json!({ "first_name": "Ada" }));
//! let webhook = sim.webhook("user.created", &user);
//! assert_eq!(sim.send(&clerk.routes(), &webhook).await.status(), 204);
//! sim.pass(Duration::from_secs(10)).await;
//! assert_eq!(*seen.lock().expect("no holder panics"), ["user_1"]);
//! # }
//! ```

use std::error::Error;

use clerk_verify::clock::Timestamp;
use clerk_verify::id::{OrgId, SessionId, UserId};
use serde_json::Value;

use super::inbox::Event;
use crate::state::profile::{Membership, Profile, ProfileParseError};

/// Conversion from an [`Event`] to the typed value that a hook takes.
///
/// [`Builder::on`](crate::Builder::on) registers such a hook. An application can implement this
/// trait for its own types.
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
    /// The webhook event types that this type accepts, for example `user.created`.
    const KINDS: &'static [&'static str];

    /// Converts an event of one of [`KINDS`](Self::KINDS).
    ///
    /// # Errors
    ///
    /// Returns an error if the event lacks required data. The error counts as a failure of the
    /// hook.
    ///
    /// The layer then retries the event, up to 12 times in all, and stores it as a dead letter.
    /// Return an error only for data that a later version of the hook could read.
    fn from_event(event: &Event) -> Result<Self, Box<dyn Error + Send + Sync>>;
}

/// A created or updated user: `user.created`, `user.updated`.
///
/// Events can arrive out of order. Compare [`Profile::updated_at`] with the stored row before a
/// write:
///
/// ```no_run
/// use clerk_resilience::{Builder, UserChanged};
///
/// # use std::io::Error;
/// # async fn save_if_newer(_: &str, _: i64, _: Option<&str>) -> Result<(), Error> { Ok(()) }
/// fn with_users(builder: Builder) -> Builder {
///     builder.on(async |event: UserChanged| {
///         let user = &event.profile;
///         let version = user.updated_at.as_millis();
///         save_if_newer(user.id.as_str(), version, user.email.as_deref()).await
///     })
/// }
/// # let _ = with_users;
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct UserChanged {
    /// The webhook message id. Retries of the event have the same id.
    pub message: String,
    /// The user's profile, without `private_metadata`.
    pub profile: Profile,
    /// True for `user.created`.
    pub created: bool,
}

/// A deleted user: `user.deleted`. The layer rejects all tokens of the user from the next request
/// on, so the hook only has to delete the application's own data. Clerk never reuses the id.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct UserDeleted {
    /// The webhook message id. Retries of the event have the same id.
    pub message: String,
    /// The deleted user.
    pub user: UserId,
    /// The time of the event at Clerk.
    pub happened: Timestamp,
}

/// An ended session: `session.ended`, `session.removed`, `session.revoked`. The layer rejects its
/// tokens from the next request on. Use the hook to close connections or to delete drafts.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SessionEnded {
    /// The webhook message id. Retries of the event have the same id.
    pub message: String,
    /// The ended session.
    pub session: SessionId,
    /// The user of the session.
    pub user: UserId,
    /// The time of the event at Clerk.
    pub happened: Timestamp,
}

/// A created or updated organization membership: `organizationMembership.created`,
/// `organizationMembership.updated`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MembershipChanged {
    /// The webhook message id. Retries of the event have the same id.
    pub message: String,
    /// The member.
    pub user: UserId,
    /// The organization and the user's role in it.
    pub membership: Membership,
    /// True for `organizationMembership.created`.
    pub created: bool,
}

/// A deleted organization membership: `organizationMembership.deleted`. The layer rejects the
/// user's earlier tokens with this active organization. A deleted organization is one event of its
/// own, `organization.deleted`, for which Clerk sends no event for each member.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct MembershipEnded {
    /// The webhook message id. Retries of the event have the same id.
    pub message: String,
    /// The former member.
    pub user: UserId,
    /// The organization that the user left.
    pub organization: OrgId,
    /// The time of the event at Clerk.
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
