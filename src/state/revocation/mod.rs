//! Revocations by this application or by Clerk.
//!
//! A denied session or token is rejected even if its signature is valid. Other denials reject or
//! limit the claims of older tokens.

mod denial;
mod kind;
mod marks;

use clerk_verify::clock::{ClaimsTime, Timestamp};
use clerk_verify::id::{KeyId, OrgId, SessionId, TokenId, UserId, bare};

pub use self::denial::Denial;
use self::denial::pair;
pub(crate) use self::kind::Kind;
use self::marks::Marks;

/// The parts of a token that can be revoked.
#[derive(Clone, Copy, Debug)]
pub struct TokenIdentity<'a> {
    /// The session ID, `sid`.
    pub session: Option<&'a SessionId>,
    /// The token ID, `jti`.
    pub token: Option<&'a TokenId>,
    /// The user ID, `sub`.
    pub user: &'a UserId,
    /// The time of the claims: the earlier of `oiat` and `iat`.
    pub claims_as_of: ClaimsTime,
    /// The active organization.
    pub organization: Option<&'a OrgId>,
    /// The role in the active organization.
    pub role: Option<&'a str>,
    /// The permissions in the active organization.
    pub permissions: &'a [String],
}

/// The certainty of a denial.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Denied {
    /// Clerk read the claims no later than the mark, but signed them after it. Clerk may have
    /// lifted the reason for the mark since; only newer claims can prove that.
    StaleClaims,
    /// The session or token itself is denied, or the signature is no later than the mark.
    Certain,
}

/// An immutable set of denials. An addition creates a new set, which is published as a whole.
///
/// A *mark* is the time of a denial of a user, member or organization: it covers all claims up to
/// and including that instant.
#[derive(Clone, Debug, Default)]
pub struct Revocations([Marks; Kind::ALL.len()]);

impl Revocations {
    /// Whether the bearer is denied: by its session, by its token, or by a mark on its user that
    /// covers its claims. Claims without a date are covered by every mark.
    #[must_use]
    pub fn deny(&self, bearer: &TokenIdentity<'_>) -> Option<Denied> {
        let named = bearer.session.is_some_and(|id| self.has(Kind::Session, id.as_str()))
            || bearer.token.is_some_and(|id| self.has(Kind::Token, id.as_str()));
        if named {
            return Some(Denied::Certain);
        }
        denied(bearer.claims_as_of, self.get(Kind::User, bearer.user.as_str()))
    }

    /// Whether the bearer is no longer a member of its active organization: a mark on the
    /// membership or on the whole organization covers its claims.
    #[must_use]
    pub fn deny_membership(&self, bearer: &TokenIdentity<'_>) -> Option<Denied> {
        let organization = bearer.organization?;
        let whole = self.get(Kind::Organization, organization.as_str());
        let member = self.of_member(Kind::Member, bearer.user, organization);
        denied(bearer.claims_as_of, whole.max(member))
    }

    /// True when the claims about the active organization may be outdated.
    ///
    /// The bearer's role, or the meaning of its role or of a permission, may have changed since.
    /// Outdated claims end grace and have no other effect.
    #[must_use]
    pub fn outdate(&self, bearer: &TokenIdentity<'_>) -> bool {
        let Some(organization) = bearer.organization else { return false };
        let older = |mark| denied(bearer.claims_as_of, mark).is_some();
        let named = |kind, name| older(self.get(kind, bare(name))) || older(self.get(kind, ANY));
        older(self.of_member(Kind::Outdated, bearer.user, organization))
            || bearer.role.is_some_and(|role| named(Kind::Role, role))
            || bearer.permissions.iter().any(|name| named(Kind::Permission, name))
    }

    /// Whether a machine token is denied: by its ID, or by a mark on its subject, a user or an
    /// organization.
    ///
    /// A token without a date is covered by every mark on its subject.
    #[must_use]
    pub fn deny_machine(&self, id: &str, subject: &str, made: ClaimsTime) -> Option<Denied> {
        if self.has(Kind::Token, id) {
            return Some(Denied::Certain);
        }
        let (user, organization) =
            (self.get(Kind::User, subject), self.get(Kind::Organization, subject));
        denied(made, user.max(organization))
    }

    /// True when signatures by this key are no longer accepted.
    #[must_use]
    pub fn distrust(&self, key: Option<&KeyId>) -> bool {
        key.is_some_and(|key| self.has(Kind::Key, key.as_str()))
    }

    /// The time of a denial: its end or its mark, depending on the kind.
    pub(crate) fn until(&self, kind: Kind, id: &str) -> Option<Timestamp> {
        self.get(kind, id)
    }

    pub(crate) fn distrusted_until(&self, key: &KeyId) -> Option<Timestamp> {
        self.get(Kind::Key, key.as_str())
    }

