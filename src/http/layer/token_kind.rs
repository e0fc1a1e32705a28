//! Classifies the token of a request, and checks whether the route accepts its kind.

use clerk_verify::clock::Moment;
use clerk_verify::token::{InvalidToken, Located, TokenKind};

use super::service::Authenticator;
use super::wait::Resolved;
use crate::engine::Examined;
use crate::state::snapshot::Snapshot;

impl Authenticator {
    /// Examines the token of a request if the route accepts its kind. Machines use no cookies.
    pub(super) fn examine(
        &self,
        token: &Located<'_>,
        resolved: &Resolved,
        known: &Snapshot,
        now: Moment,
    ) -> Examined {
        let kinds = &self.route.kinds;
        let sessions = kinds.accepts(TokenKind::Session);
        let Located::Header(text) = token else {
            return self.shared.examine(token.token().filter(|_| sessions), known, now);
        };
        let mut examined = Examined::Invalid(InvalidToken::Kind);
        if sessions {
            examined = self.shared.examine(Some(text), known, now);
        }
        if !examined.may_be_a_machines() {
            return examined;
        }
        match TokenKind::of(text) {
            TokenKind::Session => examined,
            kind if kinds.accepts(kind) => {
                self.shared.examine_machine(text, resolved.told.as_ref(), known, now)
            }
            _ => Examined::Invalid(InvalidToken::Kind),
        }
    }
}
