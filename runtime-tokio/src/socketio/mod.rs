//! Socket.IO v5 for applications: a client and a server, of use without anything of Fabric.
//!
//! [`Client`] keeps up one connection to a server, over WebSocket or HTTP long-polling, and any
//! number of namespaces on it. It speaks with the official server from version 3 on, and with
//! everything else that speaks Engine.IO 4. [`server::Server`] is the other end, to be put into any
//! `axum` or `tower` application.
//!
//! | what | where |
//! | --- | --- |
//! | connect, and choose how | [`Client::connect`], [`Builder`] |
//! | send, call, answer | [`Socket::emit`], [`Socket::call`], [`Event::answer`] |
//! | receive | [`Socket`] is a stream of [`Signal`]s |
//! | send from many tasks | [`Socket::split`], [`Sender`] |
//! | another namespace on the same connection | [`Socket::namespace`] |
//! | binary content | [`Attachment`], [`Socket::emit_with`] |
//! | serve | [`server`] |
//!
//! ```
//! use std::convert::Infallible;
//!
//! use selvedge::socketio::{Client, Signal};
//! use serde_json::json;
//!
//! # async fn fresh_token() -> String { "secret".into() }
//! # async fn chat(mut socket: selvedge::socketio::server::Socket) {
//! #     while let Some(event) = socket.next().await {
//! #         if event.name() == "ask" {
//! #             event.answer(&("forty-two",)).await.unwrap();
//! #             let patience = std::time::Duration::from_secs(5);
//! #             let seen = socket.call("line", &("ann", "hello"), patience).await.unwrap();
//! #             assert_eq!(seen.args::<(String,)>().unwrap().0, "seen");
//! #             return;
//! #         }
//! #     }
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use selvedge::socketio::server::{Admission, Namespace, Refusal, Server};
//! # let admit = |request: Admission| async move {
//! #     let auth: serde_json::Value = request.auth()?;
//! #     if auth["token"] == "secret" { Ok(()) } else { Err(Refusal::new("not allowed")) }
//! # };
//! # let server = Server::builder()
//! #     .namespace("/chat", Namespace::new().admit(admit).connected(chat))
//! #     .start()?;
//! # let app = axum::Router::new().route_service("/socket.io/", server.service());
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let url = format!("http://{}", listener.local_addr()?);
//! # tokio::spawn(async move { axum::serve(listener, app).await });
//! // Such as "https://example.org".
//! let mut chat = Client::connect(&url)
//!     .namespace("/chat")
//!     // Asked for again at every CONNECT, so that a token is never stale.
//!     .auth(|| async { Ok::<_, Infallible>(json!({ "token": fresh_token().await })) })
//!     .open()?;
//!
//! // Waits in a buffer until the namespace is joined.
//! chat.emit("hello", &("world", 1)).await?;
//!
//! let (answer,): (String,) = chat.call("ask", &(42,)).await?.args()?;
//! assert_eq!(answer, "forty-two");
//!
//! while let Some(signal) = chat.next().await {
//!     match signal {
//!         Signal::Connected { recovered, .. } => println!("here; nothing missed: {recovered}"),
//!         Signal::Event(event) if event.name() == "line" => {
//!             let (from, text): (&str, &str) = event.args()?;
//!             println!("{from}: {text}");
//!             // Of use where the server waits for an answer, and no harm where it does not.
//!             event.answer(&("seen",)).await?;
//! #           break;
//!         }
//!         Signal::Refused { message, retry_in, .. } => println!("{message}; again: {retry_in:?}"),
//!         Signal::Disconnected { why, .. } | Signal::Retrying { why, .. } => println!("{why}"),
//!         Signal::GaveUp { why } => return Err(why.into()),
//!         other => println!("{other:?}"),
//!     }
//! }
//! chat.close().await;
//! # Ok(())
//! # }
//! ```

pub mod client;
pub mod server;

pub use self::{
    client::{
        Answer, Attachment, Backoff, Buffer, Builder, CallError, Client, Dial, EmitError, Event,
        Events, NamespaceBuilder, OpenError, Sender, Signal, SlowConsumer, Socket, Transport,
        Unsent,
    },
    server::Server,
};
