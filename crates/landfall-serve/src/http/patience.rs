//! Reading from and writing to clients that may stand still: it takes as long as it takes, as long as it
//! goes on.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::blobs::Flow;

/// What has to arrive of a body before its wait begins anew, in bytes: one byte a minute is no progress.
const PROGRESS_BYTES_MIN: usize = 1 << 10;

/// A wait that ends in failure unless it is called off.
struct Patience {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self { limit, timer: None, is_waiting: false }
    }

    /// Begins to wait, or goes on; ready when it was too long.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let deadline = Instant::now() + self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if !self.is_waiting {
            timer.as_mut().reset(deadline);
            self.is_waiting = true;
        }
        ready!(timer.as_mut().poll(context));
        let waited = format!("the other side did nothing for {} s", self.limit.as_secs());
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, waited))
    }

    fn call_off(&mut self) {
        self.is_waiting = false;
    }
}

/// A request's body.
pub(super) struct PatientBody {
    body: Incoming,
    patience: Patience,
    received: usize,
}

impl PatientBody {
    pub(super) fn new(body: Incoming, limit: Duration) -> Self {
        Self { body, patience: Patience::new(limit), received: 0 }
    }
}

impl HttpBody for PatientBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Pending => this.patience.wait(context).map(|late| Some(Err(late.into()))),
            Poll::Ready(frame) => {
                let frame = frame.transpose()?;
                this.received += frame.as_ref().and_then(Frame::data_ref).map_or(0, Bytes::len);
                if this.received >= PROGRESS_BYTES_MIN {
                    this.received = 0;
                    this.patience.call_off();
                }
                Poll::Ready(frame.map(Ok))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection whose other side has to take what it is sent. Reading is timed where it is known what is
/// read: see [`PatientBody`], and hyper's own wait for headers.
pub(super) struct PatientStream {
    /// Of which as much is read at a time as the flow says.
    stream: Take<TcpStream>,
    patience: Patience,
    flow: Flow,
}

impl PatientStream {
    pub(super) fn new(stream: TcpStream, limit: Duration, flow: Flow) -> Self {
        Self { stream: stream.take(0), patience: Patience::new(limit), flow }
    }

    fn timed<T>(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let this = &mut *self;
        match write(Pin::new(this.stream.get_mut()), context) {
            Poll::Pending => this.patience.wait(context).map(Err),
            ready => {
                this.patience.call_off();
                ready
            }
        }
    }
}

impl AsyncRead for PatientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.stream.set_limit(this.flow.read_bytes_max() as u64);
        Pin::new(&mut this.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for PatientStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.timed(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.timed(context, |stream, context| stream.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.get_ref().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.timed(context, |stream, context| stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.timed(context, |stream, context| stream.poll_shutdown(context))
    }
}
