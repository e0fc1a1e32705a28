//! Listening, and ending in good order.

use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::Trouble;

/// How long requests that are under way may take when the end has come.
const LAST_WORDS: Duration = Duration::from_secs(3);

pub(crate) async fn bind(port: u16) -> Result<TcpListener, Trouble> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    bound.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => Trouble::Other(format!(
            "port {port} of 127.0.0.1 is in use; name another one with --port, or 0 for any"
        )),
        _ => Trouble::Other(format!("cannot listen on 127.0.0.1:{port}: {error}")),
    })
}

/// Serves until Ctrl-C, or for so long.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    span: Option<Duration>,
) -> Result<(), Trouble> {
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on http://{}", listener.local_addr()?)?;
    stdout.flush()?;
    let (over, mut known) = tokio::sync::watch::channel(false);
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
        end(span).await;
        over.send_replace(true);
    });
    let cut_off = async move {
        // The sender goes only after it has told.
        let _ = known.wait_for(|over| *over).await;
        tokio::time::sleep(LAST_WORDS).await;
    };
    tokio::select! {
        served = serving => Ok(served?),
        () = cut_off => Ok(()),
    }
}

async fn end(span: Option<Duration>) {
    let time = async {
        match span {
            Some(span) => tokio::time::sleep(span).await,
            None => std::future::pending().await,
        }
    };
    let told = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = time => {}
        () = told => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
