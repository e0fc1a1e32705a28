//! Tokens for the simulation and the properties. The fault of each is known by construction, so
//! that an oracle need not parse it. Signing is slow, so each token is signed once per process.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use clerk_resilience::clock::{Clock, Moment, Timestamp};
use clerk_resilience::key::{InstanceKind, PublishableKey};
use clerk_resilience::sim::{SimClerk, SimOrganization, SimSession, TokenBuilder};
use serde_json::{Value, json};

/// The start of every world.
pub const START: Timestamp = Timestamp::from_secs(1_780_000_000);
const LIFETIME: i64 = 60;
/// The organization of every token.
pub const ORGANIZATION: &str = "org_1";
const DAYS_30: i64 = 30 * 24 * 3_600;

/// One token: its owner, its issue time in seconds since the start, and its kind.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Token {
    pub user: u16,
    pub session: u16,
    pub iat: i64,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// As Clerk mints them.
    Plain,
    /// As Clerk mints them, with the key that Clerk rotates to.
    Rotated,
    /// Read from Clerk's database five minutes before it was issued (`oiat`).
    OldClaims,
    /// Signed with an unpublished key under the id of the published key.
    Forged,
    /// `alg: none`.
    NoAlgorithm,
    /// A token of another instance, with that instance's key.
    Elsewhere,
    /// Signed by this instance under an unknown key id.
    UnknownKey,
    /// Signed by this instance with another issuer.
    WrongIssuer,
    /// A token of a JWT template, with a lifetime of thirty days.
    LongLived,
    /// An impersonated session.
    Impersonated,
    /// A session with open tasks.
    Pending,
    /// Valid from a minute after its issue time.
    NotYet,
}

impl Kind {
    pub const ODD: [Self; 10] = [
        Self::OldClaims,
        Self::Forged,
        Self::NoAlgorithm,
        Self::Elsewhere,
        Self::UnknownKey,
        Self::WrongIssuer,
        Self::LongLived,
        Self::Impersonated,
        Self::Pending,
        Self::NotYet,
    ];

    /// Whether everything but the time is valid, once its key is known.
    pub fn is_genuine(self) -> bool {
        use Kind::{Impersonated, LongLived, NotYet, OldClaims, Pending, Plain, Rotated};
        matches!(self, Plain | Rotated | OldClaims | LongLived | Impersonated | Pending | NotYet)
    }

    /// Whether the token is invalid in every state of Clerk.
    pub fn is_invalid(self) -> bool {
        matches!(self, Self::Forged | Self::NoAlgorithm | Self::WrongIssuer)
    }

    /// Whether its key may have to be fetched.
    pub fn may_wait(self) -> bool {
        matches!(self, Self::Rotated | Self::Elsewhere | Self::UnknownKey)
    }

    /// Whether the token may get grace, as ordinary sessions may.
    pub fn may_have_grace(self) -> bool {
        matches!(self, Self::Plain | Self::Rotated | Self::OldClaims | Self::NotYet)
    }
}

impl Token {
    pub fn exp(self) -> i64 {
        self.iat + if self.kind == Kind::LongLived { DAYS_30 } else { LIFETIME }
    }

    /// When Clerk vouched for its claims.
    pub fn claims_as_of(self) -> i64 {
        if self.kind == Kind::OldClaims { self.iat - 300 } else { self.iat }
    }

    pub fn owner(self) -> (u16, u16) {
        (self.user, self.session)
    }

    /// The compact form. Signing holds no lock, so two threads may sign the same token.
    pub fn text(self) -> Arc<str> {
        static SIGNED: LazyLock<Mutex<HashMap<Token, Arc<str>>>> = LazyLock::new(Mutex::default);
        let signed = || SIGNED.lock().expect("no panic");
        if let Some(text) = signed().get(&self) {
            return Arc::clone(text);
        }
        let text = self.sign_aside();
        Arc::clone(signed().entry(self).or_insert(text))
    }

    /// Signs without changing the random numbers of the calling world.
    fn sign_aside(self) -> Arc<str> {
        let seed = fastrand::get_seed();
        let text = self.sign();
        fastrand::seed(seed);
        text
    }

    fn sign(self) -> Arc<str> {
        let clerk = match self.kind {
            Kind::Rotated => &KEYS.second,
            Kind::Elsewhere => &KEYS.elsewhere,
            _ => &KEYS.first,
        };
        let session = SimSession {
            id: format!("sess_{}_{}", self.user, self.session).into(),
            user: format!("user_{}", self.user).into(),
            since: START,
        };
        let organization = SimOrganization::new(ORGANIZATION, "acme");
        let token = clerk.token(&session).issued(at(self.iat)).organization(organization);
        let token = self.spoil(token);
        token.claim("jti", format!("jti_{self:?}")).sign().into()
    }

    fn spoil(self, token: TokenBuilder<'_>) -> TokenBuilder<'_> {
        match self.kind {
            Kind::Plain | Kind::Rotated | Kind::Elsewhere => token,
            Kind::OldClaims => token.header("oiat", at(self.claims_as_of()).as_secs()),
            Kind::Forged => token.forged(),
            Kind::NoAlgorithm => token.header("alg", "none"),
            Kind::UnknownKey => token.kid("ins_nobody"),
            Kind::WrongIssuer => token.claim("iss", "https://clerk.other.example"),
            Kind::LongLived => token.lifetime(Duration::from_secs(30 * 24 * 3_600)),
            Kind::Impersonated => token.claim("act", json!({"sub": "user_staff"})),
            Kind::Pending => token.claim("sts", "pending"),
            Kind::NotYet => token.claim("nbf", at(self.iat + LIFETIME).as_secs()),
        }
    }
}

/// The time this many seconds after the start.
pub fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(START.as_secs() + secs)
}

/// The keys of this instance and of another.
struct Signers {
    first: SimClerk,
    second: SimClerk,
    elsewhere: SimClerk,
}

static KEYS: LazyLock<Signers> = LazyLock::new(|| {
    let clerk = || SimClerk::builder().clock(Stopped);
    let other = PublishableKey::for_host("clerk.other.example", InstanceKind::Production);
    Signers {
        first: clerk().build(),
        second: clerk().build(),
        elsewhere: clerk().publishable_key(other.expect("a host")).build(),
    }
});

/// Generates the keys, before a test pauses time.
pub fn make_keys() {
    LazyLock::force(&KEYS);
}

/// The published keys: the first, the second, or both.
pub fn jwks(first: bool, second: bool) -> Value {
    let of = |clerk: &SimClerk| clerk.jwks()["keys"][0].clone();
    let keys = [first.then(|| of(&KEYS.first)), second.then(|| of(&KEYS.second))];
    json!({ "keys": keys.into_iter().flatten().collect::<Vec<_>>() })
}

/// A stopped clock: each token states its own times.
#[derive(Debug)]
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Moment {
        Moment { wall: START, mono: Duration::ZERO }
    }
}
