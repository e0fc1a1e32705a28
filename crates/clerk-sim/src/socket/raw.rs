//! Faults below HTTP: broken, endless or invalid responses on a raw socket.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::super::fault::Break;

const GARBAGE: &[u8] = b"\x00\x07\xff\xfe this is not HTTP \x1b\r\n\r\n";
const CUT: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
    content-length: 4096\r\nconnection: close\r\n\r\n{\"keys\":[";
const ENDLESS: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
    connection: close\r\n\r\n{\"keys\":[";
/// A fatal TLS 1.2 alert, `handshake_failure`.
const ALERT: &[u8] = &[21, 3, 3, 0, 2, 2, 40];
/// Filler of an endless body; JSON allows any amount of white space.
const BLANK: [u8; 16 * 1024] = [b' '; 16 * 1024];
const DRIP: Duration = Duration::from_millis(100);

/// Applies a fault to a connection whose request was read, until the fault ends or the client
/// closes.
pub(super) async fn misbehave(mut stream: TcpStream, broken: Break) -> io::Result<()> {
    match broken {
        Break::Hang => until_closed(&mut stream).await,
        // The port is open, so a reset is the closest fault to a refusal.
        Break::Reset | Break::Refused | Break::Dns => stream.set_zero_linger(),
        Break::Garbage => say(&mut stream, GARBAGE).await,
        Break::Truncated => say(&mut stream, CUT).await,
        Break::Tls => say(&mut stream, ALERT).await,
        Break::Huge => endless(&mut stream, &BLANK, Duration::ZERO).await,
        Break::SlowDrip => endless(&mut stream, b" ", DRIP).await,
    }
}

/// Sends the bytes and shuts down cleanly, so that all of them arrive.
async fn say(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.shutdown().await?;
    until_closed(stream).await
}

async fn endless(stream: &mut TcpStream, piece: &[u8], pause: Duration) -> io::Result<()> {
    stream.write_all(ENDLESS).await?;
    loop {
        tokio::time::sleep(pause).await;
        stream.write_all(piece).await?;
    }
}

async fn until_closed(stream: &mut TcpStream) -> io::Result<()> {
    let mut unread = [0; 1024];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}
