//! The user that plain verification accepted.

use clerk_resilience::id::UserId;

/// The verified user, passed to handlers as an extension.
#[derive(Clone, Debug)]
pub struct PlainUser(pub UserId);
