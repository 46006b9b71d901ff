//! The pump of an open WebSocket, for servers and clients alike: frames in as inputs, actions out.

mod ahead;
mod hold;

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Waker,
    time::Duration,
};

use bytes::Bytes;
use bytestring::ByteString;
use futures::{
    SinkExt as _, StreamExt as _,
    stream::{SplitSink, SplitStream},
};
use selvedge_core::ws::{Action, Closed, Event, Frame};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Notify, mpsc, oneshot},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        error::ProtocolError,
        protocol::{
            CloseFrame, WebSocketConfig,
            frame::{Utf8Bytes as Reason, coding::CloseCode},
        },
    },
};

pub use self::{ahead::ReadAhead, hold::Hold};
use crate::{
    driver::{Inbox as _, Outlet},
    mailbox::{self, mailbox},
    notice::until,
};

/// How many frames may wait for a peer that does not read. A guild with many quiet connections
/// holds at most this for each of them, and what is refused here ends one connection only.
pub const QUEUE_FRAMES_MAX: usize = 1_024;

/// How many bytes of frames may wait for a peer that does not read.
pub const QUEUE_BYTES_MAX: usize = 4 << 20;

/// How long a connection that is being closed may take to hand over what waits in its queue.
const FLUSH_PATIENCE: Duration = Duration::from_secs(5);

/// How long the peer may take to answer a close frame.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// How many frames are written between two flushes.
const FRAMES_A_FLUSH: usize = 64;

/// And about how many bytes: a peer that is slow to read large frames is seen to go on.
const BYTES_A_FLUSH: usize = 64 << 10;

/// The limits of every WebSocket, to be given to whoever makes one: small buffers, because a guild
/// has many connections that say little, and the largest message that is taken from the peer, which
/// bounds what one connection can make the process hold. A peer that sends more is hung up on.
///
/// The transport is to be read through [`ReadAhead`], or each KiB is a system call.
pub fn config(message_bytes_max: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        // It is held while the connection is idle. From 1 KiB on, messages share a buffer: of a smaller
        // one the library makes a buffer for each.
        .read_buffer_size(1 << 10)
        .write_buffer_size(8 << 10)
        .max_message_size(Some(message_bytes_max))
        .max_frame_size(Some(message_bytes_max))
}

/// The writing end of an open WebSocket. Dropping it hangs up, without a close frame and without
/// an event, unless [`Action::Close`] was sent before.
#[derive(Debug)]
pub struct WsHandle {
    frames: Option<mailbox::Sender<Frame>>,
    verdict: Option<oneshot::Sender<Verdict>>,
    backlog: Backlog,
    limits: Limits,
}

/// An open WebSocket that is not read yet: whoever owns it registers the [`WsHandle`] and announces
/// the connection to its machine, and only then lets frames follow with [`run`](Self::run).
#[must_use = "a pump that is not run keeps the connection open and silent"]
#[derive(Debug)]
pub struct Pump<S> {
    // In halves from the beginning: they are small, and it is moved from future to future.
    sink: SplitSink<WebSocketStream<S>, Message>,
    stream: SplitStream<WebSocketStream<S>>,
    frames: mailbox::Receiver<Frame>,
    verdict: oneshot::Receiver<Verdict>,
    ending: Ending,
}

/// How much may wait for a peer that does not read, before it is hung up on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many frames; [`QUEUE_FRAMES_MAX`] by default.
    pub frames: usize,
    /// How many bytes; [`QUEUE_BYTES_MAX`] by default.
    pub bytes: usize,
}

impl Limits {
    /// A part of it, and at least one frame and one byte.
    pub(crate) const fn part(self, parts: usize, of: usize) -> Self {
        Self {
            frames: self.frames / of * parts + 1,
            bytes: self.bytes / of * parts + 1,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frames: QUEUE_FRAMES_MAX,
            bytes: QUEUE_BYTES_MAX,
        }
    }
}

/// What waits in the queue of one connection, for whoever produces frames and can wait itself.
#[derive(Clone, Debug, Default)]
pub struct Backlog(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    frames: AtomicUsize,
    bytes: AtomicUsize,
    /// How many frames have gone out so far.
    taken: AtomicUsize,
    is_over: AtomicBool,
    drained: Notify,
}

/// Tells those who wait for room that the connection has ended.
#[derive(Debug)]
struct Ending(Backlog);

impl Drop for Ending {
    fn drop(&mut self) {
        let waiting = &self.0.0;
        waiting.is_over.store(true, Ordering::Release);
        waiting.drained.notify_waiters();
    }
}

impl Backlog {
    /// Whether the connection has ended.
    pub fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::Acquire)
    }

    /// How many frames the transport has taken.
    pub fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// Whether less than that waits, or the connection has ended.
    pub fn is_below(&self, limits: Limits) -> bool {
        let waiting = &self.0;
        self.is_over()
            || waiting.frames.load(Ordering::Relaxed) < limits.frames
                && waiting.bytes.load(Ordering::Relaxed) < limits.bytes
    }

    /// Waits until less than that waits, or the connection has ended.
    pub async fn below(&self, limits: Limits) {
        until(&self.0.drained, || self.is_below(limits).then_some(())).await;
    }

    fn written(&self, frames: usize, bytes: usize) {
        self.0.frames.fetch_sub(frames, Ordering::Relaxed);
        self.0.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.0.taken.fetch_add(frames, Ordering::Relaxed);
        self.0.drained.notify_waiters();
    }
}

