//! A server that speaks TLS alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clerk_resilience::store::{RedisOptions, RedisStore, Store as _};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use test_support::redis_server::{Server, free_port};

use crate::session;

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64.encode(der))
}

/// The server, the address, and who vouches for it.
fn server() -> (Server, String, String) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(authority, key).expect("a certificate");
    let key = KeyPair::generate().expect("a key");
    let own = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let own = own.signed_by(&key, &authority).expect("a certificate");
    let trusted = pem("CERTIFICATE", authority.der());
    let (dir, port) = (tempfile::tempdir().expect("a directory"), free_port());
    for (name, pem) in [
        ("ca.pem", &trusted),
        ("own.pem", &pem("CERTIFICATE", own.der())),
        ("key.pem", &pem("PRIVATE KEY", &key.serialize_der())),
    ] {
        std::fs::write(dir.path().join(name), pem).expect("written");
    }
    let files =
        ["--tls-cert-file", "own.pem", "--tls-key-file", "key.pem", "--tls-ca-cert-file", "ca.pem"];
    let more = [
        "--tls-port",
        &port,
        "--tls-auth-clients",
        "no",
        "--requirepass",
        "481516",
        "--bind",
        "127.0.0.1",
    ];
    let server = Server::start_in(dir, &[&more[..], &files[..]].concat());
    (server, format!("rediss://:481516@localhost:{port}/0"), trusted)
}

#[tokio::test]
async fn a_tls_server_with_a_trusted_certificate_is_used() {
    let (_server, url, authority) = server();
    let store = RedisOptions::new(&url, "test").trust(authority).connect().await;
    let store = store.expect("a server that is trusted");
    store.deny(vec![session("sess_1", 60)]).await.expect("kept");
    assert_eq!(store.denials().expect("read"), [session("sess_1", 60)]);
    let fleet = store.fleet().expect("it is shared");
    assert_eq!(fleet.follow(None).await.expect("read").denials.len(), 1);
}

#[tokio::test]
async fn an_untrusted_tls_server_gets_no_password() {
    let (_server, url, _) = server();
    let error = RedisStore::connect(&url, "test").await.expect_err("nobody vouches for it");
    assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");
    let (_, _, stranger) = server();
    let error = RedisOptions::new(&url, "test").trust(stranger).connect().await;
    let error = error.expect_err("a stranger vouches");
    assert!(!format!("{error} {error:?}").contains("481516"));
    let without = url.replace("rediss:", "redis:");
    RedisStore::connect(&without, "test").await.expect_err("it speaks TLS alone");
}
