//! Bodies of answers, the broken ones included. Knows nothing of what they say.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// Filler of [`Payload::Filler`]; large enough that a huge body costs few frames.
static FILLER: [u8; 64 * 1024] = [b'x'; 64 * 1024];

/// How long the start of a [`CutBody`] has to leave: on HTTP/2 another task sends it.
const FLUSH: Duration = Duration::from_millis(10);

/// The body of an answer.
#[derive(Debug)]
pub(super) enum Payload {
    /// Sent whole.
    Whole(Option<Bytes>),
    /// Sent, and then the connection breaks.
    Cut(CutBody),
    /// So many bytes of nothing, never held in memory.
    Filler(u64),
}

/// A body that ends too early.
#[derive(Debug)]
pub(super) enum CutBody {
    Start(Bytes),
    /// Gives the connection the chance to send what it has: an error at once would discard it.
    Flush(Pin<Box<Sleep>>),
    Break,
}

/// The reason that hyper is given for breaking a connection.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed on purpose")]
pub(super) struct Closed;

impl Payload {
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()))
    }

    pub(super) fn empty() -> Self {
        Self::Whole(None)
    }

    /// The bytes, if they are sent as they are.
    pub(super) fn bytes(&self) -> Bytes {
        match self {
            Self::Whole(Some(bytes)) => bytes.clone(),
            Self::Whole(None) | Self::Cut(_) | Self::Filler(_) => Bytes::new(),
        }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Closed;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Closed>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Cut(cut) => poll_cut(cut, context),
            Self::Filler(left) => Poll::Ready(filler_chunk(left).map(|chunk| Ok(Frame::data(chunk)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None) | Self::Filler(0))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Filler(left) => SizeHint::with_exact(*left),
            Self::Cut(_) => SizeHint::default(),
        }
    }
}

fn poll_cut(cut: &mut CutBody, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Closed>>> {
    match std::mem::replace(cut, CutBody::Break) {
        CutBody::Start(bytes) => {
            *cut = CutBody::Flush(Box::pin(sleep(FLUSH)));
            Poll::Ready(Some(Ok(Frame::data(bytes))))
        }
        CutBody::Flush(mut pause) => match pause.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Some(Err(Closed))),
            Poll::Pending => {
                *cut = CutBody::Flush(pause);
                Poll::Pending
            }
        },
        CutBody::Break => Poll::Ready(Some(Err(Closed))),
    }
}

fn filler_chunk(left: &mut u64) -> Option<Bytes> {
    let size = usize::try_from(*left).unwrap_or(FILLER.len()).min(FILLER.len());
    *left -= size as u64;
    FILLER.get(..size).filter(|chunk| !chunk.is_empty()).map(Bytes::from_static)
}
