//! The front end over loopback sockets: HTTP/1.1, one request per connection.

mod raw;
mod serve;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::state::State;
use super::surface::Host;

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;
/// How long to wait before a port is tried again.
const AGAIN: Duration = Duration::from_millis(10);

/// The listeners of one instance. They stop when this is dropped.
#[derive(Debug)]
pub(super) struct Sockets {
    doors: [Door; 3],
}

/// One listener.
#[derive(Debug)]
struct Door {
    address: SocketAddr,
    open: watch::Receiver<bool>,
    task: AbortHandle,
}

impl Sockets {
    pub(super) async fn open(state: &Arc<State>, ports: [u16; 3]) -> io::Result<Self> {
        let [frontend, backend, status] = ports;
        Ok(Self {
            doors: [
                Door::open(state.clone(), Host::Frontend, frontend).await?,
                Door::open(state.clone(), Host::Backend, backend).await?,
                Door::open(state.clone(), Host::Status, status).await?,
            ],
        })
    }

    pub(super) fn addresses(&self) -> [SocketAddr; 3] {
        self.doors.each_ref().map(|door| door.address)
    }

    /// Waits until each listener is there or gone as the faults want it.
    pub(super) async fn settled(&self, state: &State) {
        for (door, host) in self.doors.iter().zip(Host::ALL) {
            // An error means that the listener's task is over: nothing will change any more.
            let _ = door.open.clone().wait_for(|open| *open != state.refuses(host)).await;
        }
    }
}

impl Door {
    async fn open(state: Arc<State>, host: Host, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let (sender, open) = watch::channel(true);
        let task = tokio::spawn(listen(state, host, listener, address, sender)).abort_handle();
        Ok(Self { address, open, task })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Listens whenever the faults allow it. Ends by being aborted.
async fn listen(
    state: Arc<State>,
    host: Host,
    mut listener: TcpListener,
    address: SocketAddr,
    open: watch::Sender<bool>,
) {
    let mut connections = JoinSet::new();
    let mut changes = state.changes();
    loop {
        changes.mark_unchanged();
        if state.refuses(host) {
            drop(listener);
            open.send_replace(false);
            listener = reopen(&state, host, address, &mut changes).await;
            open.send_replace(true);
        }
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve::serve(state.clone(), host, stream));
                }
                Err(_) => tokio::time::sleep(AGAIN).await,
            },
            _ = changes.changed() => {}
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Waits until the host is wanted again. Meanwhile the port is held by a socket that does not
/// listen, so that connections are refused and nobody else gets the port.
async fn reopen(
    state: &State,
    host: Host,
    address: SocketAddr,
    changes: &mut watch::Receiver<()>,
) -> TcpListener {
    let mut held = hold(address);
    loop {
        changes.mark_unchanged();
        if state.refuses(host) {
            // The state holds the sender, so this does not fail while it is borrowed here.
            let _ = changes.changed().await;
            continue;
        }
        match held.and_then(|socket| socket.listen(BACKLOG)) {
            Ok(listener) => return listener,
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
        held = hold(address);
    }
}

fn hold(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // On Windows this would let others take the port; there it is free to be taken again anyway.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
