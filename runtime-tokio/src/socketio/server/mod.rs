//! A Socket.IO v5 server, over HTTP long-polling and WebSocket.
//!
//! ```
//! use selvedge::socketio::server::{Admission, Namespace, Refusal, Server, Socket};
//! use serde::Deserialize;
//! use serde_json::json;
//!
//! #[derive(Deserialize)]
//! struct Auth {
//!     token: String,
//! }
//!
//! async fn admit(request: Admission) -> Result<(), Refusal> {
//!     if request.auth::<Auth>()?.token == "secret" {
//!         Ok(())
//!     } else {
//!         Err(Refusal::new("not allowed").data(json!({ "code": 7 })))
//!     }
//! }
//!
//! async fn chat(mut socket: Socket) {
//!     while let Some(event) = socket.next().await {
//!         let done = match event.name() {
//!             "join" => socket.join("blue").await,
//!             "say" => {
//!                 let words = event.args::<(String,)>().unwrap_or_default();
//!                 socket.broadcast().to("blue").emit("said", &words).await
//!             }
//!             _ => Ok(()),
//!         };
//!         if done.is_err() || event.answer(&("ok",)).await.is_err() {
//!             break;
//!         }
//!     }
//! }
//!
//! # async fn talk(address: std::net::SocketAddr) {
//! #     use futures::{SinkExt as _, StreamExt as _};
//! #     use tokio_tungstenite::tungstenite::Message;
//! #     let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
//! #     let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
//! #     let (mut client, _) = tokio_tungstenite::client_async(url, tcp).await.unwrap();
//! #     for (sent, got) in [
//! #         ("", "0{"),
//! #         ("40/chat,{}", r#"44/chat,{"message":"invalid auth"}"#),
//! #         (r#"40/chat,{"token":"x"}"#, r#"44/chat,{"message":"not allowed","data":{"code":7}}"#),
//! #         (r#"40/chat,{"token":"secret"}"#, r#"40/chat,{"sid":""#),
//! #         (r#"42/chat,1["join"]"#, r#"43/chat,1["ok"]"#),
//! #     ] {
//! #         if !sent.is_empty() {
//! #             client.send(Message::text(sent)).await.unwrap();
//! #         }
//! #         let frame = client.next().await.unwrap().unwrap().into_text().unwrap();
//! #         assert!(frame.starts_with(got), "{frame}");
//! #     }
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder()
//!     .namespace("/chat", Namespace::new().admit(admit).connected(chat))
//!     .start()?;
//! let app = axum::Router::new().route_service("/socket.io/", server.service());
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let address = listener.local_addr()?;
//! # tokio::spawn(async move {
//! axum::serve(listener, app).await
//! # });
//! # talk(address).await;
//! # server.namespace("/chat").to("blue").emit("news", &(1,)).await?;
//! # server.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What runs where
//!
//! One loop drives the whole server: [`Hub`], a machine that does no IO. The closures of a
//! [`Namespace`] never run in it: each client has a task for its admission and one for its handler.
//! So a slow handler does not keep others waiting, nor its own client's heartbeat. Its events wait;
//! when too many do, its connection is ended, and the handler finds [`End::TooSlow`]: a server must
//! not stop reading for everybody because of one handler. What is emitted waits for the loop in a
//! queue of bounded length, so that whoever emits faster than it goes out is held up. What then
//! waits for one client is bounded too ([`Builder::outgoing_max`]). Whoever speaks to one socket on a
//! WebSocket waits until its client has read enough, for 10 s at most. Whoever speaks to many waits
//! for all WebSockets that are behind and go on reading: not for one that has taken nothing for 3 s,
//! or is behind for 10 s. That one is not waited for before it has caught up, and is disconnected when
//! its queue is full. So a broadcast in a loop goes at the pace of the slowest client that reads, which
//! can be 256 events or 256 KiB in a second where one is slow on purpose, and a client that stands
//! still holds it up once. What may be lost ([`Broadcast::emit_volatile`]) waits for nobody, and passes
//! over those that are behind. Nobody waits for a client that polls: 9,999 packets and 10 MB may wait
//! for it, and for more it is disconnected.
//!
//! # Clients that come back
//!
//! With [`Builder::recovery`] a client whose connection was lost gets its id and its rooms again,
//! and the events that it has missed: see [`Sender::recovered`]. To its handler it is a new socket.
//! Where a namespace [decides who is let in](Namespace::admit), it also says as whom: a client goes
//! on only with what the same [`Admitted::user`] had, and an admission that says nothing of that,
//! `Ok(())`, begins anew.

mod admission;
mod broadcast;
mod builder;
mod error;
mod event;
mod link;
mod namespace;
mod outgoing;
mod service;
mod socket;
mod world;

use std::{collections::BTreeSet, sync::Arc};

use selvedge_core::socketio::Namespace as Name;
pub use selvedge_core::socketio::{
    event::{Answer, Attachment},
    hub,
    hub::{Hub, Recovery},
};
use tokio::sync::watch;

use self::link::Link;
pub use self::{
    admission::{Admission, Admitted, AuthError, Former, Handshake, Refusal},
    broadcast::Broadcast,
    builder::Builder,
    error::{CallError, EmitError, End, StartError},
    event::Event,
    namespace::Namespace,
    service::Service,
    socket::{Events, Id, Sender, Socket},
};
pub use crate::engineio::{Cors, Origins};
use crate::ws;

/// A running server. A clone is the same server; see [the module](self) for an example.
///
/// It runs until it is [closed](Self::close), or until nothing holds it: neither a `Server`, nor a
/// [`Service`], nor a [`Sender`], nor an open connection.
#[derive(Clone, Debug)]
pub struct Server {
    link: Link,
    service: Service,
    names: Arc<BTreeSet<Name>>,
    over: watch::Receiver<()>,
}

impl Server {
    /// A server that has no namespaces yet.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// What serves its requests.
    pub fn service(&self) -> Service {
        self.service.clone()
    }

    /// Everybody in a namespace, or in rooms of it: `server.namespace("/").to("blue")`.
    pub fn namespace(&self, name: &str) -> Broadcast {
        let namespace = self.names.get(name).cloned();
        let namespace = namespace.ok_or_else(|| name.to_owned());
        Broadcast::new(self.link.clone(), namespace, hub::Audience::default())
    }

    /// Closes every connection, and returns when every WebSocket has handed over what waited in its
    /// queue and is closed: after 6 s at the latest, whatever its client does. Sockets end, and
    /// whatever is emitted later is an error. Requests that still come are answered with 503; the
    /// answers to those that are open are written by whoever serves HTTP.
    pub async fn close(&self) {
        // One that has closed already is closed.
        let _ = self.link.tell(hub::Input::Close).await;
        let mut over = self.over.clone();
        while over.changed().await.is_ok() {}
        self.service.front.open().served().await;
    }
}

/// Limits that are kept here, beside the hub's.
#[derive(Clone, Copy, Debug)]
struct Limits {
    events_max: usize,
    event_bytes_max: usize,
    rooms_max: usize,
    recovers: bool,
    outgoing: ws::Limits,
}
