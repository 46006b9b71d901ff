//! A WebSocket whose frames a test writes and reads one by one.

#![expect(
    clippy::panic,
    clippy::expect_used,
    reason = "a helper of tests fails the test"
)]

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message},
};

use super::Endpoint;
use crate::PATIENCE;

/// The client end of a WebSocket. Dropping it hangs up.
#[derive(Debug)]
pub struct WebSocket {
    inner: WebSocketStream<TcpStream>,
}

impl Endpoint {
    async fn try_websocket(&self, query: &str) -> Result<WebSocket, Error> {
        let tcp = TcpStream::connect(self.address).await?;
        let url = format!("ws://{}{}", self.address, self.target(query));
        let opening = timeout(PATIENCE, client_async(url, tcp));
        let (inner, _) = opening.await.expect("an answer to the handshake")?;
        Ok(WebSocket { inner })
    }

    /// Opens a WebSocket.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub async fn websocket(&self, query: &str) -> WebSocket {
        let opened = self.try_websocket(query).await;
        opened.unwrap_or_else(|error| panic!("no WebSocket for {query}: {error}"))
    }

    /// Shows that there is no WebSocket to be had: it is refused with status 400, or closed without
    /// a word, as the official server does where it finds the fault late.
    ///
    /// # Panics
    ///
    /// If there is one.
    pub async fn assert_no_websocket(&self, query: &str) {
        match self.try_websocket(query).await {
            Ok(mut socket) => assert_eq!(socket.frame().await, None, "{query}"),
            Err(Error::Http(answer)) => assert_eq!(answer.status(), 400, "{query}"),
            Err(error) => panic!("{query}: {error}"),
        }
    }

    /// Opens a session on a WebSocket; its handshake has been read.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub async fn session(&self) -> WebSocket {
        let mut socket = self.websocket("EIO=4&transport=websocket").await;
        let handshake = socket.text().await;
        assert!(handshake.starts_with("0{"), "{handshake}");
        socket
    }

    /// Opens a session on a WebSocket that has joined the main namespace.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub async fn member(&self) -> WebSocket {
        let mut socket = self.session().await;
        socket.join("40", "40", r#"42["auth",{}]"#).await;
        socket
    }
}

impl WebSocket {
    /// Sends a text frame.
    pub async fn send(&mut self, text: &str) {
        // The server may have hung up; what comes next shows whether that was right.
        let _ = self.inner.send(Message::text(text)).await;
    }

    /// Sends a binary frame.
    pub async fn send_binary(&mut self, bytes: &[u8]) {
        // As above.
        let _ = self.inner.send(Message::binary(bytes.to_vec())).await;
    }

    /// The next frame, whatever it is; `None` where the connection has ended.
    ///
    /// # Panics
    ///
    /// If neither happens within [`PATIENCE`].
    pub async fn frame(&mut self) -> Option<Message> {
        let next = timeout(PATIENCE, self.inner.next()).await;
        match next.expect("a frame in time") {
            Some(Ok(Message::Close(_)) | Err(_)) | None => None,
            Some(Ok(frame)) => Some(frame),
        }
    }

    /// The next frame that is no ping of Engine.IO, and each such ping answered; `None` where the
    /// connection has ended.
    ///
    /// # Panics
    ///
    /// As [`frame`](Self::frame), or if nothing but pings comes within twice [`PATIENCE`].
    pub async fn receive(&mut self) -> Option<Message> {
        let receiving = timeout(PATIENCE * 2, async {
            loop {
                let frame = self.frame().await;
                if frame != Some(Message::text("2")) {
                    return frame;
                }
                self.send("3").await;
            }
        });
        receiving.await.expect("more than pings")
    }

    /// The next text, past pings.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub async fn text(&mut self) -> String {
        match self.receive().await {
            Some(Message::Text(text)) => text.as_str().into(),
            other => panic!("no text, but {other:?}"),
        }
    }

    /// The next binary frame, past pings.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub async fn binary(&mut self) -> Bytes {
        match self.receive().await {
            Some(Message::Binary(bytes)) => bytes,
            other => panic!("no binary frame, but {other:?}"),
        }
    }

    /// Joins a namespace: sends `connect`, and gets `prefix` with a sid and nothing else, and then
    /// the event `auth`.
    ///
    /// # Panics
    ///
    /// If the server answers otherwise.
    pub async fn join(&mut self, connect: &str, prefix: &str, auth: &str) {
        self.send(connect).await;
        let reply = self.text().await;
        let json = reply.strip_prefix(prefix).expect("an answer to CONNECT");
        let reply: Value = serde_json::from_str(json).expect("JSON");
        let sid = reply.get("sid").and_then(Value::as_str).expect("a sid");
        assert!(!sid.is_empty());
        assert_eq!(reply, json!({ "sid": sid }));
        assert_eq!(self.text().await, auth);
    }

    /// Shows that the server ends the connection, with nothing but pings before: those are
    /// answered, so that it is not for want of pongs.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub async fn assert_closed(&mut self) {
        assert_eq!(self.receive().await, None);
    }
}
