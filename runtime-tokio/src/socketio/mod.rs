//! Socket.IO v5 for applications: a public client and a public server, of use without anything of
//! Fabric.
//!
//! [`server::Server`] is to be put into any `axum` or `tower` application.
//!
//! [`Client`] keeps up one connection to a server, over WebSocket or HTTP long-polling, and any
//! number of namespaces on it. It speaks with the official server from version 3 on, and with
//! everything else that speaks Engine.IO 4.
//!
//! | what | where |
//! | --- | --- |
//! | connect, and choose how | [`Client::connect`], [`Builder`] |
//! | send, call, answer | [`Socket::emit`], [`Socket::call`], [`Event::answer`] |
//! | receive | [`Socket`] is a stream of [`Signal`]s |
//! | send from many tasks | [`Socket::split`], [`Sender`] |
//! | another namespace on the same connection | [`Socket::namespace`] |
//! | binary content | [`Attachment`], [`Socket::emit_with`] |
//!
//! ```no_run
//! use std::convert::Infallible;
//!
//! use selvedge::socketio::{Client, Signal};
//! use serde_json::json;
//!
//! # async fn fresh_token() -> String { String::new() }
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mut chat = Client::connect("https://example.org")
//!     .namespace("/chat")
//!     // Asked for again at every CONNECT, so that a token is never stale.
//!     .auth(|| async { Ok::<_, Infallible>(json!({ "token": fresh_token().await })) })
//!     .open()?;
//!
//! // Waits in a buffer until the namespace is joined.
//! chat.emit("hello", &("world", 1)).await?;
//!
//! let (answer,): (String,) = chat.call("ask", &(42,)).await?.args()?;
//! println!("{answer}");
//!
//! while let Some(signal) = chat.next().await {
//!     match signal {
//!         Signal::Connected { recovered, .. } => println!("here; nothing missed: {recovered}"),
//!         Signal::Event(event) if event.name() == "line" => {
//!             let (from, text): (&str, &str) = event.args()?;
//!             println!("{from}: {text}");
//!             if event.wants_answer() {
//!                 event.answer(&("seen",)).await?;
//!             }
//!         }
//!         Signal::Refused { message, retry_in, .. } => println!("{message}; again: {retry_in:?}"),
//!         Signal::Disconnected { why, .. } | Signal::Retrying { why, .. } => println!("{why}"),
//!         Signal::GaveUp { why } => return Err(why.into()),
//!         other => println!("{other:?}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```

pub mod client;
pub mod server;

pub use self::client::{
    Answer, Attachment, Backoff, Buffer, Builder, CallError, Client, Dial, EmitError, Event,
    Events, NamespaceBuilder, OpenError, Sender, Signal, SlowConsumer, Socket, Transport, Unsent,
};
pub use self::server::Server;
