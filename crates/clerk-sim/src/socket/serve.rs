//! Serves one connection.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::super::answer::SimAnswer;
use super::super::ask::Ask;
use super::super::fault::Break;
use super::super::respond::respond;
use super::super::state::SimState;
use super::super::surface::Host;
use super::raw;

/// Maximum size of a request's body, in bytes.
const BODY: usize = 64 * 1024;

/// Reads one request and answers it. For a fault below HTTP, the raw socket is taken back from
/// hyper.
pub(super) async fn serve(state: Arc<SimState>, host: Host, stream: TcpStream) {
    let service = service_fn(|request| answer(state.clone(), host, request));
    let mut connection = http1::Builder::new()
        .keep_alive(false)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service);
    // Other errors than `Break` mean that the client disconnected.
    let Err(error) = (&mut connection).await else { return };
    let broken = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<Break>());
    if let Some(broken) = broken {
        // These faults make clients disconnect, so an error is expected.
        let _ = raw::misbehave(connection.into_parts().io.into_inner(), *broken).await;
    }
}

async fn answer(
    state: Arc<SimState>,
    host: Host,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Break> {
    let (head, body) = request.into_parts();
    // A truncated or oversized body counts as empty.
    let body = Limited::new(body, BODY).collect().await;
    let ask = Ask {
        host,
        satellite: None,
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: body.map(Collected::to_bytes).unwrap_or_default(),
    };
    respond(&state, &ask).await.map(response)
}

fn response(answer: SimAnswer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
