//! A TCP connection to a server, and the least of HTTP, WebSocket and Socket.IO that a client needs.

use selvedge_core::fabric::realtime::{JOIN_CHANNEL, NAMESPACE};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::fabric::Fault;

/// How much room there is for what is read at a time: some ten posts.
const PIECE: usize = 8 << 10;

/// The first byte of a text frame that is whole.
const TEXT: u8 = 0x81;

/// A connection, and what was read from it.
pub(super) struct Connection {
    tcp: TcpStream,
    read: Vec<u8>,
    /// How much of that is taken.
    taken: usize,
}

impl Connection {
    pub(super) async fn open(port: u16) -> Result<Self, Fault> {
        let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
        tcp.set_nodelay(true)?;
        Ok(Self {
            tcp,
            read: Vec::new(),
            taken: 0,
        })
    }

    /// Opens a WebSocket that has joined the namespace.
    pub(super) async fn socket(port: u16, auth: &Value) -> Result<Self, Fault> {
        let mut socket = Self::open(port).await?;
        // The nonce is the one of RFC 6455.
        let request = format!(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        socket.tcp.write_all(request.as_bytes()).await?;
        let head = socket.head().await?;
        if !head.starts_with("HTTP/1.1 101 ") {
            return Err(format!("no WebSocket: {head}").into());
        }
        socket.until("0{").await?;
        socket.say(&format!("40{NAMESPACE},{auth}")).await?;
        socket.until(&format!("40{NAMESPACE},")).await?;
        Ok(socket)
    }

    /// Enters a room.
    pub(super) async fn enter(&mut self, room: &str) -> Result<(), Fault> {
        let join = json!([JOIN_CHANNEL, { "channelId": room }]);
        self.say(&format!("42{NAMESPACE},0{join}")).await?;
        self.until(&format!(r#"43{NAMESPACE},0[{{"ok":true"#)).await
    }

    /// Sends a text frame. Its mask is zero, which changes nothing.
    pub(super) async fn say(&mut self, text: &str) -> Result<(), Fault> {
        let mut frame = vec![TEXT];
        match u8::try_from(text.len()) {
            Ok(short) if short < 126 => frame.push(0x80 | short),
            Ok(_) | Err(_) => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(text.len())?.to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        Ok(self.tcp.write_all(&frame).await?)
    }

    /// Reads the next text frame, past heartbeats, which it answers.
    pub(super) async fn next(&mut self) -> Result<&[u8], Fault> {
        loop {
            let (from, to) = self.frame().await?;
            if to - from == 1 {
                self.say("3").await?;
            } else {
                return Ok(self.read.get(from..to).unwrap_or_default());
            }
        }
    }

    /// Reads on to a frame that starts so.
    async fn until(&mut self, start: &str) -> Result<(), Fault> {
        loop {
            let frame = self.next().await?;
            if frame.starts_with(start.as_bytes()) {
                return Ok(());
            }
            if frame.starts_with(b"44") || frame.starts_with(b"43") {
                return Err(String::from_utf8_lossy(frame).into());
            }
        }
    }

    /// Where the next frame stands in what was read.
    async fn frame(&mut self) -> Result<(usize, usize), Fault> {
        loop {
            let waiting = self.read.get(self.taken..).unwrap_or_default();
            if let Some((header, length)) = frame(waiting)? {
                let from = self.taken + header;
                self.taken = from + length;
                return Ok((from, self.taken));
            }
            self.more().await?;
        }
    }

    /// Sends a request, and reads the status and the body of its answer.
    pub(super) async fn request(&mut self, request: &[u8]) -> Result<(u16, &[u8]), Fault> {
        self.tcp.write_all(request).await?;
        let head = self.head().await?;
        let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then_some(value.trim())
        });
        let length: usize = length.ok_or("no length")?.parse()?;
        while self.read.len() < self.taken + length {
            self.more().await?;
        }
        let from = self.taken;
        self.taken += length;
        let body = self.read.get(from..self.taken).unwrap_or_default();
        Ok((status, body))
    }

    /// Reads the head of an answer.
    async fn head(&mut self) -> Result<String, Fault> {
        const END: &[u8] = b"\r\n\r\n";
        loop {
            let waiting = self.read.get(self.taken..).unwrap_or_default();
            if let Some(at) = waiting.windows(END.len()).position(|bytes| bytes == END) {
                let head = waiting.get(..at).unwrap_or_default();
                let head = String::from_utf8_lossy(head).into_owned();
                self.taken += at + END.len();
                return Ok(head);
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), Fault> {
        self.read.drain(..self.taken);
        self.taken = 0;
        self.read.reserve(PIECE);
        match self.tcp.read_buf(&mut self.read).await? {
            0 => Err("the server has hung up".into()),
            _ => Ok(()),
        }
    }
}

/// How long the header and the payload of the first frame are; none where it is not whole.
fn frame(bytes: &[u8]) -> Result<Option<(usize, usize)>, Fault> {
    let Some([first, length]) = bytes.first_chunk() else {
        return Ok(None);
    };
    if *first != TEXT {
        return Err(format!("not a text frame: {first:#x}").into());
    }
    let (header, length) = match (length, bytes.get(2..).and_then(<[u8]>::first_chunk)) {
        (126, Some(length)) => (4, u16::from_be_bytes(*length).into()),
        (126, None) => return Ok(None),
        (127, _) => return Err("a frame of more than 64 KiB".into()),
        (short, _) => (2, usize::from(*short)),
    };
    Ok((bytes.len() >= header + length).then_some((header, length)))
}
