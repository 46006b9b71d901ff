//! The official Socket.IO client drives everything that a guild does on its sockets.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{collections::BTreeMap, time::Duration};

use selvedge::{
    http::Client,
    serve::{CenterOptions, GuildOptions, RunningCenter, RunningGuild, start_center, start_guild},
    tls,
};
use selvedge_core::{
    Secret,
    fabric::center::Login,
    guild::Config,
    http::{Method, Request},
    id::{GuildId, NodeId},
};
use selvedge_tests::npm::{self, Peer};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

/// A person with an account.
struct User {
    id: String,
    key: Secret,
    token: Secret,
}

struct World {
    folder: TempDir,
    client: Client,
    center: RunningCenter,
    guild: RunningGuild,
    peer: Peer,
    asked: u64,
    /// What each socket was pushed since it was last asked.
    pushed: BTreeMap<String, Vec<Pushed>>,
}

const LONG: Duration = Duration::from_secs(900);
/// Long enough to connect and to enter a room under load.
const SHORT: Duration = Duration::from_secs(8);

impl World {
    /// `None` where there is no Node.
    async fn start(token_life: Duration, deaf: bool) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let any = || "127.0.0.1:0".parse().unwrap();
        let mut options = CenterOptions::new(any(), folder.path().to_path_buf());
        options.token_life = token_life;
        let center = start_center(options).await.unwrap();
        let id = GuildId::new("g").unwrap();
        let api_key = center.add_guild(&id).await.unwrap();
        let client = Client::new(&tls::client_config(None).unwrap(), None).unwrap();
        let mut config = Config::new(NodeId::new("n").unwrap(), id);
        config.deaf_on_expired_token = deaf;
        let options = GuildOptions {
            listen: any(),
            database: folder.path().join("guild.sqlite"),
            files: folder.path().join("files"),
            config,
            center_url: center.url(),
            api_key,
            public_url: None,
            center_public_url: None,
            cors_origins: String::new(),
            client: client.clone(),
            record: None,
        };
        let guild = start_guild(options).await.unwrap();
        let peer = npm::users(guild.base_url())?;
        Some(Self {
            folder,
            client,
            center,
            guild,
            peer,
            asked: 0,
            pushed: BTreeMap::new(),
        })
    }

    async fn stop(mut self) {
        self.peer.stop().await;
        self.guild.shutdown().await.unwrap();
        self.center.shutdown().await;
        drop(self.folder);
    }

    async fn user(&self, name: &str) -> User {
        let made = self.center.add_user(name, None).await.unwrap();
        let mut user = User {
            id: made.id.to_string(),
            key: made.api_key,
            token: Secret::new(""),
        };
        self.log_in(&mut user).await;
        user
    }

    async fn log_in(&self, user: &mut User) {
        let api_key = user.key.clone();
        let login = Login::ApiKey { api_key };
        let session = self.client.login(&self.center.url(), &login).await;
        user.token = session.unwrap().grants[0].token.clone();
    }

    /// A call that succeeds, and its answer.
    async fn call(&self, user: &User, method: Method, path: &str, body: Value) -> Value {
        let request = Request {
            method,
            target: format!("/api{path}"),
            bearer: Some(user.token.clone()),
            body: body.to_string().into(),
        };
        let answer = self.client.send(self.guild.base_url(), request).await;
        let answer = answer.unwrap();
        let body = serde_json::from_slice(&answer.body).unwrap();
        assert!(matches!(answer.status, 200 | 201), "{path}: {body}");
        body
    }

    async fn channel(&self, by: &User, x_type: &str, members: &[&User]) -> String {
        let members: Vec<_> = members.iter().map(|user| &user.id).collect();
        let body = json!({"name": "hall", "xType": x_type, "memberUserIds": members});
        let channel = self.call(by, Method::Post, "/channels", body).await;
        channel["id"].as_str().unwrap().to_owned()
    }

    async fn post(&self, by: &User, channel: &str, content: &str) -> Value {
        let path = format!("/channels/{channel}/messages");
        self.call(by, Method::Post, &path, json!({"content": content}))
            .await
    }

    /// Reads on until `pick` takes a line, and keeps what sockets were pushed until then.
    async fn until<T>(&mut self, what: &str, pick: impl Fn(&Value) -> Option<T>) -> T {
        let pushed = &mut self.pushed;
        let picked = self.peer.wait_for(what, |line| {
            if line["saw"] == "event" {
                let [socket, name] = ["socket", "event"].map(|it| line[it].as_str().unwrap());
                assert_eq!(line["args"].as_array().unwrap().len(), 1, "{line}");
                let of_socket = pushed.entry(socket.to_owned()).or_default();
                of_socket.push((name.to_owned(), line["args"][0].clone()));
            }
            pick(line)
        });
        picked.await
    }

    /// Connects a socket, and gives back what comes of it.
    async fn open(&mut self, socket: &str, token: &Secret) -> Value {
        let wish = json!({"open": socket, "token": token.expose()});
        self.peer.tell(&wish).await;
        let first = |line: &Value| {
            let said = || line.get("message").unwrap_or_else(|| &line["saw"]).clone();
            (line["socket"] == socket).then(said)
        };
        self.until("a connection", first).await
    }

    async fn ask(&mut self, socket: &str, event: &str, payload: Value) {
        self.asked += 1;
        let wish = json!({"emit": socket, "id": self.asked, "event": [event, payload]});
        self.peer.tell(&wish).await;
    }

    /// Emits an event, and gives back the events that came before its ack, and the ack.
    async fn emit(&mut self, socket: &str, event: &str, payload: Value) -> (Vec<Pushed>, Value) {
        self.ask(socket, event, payload).await;
        let id = self.asked;
        let of_it = |line: &Value| (line["id"] == id).then(|| line["answer"].clone());
        let ack = self.until("an ack", of_it).await;
        assert_eq!(ack.as_array().unwrap().len(), 1, "{ack}");
        let pushed = self.pushed.remove(socket).unwrap_or_default();
        (pushed, ack[0].clone())
    }

    /// Everything that a socket was told since it was last asked: acks come in the order of all else.
    async fn heard(&mut self, socket: &str) -> Vec<Pushed> {
        let nowhere = json!({"channelId": "nowhere"});
        let (pushed, ack) = self.emit(socket, "leave_channel", nowhere).await;
        assert_eq!(ack, refused("not_found"));
        pushed
    }

    async fn enter(&mut self, socket: &str, channel: &str, last_seq: u64) {
        let (_, ack) = self.emit(socket, "join_channel", room(channel)).await;
        assert_eq!(ack, json!({"ok": true, "lastSeq": last_seq}));
    }
}

