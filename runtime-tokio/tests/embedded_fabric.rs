//! An embedded Center and guild node in one process, used over real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{net::SocketAddr, path::Path, time::Duration};

use futures::{SinkExt as _, StreamExt as _};
use selvedge::{
    http::Client,
    serve::{
        CenterOptions, GuildOptions, RunningCenter, RunningGuild, ServeError, start_center,
        start_guild,
    },
    tls,
};
use selvedge_core::{
    Secret,
    fabric::{
        center::{Login, Session},
        types::{Channel, Message, Page},
    },
    guild::Config,
    http::{Method, Request, Response},
    id::{GuildId, NodeId},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, tungstenite::Message as Frame};

struct Fabric {
    folder: TempDir,
    client: Client,
    center: RunningCenter,
    guild: RunningGuild,
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn client() -> Client {
    Client::new(&tls::client_config(None).unwrap(), None).unwrap()
}

fn guild_options(folder: &Path, center: &RunningCenter, api_key: Secret) -> GuildOptions {
    GuildOptions {
        listen: loopback(),
        database: folder.join("guild.sqlite"),
        files: folder.join("files"),
        config: Config::new(NodeId::new("n").unwrap(), GuildId::new("g").unwrap()),
        center_url: center.url(),
        api_key,
        public_url: None,
        center_public_url: None,
        cors_origins: String::new(),
        client: client(),
        record: None,
    }
}

impl Fabric {
    async fn start(token_life: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = CenterOptions::new(loopback(), folder.path().to_path_buf());
        options.token_life = token_life;
        let center = start_center(options).await.unwrap();
        let key = center.add_guild(&GuildId::new("g").unwrap()).await.unwrap();
        let options = guild_options(folder.path(), &center, key);
        let guild = start_guild(options).await.unwrap();
        Self {
            folder,
            client: client(),
            center,
            guild,
        }
    }

    /// Makes a user and logs it in: its session holds one grant, for the guild that is up.
    async fn user(&self, name: &str) -> (Session, Secret) {
        let user = self.center.add_user(name, None).await.unwrap();
        let login = Login::ApiKey {
            api_key: user.api_key,
        };
        let center = self.center.url();
        let session = self.client.login(&center, &login).await.unwrap();
        let [grant] = session.grants.as_slice() else {
            panic!("{session:?}");
        };
        assert_eq!(grant.base_url.as_deref(), Some(self.guild.base_url()));
        let token = grant.token.clone();
        (session, token)
    }

    async fn call(&self, method: Method, target: &str, token: &Secret, body: Value) -> Response {
        let request = Request {
            method,
            target: target.into(),
            bearer: Some(token.clone()),
            body: if body.is_null() {
                Vec::new().into()
            } else {
                body.to_string().into()
            },
        };
        let origin = self.guild.base_url();
        self.client.send(origin, request).await.unwrap()
    }

    async fn post(&self, target: &str, token: &Secret, body: Value) -> Response {
        self.call(Method::Post, target, token, body).await
    }

    async fn get(&self, target: &str, token: &Secret) -> Response {
        self.call(Method::Get, target, token, Value::Null).await
    }

