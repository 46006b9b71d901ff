//! The front of a blaster: one port for WebSockets and for what Center and a guild answer over HTTP.

use std::{io, net::SocketAddr};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
    serve::Listener,
};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::wire::channel;

/// What a request for a WebSocket begins with.
const SOCKET: &[u8] = b"GET /socket.io/";

/// What is told of Center and of the guild.
#[derive(Clone)]
struct Told {
    origin: String,
    channels: usize,
}

/// The connections that are not WebSockets.
struct Requests {
    connections: mpsc::UnboundedReceiver<(TcpStream, SocketAddr)>,
    address: SocketAddr,
}

impl Listener for Requests {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        match self.connections.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// Answers requests on `listener`, with a guild of so many channels, and hands over whoever wants a
/// WebSocket.
pub(super) async fn receive(
    listener: TcpListener,
    channels: usize,
    sockets: mpsc::UnboundedSender<TcpStream>,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let told = Told {
        origin: format!("http://{address}"),
        channels,
    };
    let (requests, connections) = mpsc::unbounded_channel();
    let requested = Requests {
        connections,
        address,
    };
    tokio::spawn(async move { axum::serve(requested, routes(told)).await });
    loop {
        let (tcp, from) = listener.accept().await?;
        let (requests, sockets) = (requests.clone(), sockets.clone());
        tokio::spawn(async move {
            tcp.set_nodelay(true)?;
            let mut head = [0; SOCKET.len()];
            while tcp.peek(&mut head).await? < head.len() {
                tokio::task::yield_now().await;
            }
            // The blaster may be ending.
            if head == SOCKET {
                let _ = sockets.send(tcp);
            } else {
                let _ = requests.send((tcp, from));
            }
            io::Result::Ok(())
        });
    }
}

fn routes(told: Told) -> Router {
    Router::new()
        .route("/api/auth/login", post(log_in))
        .route("/api/channels", get(list))
        .route("/api/channels/{id}", get(fields))
        .with_state(told)
}

/// Whoever has a key is a user of its own.
async fn log_in(State(told): State<Told>, login: Bytes) -> String {
    let login: Value = serde_json::from_slice(&login).unwrap_or_default();
    let key = login.get("apiKey").and_then(Value::as_str);
    let user = format!("u_{}", key.unwrap_or("nobody"));
    // A life of a day: no connection is replaced while anything is measured.
    let claims = BASE64_URL_SAFE_NO_PAD.encode(r#"{"iat":0,"exp":86400}"#);
    json!({
        "user": { "id": user, "name": user },
        "accessToken": "access",
        "guildAccessTokens": [{
            "guildNodeId": "node",
            "guildId": "local",
            "baseUrl": told.origin,
            "token": format!("h.{claims}.s"),
            "expiresAt": "2100-01-01T00:00:00.000Z",
        }],
    })
    .to_string()
}

async fn list(State(told): State<Told>) -> String {
    let rows = (0..told.channels).map(|number| row(&channel(number)));
    rows.collect::<Value>().to_string()
}

async fn fields(State(told): State<Told>, Path(id): Path<String>) -> Result<String, StatusCode> {
    let known = (0..told.channels).any(|number| channel(number) == id);
    let found = known.then(|| row(&id).to_string());
    found.ok_or(StatusCode::NOT_FOUND)
}

fn row(id: &str) -> Value {
    json!({
        "id": id,
        "name": id,
        "xType": "general",
        "isPublic": false,
        "closed": false,
        "lastSeq": 0,
        "joinedSeq": 0,
        "memberCount": 2,
        "wakeMapping": [],
    })
}
