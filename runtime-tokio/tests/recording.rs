//! What `selvedge plugin --record` writes down is for its owner alone, and gives no secret away. That it
//! replays is tested where the simulator is at hand.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{net::SocketAddr, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use selvedge::{
    clock::Clock,
    echo::{EchoAgent, EchoEvent},
    http::Client,
    serve::{CenterOptions, GuildOptions, start_center, start_guild},
    tls,
};
use selvedge_core::{
    Secret,
    fabric::{
        center::Login,
        types::{Channel, Message},
    },
    guild,
    http::{Method, Request},
    id::{GuildId, NodeId},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{process::Command, sync::mpsc, time::timeout};

const PATIENCE: Duration = Duration::from_secs(60);

/// Every JWT with HS256 begins like this.
const JWT: &str = "eyJhbGciOi";

async fn post<T: DeserializeOwned>(origin: &str, target: &str, token: &Secret, body: Value) -> T {
    let client = Client::new(&tls::client_config(None).unwrap(), None).unwrap();
    let request = Request {
        method: Method::Post,
        target: target.into(),
        bearer: Some(token.clone()),
        body: body.to_string().into(),
    };
    let answer = client.send(origin, request).await.unwrap();
    assert_eq!(answer.status, 201, "{:?}", answer.body);
    serde_json::from_slice(&answer.body).unwrap()
}

/// Runs the plugin with one agent until it has answered one message; answers the key.
async fn live(folder: &Path) -> Secret {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let center = start_center(CenterOptions::new(loopback, folder.join("center")));
    let center = center.await.unwrap();
    let guild_id = GuildId::new("g").unwrap();
    let client = Client::new(&tls::client_config(None).unwrap(), None).unwrap();
    let guild = start_guild(GuildOptions {
        listen: loopback,
        database: folder.join("guild.sqlite"),
        files: folder.join("files"),
        config: guild::Config::new(NodeId::new("n").unwrap(), guild_id.clone()),
        center_url: center.url(),
        api_key: center.add_guild(&guild_id).await.unwrap(),
        public_url: None,
        center_public_url: None,
        cors_origins: String::new(),
        client: client.clone(),
        record: None,
    });
    let guild = guild.await.unwrap();
    let al = center.add_user("al", None).await.unwrap();
    let echo = center.add_user("echo", None).await.unwrap();
    let login = Login::ApiKey {
        api_key: al.api_key,
    };
    let session = client.login(&center.url(), &login).await.unwrap();
    let token = &session.grants[0].token;
    let origin = guild.base_url();
    let body = json!({ "name": "hall", "xType": "general", "memberUserIds": [echo.id] });
    let channel: Channel = post(origin, "/api/channels", token, body).await;

    let config = folder.join("selvedge.toml");
    let text = format!(
        "[center]\nurl = \"{}\"\n[store]\npath = \"store.sqlite\"\n[[agent]]\nid = \"echo\"\napi_key_env = \"ECHO_KEY\"\n",
        center.url()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge"));
    command
        .env("ECHO_KEY", echo.api_key.expose())
        .env("SELVEDGE_LOG", "warn")
        .env("XDG_STATE_HOME", folder.join("state"))
        .arg("plugin")
        .arg("--config")
        .arg(config)
        .arg("--record")
        .arg(folder.join("traces"));
    let (events_in, mut events) = mpsc::channel(16);
    let agent = EchoAgent::spawn(command, Clock::start(), events_in);
    let agent = agent.await.unwrap();
    let answered = async {
        while agent.live_channels().await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let target = format!("/api/channels/{}/messages", channel.id);
        let _: Message = post(origin, &target, token, json!({ "content": "hello" })).await;
        while !matches!(events.recv().await.unwrap(), EchoEvent::Done { .. }) {}
    };
    timeout(PATIENCE, answered).await.unwrap();
    agent.shutdown().await;
    guild.shutdown().await.unwrap();
    center.shutdown().await;
    echo.api_key
}

#[tokio::test]
async fn a_recording_of_an_agent_is_private_and_holds_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let key = live(folder.path()).await;
    let traces: Vec<_> = std::fs::read_dir(folder.path().join("traces"))
        .unwrap()
        .collect();
    let [Ok(trace)] = traces.as_slice() else {
        panic!("{traces:?}");
    };
    let mode = trace.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let recording = std::fs::read_to_string(trace.path()).unwrap();
    assert!(!recording.contains(key.expose()) && !recording.contains(JWT));
    assert!(recording.contains("hello") && recording.ends_with("{\"end\":true}\n"));
}