    async fn channel(&self, token: &Secret, x_type: &str, members: &[&Session]) -> Channel {
        let members: Vec<_> = members.iter().map(|session| &session.user.id).collect();
        let body = json!({"name": "hall", "xType": x_type, "memberUserIds": members});
        let answer = self.post("/api/channels", token, body).await;
        assert_eq!(answer.status, 201, "{:?}", answer.body);
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// A WebSocket that has sent CONNECT, and the first packets that it was sent.
    async fn socket(&self, token: &Secret) -> Socket {
        let stream = TcpStream::connect(self.guild.addr()).await.unwrap();
        let url = format!(
            "ws://{}/socket.io/?EIO=4&transport=websocket",
            self.guild.addr()
        );
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        let mut socket = Socket(socket);
        let open = socket.next().await;
        assert!(open.starts_with(r#"0{"sid":"#), "{open}");
        let auth = json!({"token": token.expose()});
        socket.send(&format!("40/realtime,{auth}")).await;
        socket
    }

    /// Another process of the node on the same files.
    async fn restart(self) -> Self {
        self.guild.shutdown().await.unwrap();
        let guild = GuildId::new("g").unwrap();
        let key = self.center.add_guild(&guild).await.unwrap();
        let options = guild_options(self.folder.path(), &self.center, key);
        let guild = start_guild(options).await.unwrap();
        Self { guild, ..self }
    }

    async fn stop(self) {
        self.guild.shutdown().await.unwrap();
        self.center.shutdown().await;
    }
}

/// How long anything may take. It bounds a test that fails.
const PATIENCE: Duration = Duration::from_secs(60);

struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    async fn send(&mut self, packet: &str) {
        self.0.send(Frame::text(packet)).await.unwrap();
    }

    /// Enters a channel's room, and gives back what came before the ack, and the ack.
    async fn join(&mut self, channel: &Channel) -> (Vec<Message>, Value) {
        let join = json!(["join_channel", {"channelId": channel.id}]);
        self.send(&format!("42/realtime,7{join}")).await;
        let mut pushed = Vec::new();
        loop {
            let packet = self.next().await;
            if let Some(ack) = packet.strip_prefix("43/realtime,7") {
                let (ack,) = serde_json::from_str(ack).unwrap();
                return (pushed, ack);
            }
            pushed.push(created(&packet));
        }
    }

    async fn next(&mut self) -> String {
        let frame = tokio::time::timeout(PATIENCE, self.0.next()).await;
        frame
            .unwrap()
            .unwrap()
            .unwrap()
            .into_text()
            .unwrap()
            .to_string()
    }
}

/// The message that a packet pushes.
fn created(packet: &str) -> Message {
    let event = packet.strip_prefix("42/realtime,").unwrap();
    let (name, message): (String, Message) = serde_json::from_str(event).unwrap();
    assert_eq!(name, "message.created");
    message
}

fn parsed<T: serde::de::DeserializeOwned>(answer: &Response) -> T {
    serde_json::from_slice(&answer.body).unwrap()
}

fn refused(answer: &Response) -> (u16, String) {
    let body: Value = parsed(answer);
    assert_eq!(body["statusCode"], answer.status);
    (answer.status, body["message"].to_string())
}

#[tokio::test]
async fn a_post_is_answered_read_back_pushed_and_there_after_a_restart() {
    let it = Fabric::start(Duration::from_secs(900)).await;
    let (_, al) = it.user("Al").await;
    let (bo_session, bo) = it.user("Bo").await;
    let channel = it.channel(&al, "general", &[&bo_session]).await;
    let messages = format!("/api/channels/{}/messages", channel.id);

    let mut socket = it.socket(&bo).await;
    let connected = socket.next().await;
    assert!(
        connected.starts_with(r#"40/realtime,{"sid":"#),
        "{connected}"
    );
    let ack = json!({"ok": true, "lastSeq": 0});
    assert_eq!(socket.join(&channel).await, (vec![], ack));

    let body = json!({"content": "hello <@user.name:Bo>", "nonce": "n-1"});
    let answer = it.post(&messages, &al, body.clone()).await;
    assert_eq!(answer.status, 201, "{:?}", answer.body);
    let message: Message = parsed(&answer);
    assert_eq!(message.seq, 1);
    assert_eq!(message.content, format!("hello <@{}>", bo_session.user.id));
    let again: Message = parsed(&it.post(&messages, &al, body.clone()).await);
    assert_eq!(again.id, message.id);

    let push = created(&socket.next().await);
    assert_eq!((push.id, push.wakeup), (message.id.clone(), Some(true)));

    let page: Page = parsed(&it.get(&messages, &bo).await);
    assert_eq!(page.messages.len(), 1);
    assert_eq!(page.messages[0].wakeup, Some(true));
    let page: Page = parsed(&it.get(&messages, &al).await);
    assert_eq!(page.messages[0].wakeup, Some(false));

    // Nothing is lost, nothing is posted twice.
    let it = it.restart().await;
    let again: Message = parsed(&it.post(&messages, &al, body).await);
    assert_eq!(again.id, message.id);
    let next = it.post(&messages, &bo, json!({"content": "x"})).await;
    assert_eq!(parsed::<Message>(&next).seq, 2);
    it.stop().await;
}

#[tokio::test]
async fn three_discuss_in_turns_and_a_restart_takes_nobodys_turn_away() {
    let it = Fabric::start(Duration::from_secs(900)).await;
    let (al_session, al) = it.user("Al").await;
    let (bo_session, bo) = it.user("Bo").await;
    let (cy_session, cy) = it.user("Cy").await;
    let channel = it
        .channel(&al, "discuss", &[&bo_session, &cy_session])
        .await;
    let path = |rest: &str| format!("/api/channels/{}/{rest}", channel.id);
    let (mut bo_socket, mut cy_socket) = (it.socket(&bo).await, it.socket(&cy).await);
    for socket in [&mut bo_socket, &mut cy_socket] {
        socket.next().await;
        socket.join(&channel).await;
    }

    // Al speaks, Bo is asked and has nothing to say, Cy is asked.
    let first: Message = parsed(
        &it.post(&path("messages"), &al, json!({"content": "one"}))
            .await,
    );
    assert_eq!(created(&bo_socket.next().await).wakeup, Some(true));
    assert_eq!(created(&cy_socket.next().await).wakeup, Some(false));
    let arrived = json!({"messageId": first.id});
    let acked: Value = parsed(&it.post(&path("ack"), &bo, arrived.clone()).await);
    assert_eq!(acked, json!({"ok": true, "acked": true}));
    let pass = json!({"content": "/no-reply", "replyToId": first.id, "nonce": "p"});
    let answer = it.post(&path("messages"), &bo, pass.clone()).await;
    assert_eq!(answer.status, 201, "{:?}", answer.body);
    let passed: Value = parsed(&answer);
    assert_eq!(passed["turn"]["currentSpeaker"], json!(cy_session.user.id));
    let woken = created(&cy_socket.next().await);
    assert_eq!((&woken.id, woken.rewake), (&first.id, Some(true)));

    let it = it.restart().await;
    let turn: Value = parsed(&it.get(&path("turn"), &al).await);
    assert_eq!(turn["currentSpeaker"], json!(cy_session.user.id));
    let again: Value = parsed(&it.post(&path("messages"), &bo, pass).await);
    assert_eq!(
        again["turn"], turn,
        "a pass that is sent again passes nobody"
    );
    // Cy did not say that the wake had arrived.
    let mut cy_socket = it.socket(&cy).await;
    cy_socket.next().await;
    let (before, ack) = cy_socket.join(&channel).await;
    let [rewoken] = before.as_slice() else {
        panic!("{before:?}");
    };
    assert_eq!((&rewoken.id, rewoken.rewake), (&first.id, Some(true)));
    assert_ne!(rewoken.wake_id, woken.wake_id);
    assert_eq!(ack, json!({"ok": true, "lastSeq": 1}));
    it.post(&path("ack"), &cy, arrived).await;
    let mut other = it.socket(&cy).await;
    other.next().await;
    assert_eq!(other.join(&channel).await.0, vec![], "now it has");
    let page: Page = parsed(&it.get(&path("messages"), &cy).await);
    assert_eq!(page.messages[0].wake_id, rewoken.wake_id);

    // Cy asks Al, Bo lets nobody wait for an answer, and then everybody was asked.
    let body = json!({"content": "two <@user.name:Al>"});
    assert_eq!(it.post(&path("messages"), &cy, body).await.status, 201);
    let turn: Value = parsed(&it.get(&path("turn"), &bo).await);
    assert_eq!(turn["currentSpeaker"], json!(al_session.user.id));
    assert_eq!(turn["stack"][1]["speakers"], json!([al_session.user.id]));
    let force = json!({"content": "/force-proceed"});
    for speaker in [json!(bo_session.user.id), Value::Null] {
        let forced: Value = parsed(&it.post(&path("messages"), &bo, force.clone()).await);
        assert_eq!(forced["turn"]["currentSpeaker"], speaker);
    }
    let refused_pass = it.post(&path("messages"), &bo, force).await;
    assert_eq!(refused(&refused_pass).0, 409, "the channel is idle");
    it.stop().await;
}

#[tokio::test]
async fn a_refusal_names_what_is_wrong() {
    let it = Fabric::start(Duration::from_secs(900)).await;
    let (_, al) = it.user("Al").await;
    let (bo_session, _) = it.user("Bo").await;
    let (_, eve) = it.user("Eve").await;
    let channel = it.channel(&al, "general", &[&bo_session]).await;
    let messages = format!("/api/channels/{}/messages", channel.id);
    for (target, token, body, status, word) in [
        (
            messages.as_str(),
            &al,
            json!({"content": 7}),
            400,
            "content",
        ),
        (&messages, &al, json!({}), 400, "content"),
        (
            &messages,
            &al,
            json!({"content": "x".repeat(8_001)}),
            413,
            "",
        ),
        (
            &messages,
            &al,
            json!({"content": "x".repeat(200_000)}),
            413,
            "",
        ),
        (&messages, &eve, json!({"content": "x"}), 403, ""),
        ("/api/channels", &al, json!({"name": "x"}), 400, "xType"),
        ("/api/nowhere", &al, json!({}), 404, ""),
        (
            &messages,
            &Secret::new("nonsense"),
            json!({"content": "x"}),
            401,
            "",
        ),
    ] {
        let answer = it.post(target, token, body).await;
        let (found, words) = refused(&answer);
        assert_eq!(found, status, "{words}");
        assert!(words.contains(word), "{words}");
    }
    let health: Value = parsed(&it.get("/api/health", &Secret::new("")).await);
    assert_eq!(health["ok"], true);
    assert_eq!(health["nodeId"], "n");
    it.stop().await;
}

#[tokio::test]
async fn an_expired_token_opens_nothing() {
    let it = Fabric::start(Duration::ZERO).await;
    let (_, al) = it.user("Al").await;
    let answer = it.get("/api/channels", &al).await;
    assert_eq!(refused(&answer).0, 401);
    let mut socket = it.socket(&al).await;
    let refused = socket.next().await;
    assert_eq!(refused, r#"44/realtime,{"message":"unauthorized"}"#);
    it.stop().await;
}

#[tokio::test]
async fn a_node_that_center_refuses_does_not_start() {
    let it = Fabric::start(Duration::from_secs(900)).await;
    let folder = tempfile::tempdir().unwrap();
    let options = guild_options(folder.path(), &it.center, Secret::new("gk_wrong"));
    let error = start_guild(options).await.unwrap_err();
    assert!(matches!(error, ServeError::Refused { .. }), "{error}");
    assert!(!error.to_string().contains("gk_wrong"), "{error}");
    let options = guild_options(it.folder.path(), &it.center, Secret::new("gk_wrong"));
    let error = start_guild(options).await.unwrap_err();
    assert!(
        error.to_string().contains("in use by another process"),
        "{error}"
    );
    it.stop().await;
}

#[tokio::test]
async fn without_center_known_tokens_go_on_and_new_ones_wait() {
    let it = Fabric::start(Duration::from_secs(900)).await;
    let (_, al) = it.user("Al").await;
    let (_, bo) = it.user("Bo").await;
    assert_eq!(it.get("/api/channels", &al).await.status, 200);
    it.center.shutdown().await;
    let call = async |token: &Secret| {
        let request = Request {
            method: Method::Get,
            target: "/api/channels".into(),
            bearer: Some(token.clone()),
            body: Vec::new().into(),
        };
        let origin = it.guild.base_url();
        it.client.send(origin, request).await.unwrap().status
    };
    assert_eq!(call(&al).await, 200);
    assert_eq!(call(&bo).await, 503);
    it.guild.shutdown().await.unwrap();
}
