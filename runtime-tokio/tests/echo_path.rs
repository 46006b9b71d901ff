//! The main path through real processes and sockets: a push wakes the agent, and its answer is
//! posted. Center and guild are a script here, which speaks just enough Socket.IO.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{sync::Arc, time::Duration};

use futures::{SinkExt as _, StreamExt as _};
use selvedge::{
    clock::Clock,
    echo::{EchoAgent, EchoEvent},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;

const PATIENCE: Duration = Duration::from_secs(60);

/// What the script posts and what is posted to it.
struct Fabric {
    base: String,
    posts: mpsc::UnboundedSender<Value>,
}

async fn fabric() -> (String, mpsc::UnboundedReceiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (posts_in, posts) = mpsc::unbounded_channel();
    let fabric = Arc::new(Fabric {
        base: base.clone(),
        posts: posts_in,
    });
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            tokio::spawn(Arc::clone(&fabric).connection(tcp));
        }
    });
    (base, posts)
}

fn message(seq: u64, author: &str, content: &str) -> Value {
    json!({
        "id": format!("m{seq}"), "channelId": "c1", "guildId": "g1", "seq": seq,
        "author": {"id": author, "name": author}, "content": content,
        "createdAt": "2026-01-31T12:00:00.000Z", "wakeup": author != "u_echo",
    })
}

impl Fabric {
    async fn connection(self: Arc<Self>, tcp: TcpStream) {
        let mut head = [0; 14];
        while tcp.peek(&mut head).await.unwrap() < head.len() {}
        if head.starts_with(b"GET /socket.io") {
            self.realtime(tcp).await;
        } else {
            self.rest(tcp).await;
        }
    }

    async fn rest(&self, mut tcp: TcpStream) {
        let mut request = String::new();
        let mut buffer = [0; 4096];
        while !complete(&request) {
            let length = tcp.read(&mut buffer).await.unwrap();
            if length == 0 {
                return;
            }
            request.push_str(std::str::from_utf8(buffer.get(..length).unwrap()).unwrap());
        }
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let answer = if head.starts_with("POST /api/auth/login ") {
            json!({
                "user": {"id": "u_echo", "name": "echo"}, "accessToken": "a",
                "guildAccessTokens": [{"guildNodeId": "n1", "guildId": "g1", "token": "guild-token",
                    "baseUrl": self.base}],
            })
        } else if head.starts_with("POST /api/channels/c1/messages ") {
            assert!(
                head.to_lowercase()
                    .contains("authorization: bearer guild-token"),
                "{head}"
            );
            let post: Value = serde_json::from_str(body).unwrap();
            let posted = message(2, "u_echo", post["content"].as_str().unwrap());
            self.posts.send(post).unwrap();
            posted
        } else if head.starts_with("GET /api/channels?") {
            json!([{"id": "c1", "name": "general", "xType": "general", "lastSeq": 0,
                "joinedSeq": 0}])
        } else {
            json!({"id": "c1", "name": "general", "xType": "general", "messages": []})
        };
        let answer = answer.to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        tcp.write_all(format!("{head}{answer}").as_bytes())
            .await
            .unwrap();
    }

    async fn realtime(&self, tcp: TcpStream) {
        let mut socket = tokio_tungstenite::accept_async(tcp).await.unwrap();
        let open = r#"0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
        socket.send(Message::text(open)).await.unwrap();
        while let Some(Ok(received)) = socket.next().await {
            let Ok(text) = received.to_text() else {
                return;
            };
            if text.starts_with("40/realtime,") {
                assert!(text.contains("guild-token"), "{text}");
                socket
                    .send(Message::text(r#"40/realtime,{"sid":"r"}"#))
                    .await
                    .unwrap();
            } else if let Some(join) = text.strip_prefix("42/realtime,") {
                let (id, event) = join.split_once('[').unwrap();
                if !event.starts_with("\"join_channel\"") {
                    continue;
                }
                let ack = format!(r#"43/realtime,{id}[{{"ok":true,"lastSeq":0}}]"#);
                socket.send(Message::text(ack)).await.unwrap();
                let push = json!(["message.created", message(1, "u_ann", "hello")]);
                socket
                    .send(Message::text(format!("42/realtime,{push}")))
                    .await
                    .unwrap();
            }
        }
    }
}

/// Whether the whole body is there.
fn complete(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, length)| length.trim().parse().unwrap());
    body.len() >= length
}

#[tokio::test]
async fn a_push_is_answered_by_a_post() {
    let (base, mut posts) = fabric().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("selvedge.toml");
    let config = format!(
        "[center]\nurl = \"{base}\"\n[store]\npath = \"store.sqlite\"\n[[agent]]\nid = \"echo\"\napi_key_env = \"ECHO_KEY\"\n"
    );
    std::fs::write(&path, config).unwrap();
    let traces = folder.path().join("traces");
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_selvedge"));
    command
        .env("ECHO_KEY", "very-secret")
        .env("XDG_STATE_HOME", folder.path().join("state"))
        .arg("plugin")
        .arg("--config")
        .arg(&path)
        .arg("--record")
        .arg(&traces);
    let (events_in, mut events) = mpsc::channel(16);
    let agent = EchoAgent::spawn(command, Clock::start(), events_in)
        .await
        .unwrap();

    let post = timeout(PATIENCE, posts.recv()).await.unwrap().unwrap();
    assert_eq!(post["content"], "echo: hello");
    assert_eq!(post["replyToId"], "m1");
    assert!(post["nonce"].is_string());
    let mut told = Vec::new();
    while told.last().is_none_or(|last| last != "done") {
        told.push(
            match timeout(PATIENCE, events.recv()).await.unwrap().unwrap() {
                EchoEvent::Inbound { inbound, .. } => format!("inbound {}", inbound.session_id),
                EchoEvent::Sent {
                    message_id, seq, ..
                } => format!("sent {message_id} {seq}"),
                EchoEvent::Done { .. } => "done".to_owned(),
                EchoEvent::Failed { why, .. } => why,
            },
        );
    }
    assert_eq!(told, ["inbound s_fab_c1", "sent m2 2", "done"]);
    agent.shutdown().await;

    let traces: Vec<_> = std::fs::read_dir(traces).unwrap().collect();
    assert_eq!(traces.len(), 1);
    for trace in traces {
        let trace = std::fs::read_to_string(trace.unwrap().path()).unwrap();
        assert!(trace.contains("message.created"));
        assert!(!trace.contains("guild-token") && !trace.contains("very-secret"));
    }
}