/// The name of an event and its one argument.
type Pushed = (String, Value);

fn room(channel: &str) -> Value {
    json!({ "channelId": channel })
}

fn refused(error: &str) -> Value {
    json!({"ok": false, "error": error})
}

fn names(pushed: &[Pushed]) -> Vec<&str> {
    pushed.iter().map(|(name, _)| name.as_str()).collect()
}

fn created(message: &Value, wakeup: bool) -> Vec<Pushed> {
    let mut pushed = message.clone();
    pushed["wakeup"] = json!(wakeup);
    vec![("message.created".to_owned(), pushed)]
}

/// That an event says when it was, and has nothing else than `expected`.
fn assert_timed(pushed: &[Pushed], name: &str, expected: &Value) {
    let [(found, payload)] = pushed else {
        panic!("{pushed:?}");
    };
    let mut payload = payload.clone();
    let at = payload.as_object_mut().unwrap().remove("occurredAt");
    let at = at.unwrap_or_else(|| panic!("{pushed:?}"));
    assert!(at.as_str().is_some_and(|at| at.ends_with('Z')), "{at}");
    assert_eq!((found.as_str(), &payload), (name, expected));
}

#[tokio::test]
async fn rooms_hear_what_happens_in_their_channels() {
    let Some(mut it) = World::start(LONG, false).await else {
        return;
    };
    let (al, bo, cy) = (
        it.user("al").await,
        it.user("bo").await,
        it.user("cy").await,
    );
    let bad = Secret::new("no token");
    assert_eq!(it.open("nobody", &bad).await, "unauthorized");
    for (socket, user) in [("al", &al), ("bo", &bo), ("bo2", &bo), ("cy", &cy)] {
        assert_eq!(it.open(socket, &user.token).await, "connect");
    }
    let id = it.channel(&al, "general", &[&bo]).await;
    for (socket, user) in [("al", &al), ("bo", &bo), ("bo2", &bo)] {
        let joined = json!({"channelId": id, "userId": user.id, "xType": "general"});
        assert_timed(&it.heard(socket).await, "channel.joined", &joined);
    }
    assert_eq!(it.heard("cy").await, []);
    it.post(&al, &id, "nobody is in the room").await;
    assert_eq!(it.heard("bo").await, []);

    for (payload, error) in [
        (room(&id), "forbidden"),
        (room("nowhere"), "not_found"),
        (json!("x"), "bad_request"),
    ] {
        for event in ["join_channel", "typing"] {
            let (_, ack) = it.emit("cy", event, payload.clone()).await;
            assert_eq!(ack, refused(error), "{event} {payload}");
        }
    }
    for socket in ["al", "bo", "bo2"] {
        it.enter(socket, &id, 1).await;
    }
    let two = it.post(&al, &id, "two").await;
    // The author has its own message before the answer: what it asks for now comes behind it.
    assert_eq!(it.heard("al").await, created(&two, false));
    assert_eq!(it.heard("bo").await, created(&two, true));
    assert_eq!(it.heard("bo2").await, created(&two, true));

    let path = format!("/messages/{}", two["id"].as_str().unwrap());
    let edit = json!({"content": "second"});
    let edited = it.call(&al, Method::Patch, &path, edit).await;
    let deleted = it.call(&al, Method::Delete, &path, Value::Null).await;
    assert_eq!(deleted["content"], "");
    let canvas_path = format!("/channels/{id}/canvas");
    let canvas = json!({"format": "md", "title": "t", "content": "c"});
    let canvas = it.call(&al, Method::Put, &canvas_path, canvas).await;
    it.call(&al, Method::Delete, &canvas_path, Value::Null)
        .await;
    let channel_path = format!("/channels/{id}");
    let renamed = json!({"name": "attic"});
    it.call(&al, Method::Patch, &channel_path, renamed).await;
    let changed = it.call(&bo, Method::Get, &channel_path, Value::Null).await;
    let mut heard = it.heard("bo").await;
    assert_timed(
        &[heard.remove(3)],
        "canvas.removed",
        &json!({"channelId": id, "userId": al.id}),
    );
    let expected = [
        ("message.updated", edited),
        ("message.deleted", deleted),
        ("canvas.updated", canvas),
        ("channel.updated", changed),
    ];
    assert_eq!(heard, expected.map(|(name, it)| (name.to_owned(), it)));
    it.heard("bo2").await;

    let (_, ack) = it.emit("al", "typing", room(&id)).await;
    assert_eq!(ack, json!({"ok": true}));
    let typing = json!({"channelId": id, "userId": al.id});
    assert_timed(&it.heard("bo").await, "typing", &typing);
    it.heard("bo2").await;
    let second = it.channel(&al, "dm", &[&bo]).await;
    it.enter("bo", &second, 0).await;
    let (_, ack) = it.emit("al", "presence", json!({"status": "busy"})).await;
    assert_eq!(ack, json!({"ok": true}));
    let presence = json!({"userId": al.id, "status": "busy"});
    assert_timed(&it.heard("bo").await, "presence", &presence);
    assert_eq!(
        names(&it.heard("bo2").await),
        ["channel.joined", "presence"]
    );
    let (_, ack) = it.emit("al", "presence", json!({})).await;
    assert_eq!(ack, refused("bad_request"));

    let (_, ack) = it.emit("bo2", "leave_channel", room(&id)).await;
    assert_eq!(ack, json!({"ok": true, "lastSeq": 2}));
    it.post(&al, &id, "three").await;
    assert_eq!(names(&it.heard("bo").await), ["message.created"]);
    assert_eq!(it.heard("bo2").await, []);

    let left = json!({"channelId": id, "userId": bo.id, "xType": "general"});
    let leave = format!("/channels/{id}/leave");
    for changed in [true, false] {
        let answer = it.call(&bo, Method::Post, &leave, Value::Null).await;
        assert_eq!(answer, json!({"ok": true, "changed": changed}));
        it.post(&al, &id, "bo is outside").await;
        for socket in ["bo", "bo2"] {
            let heard = it.heard(socket).await;
            match changed {
                true => assert_timed(&heard, "channel.left", &left),
                false => assert_eq!(heard, []),
            }
        }
    }
    it.stop().await;
}

