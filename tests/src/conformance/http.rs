//! HTTP as a client of Engine.IO speaks it, one connection a request.
//!
//! No library's client lets a test write a request in pieces, know when it is written, and break it
//! off; the suites need all three.

#![expect(
    clippy::panic,
    clippy::expect_used,
    reason = "a helper of tests fails the test"
)]

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{Endpoint, WebSocket};
use crate::PATIENCE;

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// All of the body.
    pub body: String,
}

/// A request that is written, or the beginning of one. Dropping it breaks it off.
#[derive(Debug)]
pub struct Exchange {
    tcp: TcpStream,
}

/// A session that polls.
#[derive(Clone, Debug)]
pub struct Session {
    /// Where.
    pub endpoint: Endpoint,
    /// Its name.
    pub sid: String,
}

impl Endpoint {
    /// Writes a request: its method, its query, and as much of its body, which has `length` bytes.
    async fn begin(&self, method: &str, query: &str, (body, length): (&str, usize)) -> Exchange {
        let Self { address, .. } = self;
        let tcp = TcpStream::connect(address).await;
        let mut exchange = Exchange {
            tcp: tcp.expect("a connection to the server"),
        };
        let target = self.target(query);
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {length}\r\n\r\n"
        );
        exchange.write(&(head + body)).await;
        exchange
    }

    /// Makes a request without a body.
    ///
    /// # Panics
    ///
    /// If there is no answer within [`PATIENCE`].
    pub async fn request(&self, method: &str, query: &str) -> Answer {
        let exchange = self.begin(method, query, ("", 0)).await;
        exchange.answer().await.expect("an answer")
    }

    /// Opens a session that polls.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub async fn polling(&self) -> Session {
        self.polling_with("").await
    }

    /// The same with more in the query, from its `&` on.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub async fn polling_with(&self, more: &str) -> Session {
        let query = format!("EIO=4&transport=polling{more}");
        let answer = self.request("GET", &query).await;
        let handshake = answer.body.strip_prefix('0').expect("a handshake");
        let handshake: serde_json::Value = serde_json::from_str(handshake).expect("JSON");
        let sid = handshake.get("sid").and_then(|sid| sid.as_str());
        Session {
            endpoint: *self,
            sid: sid.expect("a sid").into(),
        }
    }
}

impl Exchange {
    /// Writes more of the body.
    pub async fn write(&mut self, text: &str) {
        // The server may have ended it; what was the answer shows in the end.
        let _ = self.tcp.write_all(text.as_bytes()).await;
    }

    /// The answer; `None` where the server broke off without a whole one.
    ///
    /// # Panics
    ///
    /// If the server has not ended it within [`PATIENCE`].
    pub async fn answer(mut self) -> Option<Answer> {
        let mut bytes = Vec::new();
        let read = timeout(PATIENCE, self.tcp.read_to_end(&mut bytes)).await;
        // A connection that is reset may have brought a whole answer before.
        let _ = read.unwrap_or_else(|_| panic!("no answer in time, but {bytes:?}"));
        parse(&String::from_utf8(bytes).expect("text"))
    }
}

impl Session {
    /// The query of its requests with a transport.
    fn query(&self, transport: &str) -> String {
        format!("EIO=4&transport={transport}&sid={}", self.sid)
    }

    /// Begins to poll.
    pub async fn begin_poll(&self) -> Exchange {
        let query = self.query("polling");
        self.endpoint.begin("GET", &query, ("", 0)).await
    }

    /// Begins to post: as much of a body that has `length` bytes.
    pub async fn begin_post(&self, body: &str, length: usize) -> Exchange {
        let query = self.query("polling");
        self.endpoint.begin("POST", &query, (body, length)).await
    }

    /// Polls.
    ///
    /// # Panics
    ///
    /// If there is no answer within [`PATIENCE`].
    pub async fn poll(&self) -> Answer {
        let exchange = self.begin_poll().await;
        exchange.answer().await.expect("an answer to the poll")
    }

    /// Posts; `None` where the server breaks off.
    pub async fn try_post(&self, body: &str) -> Option<Answer> {
        self.begin_post(body, body.len()).await.answer().await
    }

    /// Posts what the server takes.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub async fn post(&self, body: &str) {
        let taken = Answer::new(200, "ok");
        assert_eq!(self.try_post(body).await, Some(taken));
    }

    /// Polls until there is something other than a ping, and answers each ping.
    ///
    /// # Panics
    ///
    /// If a poll is refused.
    pub async fn receive(&self) -> String {
        loop {
            let Answer { status, body } = self.poll().await;
            assert_eq!(status, 200, "{body}");
            let all = body.split('\x1e');
            let (pings, others): (Vec<_>, Vec<_>) = all.partition(|packet| *packet == "2");
            if !pings.is_empty() {
                self.post("3").await;
            }
            if !others.is_empty() {
                return others.join("\x1e");
            }
        }
    }

    /// Polls for `count` packets that are no pings.
    ///
    /// # Panics
    ///
    /// As [`receive`](Self::receive), or if there are more.
    pub async fn packets(&self, count: usize) -> Vec<String> {
        let mut packets = Vec::new();
        while packets.len() < count {
            let payload = self.receive().await;
            packets.extend(payload.split('\x1e').map(String::from));
        }
        assert_eq!(packets.len(), count, "{packets:?}");
        packets
    }

    /// Shows that the session is over: that a poll is refused.
    ///
    /// # Panics
    ///
    /// If it is not.
    pub async fn assert_gone(&self) {
        let answer = self.poll().await;
        let unknown = r#"{"code":1,"message":"Session ID unknown"}"#;
        assert_eq!(answer, Answer::new(400, unknown));
    }

    /// Opens a WebSocket for the session.
    pub async fn websocket(&self) -> WebSocket {
        self.websocket_with("").await
    }

    /// The same with more in the query, from its `&` on.
    pub async fn websocket_with(&self, more: &str) -> WebSocket {
        let query = self.query("websocket") + more;
        self.endpoint.websocket(&query).await
    }

    /// Shows that the session gets no WebSocket.
    pub async fn assert_no_websocket(&self) {
        let query = self.query("websocket");
        self.endpoint.assert_no_websocket(&query).await;
    }

    /// Opens a WebSocket for the session, and sees it work.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub async fn probed(&self) -> WebSocket {
        let mut socket = self.websocket().await;
        socket.send("2probe").await;
        assert_eq!(socket.text().await, "3probe");
        socket
    }

    /// Moves the session to a WebSocket.
    pub async fn upgraded(&self) -> WebSocket {
        let mut socket = self.probed().await;
        socket.send("5").await;
        // The move itself has no answer; this comes after it.
        self.endpoint.assert_alive(&mut socket).await;
        socket
    }
}

impl Answer {
    /// An answer.
    pub fn new(status: u16, body: &str) -> Self {
        let body = body.into();
        Self { status, body }
    }
}

/// A whole answer.
fn parse(text: &str) -> Option<Answer> {
    let (head, rest) = text.split_once("\r\n\r\n")?;
    let (first, headers) = head.split_once("\r\n")?;
    let status = first.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let header = |wanted: &str| {
        let mut headers = headers.lines().filter_map(|line| line.split_once(": "));
        let found = headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value)
    };
    let body = if header("transfer-encoding") == Some("chunked") {
        unchunk(rest)?
    } else if let Some(length) = header("content-length") {
        rest.get(..length.parse().ok()?)?.into()
    } else {
        rest.into()
    };
    Some(Answer { status, body })
}

/// A body in chunks, whole.
fn unchunk(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix("\r\n")?;
    }
}
