//! Bodies of requests and answers that go through a [`Limiter`] piece by piece, and report that
//! they move.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;

use bytes::Buf;
use bytes::Bytes;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;
use hyper::body::Incoming;
use object_store::client::HttpError;
use object_store::client::HttpErrorKind;
use object_store::client::HttpRequestBody;
use tokio::time::Sleep;

use crate::base::monitor::Monitor;
use crate::base::num::u64_of;
use crate::base::num::usize_of;
use crate::store::limiter::Limiter;
use crate::store::remote::retry::Motion;

/// A wait for one's turn.
type Wait = Option<Pin<Box<Sleep>>>;

fn poll_wait(wait: &mut Wait, context: &mut Context<'_>) -> Poll<()> {
    if let Some(sleep) = wait {
        ready!(sleep.as_mut().poll(context));
        *wait = None;
    }
    Poll::Ready(())
}

fn turn(limiter: &Limiter, bytes: usize) -> Wait {
    let time = limiter.reserve(u64_of(bytes));
    (!time.is_zero()).then(|| Box::pin(tokio::time::sleep(time)))
}

/// Bytes that are handed on at once where there is no limit; so the sum of what has left grows
/// evenly.
const PIECE_BYTES: usize = 256 << 10;

/// Bytes of a request that have left; they are forgotten with it, whatever became of it.
#[derive(Debug)]
struct OnTheWay {
    monitor: Arc<Monitor>,
    bytes: u64,
}

impl OnTheWay {
    fn leaves(&mut self, bytes: u64) {
        self.monitor.leaves(bytes);
        self.bytes += bytes;
    }
}

impl Drop for OnTheWay {
    fn drop(&mut self) {
        self.monitor.settled(self.bytes);
    }
}

/// The body of a request: small pieces, each at its turn.
#[derive(Debug)]
pub(super) struct Sent {
    parts: VecDeque<Bytes>,
    left: u64,
    limiter: Option<Arc<Limiter>>,
    piece: Option<Bytes>,
    wait: Wait,
    gone: OnTheWay,
    motion: Motion,
}

impl Sent {
    /// Makes the body of a request, through `limiter` if there is one.
    pub(super) fn new(
        body: HttpRequestBody,
        limiter: Option<&Arc<Limiter>>,
        monitor: &Arc<Monitor>,
    ) -> Self {
        let mut parts = VecDeque::new();
        let mut body = Box::pin(body);
        let mut context = Context::from_waker(std::task::Waker::noop());
        // Bodies of object_store lie in memory: they are never pending.
        while let Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(&mut context) {
            if let Ok(part) = frame.into_data()
                && !part.is_empty()
            {
                parts.push_back(part);
            }
        }
        let left = parts.iter().map(|part| u64_of(part.len())).sum();
        let gone = OnTheWay { monitor: Arc::clone(monitor), bytes: 0 };
        let (limiter, motion) = (limiter.map(Arc::clone), Motion::of_this_request());
        Self { parts, left, limiter, piece: None, wait: None, gone, motion }
    }

    fn next(&mut self) -> Option<Bytes> {
        let first = self.parts.front_mut()?;
        let most = match &self.limiter {
            Some(limiter) => usize_of(limiter.piece()),
            None => PIECE_BYTES,
        };
        let piece = first.split_to(most.min(first.len()));
        if !first.has_remaining() {
            self.parts.pop_front();
        }
        Some(piece)
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = &mut *self;
        if this.piece.is_none() {
            this.piece = this.next();
            if let (Some(limiter), Some(piece)) = (&this.limiter, &this.piece) {
                this.wait = turn(limiter, piece.len());
            }
        }
        ready!(poll_wait(&mut this.wait, context));
        let piece = this.piece.take();
        let bytes = piece.as_ref().map_or(0, |piece| u64_of(piece.len()));
        this.left -= bytes;
        this.gone.leaves(bytes);
        this.motion.moved(bytes);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// The body of an answer: after each piece its time passes before the next is taken from the
/// socket, whose small buffer makes the sender wait.
#[derive(Debug)]
pub(super) struct Received {
    body: Incoming,
    limiter: Option<Arc<Limiter>>,
    wait: Wait,
    motion: Motion,
}

impl Received {
    /// Makes the body of an answer, through `limiter` if there is one.
    pub(super) fn new(body: Incoming, limiter: Option<&Arc<Limiter>>) -> Self {
        let (limiter, motion) = (limiter.map(Arc::clone), Motion::of_this_request());
        Self { body, limiter, wait: None, motion }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = &mut *self;
        ready!(poll_wait(&mut this.wait, context));
        let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            this.motion.moved(u64_of(data.len()));
            this.wait = this.limiter.as_ref().and_then(|limiter| turn(limiter, data.len()));
        }
        let frame = frame
            .map(|frame| frame.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error)));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