#[tokio::test]
async fn a_speaker_is_woken_again_with_an_id_of_the_wake() {
    let Some(mut it) = World::start(LONG, false).await else {
        return;
    };
    let (al, bo, cy) = (
        it.user("al").await,
        it.user("bo").await,
        it.user("cy").await,
    );
    let id = it.channel(&al, "discuss", &[&bo, &cy]).await;
    for (socket, user) in [("bo", &bo), ("cy", &cy), ("cy2", &cy)] {
        assert_eq!(it.open(socket, &user.token).await, "connect");
        it.enter(socket, &id, 0).await;
    }
    let one = it.post(&al, &id, "one").await;
    assert_eq!(it.heard("bo").await, created(&one, true));
    for socket in ["cy", "cy2"] {
        assert_eq!(it.heard(socket).await, created(&one, false));
    }
    it.post(&bo, &id, "/no-reply").await;
    // The answer does not wait for the wake, which is read from the store first.
    let awake = |line: &Value| (line["event"] == "message.created").then_some(());
    it.until("a wake", awake).await;
    let heard = it.heard("cy").await;
    assert_eq!(it.heard("cy2").await, heard);
    assert_eq!(names(&heard), ["message.created"]);
    let wake = heard[0].1.clone();
    assert_eq!(it.heard("bo").await, []);
    let mut expected = created(&one, true).remove(0).1;
    expected["rewake"] = json!(true);
    expected["wakeId"] = wake["wakeId"].clone();
    assert!(wake["wakeId"].is_string());
    assert_eq!(wake, expected);
    // Whoever enters without having acked is woken before the ack of its join.
    assert_eq!(it.open("cy3", &cy.token).await, "connect");
    let (pushed, ack) = it.emit("cy3", "join_channel", room(&id)).await;
    assert_eq!(ack, json!({"ok": true, "lastSeq": 1}));
    assert_eq!(names(&pushed), ["message.created"]);
    assert_ne!(pushed[0].1["wakeId"], wake["wakeId"]);
    it.stop().await;
}