    /// Returns this set with a key, distrusted at least until `until`.
    #[must_use]
    pub fn with_key(&self, id: &KeyId, until: Timestamp) -> Self {
        self.with(Kind::Key, id.as_str(), until)
    }

    /// Returns this set with a session, denied at least until `until`. A denial never becomes
    /// shorter.
    #[must_use]
    pub fn with_session(&self, id: &SessionId, until: Timestamp) -> Self {
        self.with(Kind::Session, id.as_str(), until)
    }

    /// Returns this set with a token, denied at least until `until`.
    #[must_use]
    pub fn with_token(&self, id: &TokenId, until: Timestamp) -> Self {
        self.with(Kind::Token, id.as_str(), until)
    }

    /// Returns this set with a mark on a user: tokens issued at or before `not_before` are denied.
    #[must_use]
    pub fn with_user(&self, id: &UserId, not_before: Timestamp) -> Self {
        self.with(Kind::User, id.as_str(), not_before)
    }

    /// Returns this set with a mark on a member: the user's tokens issued at or before `up_to` with
    /// that active organization are denied.
    #[must_use]
    pub fn with_member(&self, user: &UserId, organization: &OrgId, up_to: Timestamp) -> Self {
        self.with(Kind::Member, &pair(user, organization), up_to)
    }

    /// Returns this set with a mark on an organization: all tokens issued at or before `up_to` with
    /// that active organization are denied.
    #[must_use]
    pub fn with_organization(&self, id: &OrgId, up_to: Timestamp) -> Self {
        self.with(Kind::Organization, id.as_str(), up_to)
    }

    /// Returns this set with several denials, in one step.
    #[must_use]
    pub fn with_all<'a>(mut self, denials: impl IntoIterator<Item = &'a Denial>) -> Self {
        for denial in denials {
            let (kind, id, at) = denial.parts();
            self.put(kind, &id, at);
        }
        self
    }

    /// The denials in `others` that this set lacks or holds for a shorter time. Denials that ended
    /// before `now` are left out.
    pub(crate) fn missing<'a>(
        &self,
        others: impl IntoIterator<Item = (Kind, &'a str, Timestamp)>,
        now: Timestamp,
    ) -> Self {
        let lives = |kind: Kind, at| kind.afterlife().is_none_or(|more| at >= now.minus(more));
        let mut missing = Self::default();
        for (kind, id, at) in others {
            if lives(kind, at) && self.get(kind, id).is_none_or(|kept| kept < at) {
                missing.put(kind, id, at);
            }
        }
        missing
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(Marks::is_empty)
    }

    /// The union of both sets. Of two denials of the same subject, the later counts.
    #[must_use]
    pub fn joined_with(&self, other: &Self) -> Self {
        let mut all = self.clone();
        for (kind, id, at) in other.iter() {
            all.put(kind, id, at);
        }
        all
    }

    /// True when this set holds every denial of `other` for at least the same time.
    #[must_use]
    pub fn include(&self, other: &Self) -> bool {
        other.iter().all(|(kind, id, at)| self.get(kind, id).is_some_and(|kept| kept >= at))
    }

    /// Returns this set without the denials that have no effect at `now`.
    ///
    /// Denials of sessions, tokens and keys end at their own time. Denials of grace end two days
    /// after theirs, when no covered token can be in grace. Marks on users, members and
    /// organizations never end.
    #[must_use]
    pub fn pruned(&self, now: Timestamp) -> Self {
        self.without_ended(now, None)
    }

    /// Works like [`pruned`](Self::pruned), but searches only 1/64 of a large set, another part in
    /// each of 64 turns.
    pub(crate) fn pruned_in_part(&self, now: Timestamp, turn: usize) -> Self {
        self.without_ended(now, Some(turn))
    }

    fn without_ended(&self, now: Timestamp, turn: Option<usize>) -> Self {
        let mut rest = self.clone();
        for kind in Kind::ALL {
            if let Some(afterlife) = kind.afterlife() {
                rest.0[kind as usize].forget(now.minus(afterlife), turn);
            }
        }
        rest
    }

    /// The distrusted keys, by ID or by fingerprint (`sha256/…`), and the end of each denial.
    pub fn keys(&self) -> impl Iterator<Item = (&str, Timestamp)> {
        self.of(Kind::Key)
    }

    /// The denied sessions, and the end of each denial.
    pub fn sessions(&self) -> impl Iterator<Item = (&str, Timestamp)> {
        self.of(Kind::Session)
    }

    /// The denied tokens, and the end of each denial.
    pub fn tokens(&self) -> impl Iterator<Item = (&str, Timestamp)> {
        self.of(Kind::Token)
    }

    /// The marks on users: the user ID, and the time up to which tokens are denied.
    pub fn users(&self) -> impl Iterator<Item = (&str, Timestamp)> {
        self.of(Kind::User)
    }

    /// The denials of this set that `other` lacks or holds for a shorter time. Denials that ended
    /// before `now` are left out.
    pub(crate) fn beyond(&self, other: &Self, now: Timestamp) -> Self {
        other.missing(self.iter(), now)
    }

    /// All denials of this set.
    pub fn denials(&self) -> impl Iterator<Item = Denial> {
        self.iter().filter_map(|(kind, id, at)| Denial::of(kind, id, at))
    }

    pub(crate) fn of(&self, kind: Kind) -> impl Iterator<Item = (&str, Timestamp)> {
        self.0[kind as usize].iter()
    }

    pub(crate) fn put(&mut self, kind: Kind, id: &str, at: Timestamp) {
        self.0[kind as usize].put(id, at);
    }

    fn iter(&self) -> impl Iterator<Item = (Kind, &str, Timestamp)> {
        Kind::ALL.into_iter().flat_map(|kind| self.of(kind).map(move |(id, at)| (kind, id, at)))
    }

    fn with(&self, kind: Kind, id: &str, at: Timestamp) -> Self {
        let mut set = self.clone();
        set.put(kind, id, at);
        set
    }

    fn get(&self, kind: Kind, id: &str) -> Option<Timestamp> {
        self.0[kind as usize].get(id)
    }

    fn has(&self, kind: Kind, id: &str) -> bool {
        self.get(kind, id).is_some()
    }

    fn of_member(&self, kind: Kind, user: &UserId, organization: &OrgId) -> Option<Timestamp> {
        let marks = &self.0[kind as usize];
        if marks.is_empty() { None } else { marks.get(&pair(user, organization)) }
    }
}

