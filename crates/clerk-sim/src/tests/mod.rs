//! What a simulated Clerk does, seen from outside.

mod memory;
mod paths;
mod sockets;
mod tokens;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use clerk_verify::transport::ApiResponse;

/// Header and payload of a token, its signature not looked at.
fn decode(jwt: &str) -> (Value, Value) {
    let mut parts = jwt.split('.').map(|part| {
        let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64url");
        serde_json::from_slice(&bytes).unwrap_or(Value::Null)
    });
    (parts.next().expect("a header"), parts.next().expect("a payload"))
}

/// Header and payload of a token that the named key of the set signed; `None` when it did not.
fn verify(jwt: &str, jwks: &Value) -> Option<(Value, Value)> {
    let (header, payload) = decode(jwt);
    let keys = jwks["keys"].as_array().expect("a list of keys");
    let key = keys.iter().find(|key| key["kid"] == header["kid"])?;
    let number = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str()?).ok();
    let public = RsaPublicKeyComponents { n: number("n")?, e: number("e")? };
    let (message, signature) = jwt.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    public.verify(&RSA_PKCS1_2048_8192_SHA256, message.as_bytes(), &signature).ok()?;
    Some((header, payload))
}

fn json(reply: &ApiResponse) -> Value {
    serde_json::from_slice(&reply.body).expect("a JSON body")
}
