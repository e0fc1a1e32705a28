//! Session tokens, right ones and deliberately wrong ones.

use std::time::Duration;

use serde_json::{Map, Value, json};

use clerk_verify::clock::Timestamp;

use super::permissions::pack;
use super::session::{SimOrganization, SimSession};
use super::state::{State, random_text};

/// The category Clerk stamps into the header of session tokens.
pub(super) const SESSION_CATEGORY: &str = "cl_B7d4PD111AAA";

/// A session token being made. It starts as Clerk's own: version 2, issued now, 60 s to live,
/// `nbf` 10 s before `iat`, no `azp`, signed with the published key.
#[derive(Debug)]
#[must_use = "nothing is made before sign()"]
pub struct TokenBuilder<'a> {
    state: &'a State,
    session: SimSession,
    issued: Timestamp,
    lifetime: Duration,
    authorized_party: Option<String>,
    organization: Option<SimOrganization>,
    version1: bool,
    foreign: bool,
    claims: Map<String, Value>,
    removed: Vec<String>,
    header: Map<String, Value>,
}

impl<'a> TokenBuilder<'a> {
    pub(super) fn new(state: &'a State, session: SimSession) -> Self {
        Self {
            state,
            session,
            issued: state.now().wall,
            lifetime: Duration::from_secs(60),
            authorized_party: None,
            organization: None,
            version1: false,
            foreign: false,
            claims: Map::new(),
            removed: Vec::new(),
            header: Map::new(),
        }
    }

    /// How long it lives, in whole seconds from `iat` to `exp`.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// When it was issued; may lie in the future.
    pub fn issued(mut self, at: Timestamp) -> Self {
        self.issued = at;
        self
    }

    /// Issued so long before now.
    pub fn ago(mut self, span: Duration) -> Self {
        self.issued = self.state.now().wall.minus(span);
        self
    }

    /// The `azp` claim, an origin as `https://app.example.com`.
    pub fn authorized_party(mut self, origin: impl Into<String>) -> Self {
        self.authorized_party = Some(origin.into());
        self
    }

    /// The organisation that is active in the session.
    pub fn organization(mut self, organization: SimOrganization) -> Self {
        self.organization = Some(organization);
        self
    }

    /// The role in the active organisation, without `org:`; nothing without an organisation.
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.organization = self.organization.map(|organization| organization.role(role));
        self
    }

    /// One claim more, or another value for one that is there.
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    /// One claim less.
    pub fn without_claim(mut self, name: impl Into<String>) -> Self {
        self.removed.push(name.into());
        self
    }

    /// One header parameter more, or another value for one that is there; `null` takes it out.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.header.insert(name.into(), value.into());
        self
    }

    /// Another key's name in the header. The signature stays our key's.
    pub fn kid(self, kid: impl Into<String>) -> Self {
        self.header("kid", kid.into())
    }

    /// The claims of version 1: no `v`, `jti`, `sts` or `fea`, and `org_…` claims for `o`.
    pub fn version1(mut self) -> Self {
        self.version1 = true;
        self
    }

    /// Signed with a key nobody published, under the published key's name.
    pub fn forged(mut self) -> Self {
        self.foreign = true;
        self
    }

    /// The token, in compact form.
    #[must_use]
    pub fn sign(self) -> String {
        let published = self.state.signing_key();
        let key = if self.foreign { self.state.foreign_key() } else { published.clone() };
        let mut header = json!({
            "alg": "RS256",
            "cat": SESSION_CATEGORY,
            "kid": published.kid().as_str(),
            "typ": "JWT",
        });
        overlay(&mut header, &self.header);
        if let Value::Object(parameters) = &mut header {
            parameters.retain(|_, value| !value.is_null());
        }
        key.sign(&header, &self.payload())
    }

    fn payload(&self) -> Value {
        let issued = self.issued.as_secs();
        let expires = self.issued.plus(self.lifetime).as_secs();
        let factor_age = self.issued.since(self.session.since).as_secs() / 60;
        let mut payload = json!({
            "exp": expires,
            "fva": [factor_age, -1],
            "iat": issued,
            "iss": self.state.publishable_key().issuer(),
            "nbf": issued.saturating_sub(10),
            "sid": self.session.id.as_str(),
            "sub": self.session.user.as_str(),
        });
        if let Some(party) = &self.authorized_party {
            payload["azp"] = json!(party);
        }
        overlay(&mut payload, &self.version_claims());
        overlay(&mut payload, &self.claims);
        if let Value::Object(claims) = &mut payload {
            claims.retain(|name, _| !self.removed.contains(name));
        }
        payload
    }

    fn version_claims(&self) -> Map<String, Value> {
        let mut claims = Map::new();
        let organization = self.organization.as_ref();
        if self.version1 {
            claims.extend(organization.map(organization_v1).into_iter().flatten());
        } else {
            claims.insert("v".into(), json!(2));
            claims.insert("sts".into(), json!("active"));
            claims.insert("jti".into(), json!(random_text("", 20)));
            claims.extend(organization.map(organization_v2).into_iter().flatten());
        }
        claims
    }
}

fn organization_v1(organization: &SimOrganization) -> Map<String, Value> {
    Map::from_iter([
        ("org_id".into(), json!(organization.id.as_str())),
        ("org_slug".into(), json!(organization.slug)),
        ("org_role".into(), json!(format!("org:{}", organization.role))),
        ("org_permissions".into(), json!(organization.permissions)),
    ])
}

fn organization_v2(organization: &SimOrganization) -> Map<String, Value> {
    let packed = pack(&organization.permissions);
    let mut o = json!({
        "id": organization.id.as_str(),
        "slg": organization.slug,
        "rol": organization.role,
    });
    let mut claims = Map::new();
    if !packed.features.is_empty() {
        o["per"] = json!(packed.permissions);
        o["fpm"] = json!(packed.masks);
        claims.insert("fea".into(), json!(packed.features));
    }
    claims.insert("o".into(), o);
    claims
}

/// Puts every member of `over` into the object `base`.
fn overlay(base: &mut Value, over: &Map<String, Value>) {
    if let Value::Object(members) = base {
        members.extend(over.clone());
    }
}
