//! HTTP client for all calls to Clerk.
//!
//! The client enforces the deadline and the size limit of each call and follows no redirect. Errors
//! are classified by cause, because the cause decides what a failure proves about Clerk.

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::BytesMut;
use url::{Host, Url};

use clerk_verify::transport::{ApiRequest, ApiResponse, Calling, Transport, TransportError};

/// A [`Transport`] over HTTP that verifies TLS certificates against the platform's trust store.
///
/// The client uses the proxies of the usual environment variables (`HTTPS_PROXY`, `NO_PROXY` and
/// the like), except for loopback addresses.
#[derive(Clone, Debug)]
pub struct HttpUpstream {
    direct: reqwest::Client,
    proxied: reqwest::Client,
}

impl HttpUpstream {
    /// Creates a client with its own connection pool.
    ///
    /// # Errors
    ///
    /// A description of the problem, if TLS cannot be set up on this platform.
    pub fn new() -> Result<Self, String> {
        Self::with(|builder| builder)
    }

    fn with(
        choose: impl Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Result<Self, String> {
        let build = |builder: reqwest::ClientBuilder| {
            choose(builder)
                .user_agent(concat!("clerk-resilience/", env!("CARGO_PKG_VERSION")))
                .redirect(reqwest::redirect::Policy::none())
                .pool_max_idle_per_host(2)
                .pool_idle_timeout(Duration::from_secs(30))
                .build()
                .map_err(|error| format!("the HTTP client cannot be set up: {}", innermost(&error)))
        };
        Ok(Self {
            direct: build(reqwest::Client::builder().no_proxy())?,
            proxied: build(reqwest::Client::builder())?,
        })
    }

    fn client(&self, url: &Url) -> &reqwest::Client {
        if is_loopback(url) { &self.direct } else { &self.proxied }
    }
}

impl Transport for HttpUpstream {
    fn call(&self, call: ApiRequest) -> Calling {
        let client = self.client(&call.url).clone();
        Box::pin(async move {
            let deadline = call.deadline;
            tokio::time::timeout(deadline, carry(client, call))
                .await
                .unwrap_or(Err(TransportError::Timeout))
        })
    }
}

async fn carry(client: reqwest::Client, call: ApiRequest) -> Result<ApiResponse, TransportError> {
    let started = tokio::time::Instant::now();
    let mut request = client.request(call.method, call.url).headers(call.headers);
    if !call.body.is_empty() {
        request = request.body(call.body);
    }
    let mut response = request.send().await.map_err(|error| fault(&error))?;
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| fault(&error))? {
        if body.len() + chunk.len() > call.max_bytes {
            return Err(TransportError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(ApiResponse {
        status: response.status(),
        headers: std::mem::take(response.headers_mut()),
        body: body.freeze(),
        latency: started.elapsed(),
    })
}

/// Classifies an error by the first known error in its chain of causes.
fn fault(error: &reqwest::Error) -> TransportError {
    if error.is_timeout() {
        return TransportError::Timeout;
    }
    if error.is_builder() {
        return TransportError::Unsendable;
    }
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(this) = cause {
        if let Some(known) = known_fault(this) {
            return known;
        }
        cause = inside(this);
    }
    if error.is_connect() { TransportError::Reset } else { TransportError::Protocol }
}

/// Returns the error that `error` wraps. `io::Error::source` skips the wrapped error itself and
/// returns the source of that error, so `get_ref` is necessary.
fn inside<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

fn known_fault(error: &(dyn Error + 'static)) -> Option<TransportError> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(tls_fault(tls));
    }
    if let Some(io) = error.downcast_ref::<io::Error>() {
        return match io.kind() {
            io::ErrorKind::ConnectionRefused => Some(TransportError::Refused),
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable => Some(TransportError::Reset),
            io::ErrorKind::TimedOut => Some(TransportError::Timeout),
            _ => None,
        };
    }
    // The resolver's error type is private to the HTTP client, so only its text identifies the
    // error.
    error.to_string().contains("dns error").then_some(TransportError::Dns)
}

/// Classifies a TLS error. Only an invalid or missing certificate proves that another server
/// answered. Bytes that are not TLS prove nothing.
fn tls_fault(error: &rustls::Error) -> TransportError {
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            TransportError::Tls
        }
        _ => TransportError::Protocol,
    }
}

fn innermost(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), innermost)
}

/// Returns whether a URL names this host: `localhost`, a name below it, or a loopback address.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// A name with two addresses, as most have. Nobody is at the first one.
    #[tokio::test]
    async fn a_host_whose_ipv6_address_does_not_work_is_reached_over_ipv4() {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a free port");
        let at = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            drop(stream.read(&mut [0; 4096]).await);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
            stream.write_all(answer).await.expect("it listens");
        });
        let broken = SocketAddr::from((Ipv6Addr::LOCALHOST, at.port()));
        let name = "clerk.localhost";
        let client = |addresses: &[SocketAddr]| {
            HttpUpstream::with(|builder| builder.resolve_to_addrs(name, addresses)).expect("TLS")
        };
        let url = Url::parse(&format!("http://{name}:{}/", at.port())).expect("an address");
        let call = || ApiRequest::get(url.clone()).deadline(Duration::from_secs(5));
        assert!(client(&[broken]).call(call()).await.is_err(), "nobody is there");
        let reply = client(&[broken, at]).call(call()).await.expect("an answer");
        assert_eq!(&reply.body[..], b"{}");
    }

    #[test]
    fn loopback_hosts_are_recognized() {
        for (url, loopback) in [
            ("http://127.0.0.1:8080/", true),
            ("http://[::1]/", true),
            ("http://localhost/", true),
            ("http://clerk.localhost/", true),
            ("http://localhost.example.com/", false),
            ("http://10.0.0.1/", false),
            ("https://clerk.example.com/", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).expect("an address")), loopback, "{url}");
        }
    }
}
