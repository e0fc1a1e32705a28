//! Who passed plain verification.

use clerk_resilience::id::UserId;

/// A user, as plain verification leaves it for the handlers.
#[derive(Clone, Debug)]
pub struct PlainUser(pub UserId);
