//! The head of an HTTP answer, read apart from what follows it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

/// What is read of a transport during the handshake of a WebSocket. It ends where the head of the answer does: the
/// library would keep the buffer that it reads the head into for what follows, and that is large.
#[derive(Debug)]
pub(super) struct Head<S> {
    transport: S,
    /// How many ends of lines were last, one after the other. Two end the head.
    line_ends: u8,
    /// What was read beyond it.
    rest: Vec<u8>,
}

impl<S> Head<S> {
    pub(super) const fn new(transport: S) -> Self {
        Self {
            transport,
            line_ends: 0,
            rest: Vec::new(),
        }
    }

    /// What was read beyond the head.
    pub(super) fn into_rest(self) -> Vec<u8> {
        self.rest
    }

    fn is_over(&self) -> bool {
        self.line_ends == 2
    }

    /// Parts what was read into what belongs to the head and what follows.
    fn part<'a>(&mut self, read: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let mut count = 0;
        for byte in read {
            match byte {
                _ if self.is_over() => break,
                b'\n' => self.line_ends += 1,
                b'\r' => {}
                _ => self.line_ends = 0,
            }
            count += 1;
        }
        read.split_at(count)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Head<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_over() {
            return Poll::Ready(Ok(()));
        }
        let mut piece = [0; 1 << 10];
        let room = piece.len().min(into.remaining());
        let (room, _) = piece.split_at_mut(room);
        let mut piece = ReadBuf::new(room);
        ready!(Pin::new(&mut this.transport).poll_read(cx, &mut piece))?;
        let (head, rest) = this.part(piece.filled());
        into.put_slice(head);
        this.rest = rest.to_vec();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn it_ends_where_the_head_does_however_it_arrives() {
        for end in ["\r\n\r\n", "\n\n", "\n\r\n"] {
            let (line, rest) = ("HTTP/1.1 101 Go\r\nA: b", "0{}\r\n\r\nmore");
            let all = format!("{line}{end}{rest}").into_bytes();
            for at in 1..all.len() {
                let (first, second) = all.split_at(at);
                let mut transport = first.chain(second);
                let mut head = Head::new(&mut transport);
                let mut read = String::new();
                head.read_to_string(&mut read).await.unwrap();
                assert_eq!(read, format!("{line}{end}"));
                let mut after = head.into_rest();
                transport.read_to_end(&mut after).await.unwrap();
                assert_eq!(after, rest.as_bytes());
            }
        }
    }
}
