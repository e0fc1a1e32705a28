//! The kinds of tokens that a request may contain, and the handling of machine tokens.

use super::evidence::Evidence;
use super::reason::Reason;
use super::{AuthStatus, BackendResponses, NeedsBackend, RequestState};
use crate::machine::MachineError;
use crate::token::{TokenKind, TokenKinds, is_jwt_shaped};

/// The kinds of tokens that a request may contain. The two forms differ only in the reason of a
/// rejection, as in Clerk's SDK.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Accepts {
    /// Tokens of one kind.
    Only(TokenKind),
    /// Tokens of any of these kinds.
    AnyOf(TokenKinds),
}

impl Default for Accepts {
    /// Accepts only session tokens.
    fn default() -> Self {
        Self::Only(TokenKind::Session)
    }
}

/// The classification of a request's token.
pub(super) enum Taken<'a> {
    /// A session token, in the field or a cookie.
    Session,
    /// A machine token.
    Machine(&'a str),
    /// The token is not of an accepted kind.
    Refused(Reason),
}

impl Accepts {
    /// Classifies the token of the `Authorization` field, the only place for machine tokens.
    pub(super) fn take<'a>(&self, token: Option<&'a str>) -> Taken<'a> {
        let kind = token.map_or(TokenKind::Session, TokenKind::of);
        let refused = match self {
            Self::Only(TokenKind::Session) => return Taken::Session,
            Self::Only(wanted) if token.is_none() => Some(Reason::NoTokenInHeader(*wanted)),
            Self::Only(wanted) => (kind != *wanted).then_some(Reason::OtherKind(Some(*wanted))),
            Self::AnyOf(kinds) => (!kinds.accepts(kind)).then_some(Reason::OtherKind(None)),
        };
        match (refused, token) {
            (Some(reason), _) => Taken::Refused(reason),
            (None, Some(token)) if kind.is_machine() => Taken::Machine(token),
            (None, _) => Taken::Session,
        }
    }
}

/// Authenticates a machine token. A JWT is verified with the keys; the Backend API verifies an
/// opaque token. A revoked or expired token is rejected.
pub(super) fn machine(
    token: &str,
    evidence: &Evidence<'_>,
    answers: &BackendResponses,
) -> Result<RequestState, NeedsBackend> {
    let found = match &answers.machine {
        _ if is_jwt_shaped(token) => evidence.machine(token),
        Some(answer) => answer.clone(),
        None => return Err(NeedsBackend::Machine(token.to_owned())),
    };
    Ok(match found {
        Ok(machine) if !machine.is_active() => refused(token, MachineError::Invalid),
        Ok(machine) => AuthStatus::Machine { token: token.to_owned(), machine: Box::new(machine) },
        Err(error) => refused(token, error),
    }
    .into())
}

