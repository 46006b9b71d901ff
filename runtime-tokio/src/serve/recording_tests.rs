//! A recording of a guild node gives no secret away. That it replays is tested where the simulator is at
//! hand.

use futures::{SinkExt as _, StreamExt as _};
use selvedge_core::{
    fabric::{center::Login, types::Channel},
    http::{Method, Request},
    id::{GuildId, NodeId},
};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use std::path::Path;

use super::*;
use crate::{
    serve::{CenterOptions, RunningCenter, start_center},
    tls,
};

fn guild_id() -> GuildId {
    GuildId::new("g").unwrap()
}

async fn call(
    it: &RunningGuild,
    client: &Client,
    target: &str,
    token: &Secret,
    body: Value,
) -> Value {
    let request = Request {
        method: Method::Post,
        target: target.into(),
        bearer: Some(token.clone()),
        body: body.to_string().into(),
    };
    let answer = client.send(it.base_url(), request).await.unwrap();
    assert_eq!(answer.status, 201);
    serde_json::from_slice(&answer.body).unwrap()
}

/// One life of a guild with a login, a CONNECT, a join and a post; answers the secrets.
async fn live(center: &RunningCenter, folder: &Path, life: &str) -> [String; 4] {
    let client = Client::new(&tls::client_config(None).unwrap(), None).unwrap();
    let api_key = center.add_guild(&guild_id()).await.unwrap();
    let options = GuildOptions {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        database: folder.join("guild.sqlite"),
        files: folder.join("files"),
        config: Config::new(NodeId::new("n").unwrap(), guild_id()),
        center_url: center.url(),
        api_key: api_key.clone(),
        public_url: None,
        center_public_url: None,
        cors_origins: String::new(),
        client: client.clone(),
        record: Some(folder.join(life).into()),
    };
    let mut store = GuildStore::open(&options.database).await.unwrap();
    let rows = store.load_rows().await.unwrap();
    let disk = Disk::open(&options.files, &BTreeSet::new()).unwrap();
    let guild = Guild::new(options.config.clone(), Rng::from_seed([7; 32]), rows);
    let recorder = record(&folder.join(life).into(), &guild).unwrap();
    let listener = listen(options.listen).await.unwrap();
    let it = start(guild, (store, disk), listener, Some(recorder), options).await;
    let it = it.unwrap();

    let user = center.add_user(life, None).await.unwrap();
    let login = Login::ApiKey {
        api_key: user.api_key.clone(),
    };
    let session = client.login(&center.url(), &login).await.unwrap();
    let token = session.grants[0].token.clone();
    let body = json!({ "name": "hall", "xType": "general", "memberUserIds": [] });
    let channel = call(&it, &client, "/api/channels", &token, body).await;
    let channel: Channel = serde_json::from_value(channel).unwrap();

    let stream = TcpStream::connect(it.addr()).await.unwrap();
    let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", it.addr());
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    let open = socket.next().await.unwrap().unwrap().into_text().unwrap();
    let open: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
    let sid = open["sid"].as_str().unwrap().to_owned();
    let auth = json!({ "token": token.expose() });
    let join = json!(["join_channel", { "channelId": channel.id }]);
    for packet in [
        format!("40/realtime,{auth}"),
        format!("42/realtime,1{join}"),
    ] {
        socket.send(Message::text(packet)).await.unwrap();
        assert!(socket.next().await.unwrap().unwrap().is_text());
    }
    let messages = format!("/api/channels/{}/messages", channel.id);
    for content in ["one", "two"] {
        call(
            &it,
            &client,
            &messages,
            &token,
            json!({ "content": content }),
        )
        .await;
        let push = socket.next().await.unwrap().unwrap().into_text().unwrap();
        assert!(push.contains("message.created"), "{push}");
    }
    it.shutdown().await.unwrap();

    let secrets = [
        token.expose(),
        user.api_key.expose(),
        api_key.expose(),
        &sid,
    ];
    secrets.map(ToOwned::to_owned)
}

/// The only recording in `folder`.
fn recording(folder: &Path) -> String {
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
    let [Ok(file)] = files.as_slice() else {
        panic!("{files:?}");
    };
    std::fs::read_to_string(file.path()).unwrap()
}

#[tokio::test]
async fn a_recorded_life_holds_no_secret_and_makes_none_of_its_seed() {
    let folder = tempfile::tempdir().unwrap();
    let center = CenterOptions::new(
        SocketAddr::from(([127, 0, 0, 1], 0)),
        folder.path().to_path_buf(),
    );
    let center = start_center(center).await.unwrap();
    let mut known = BTreeSet::new();
    // The second life starts with the rows that the first one left, and with the same seed.
    for life in ["first", "second"] {
        let secrets = live(&center, folder.path(), life).await;
        let recording = recording(&folder.path().join(life));
        for secret in secrets {
            assert!(!recording.contains(&secret), "{secret}");
            assert!(known.insert(secret), "a secret comes from the seed");
        }
        assert!(recording.contains("hall") && recording.ends_with("{\"end\":true}\n"));
    }
    center.shutdown().await;
}
