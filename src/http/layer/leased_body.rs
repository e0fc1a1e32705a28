//! A response body that ends with its lease.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};

/// Returns true if the body has no known length: a stream.
pub(super) fn is_stream(body: &Body) -> bool {
    body.size_hint().exact().is_none()
}

/// A body that ends when `end` completes. Frames pass unchanged, including trailers.
pub(super) struct LeasedBody {
    body: Body,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
    over: bool,
}

impl LeasedBody {
    pub(super) fn new(body: Body, end: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { body, end: Box::pin(end), over: false }
    }
}

impl HttpBody for LeasedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.over || self.end.as_mut().poll(cx).is_ready() {
            self.over = true;
            return Poll::Ready(None);
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl fmt::Debug for LeasedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeasedBody").field("over", &self.over).finish_non_exhaustive()
    }
}