fn refused(token: &str, error: MachineError) -> AuthStatus {
    AuthStatus::SignedOut { reason: Reason::Machine(TokenKind::of(token), error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authenticate::KeyFailure;
    use crate::clock::ClaimsTime;
    use crate::jwks::KeySet;
    use crate::machine::MachineToken;
    use crate::token::Expectations;
    use clerk_sim::SimClerk;

    fn reason(token: Option<&str>, accepts: &Accepts) -> Option<Reason> {
        match accepts.take(token) {
            Taken::Refused(reason) => Some(reason),
            _ => None,
        }
    }

    fn of(answer: Result<MachineToken, MachineError>, token: &str) -> AuthStatus {
        let (keys, expect) = (KeySet::default(), Expectations::any());
        let now = crate::clock::Timestamp::default();
        let evidence = Evidence { keys: Ok(&keys), expect: &expect, now, verified: None };
        let answers = BackendResponses { machine: Some(answer), ..BackendResponses::default() };
        machine(token, &evidence, &answers).expect("answered").state
    }

    fn key(revoked: bool, expired: bool) -> MachineToken {
        MachineToken {
            kind: TokenKind::ApiKey,
            id: "ak_id".to_owned(),
            subject: "user_1".to_owned(),
            client_id: None,
            name: None,
            scopes: Vec::new(),
            claims: None,
            revoked,
            expired,
            expires_at: None,
            created_at: None,
            signed_by: None,
            claims_as_of: ClaimsTime::read(None),
        }
    }

    #[test]
    fn one_and_several_accepted_kinds_reject_differently() {
        use TokenKind::{ApiKey, MachineToMachine, OAuth, Session};
        let only = Accepts::Only(ApiKey);
        assert_eq!(reason(None, &only), Some(Reason::NoTokenInHeader(ApiKey)));
        for other in ["mt_1", "oat_1", "a.b.c", "m2m_1", ""] {
            assert_eq!(
                reason(Some(other), &only),
                Some(Reason::OtherKind(Some(ApiKey))),
                "{other}"
            );
        }
        let two = Accepts::AnyOf(TokenKinds::of([ApiKey, MachineToMachine]));
        for other in [None, Some("oat_1"), Some("a.b.c")] {
            assert_eq!(reason(other, &two), Some(Reason::OtherKind(None)), "{other:?}");
        }
        assert!(matches!(two.take(Some("mt_1")), Taken::Machine("mt_1")));
        let mixed = Accepts::AnyOf(TokenKinds::of([Session, OAuth]));
        assert!(matches!(mixed.take(None), Taken::Session), "a cookie may follow");
        assert!(matches!(mixed.take(Some("a.b.c")), Taken::Session));
        assert!(matches!(Accepts::default().take(Some("ak_1")), Taken::Session), "a bad session");
        assert_eq!(
            reason(None, &Accepts::AnyOf(TokenKinds::of([]))),
            Some(Reason::OtherKind(None))
        );
    }

    #[test]
    fn a_machine_is_let_in_while_its_token_is_good() {
        assert!(matches!(of(Ok(key(false, false)), "ak_1"), AuthStatus::Machine { .. }));
        for (answer, code) in [
            (Ok(key(true, false)), "token-invalid"),
            (Ok(key(false, true)), "token-invalid"),
            (Err(MachineError::Invalid), "token-invalid"),
            (Err(MachineError::SecretKey), "secret-key-invalid"),
            (Err(MachineError::Unanswered), "unexpected-error"),
        ] {
            let state = of(answer, "ak_1");
            let reason = state.reason().expect("refused");
            assert_eq!((&*reason.code(), state.kind()), (code, Some(TokenKind::ApiKey)));
        }
    }

    #[test]
    fn an_answer_about_another_token_is_ignored() {
        let clerk = SimClerk::in_memory();
        let token = clerk.token(&clerk.sign_in("user_1")).without_claim("azp");
        let token = token.claim("sub", "mch_1").header("cat", "cl_B7d4PD333AAA").sign();
        let refused = of(Ok(key(false, false)), &token);
        assert_eq!(refused.reason().expect("refused").code(), "token-verification-failed");

        let keys = KeySet::parse(clerk.jwks().to_string().as_bytes()).expect("its own keys");
        let (expect, now) = (
            Expectations::any(),
            crate::clock::Timestamp::from_millis(clerk.clock().now().wall.as_millis()),
        );
        let with = |keys| {
            let evidence = Evidence { keys, expect: &expect, now, verified: None };
            machine(&token, &evidence, &BackendResponses::default()).expect("nothing to ask").state
        };
        let AuthStatus::Machine { machine, .. } = with(Ok(&keys)) else { panic!("a machine") };
        assert_eq!(machine.subject, "mch_1");
        assert_eq!(with(Err(KeyFailure::NotLoaded)).name(), "signed-out");
    }

    #[test]
    fn an_opaque_token_is_looked_up() {
        let (keys, expect) = (KeySet::default(), Expectations::any());
        let now = crate::clock::Timestamp::default();
        let evidence = Evidence { keys: Ok(&keys), expect: &expect, now, verified: None };
        let need = machine("mt_1", &evidence, &BackendResponses::default()).expect_err("unknown");
        assert_eq!(need, NeedsBackend::Machine("mt_1".to_owned()));
    }
}