/// Stands for every role, or every permission.
const ANY: &str = "";

/// The effect of a mark on claims. A mark covers its own instant.
fn denied(claims: ClaimsTime, mark: Option<Timestamp>) -> Option<Denied> {
    let mark = mark.filter(|mark| claims.is_covered_by(*mark))?;
    Some(if claims.is_signed_by(mark) { Denied::Certain } else { Denied::StaleClaims })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn a_denial_never_gets_shorter() {
        let id = SessionId::new("sess_1");
        let long = Revocations::default().with_session(&id, at(100));
        let again = long.with_session(&id, at(50));
        assert_eq!(again.sessions().collect::<Vec<_>>(), [("sess_1", at(100))]);
    }

    #[test]
    fn denials_may_come_together_in_any_order_and_twice() {
        let of = |secs| {
            let (user, org) = (UserId::new("user_1"), OrgId::new("org_1"));
            [
                Denial::Session(SessionId::new("sess_1"), at(secs)),
                Denial::User(user.clone(), at(secs)),
                Denial::Member(user.clone(), org.clone(), at(secs)),
                Denial::Organization(org.clone(), at(secs)),
                Denial::Outdated(user, org, at(secs)),
                Denial::Role(Some("admin".to_owned()), at(secs)),
                Denial::Permission(None, at(secs)),
            ]
        };
        let denials: Vec<_> = of(5).into_iter().chain(of(9)).chain(of(7)).collect();
        let forth = Revocations::default().with_all(&denials);
        let back = Revocations::default().with_all(denials.iter().rev()).with_all(&denials);
        for set in [forth, back] {
            assert_eq!(set.denials().collect::<Vec<_>>(), of(9));
        }
    }

    #[test]
    fn ended_denials_are_pruned_and_marks_on_users_stay() {
        let set = Revocations::default()
            .with_session(&SessionId::new("old"), at(1))
            .with_session(&SessionId::new("new"), at(9))
            .with_user(&UserId::new("user"), at(1))
            .pruned(at(5));
        assert_eq!(set.sessions().count(), 1);
        assert_eq!(set.users().count(), 1);
    }

    #[test]
    fn an_end_of_grace_is_dropped_once_no_token_needs_it() {
        let set = Revocations::default().with_all(&[Denial::Role(None, at(0))]);
        let days = |days: i64| at(days * 24 * 60 * 60);
        assert_eq!(set.pruned(days(2)).denials().count(), 1);
        assert_eq!(
            set.pruned(days(2).plus(std::time::Duration::from_millis(1))).denials().count(),
            0
        );
    }

    #[test]
    fn a_set_includes_another_if_nothing_is_missing_or_shorter() {
        let set = |secs| Revocations::default().with_user(&UserId::new("user"), at(secs));
        let more = set(5).with_organization(&OrgId::new("org"), at(1));
        assert!(more.include(&set(5)) && more.include(&set(4)));
        assert!(!more.include(&set(6)) && !set(5).include(&more));
        let both = set(5).joined_with(&more).joined_with(&set(6));
        assert!(both.include(&more) && both.include(&set(6)));
    }
}