/// The owner's last word about a connection.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    /// Flush, close, end.
    Close,
    /// The queue is full: hang up.
    Overrun,
}

/// Takes over an open WebSocket.
pub fn open<S>(socket: WebSocketStream<S>) -> (WsHandle, Pump<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    open_within(socket, Limits::default())
}

/// Takes over an open WebSocket, with limits of its own.
pub fn open_within<S>(socket: WebSocketStream<S>, limits: Limits) -> (WsHandle, Pump<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (sink, stream) = socket.split();
    let (frames_in, frames) = mailbox(limits.frames);
    let (verdict_in, verdict) = oneshot::channel();
    let backlog = Backlog::default();
    let handle = WsHandle {
        frames: Some(frames_in),
        verdict: Some(verdict_in),
        backlog: backlog.clone(),
        limits,
    };
    let pump = Pump {
        sink,
        stream,
        frames,
        verdict,
        ending: Ending(backlog),
    };
    (handle, pump)
}

/// Takes over an open WebSocket and pumps it in a task of its own; see [`Pump::run`].
pub fn pump<S, I>(
    socket: WebSocketStream<S>,
    inbox: mpsc::Sender<I>,
    input: impl Fn(Event) -> I + Send + Sync + 'static,
) -> WsHandle
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    I: Send + 'static,
{
    let (handle, pump) = open(socket);
    tokio::spawn(pump.run(inbox, input));
    handle
}

impl WsHandle {
    /// Does what a machine asked for, without waiting. What is sent to a connection that has ended
    /// or is being closed goes nowhere.
    pub fn send(&mut self, action: Action) {
        if let Some(writer) = self.send_quietly(action) {
            writer.wake();
        }
    }

    /// The same, but that whoever writes to the peer is not woken: that is to follow, or nothing is
    /// written.
    pub(crate) fn send_quietly(&mut self, action: Action) -> Option<Waker> {
        match action {
            Action::Send(frame) => self.send_frame(frame),
            Action::Close => {
                self.end(Verdict::Close);
                None
            }
        }
    }

    /// What waits to be written.
    pub fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    fn send_frame(&mut self, frame: Frame) -> Option<Waker> {
        let frames = self.frames.as_ref()?;
        let length = frame.len();
        let Waiting {
            frames: count,
            bytes,
            ..
        } = &*self.backlog.0;
        let count = count.fetch_add(1, Ordering::Relaxed);
        let bytes = bytes.fetch_add(length, Ordering::Relaxed);
        if count >= self.limits.frames || bytes.saturating_add(length) > self.limits.bytes {
            self.end(Verdict::Overrun);
            return None;
        }
        // The pump may have ended just now; its last event tells the machine.
        frames.push_quietly(frame).ok().flatten()
    }

    fn end(&mut self, word: Verdict) {
        self.frames = None;
        if let Some(verdict) = self.verdict.take() {
            // As above.
            let _ = verdict.send(word);
        }
    }
}

impl<S> Pump<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Forwards every frame to `inbox` as `input` makes it, and writes what the handle sends, until
    /// the connection ends. While the inbox is full nothing is read, so the peer is held back.
    ///
    /// The last input is exactly one [`Event::Closed`], except where the owner closed or dropped
    /// the handle: then nothing follows.
    pub async fn run<I: Send>(
        self,
        inbox: impl Outlet<I>,
        input: impl Fn(Event) -> I + Send + Sync,
    ) {
        self.run_held(None, inbox, input).await;
    }

    /// As [`run`](Self::run), but while `hold` is taken, no frame is read.
    pub async fn run_with<I: Send>(
        self,
        hold: Hold,
        inbox: impl Outlet<I>,
        input: impl Fn(Event) -> I + Send + Sync,
    ) {
        self.run_held(Some(hold), inbox, input).await;
    }

    async fn run_held<I: Send>(
        self,
        hold: Option<Hold>,
        inbox: impl Outlet<I>,
        input: impl Fn(Event) -> I + Send + Sync,
    ) {
        let Self {
            mut sink,
            mut stream,
            mut frames,
            verdict,
            ending,
        } = self;
        let ended = {
            let mut writing = std::pin::pin!(write(&mut sink, &mut frames, &ending.0));
            tokio::select! {
                biased;
                verdict = verdict => match verdict {
                    Ok(Verdict::Close) => {
                        if !matches!(timeout(FLUSH_PATIENCE, writing).await, Ok(Ok(()))) {
                            return;
                        }
                        Ended::Asked
                    }
                    Ok(Verdict::Overrun) => Ended::Found(Closed::Overrun),
                    Err(_) => return,
                },
                closed = read(&mut stream, hold.as_ref(), &inbox, &input) => match closed {
                    Some(closed) => Ended::Found(closed),
                    None => return,
                },
                // The frames end with a verdict alone, so this is a failed write.
                result = &mut writing => match result {
                    Ok(()) => return,
                    Err(error) => Ended::Found(closed_by(&error)),
                },
            }
        };
        match ended {
            Ended::Asked => {
                let farewell = async {
                    if sink.send(close_frame(CloseCode::Normal)).await.is_ok() {
                        while let Some(Ok(_)) = stream.next().await {}
                    }
                };
                // A peer that stays silent is left; the socket closes with this function.
                let _ = timeout(CLOSE_PATIENCE, farewell).await;
            }
            Ended::Found(closed) => {
                // The machine may let its handle go only after the peer has got its answer.
                let _ = timeout(CLOSE_PATIENCE, answer(&mut sink, &closed)).await;
                // Made now, because the owner may learn by that. A machine that is gone needs no last word.
                let last = input(Event::Closed(closed));
                inbox.put(|| last).await;
            }
        }
    }
}

