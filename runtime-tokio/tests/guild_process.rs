//! `selvedge guild` as its operator sees it: a process that is asked to end, or killed.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

mod promptly;

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use selvedge::{clock::Clock, http::Client, tls};
use selvedge_core::{
    Secret,
    fabric::{
        center::Login,
        types::{Channel, Message, Page},
    },
    http::{Failure, Method, Request, Response},
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// How many posts are under way at a time.
const POSTERS: usize = 8;

/// A guild node with its Center; it is killed when a test fails.
struct Node {
    child: Child,
    center: String,
    guild: String,
}

impl Node {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_selvedge"))
            .env("SELVEDGE_LOG", "warn")
            .args([
                "guild",
                "--with-center",
                "--center-port",
                "0",
                "--port",
                "0",
            ])
            .arg("--data-dir")
            .arg(folder)
            .arg("--record")
            .arg(folder.join("traces"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut origin = |start: &str| {
            let line = told.next().unwrap().unwrap();
            line.strip_prefix(start).unwrap().to_owned()
        };
        let center = origin("Center is up at ");
        let guild = origin("the guild node is up at ");
        Self {
            child,
            center,
            guild,
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// How long it took to end, and its exit code.
    fn ended(&mut self) -> (Duration, Option<i32>) {
        let clock = Clock::start();
        let start = clock.now();
        let status = self.child.wait().unwrap();
        (clock.now().since(start), status.code())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn client() -> Client {
    Client::new(&tls::client_config(None).unwrap(), None).unwrap()
}

/// A call with a body is a `POST`.
async fn call(
    client: &Client,
    origin: &str,
    target: &str,
    bearer: &Secret,
    body: Value,
) -> Result<Response, Failure> {
    let request = Request {
        method: if body.is_null() {
            Method::Get
        } else {
            Method::Post
        },
        target: target.into(),
        bearer: Some(bearer.clone()),
        body: if body.is_null() {
            Vec::new().into()
        } else {
            body.to_string().into()
        },
    };
    client.send(origin, request).await
}

/// Makes an account, and answers its id and its API key.
async fn user(client: &Client, node: &Node, folder: &Path, name: &str) -> (String, Secret) {
    let admin = std::fs::read_to_string(folder.join("center-admin-key")).unwrap();
    let admin = Secret::new(admin.trim());
    let user = call(
        client,
        &node.center,
        "/api/users",
        &admin,
        json!({ "name": name }),
    );
    let user: Value = serde_json::from_slice(&user.await.unwrap().body).unwrap();
    let api_key = Secret::new(user["apiKey"].as_str().unwrap());
    (user["id"].as_str().unwrap().into(), api_key)
}

async fn login(client: &Client, node: &Node, api_key: &Secret) -> Secret {
    let login = Login::ApiKey {
        api_key: api_key.clone(),
    };
    let session = client.login(&node.center, &login).await.unwrap();
    session.grants[0].token.clone()
}

/// Posts one content after the other until the node is gone. Answers what was acknowledged, and the
/// content whose fate is unknown.
async fn post_on(
    client: Client,
    origin: String,
    target: String,
    token: Secret,
    mut content: String,
    poster: String,
) -> (Vec<Message>, String) {
    let mut acknowledged = Vec::new();
    loop {
        let body = json!({ "content": content, "nonce": content });
        let Ok(answer) = call(&client, &origin, &target, &token, body).await else {
            return (acknowledged, content);
        };
        assert_eq!(answer.status, 201, "{:?}", answer.body);
        let message: Message = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(message.content, content);
        acknowledged.push(message);
        content = format!("{poster}-{}", acknowledged.len());
    }
}

async fn history(client: &Client, node: &Node, target: &str, token: &Secret) -> Vec<Message> {
    let mut all: Vec<Message> = Vec::new();
    loop {
        let after = all.last().map_or(0, |message| message.seq);
        let target = format!("{target}?afterSeq={after}&limit=200");
        let answer = call(client, &node.guild, &target, token, Value::Null).await;
        let page: Page = serde_json::from_slice(&answer.unwrap().body).unwrap();
        all.extend(page.messages);
        if !page.has_more {
            return all;
        }
    }
}

#[tokio::test]
async fn what_was_acknowledged_outlives_every_kill() {
    let folder = tempfile::tempdir().unwrap();
    let client = client();
    let mut node = Node::start(folder.path());
    let (_, api_key) = user(&client, &node, folder.path(), "al").await;
    let mut token = login(&client, &node, &api_key).await;
    let body = json!({ "name": "hall", "xType": "general", "memberUserIds": [] });
    let channel = call(&client, &node.guild, "/api/channels", &token, body).await;
    let channel: Channel = serde_json::from_slice(&channel.unwrap().body).unwrap();
    let target = format!("/api/channels/{}/messages", channel.id);

    let mut acknowledged: BTreeMap<String, Message> = BTreeMap::new();
    let mut unknown: Vec<String> = (0..POSTERS)
        .map(|poster| format!("first-{poster}"))
        .collect();
    for round in 0..5 {
        let mut posters = JoinSet::new();
        for (number, content) in unknown.drain(..).enumerate() {
            // What was not answered is posted once more: it must not be there twice.
            let poster = format!("{round}-{number}");
            posters.spawn(post_on(
                client.clone(),
                node.guild.clone(),
                target.clone(),
                token.clone(),
                content,
                poster,
            ));
        }
        let mut random = [0];
        getrandom::fill(&mut random).unwrap();
        tokio::time::sleep(Duration::from_millis(200 + u64::from(random[0]))).await;
        node.signal(Signal::KILL);
        while let Some(poster) = posters.join_next().await {
            let (posted, left) = poster.unwrap();
            unknown.push(left);
            for message in posted {
                let twice = acknowledged.insert(message.content.clone(), message);
                assert!(twice.is_none(), "{twice:?}");
            }
        }

        node = Node::start(folder.path());
        token = login(&client, &node, &api_key).await;
        let mut stored = BTreeMap::new();
        for (place, message) in (1_u64..).zip(history(&client, &node, &target, &token).await) {
            assert_eq!(message.seq, place, "the sequence has a hole");
            let twice = stored.insert(message.content.clone(), message);
            assert!(twice.is_none(), "{twice:?}");
        }
        for (content, message) in &acknowledged {
            let found = stored.get(content);
            let found = found.map(|found| (&found.id, found.seq));
            assert_eq!(found, Some((&message.id, message.seq)), "{content}");
        }
    }
    node.signal(Signal::TERM);
    assert_eq!(node.ended().1, Some(0));
    let traces = std::fs::read_dir(folder.path().join("traces")).unwrap();
    let mut recordings = 0;
    for trace in traces {
        let trace = trace.unwrap();
        let mode = trace.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let recording = std::fs::read_to_string(trace.path()).unwrap();
        assert!(!recording.contains(api_key.expose()) && !recording.contains("eyJhbGciOi"));
        recordings += 1;
    }
    assert_eq!(recordings, 6, "one for each life");
    assert!(acknowledged.len() > POSTERS, "there was no load");
}

#[tokio::test]
async fn a_message_and_the_turn_that_it_leads_to_outlive_a_kill_together() {
    let folder = tempfile::tempdir().unwrap();
    let client = client();
    let mut node = Node::start(folder.path());
    let (_, api_key) = user(&client, &node, folder.path(), "al").await;
    let (bo, _) = user(&client, &node, folder.path(), "bo").await;
    let mut token = login(&client, &node, &api_key).await;
    let body = json!({ "name": "hall", "xType": "discuss", "memberUserIds": [bo] });
    let channel = call(&client, &node.guild, "/api/channels", &token, body).await;
    let channel: Channel = serde_json::from_slice(&channel.unwrap().body).unwrap();
    let target = format!("/api/channels/{}/messages", channel.id);
    let mut posted = 0;
    for round in 0..3 {
        let (origin, poster) = (node.guild.clone(), format!("al-{round}"));
        let posts = post_on(
            client.clone(),
            origin,
            target.clone(),
            token.clone(),
            poster.clone(),
            poster,
        );
        let posts = tokio::spawn(posts);
        let mut random = [0];
        getrandom::fill(&mut random).unwrap();
        tokio::time::sleep(Duration::from_millis(100 + u64::from(random[0]))).await;
        node.signal(Signal::KILL);
        posted += posts.await.unwrap().0.len();

        node = Node::start(folder.path());
        token = login(&client, &node, &api_key).await;
        let messages = history(&client, &node, &target, &token).await;
        assert!(messages.len() >= posted, "{} of {posted}", messages.len());
        let turn = format!("/api/channels/{}/turn", channel.id);
        let turn = call(&client, &node.guild, &turn, &token, Value::Null).await;
        let turn: Value = serde_json::from_slice(&turn.unwrap().body).unwrap();
        let newest = messages.last().map(|message| &message.id);
        let wake = json!({ "userId": bo, "messageId": newest, "acked": false });
        assert_eq!(
            turn["wake"], wake,
            "every message wakes whoever is to speak"
        );
    }
    assert!(posted > 0, "there was no load");
}

#[test]
fn the_first_signal_is_heeded_politely_and_the_second_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let second = Duration::from_secs(1);
    for signal in [Signal::TERM, Signal::INT] {
        promptly::within(second, || {
            let mut node = Node::start(folder.path());
            node.signal(signal);
            let (after, code) = node.ended();
            assert_eq!(code, Some(0));
            after
        });
    }
    // A request that is under way is waited for, unless somebody is in a hurry.
    promptly::within(second, || {
        let mut node = Node::start(folder.path());
        let addr = node.guild.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(addr).unwrap();
        let head = "POST /api/channels HTTP/1.1\r\nhost: h\r\ncontent-length: \
                    9\r\nexpect: 100-continue\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let mut told = String::new();
        BufReader::new(&stream).read_line(&mut told).unwrap();
        assert_eq!(told, "HTTP/1.1 100 Continue\r\n");
        node.signal(Signal::TERM);
        while TcpStream::connect(addr).is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(node.child.try_wait().unwrap().is_none(), "it does not wait");
        node.signal(Signal::TERM);
        let (after, code) = node.ended();
        assert_eq!(code, Some(1));
        after
    });
}
