//! The plugin replaces its connection before its token expires: through several lives of a token, over
//! real sockets, no message is lost and none is told twice.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use selvedge::{
    clock::Clock,
    echo::{EchoAgent, EchoEvent},
    http::Client,
    serve::{CenterOptions, GuildOptions, start_center, start_guild},
    tls,
};
use selvedge_core::{
    Secret,
    fabric::{center::Login, types::Channel},
    guild::Config,
    http::{Method, Request},
    id::{GuildId, NodeId},
};
use serde_json::{Value, json};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{sleep, timeout},
};

/// How long anything may take. It bounds a test that fails.
const PATIENCE: Duration = Duration::from_secs(90);
const TOKEN_LIFE: Duration = Duration::from_secs(8);
/// The first connection, and one for each rotation.
const CONNECTIONS: usize = 4;

/// Passes connections on to the guild, and counts the sockets among them.
#[derive(Default)]
struct Relay {
    guild: OnceLock<SocketAddr>,
    dialed: AtomicUsize,
    open: AtomicUsize,
    open_max: AtomicUsize,
}

impl Relay {
    async fn start() -> (Arc<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let relay = Arc::new(Self::default());
        let accepting = Arc::clone(&relay);
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                tokio::spawn(Arc::clone(&accepting).pass_on(tcp));
            }
        });
        (relay, url)
    }

    async fn pass_on(self: Arc<Self>, mut tcp: TcpStream) {
        let mut guild = TcpStream::connect(self.guild.get().unwrap()).await.unwrap();
        let mut head = [0; 14];
        while tcp
            .peek(&mut head)
            .await
            .is_ok_and(|it| 0 < it && it < head.len())
        {}
        let is_socket = head.starts_with(b"GET /socket.io");
        if is_socket {
            self.dialed.fetch_add(1, Ordering::SeqCst);
            let open = 1 + self.open.fetch_add(1, Ordering::SeqCst);
            self.open_max.fetch_max(open, Ordering::SeqCst);
        }
        // However it ends is the end of it.
        let _ = copy_bidirectional(&mut tcp, &mut guild).await;
        if is_socket {
            self.open.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Somebody who talks.
struct Person {
    client: Client,
    center: String,
    guild: String,
    api_key: Secret,
}

impl Person {
    /// Posts something, with a token of its own; gives back what the guild answers.
    async fn post(&self, target: &str, body: Value) -> Value {
        let login = Login::ApiKey {
            api_key: self.api_key.clone(),
        };
        let session = self.client.login(&self.center, &login).await.unwrap();
        let [grant] = session.grants.as_slice() else {
            panic!("{session:?}")
        };
        let request = Request {
            method: Method::Post,
            target: target.to_owned(),
            bearer: Some(grant.token.clone()),
            body: body.to_string().into(),
        };
        let answer = self.client.send(&self.guild, request).await.unwrap();
        assert_eq!(answer.status, 201, "{:?}", answer.body);
        serde_json::from_slice(&answer.body).unwrap()
    }
}

#[tokio::test]
async fn through_three_rotations_nothing_is_lost_and_nothing_comes_twice() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new(&tls::client_config(None).unwrap(), None).unwrap();
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut options = CenterOptions::new(loopback, folder.path().to_path_buf());
    options.token_life = TOKEN_LIFE;
    let center = start_center(options).await.unwrap();
    let (relay, public_url) = Relay::start().await;
    let guild_id = GuildId::new("g").unwrap();
    let guild = start_guild(GuildOptions {
        listen: loopback,
        database: folder.path().join("guild.sqlite"),
        files: folder.path().join("files"),
        config: Config::new(NodeId::new("n").unwrap(), guild_id.clone()),
        center_url: center.url(),
        api_key: center.add_guild(&guild_id).await.unwrap(),
        public_url: Some(public_url),
        center_public_url: None,
        cors_origins: String::new(),
        client: client.clone(),
        record: None,
    })
    .await
    .unwrap();
    relay.guild.set(guild.addr()).unwrap();

    let echo = center.add_user("echo", None).await.unwrap();
    let alice = Person {
        client,
        center: center.url(),
        guild: format!("http://{}", guild.addr()),
        api_key: center.add_user("alice", None).await.unwrap().api_key,
    };
    let hall = json!({"name": "hall", "xType": "general", "memberUserIds": [echo.id]});
    let hall = alice.post("/api/channels", hall).await;
    let hall: Channel = serde_json::from_value(hall).unwrap();

    let path = folder.path().join("selvedge.toml");
    // Alice talks faster than the loop guard likes.
    let config = format!(
        "[center]\nurl = \"{}\"\n[store]\npath = \"store.sqlite\"\n[[agent]]\nid = \"echo\"\napi_key_env = \"ECHO_KEY\"\n\
         [plugin]\nloop_turns = 1000000\n",
        center.url()
    );
    std::fs::write(&path, config).unwrap();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_selvedge"));
    command
        .env("ECHO_KEY", echo.api_key.expose())
        .env("XDG_STATE_HOME", path.with_file_name("state"))
        .arg("plugin")
        .arg("--config")
        .arg(&path);
    let (events_in, mut events) = mpsc::channel(1_024);
    let agent = EchoAgent::spawn(command, Clock::start(), events_in)
        .await
        .unwrap();

    let talk = async {
        while relay.dialed.load(Ordering::SeqCst) == 0 {
            sleep(Duration::from_millis(10)).await;
        }
        // What is said before the first contact is not for the agent.
        sleep(Duration::from_secs(1)).await;
        let mut said = Vec::new();
        let mut more = 20;
        while more > 0 {
            if relay.dialed.load(Ordering::SeqCst) >= CONNECTIONS {
                more -= 1;
            }
            let content = said.len().to_string();
            let target = format!("/api/channels/{}/messages", hall.id);
            alice.post(&target, json!({"content": content})).await;
            said.push(content);
            sleep(Duration::from_millis(100)).await;
        }
        said
    };
    let said = timeout(PATIENCE, talk).await.unwrap();

    let mut heard = Vec::new();
    let mut answered = 0;
    while answered < said.len() {
        match timeout(PATIENCE, events.recv()).await.unwrap().unwrap() {
            EchoEvent::Inbound { inbound, .. } => {
                assert!(!inbound.recovered && !inbound.redelivered && inbound.skipped == 0);
                heard.extend(inbound.messages.into_iter().map(|it| it.content));
            }
            EchoEvent::Sent { .. } => {}
            EchoEvent::Done { .. } => answered += 1,
            EchoEvent::Failed { why, .. } => panic!("{why}"),
        }
    }
    assert_eq!(heard, said);
    assert!(relay.dialed.load(Ordering::SeqCst) >= CONNECTIONS);
    assert_eq!(relay.open_max.load(Ordering::SeqCst), 2);

    // Nothing comes late, or once more.
    let late = timeout(Duration::from_secs(1), events.recv()).await;
    assert!(late.is_err(), "{late:?}");
    agent.shutdown().await;
    guild.shutdown().await.unwrap();
}
