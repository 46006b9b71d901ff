//! A transport that is read in large pieces, and holds nothing once they are taken.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is read at a time.
const PIECE: usize = 8 << 10;

/// Reads ahead for a WebSocket, whose own buffer can then be small: the library holds it from
/// beginning to end, and most connections are idle.
#[derive(Debug)]
pub struct ReadAhead<S> {
    transport: S,
    /// What was read and is not taken yet.
    ahead: Bytes,
}

impl<S> ReadAhead<S> {
    /// A transport of which nothing is read yet.
    pub const fn new(transport: S) -> Self {
        Self {
            transport,
            ahead: Bytes::new(),
        }
    }

    /// A transport of which this much is read already.
    pub fn after(read: Vec<u8>, transport: S) -> Self {
        Self {
            transport,
            ahead: read.into(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { transport, ahead } = self.get_mut();
        let fits = |read: &[u8], into: &ReadBuf<'_>| read.len().min(into.remaining());
        if ahead.is_empty() {
            // On the stack, so that it is held as long as it is needed.
            let mut room = [MaybeUninit::uninit(); PIECE];
            let mut piece = ReadBuf::uninit(&mut room);
            ready!(Pin::new(transport).poll_read(cx, &mut piece))?;
            let (now, later) = piece.filled().split_at(fits(piece.filled(), into));
            into.put_slice(now);
            *ahead = Bytes::copy_from_slice(later);
        } else {
            let (now, _) = ahead.split_at(fits(ahead, into));
            let taken = now.len();
            into.put_slice(now);
            ahead.advance(taken);
            if ahead.is_empty() {
                *ahead = Bytes::new();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().transport).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn all_is_read_in_order_however_small_the_pieces_are_that_are_taken() {
        let all: Vec<u8> = (0..5 * PIECE).map(|at| (at % 251) as u8).collect();
        for piece in [1, 7, 1_000, PIECE, 3 * PIECE] {
            let (first, second) = all.split_at(10);
            let mut transport = ReadAhead::after(first.to_vec(), second);
            let (mut read, mut taken) = (Vec::new(), vec![0; piece]);
            loop {
                let count = transport.read(&mut taken).await.unwrap();
                if count == 0 {
                    break;
                }
                read.extend_from_slice(&taken[..count]);
            }
            assert_eq!(read, all);
            assert_eq!(transport.ahead.len(), 0);
        }
    }

    #[tokio::test]
    async fn a_read_that_is_dropped_has_taken_nothing() {
        let (ours, mut peer) = tokio::io::duplex(1_024);
        let mut transport = ReadAhead::new(ours);
        let mut taken = [0; 2];
        for (said, first, second) in [(b"abc", b"ab", b'c'), (b"def", b"de", b'f')] {
            assert!(transport.read(&mut taken).now_or_never().is_none());
            peer.write_all(said).await.unwrap();
            assert_eq!(transport.read(&mut taken).await.unwrap(), 2);
            assert_eq!(&taken, first);
            assert_eq!(transport.read_u8().await.unwrap(), second);
        }
    }

    #[tokio::test]
    async fn memory_is_held_while_something_is_ahead() {
        let mut transport = ReadAhead::new(&[0; 100][..]);
        transport.read_exact(&mut [0; 60]).await.unwrap();
        // What is in memory of its own, and not static, can be unique.
        assert!(transport.ahead.len() == 40 && transport.ahead.is_unique());
        transport.read_exact(&mut [0; 40]).await.unwrap();
        assert!(transport.ahead.is_empty() && !transport.ahead.is_unique());
    }
}
