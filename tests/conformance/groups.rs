//! The groups of vectors, and what checks each.

use serde_json::Value;

use crate::verdict::Verdict;
use crate::{authenticate, claims, context, jwks, keys, machine, tokens, webhooks};

pub(crate) type Check = fn(&Value) -> Verdict;

/// One function for each group.
pub(crate) const GROUPS: [(&str, Check); 23] = [
    ("verify_token", tokens::verify_token),
    ("decode_jwt", tokens::decode_jwt),
    ("signature_check", tokens::signature_check),
    ("claim_assertions", tokens::claim_assertion),
    ("handshake_token", tokens::handshake_token),
    ("pem_to_jwk", jwks::pem_to_jwk),
    ("jwks_loading", jwks::loading),
    ("machine_token_classification", machine::classification),
    ("machine_token_verify", machine::verify),
    ("publishable_key", keys::publishable_key),
    ("publishable_key_build", keys::build),
    ("key_kind", keys::kind),
    ("cookie_suffix", keys::cookie_suffix),
    ("accounts_base_url", keys::accounts_base_url),
    ("org_claims", claims::organization),
    ("scope_split", claims::scope_split),
    ("has_authorization", claims::authorization),
    ("webhook", webhooks::verify),
    ("webhook_sign", webhooks::sign),
    ("authenticate_request", authenticate::request),
    ("authenticate_context", context::context),
    ("request_url_and_cookies", context::url_and_cookies),
    ("suffixed_cookie_selection", context::suffix_selection),
];

fn not_implemented(_row: &Value) -> Verdict {
    Verdict::NotImplemented
}

/// The check of a group; a group that nobody has heard of is not implemented either.
pub(crate) fn check(group: &str) -> Check {
    GROUPS
        .iter()
        .find(|(name, _)| *name == group)
        .map_or(not_implemented as Check, |(_, check)| *check)
}
