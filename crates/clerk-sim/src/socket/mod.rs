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

use super::state::SimState;
use super::surface::Host;

/// Maximum number of connections that wait for `accept`.
const BACKLOG: u32 = 1024;
/// Delay before a retry to accept or to reopen.
const AGAIN: Duration = Duration::from_millis(10);

/// The listeners of one instance. Dropping this value stops them.
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
    pub(super) async fn open(state: &Arc<SimState>, ports: [u16; 3]) -> io::Result<Self> {
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

    /// Waits until each listener is open or closed as the faults require.
    pub(super) async fn settled(&self, state: &SimState) {
        for (door, host) in self.doors.iter().zip(Host::ALL) {
            // An error means that the listener's task has ended, so its state is final.
            let _ = door.open.clone().wait_for(|open| *open != state.refuses(host)).await;
        }
    }
}

impl Door {
    async fn open(state: Arc<SimState>, host: Host, port: u16) -> io::Result<Self> {
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

/// Accepts connections while the faults allow it. The task ends when it is aborted.
async fn listen(
    state: Arc<SimState>,
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

/// Waits until the faults allow the host to listen. Meanwhile a bound socket that does not listen
/// holds the port: connections are refused, and no other process gets the port.
async fn reopen(
    state: &SimState,
    host: Host,
    address: SocketAddr,
    changes: &mut watch::Receiver<()>,
) -> TcpListener {
    let mut held = hold(address);
    loop {
        changes.mark_unchanged();
        if state.refuses(host) {
            // `state` holds the sender, so this call cannot fail.
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
    // On Windows this option would let other processes take the port. There a port is free again at
    // once without it.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