const EVENTS: [&str; 4] = ["join_channel", "leave_channel", "typing", "presence"];

/// A guild, its people, and their channel, with a socket `old` of bo in its room, whose token has
/// expired since. `None` where there is no Node.
async fn expired(deaf: bool) -> Option<(World, [User; 2], String)> {
    let mut it = World::start(SHORT, deaf).await?;
    let (al, bo) = (it.user("al").await, it.user("bo").await);
    let id = it.channel(&al, "general", &[&bo]).await;
    assert_eq!(it.open("old", &bo.token).await, "connect");
    it.enter("old", &id, 0).await;
    sleep(SHORT + Duration::from_secs(1)).await;
    Some((it, [al, bo], id))
}

#[tokio::test]
async fn a_socket_whose_token_has_expired_is_told_so_and_pushed_to() {
    let Some((mut it, [mut al, bo], id)) = expired(false).await else {
        return;
    };
    for event in EVENTS {
        let (_, ack) = it.emit("old", event, room(&id)).await;
        assert_eq!(ack, refused("token_expired"), "{event}");
    }
    assert_eq!(it.open("late", &bo.token).await, "unauthorized");
    it.log_in(&mut al).await;
    let message = it.post(&al, &id, "pushes go on").await;
    let (pushed, _) = it.emit("old", "typing", room(&id)).await;
    assert_eq!(pushed, created(&message, true));
    it.stop().await;
}

#[tokio::test]
async fn a_deaf_guild_says_nothing_to_a_socket_whose_token_has_expired() {
    let Some((mut it, [mut al, bo], id)) = expired(true).await else {
        return;
    };
    assert_eq!(it.open("new", &bo.token).await, "connect");
    for socket in ["old", "new"] {
        for event in EVENTS {
            it.ask(socket, event, room(&id)).await;
        }
    }
    it.log_in(&mut al).await;
    let message = it.post(&al, &id, "hello?").await;
    // To the room of the user goes what both hear: nothing came before it but the message.
    it.channel(&al, "general", &[&bo]).await;
    for socket in ["old", "new"] {
        let told = |it: &World| {
            let pushed = it.pushed.get(socket).into_iter().flatten();
            pushed
                .last()
                .is_some_and(|(name, _)| name == "channel.joined")
        };
        while !told(&it) {
            it.until("a push", |_| Some(())).await;
        }
    }
    let lines = it.peer.seen().iter();
    let answers = lines.filter(|line| line["saw"] == "answer");
    assert_eq!(answers.count(), 1, "to the join while the token was good");
    let old = &it.pushed["old"];
    assert_eq!(names(old), ["message.created", "channel.joined"]);
    assert_eq!(old[..1], created(&message, true));
    assert_eq!(names(&it.pushed["new"]), ["channel.joined"]);
    it.stop().await;
}
