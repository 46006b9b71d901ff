//! `fan-out-server`: a Socket.IO server with a room, for the bench of fan-out.
//!
//! It says its port, and stops when its standard input ends.

use std::{convert::Infallible, error::Error};

use axum::{Router, serve::ListenerExt as _};
use clap::{Parser, ValueEnum};
use selvedge::socketio::server::{Namespace, Server, Socket, StartError};
use selvedge_core::fabric::realtime::{JOIN_CHANNEL, MESSAGE_CREATED, NAMESPACE};
use selvedge_tests::fan_out::{POST, ROOM, message};
use serde::Deserialize;
use serde_json::json;
use socketioxide::{
    SocketIo,
    extract::{AckSender, Data, SocketRef},
    handler::ConnectHandler as _,
};
use tokio::{io::AsyncReadExt as _, net::TcpListener};

/// Serves a room.
#[derive(Debug, Parser)]
struct Cli {
    /// By what.
    library: Library,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Library {
    Selvedge,
    Socketioxide,
}

/// What is posted.
#[derive(Deserialize)]
struct Post {
    content: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let router = match Cli::parse().library {
        Library::Selvedge => selvedge()?,
        Library::Socketioxide => socketioxide(),
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    say(listener.local_addr()?.port());
    let listener = listener.tap_io(|tcp| {
        // One that has ended already is noticed when it is read.
        let _ = tcp.set_nodelay(true);
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "whoever started it reads this")]
fn say(port: u16) {
    println!("{port}");
}

fn selvedge() -> Result<Router, StartError> {
    let server = Server::builder()
        .namespace(NAMESPACE, Namespace::new().connected(attend))
        .start()?;
    Ok(Router::new().route_service("/socket.io/", server.service()))
}

async fn attend(mut socket: Socket) {
    while let Some(event) = socket.next().await {
        let done = if event.name() == JOIN_CHANNEL {
            let joined = socket.join(ROOM).await;
            joined.and(event.answer(&(json!({ "ok": true }),)).await)
        } else {
            let post = event.args().map(|(Post { content },)| message(content));
            let room = socket.broadcast().to(ROOM);
            room.emit(MESSAGE_CREATED, &(post.ok(),)).await
        };
        if done.is_err() {
            break;
        }
    }
}

fn socketioxide() -> Router {
    let (layer, io) = SocketIo::new_layer();
    // Its handler for a new socket may run after the client has heard that it is connected, and an
    // event that comes before then is lost; what decides on its admission has run.
    io.ns(NAMESPACE, (async || ()).with(listen));
    Router::new().layer(layer)
}

async fn listen(socket: SocketRef) -> Result<(), Infallible> {
    socket.on(JOIN_CHANNEL, async |socket: SocketRef, ack: AckSender| {
        socket.join(ROOM);
        // A client that has gone waits for nothing.
        let _ = ack.send(&json!({ "ok": true }));
    });
    socket.on(
        POST,
        async |socket: SocketRef, Data(Post { content }): Data<Post>| {
            let room = socket.within(ROOM);
            // What does not reach a client is missed by it.
            let _ = room.emit(MESSAGE_CREATED, &message(content)).await;
        },
    );
    Ok(())
}
