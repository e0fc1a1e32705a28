//! Session tokens, valid or deliberately wrong ones.

use std::time::Duration;

use serde_json::{Map, Value, json};

use clerk_verify::clock::Timestamp;

use super::permissions::pack;
use super::session::{SimOrganization, SimSession};
use super::state::{SimState, random_text};

/// The category (`cat`) in the header of Clerk's session tokens.
pub(super) const SESSION_CATEGORY: &str = "cl_B7d4PD111AAA";

/// Builds a session token. The defaults are Clerk's own: version 2, issued now, 60 s lifetime,
/// `nbf` 10 s before `iat`, no `azp`, signed with the published key.
#[derive(Debug)]
#[must_use = "nothing is made before sign()"]
pub struct TokenBuilder<'a> {
    state: &'a SimState,
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
    pub(super) fn new(state: &'a SimState, session: SimSession) -> Self {
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

    /// Sets the lifetime, in whole seconds from `iat` to `exp`. Default: 60 s.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Sets the time of issue (`iat`), which may be in the future. Default: now.
    pub fn issued(mut self, at: Timestamp) -> Self {
        self.issued = at;
        self
    }

    /// Sets the time of issue (`iat`) to this long before now.
    pub fn ago(mut self, span: Duration) -> Self {
        self.issued = self.state.now().wall.minus(span);
        self
    }

    /// Sets the `azp` claim, an origin such as `https://app.example.com`. Default: no `azp`.
    pub fn authorized_party(mut self, origin: impl Into<String>) -> Self {
        self.authorized_party = Some(origin.into());
        self
    }

    /// Sets the active organization.
    pub fn organization(mut self, organization: SimOrganization) -> Self {
        self.organization = Some(organization);
        self
    }

    /// Sets the role in the active organization, without `org:`. No effect without an organization.
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.organization = self.organization.map(|organization| organization.role(role));
        self
    }

    /// Adds a claim, or replaces its value.
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    /// Removes a claim.
    pub fn without_claim(mut self, name: impl Into<String>) -> Self {
        self.removed.push(name.into());
        self
    }

    /// Adds a header parameter, or replaces its value; `null` removes the parameter.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.header.insert(name.into(), value.into());
        self
    }

    /// Sets the key id in the header. The signature is still made by the instance's key.
    pub fn kid(self, kid: impl Into<String>) -> Self {
        self.header("kid", kid.into())
    }

    /// Uses the claims of token version 1: no `v`, `jti`, `sts` or `fea`, and `org_…` claims
    /// instead of `o`.
    pub fn version1(mut self) -> Self {
        self.version1 = true;
        self
    }

    /// Signs with an unpublished key, under the published key's id.
    pub fn forged(mut self) -> Self {
        self.foreign = true;
        self
    }

    /// Signs the token, and returns it in compact form (RFC 7515).
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

/// Inserts every member of `over` into the object `base`.
fn overlay(base: &mut Value, over: &Map<String, Value>) {
    if let Value::Object(members) = base {
        members.extend(over.clone());
    }
}