/// How the pump came to its end.
enum Ended {
    /// The owner asked for it.
    Asked,
    /// The connection did.
    Found(Closed),
}

/// Reads until the connection ends; `None` where nobody takes the inputs any more.
async fn read<S, I>(
    stream: &mut SplitStream<WebSocketStream<S>>,
    hold: Option<&Hold>,
    inbox: &impl Outlet<I>,
    input: &(impl Fn(Event) -> I + Sync),
) -> Option<Closed>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        if let Some(hold) = hold {
            hold.free().await;
        }
        let frame = match stream.next().await {
            Some(Ok(Message::Text(text))) => match ByteString::try_from(Bytes::from(text)) {
                Ok(text) => Frame::Text(text),
                Err(_) => return Some(Closed::Broken("a text frame is not UTF-8".into())),
            },
            Some(Ok(Message::Binary(bytes))) => Frame::Binary(bytes),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
            Some(Ok(Message::Close(frame))) => return Some(closed_by_peer(frame)),
            Some(Err(error)) => return Some(closed_by(&error)),
            None => return Some(Closed::Broken("ended without a close frame".into())),
        };
        if !inbox.put(|| input(Event::Frame(frame))).await {
            return None;
        }
    }
}

/// Writes until the handle has said its last word and everything before it is flushed.
async fn write<S>(
    sink: &mut SplitSink<WebSocketStream<S>, Message>,
    frames: &mut mailbox::Receiver<Frame>,
    backlog: &Backlog,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        // Made anew each time, so that no room is held while nothing is to be written.
        let mut batch = Vec::new();
        let count = frames.take(&mut batch, FRAMES_A_FLUSH).await;
        if count == 0 {
            return Ok(());
        }
        let (mut frames, mut bytes) = (0, 0);
        for frame in batch {
            frames += 1;
            bytes += frame.len();
            sink.feed(message(frame)?).await?;
            if bytes >= BYTES_A_FLUSH {
                sink.flush().await?;
                backlog.written(mem::take(&mut frames), mem::take(&mut bytes));
            }
        }
        sink.flush().await?;
        backlog.written(frames, bytes);
    }
}

/// Tells the peer, as far as it still listens.
async fn answer<S>(
    sink: &mut SplitSink<WebSocketStream<S>, Message>,
    closed: &Closed,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match closed {
        // The answer to a close frame was queued by the library.
        Closed::Peer { .. } => sink.flush().await,
        Closed::TooLarge => sink.send(close_frame(CloseCode::Size)).await,
        Closed::Broken(_) | Closed::Overrun => Ok(()),
    }
}

fn close_frame(code: CloseCode) -> Message {
    Message::Close(Some(CloseFrame {
        code,
        reason: Reason::default(),
    }))
}

fn message(frame: Frame) -> Result<Message, Error> {
    Ok(match frame {
        Frame::Text(text) => Message::Text(
            Utf8Bytes::try_from(text.into_bytes())
                .map_err(|error| Error::Utf8(error.to_string()))?,
        ),
        Frame::Binary(bytes) => Message::Binary(bytes),
    })
}

fn closed_by_peer(frame: Option<CloseFrame>) -> Closed {
    match frame {
        Some(CloseFrame { code, reason }) => Closed::Peer {
            code: code.into(),
            reason: reason.as_str().into(),
        },
        None => Closed::Peer {
            code: CloseCode::Status.into(),
            reason: ByteString::new(),
        },
    }
}

fn closed_by(error: &Error) -> Closed {
    match error {
        Error::Capacity(_) => Closed::TooLarge,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            Closed::Broken("ended without a close frame".into())
        }
        Error::Io(error) => Closed::Broken(error.to_string().into()),
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Tls(_)
        | Error::Protocol(_)
        | Error::WriteBufferFull(_)
        | Error::Utf8(_)
        | Error::AttackAttempt
        | Error::Url(_)
        | Error::Http(_)
        | Error::HttpFormat(_) => Closed::Broken(error.to_string().into()),
    }
}

#[cfg(test)]
#[path = "ws_tests.rs"]
mod tests;
