//! Checks tokens against the revocations, for requests and for open connections.

use clerk_verify::id::KeyId;
use clerk_verify::machine::MachineToken;
use clerk_verify::token::{InvalidToken, Session};
use clerk_verify::verify::Verified;

use super::{Caller, Rejection, Unavailable};
use crate::state::revocation::{Denied, TokenIdentity};
use crate::state::snapshot::Snapshot;

/// Returns true if a caller's open connections must end: the caller is revoked, or its key is no
/// longer in the key set. The token's times do not matter.
pub(crate) fn has_ended(caller: &Caller, known: &Snapshot) -> bool {
    let keys = &known.keys.set;
    match caller {
        Caller::User(auth) => {
            let token = auth.token();
            !keys.holds(token.key()) || revocation(token, known).is_some()
        }
        Caller::Machine(machine) => {
            let token = machine.token();
            let held = |key: &KeyId| keys.keys().any(|held| held.fingerprint() == key);
            !token.signed_by.as_ref().is_none_or(held)
                || token.revoked
                || machine_revocation(token, known).is_some()
        }
    }
}

/// Returns the rejection of a revoked session, whatever the token's times. The key, the session,
/// the user or the membership may be revoked. A certain reason precedes one that newer claims may
/// remove.
pub(super) fn revocation(token: &Verified, known: &Snapshot) -> Option<Rejection> {
    if known.revocations.distrust(token.key().id()) {
        return Some(Rejection::Invalid(InvalidToken::UnknownKey));
    }
    let bearer = bearer(token.session());
    let session = known.denied(|set| set.deny(&bearer));
    let membership = known.denied(|set| set.deny_membership(&bearer));
    match (session, membership) {
        (Some(Denied::Certain), _) => Some(Rejection::Revoked),
        (_, Some(Denied::Certain)) => Some(Rejection::NoMember),
        (None, None) => None,
        _ => Some(Rejection::Unavailable(Unavailable::StaleClaims)),
    }
}

/// Returns the rejection of a revoked machine token.
pub(super) fn machine_revocation(token: &MachineToken, known: &Snapshot) -> Option<Rejection> {
    let (id, subject, made) = (&token.id, &token.subject, token.claims_as_of);
    let denied = known.denied(|set| set.deny_machine(id, subject, made));
    denied.map(|denied| match denied {
        Denied::Certain => Rejection::Revoked,
        Denied::StaleClaims => Rejection::Unavailable(Unavailable::StaleClaims),
    })
}

/// Returns the parts of a session that a revocation can name.
pub(super) fn bearer(session: &Session) -> TokenIdentity<'_> {
    let organization = session.organization.as_ref();
    TokenIdentity {
        session: session.session_id.as_ref(),
        token: session.token_id.as_ref(),
        user: &session.user_id,
        claims_as_of: session.claims_as_of(),
        organization: organization.map(|active| &active.id),
        role: organization.and_then(|active| active.role.as_deref()),
        permissions: organization.map_or(&[], |active| &active.permissions),
    }
}
