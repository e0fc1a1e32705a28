//! The program `clerk-sim`: a simulated Clerk on loopback sockets, for tests in any language.
//!
//! The program prints the variables that an application needs, as `export` lines, and then serves
//! until it is killed. `CLERK_SIM_URL` is the address of the control endpoints; [`controls`] lists
//! them.

mod controls;

use std::convert::Infallible;
use std::error::Error;
use std::io::Write as _;
use std::net::Ipv4Addr;

use bytes::Bytes;
use clap::Parser;
use clerk_sim::SimClerk;
use clerk_verify::clock::SystemClock;
use http::{Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// A simulated Clerk for tests. Prints its CLERK_* variables and serves until it is killed.
#[derive(Debug, Parser)]
#[command(version)]
#[expect(clippy::struct_field_names, reason = "the fields are the options of the program")]
struct SimArguments {
    /// The port of the Frontend API; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    frontend_port: u16,
    /// The port of the Backend API; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    backend_port: u16,
    /// The port of the status page; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    status_port: u16,
    /// The port of the controls; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    control_port: u16,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let chosen = SimArguments::parse();
    let sim = SimClerk::builder()
        .clock(SystemClock::new())
        .ports(chosen.frontend_port, chosen.backend_port, chosen.status_port)
        .start()
        .await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, chosen.control_port)).await?;
    let controls = format!("http://{}/", listener.local_addr()?);
    let mut out = std::io::stdout().lock();
    for (name, value) in variables(&sim, &controls) {
        writeln!(out, "export {name}='{value}'")?;
    }
    out.flush()?;
    drop(out);
    loop {
        let (stream, _) = listener.accept().await?;
        let sim = sim.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| answer(sim.clone(), request));
            // An error here means that the client disconnected.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn variables(sim: &SimClerk, controls: &str) -> [(&'static str, String); 6] {
    [
        ("CLERK_PUBLISHABLE_KEY", sim.publishable_key().as_str().to_owned()),
        ("CLERK_SECRET_KEY", sim.secret_key().expose().to_owned()),
        ("CLERK_FRONTEND_API_URL", sim.frontend_api_url().to_string()),
        ("CLERK_API_URL", sim.backend_api_url().to_string()),
        ("CLERK_RESILIENCE_STATUS_URL", format!("{}api/v2/summary.json", sim.status_page_url())),
        ("CLERK_SIM_URL", controls.to_owned()),
    ]
}

async fn answer(
    sim: SimClerk,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let uri = request.uri();
    let query = uri.query().unwrap_or_default();
    let (status, body) = controls::answer(&sim, request.method(), uri.path(), query);
    // Ports close or open before the response is sent.
    sim.settled().await;
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}
