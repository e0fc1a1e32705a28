//! Tokens signed for the purpose, by the simulated Clerk.

use std::sync::OnceLock;
use std::time::Duration;

use clerk_resilience::clock::Timestamp;
use clerk_resilience::jwks::KeySet;
use clerk_resilience::sim::{SimClerk, SimSession};
use serde_json::Value;

struct Minter {
    clerk: SimClerk,
    session: SimSession,
    keys: KeySet,
}

fn minter() -> &'static Minter {
    static MINTER: OnceLock<Minter> = OnceLock::new();
    MINTER.get_or_init(|| {
        let clerk = SimClerk::in_memory();
        let session = clerk.sign_in("user_1");
        let keys = KeySet::from_pem(&clerk.public_key_pem()).expect("its own key");
        Minter { clerk, session, keys }
    })
}

/// What verifies them.
pub(crate) fn keys() -> &'static KeySet {
    &minter().keys
}

/// A token being made, without anything that is optional.
pub(crate) struct Token {
    issued: Timestamp,
    claims: Vec<(String, Option<Value>)>,
    header: Vec<(String, Option<Value>)>,
}

impl Token {
    /// Good from a minute before to a minute after.
    pub(crate) fn at(now: Timestamp) -> Self {
        Self {
            issued: now.minus(Duration::from_secs(60)),
            claims: ["sid", "fva", "v", "sts", "jti", "nbf", "fea", "pla"]
                .map(|name| (name.to_owned(), None))
                .into(),
            header: Vec::new(),
        }
    }

    /// Sets a claim, or takes it out.
    pub(crate) fn claim(&mut self, name: &str, value: Option<Value>) {
        self.claims.retain(|(given, _)| given != name);
        self.claims.push((name.to_owned(), value));
    }

    /// Sets a header parameter, or takes it out. `null` takes it out as well.
    pub(crate) fn header(&mut self, name: &str, value: Option<Value>) {
        self.header.push((name.to_owned(), value));
    }

    pub(crate) fn sign(self) -> String {
        let minter = minter();
        let mut token = minter.clerk.token(&minter.session).issued(self.issued);
        token = token.lifetime(Duration::from_secs(120));
        for (name, value) in self.claims {
            token = match value {
                Some(value) => token.claim(name, value),
                None => token.without_claim(name),
            };
        }
        for (name, value) in self.header {
            token = token.header(name, value.unwrap_or_default());
        }
        token.sign()
    }
}
