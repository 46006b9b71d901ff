//! `selvedge guild` as its operator sees it: a process with an environment and a log, that is asked to
//! end, or killed.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

mod promptly;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs::{self, File},
    future::ready,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use selvedge::{clock::Clock, http::Client, socketio, tls};
use selvedge_core::{
    Secret,
    fabric::{
        center::Login,
        types::{Channel, Message, Page},
    },
    http::{Failure, Method, Request, Response},
    id::ChannelId,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const PREFIX: &str = "FABRIC_BACKEND_GUILD_";
const REQUIRED: [(&str, &str); 3] = [
    ("NODE_ID", "n"),
    // Nobody listens there.
    ("CENTER_BASE_URL", "http://127.0.0.1:1"),
    ("CENTER_API_KEY", "gk_1"),
];

/// How often the node is killed.
const KILLS: usize = 100;
/// How many posts are under way at a time, beside a talk in turns.
const POSTERS: usize = 4;
/// How long a push may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The command of a guild node, with these variables.
fn guild(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge"));
    command.arg("guild").stdin(Stdio::null());
    for (name, _) in REQUIRED {
        command.env_remove(format!("{PREFIX}{name}"));
    }
    for (name, value) in variables {
        command.env(format!("{PREFIX}{name}"), value);
    }
    command
}

/// A guild node with its Center; it is killed when a test fails.
struct Node {
    child: Child,
    center: String,
    guild: String,
}

impl Node {
    fn start(folder: &Path) -> Self {
        let mut command = guild(&[]);
        command
            .env("SELVEDGE_LOG", "warn")
            .args(["--with-center", "--center-port", "0", "--port", "0"])
            .arg("--data-dir")
            .arg(folder)
            .arg("--record")
            .arg(folder.join("traces"));
        Self::of(&mut command)
    }

    /// Starts it with its Center, and waits until both are up.
    fn of(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
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

    fn addr(&self) -> &str {
        self.guild.strip_prefix("http://").unwrap()
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
    let admin = fs::read_to_string(folder.join("center-admin-key")).unwrap();
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

/// A member of both channels.
struct Person {
    id: String,
    api_key: Secret,
    token: Secret,
}

/// A call that may be made twice: it has a nonce, or says the same again.
#[derive(Clone)]
struct Action {
    by: usize,
    target: String,
    body: Value,
}

/// Where a round has got to when its node is gone.
struct Left {
    acknowledged: Vec<Message>,
    last: Action,
    /// Whether the last action was answered.
    answered: bool,
    /// The turn before it.
    turn: Value,
}

/// What the test knows of a channel.
#[derive(Default)]
struct Told {
    /// By content, which no two messages share.
    acknowledged: BTreeMap<String, Message>,
    stored: BTreeMap<String, Message>,
}

/// Everybody who talks to one node.
struct Crowd {
    client: Client,
    guild: String,
    people: Vec<Person>,
}

/// A turn whose wake has not arrived as far as the guild knows.
fn unacked(turn: &Value) -> Value {
    let mut turn = turn.clone();
    if let Some(acked) = turn.pointer_mut("/wake/acked") {
        *acked = json!(false);
    }
    turn
}

impl Crowd {
    async fn act(&self, action: &Action) -> Result<Response, Failure> {
        let Action { by, target, body } = action.clone();
        call(
            &self.client,
            &self.guild,
            &target,
            &self.people[by].token,
            body,
        )
        .await
    }

    async fn read(&self, target: String) -> Result<Value, Failure> {
        let asks = Action {
            by: 0,
            target,
            body: Value::Null,
        };
        let answer = self.act(&asks).await?;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        Ok(serde_json::from_slice(&answer.body).unwrap())
    }

    /// Posts one content after the other until the node is gone.
    async fn post_on(self: Arc<Self>, channel: ChannelId, first: Action, poster: String) -> Left {
        let mut left = Left {
            acknowledged: Vec::new(),
            last: first,
            answered: false,
            turn: Value::Null,
        };
        while let Ok(answer) = self.act(&left.last).await {
            assert_eq!(answer.status, 201, "{:?}", answer.body);
            let message = serde_json::from_slice(&answer.body).unwrap();
            left.acknowledged.push(message);
            let content = format!("{poster}-{}", left.acknowledged.len());
            left.last = post(0, &channel, &content, &content);
        }
        left
    }

    /// Takes turns until the node is gone.
    async fn talk_on(self: Arc<Self>, channel: ChannelId, talker: String) -> Left {
        let mut acknowledged = Vec::new();
        let mut turn = self.turn(&channel).await.unwrap();
        for number in 0.. {
            let last = self.next(&channel, &turn, &format!("{talker}-{number}"));
            let answer = self.act(&last).await;
            let answered = answer.is_ok();
            if let Ok(answer) = answer {
                assert_eq!(answer.status, 201, "{:?} {:?}", last.body, answer.body);
                acknowledged.extend(serde_json::from_slice::<Message>(&answer.body));
            }
            let Ok(after) = self.turn(&channel).await else {
                return Left {
                    acknowledged,
                    last,
                    answered,
                    turn,
                };
            };
            assert_ne!(after, turn, "{:?} changed nothing", last.body);
            turn = after;
        }
        unreachable!("the node is killed")
    }

    /// The turn, when whoever has it is being woken.
    async fn turn(&self, channel: &ChannelId) -> Result<Value, Failure> {
        for _ in 0..500 {
            let turn = self.read(format!("/api/channels/{channel}/turn")).await?;
            if turn["wake"]["userId"] == turn["currentSpeaker"] {
                return Ok(turn);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nobody is woken")
    }

    /// Something that changes this turn, drawn by chance.
    fn next(&self, channel: &ChannelId, turn: &Value, nonce: &str) -> Action {
        let (draw, who) = (random(8), random(self.people.len()));
        let speaks = |person: &Person| turn["currentSpeaker"] == *person.id;
        let (unseen, wake) = (turn["wake"]["acked"] == false, &turn["wake"]);
        match self.people.iter().position(speaks) {
            Some(speaker) if draw < 2 => post(speaker, channel, "/no-reply", nonce),
            Some(_) if draw < 3 => post(who, channel, "/force-proceed", nonce),
            Some(speaker) if draw < 5 && unseen => Action {
                by: speaker,
                target: format!("/api/channels/{channel}/ack"),
                body: json!({ "messageId": wake["messageId"] }),
            },
            Some(_) | None => {
                let mentioned = &self.people[random(self.people.len())].id;
                post(who, channel, &format!("{nonce} <@{mentioned}>"), nonce)
            }
        }
    }

    /// The socket of whoever is being woken gets the waking message once more when it enters.
    async fn enters(&self, channel: &ChannelId, turn: &Value) {
        let speaks = |person: &&Person| turn["currentSpeaker"] == *person.id;
        let token = &self.people.iter().find(speaks).unwrap().token;
        let auth = json!({ "token": token.expose() });
        let mut socket = socketio::Client::connect(&self.guild)
            .namespace("/realtime")
            .auth(move || ready(Ok::<_, Infallible>(auth.clone())))
            .open()
            .unwrap();
        let channel = (json!({ "channelId": channel }),);
        let ack = socket.call("join_channel", &channel).await.unwrap();
        let ack: (Value,) = ack.args().unwrap();
        assert_eq!(ack.0["ok"], true, "{}", ack.0);
        let woken = async {
            loop {
                let signal = socket.next().await.unwrap();
                if let socketio::Signal::Event(event) = signal
                    && event.name() == "message.created"
                {
                    return event.args::<(Message,)>().unwrap().0;
                }
            }
        };
        let woken = tokio::time::timeout(PATIENCE, woken).await.unwrap();
        assert_eq!(turn["wake"]["messageId"], woken.id.as_str());
        assert_eq!((woken.wakeup, woken.rewake), (Some(true), Some(true)));
        socket.close().await;
    }

    /// Reads on in a channel: what was acknowledged is there, and nothing twice.
    async fn check(&self, channel: &ChannelId, told: &mut Told) {
        loop {
            let after = told.stored.len();
            let target = format!("/api/channels/{channel}/messages?afterSeq={after}&limit=200");
            let page = self.read(target).await.unwrap();
            let page: Page = serde_json::from_value(page).unwrap();
            for message in page.messages {
                assert_eq!(message.seq, told.stored.len() as u64 + 1, "a hole");
                let twice = told.stored.insert(message.content.clone(), message);
                assert!(twice.is_none(), "{twice:?}");
            }
            if !page.has_more {
                break;
            }
        }
        for (content, message) in &told.acknowledged {
            let found = told.stored.get(content);
            let found = found.map(|found| (&found.id, found.seq));
            assert_eq!(found, Some((&message.id, message.seq)), "{content}");
        }
    }
}

impl Told {
    fn acknowledge(&mut self, messages: Vec<Message>) {
        for message in messages {
            self.acknowledged.insert(message.content.clone(), message);
        }
    }
}

fn post(by: usize, channel: &ChannelId, content: &str, nonce: &str) -> Action {
    Action {
        by,
        target: format!("/api/channels/{channel}/messages"),
        body: json!({ "content": content, "nonce": nonce }),
    }
}

fn random(below: usize) -> usize {
    let mut drawn = [0];
    getrandom::fill(&mut drawn).unwrap();
    usize::from(drawn[0]) % below
}

#[tokio::test]
async fn what_was_acknowledged_outlives_a_hundred_kills() {
    let folder = tempfile::tempdir().unwrap();
    let client = client();
    let mut node = Node::start(folder.path());
    let mut people = Vec::new();
    for name in ["al", "bo", "cy"] {
        let (id, api_key) = user(&client, &node, folder.path(), name).await;
        let token = login(&client, &node, &api_key).await;
        people.push(Person { id, api_key, token });
    }
    let members: Vec<_> = people.iter().map(|person| &person.id).collect();
    let mut channels = Vec::new();
    for x_type in ["general", "discuss"] {
        let body = json!({ "name": "hall", "xType": x_type, "memberUserIds": members });
        let token = &people[0].token;
        let channel = call(&client, &node.guild, "/api/channels", token, body).await;
        let channel: Channel = serde_json::from_slice(&channel.unwrap().body).unwrap();
        channels.push((channel.id, Told::default()));
    }
    let [(hall, in_hall), (round, in_round)] = channels.as_mut_slice() else {
        panic!("two channels");
    };
    let mut unknown: Vec<_> = (0..POSTERS)
        .map(|poster| format!("first-{poster}"))
        .map(|content| post(0, hall, &content, &content))
        .collect();
    // How often the last action was lost, had been done unheard, and somebody was woken again.
    let (mut lost, mut unheard, mut woken) = (0, 0, 0);
    for kill in 0..KILLS {
        let crowd = Arc::new(Crowd {
            client: client.clone(),
            guild: node.guild.clone(),
            people,
        });
        let mut posters = JoinSet::new();
        for (number, first) in unknown.drain(..).enumerate() {
            // What was not answered is posted once more: it must not be there twice.
            let poster = format!("{kill}-{number}");
            posters.spawn(Arc::clone(&crowd).post_on(hall.clone(), first, poster));
        }
        let talker = tokio::spawn(Arc::clone(&crowd).talk_on(round.clone(), format!("{kill}")));
        tokio::time::sleep(Duration::from_millis(50 + random(200) as u64)).await;
        node.signal(Signal::KILL);
        while let Some(poster) = posters.join_next().await {
            let left = poster.unwrap();
            unknown.push(left.last);
            in_hall.acknowledge(left.acknowledged);
        }
        let left = talker.await.unwrap();
        in_round.acknowledge(left.acknowledged);

        node = Node::start(folder.path());
        let mut crowd = Arc::into_inner(crowd).unwrap();
        crowd.guild.clone_from(&node.guild);
        for person in &mut crowd.people {
            person.token = login(&client, &node, &person.api_key).await;
        }
        let found = crowd.turn(round).await.unwrap();
        let answer = crowd.act(&left.last).await.unwrap();
        assert_eq!(answer.status, 201, "{:?} {:?}", left.last.body, answer.body);
        let after = crowd.turn(round).await.unwrap();
        // Who has acked is forgotten with the process: it can only be said again.
        assert_ne!(found["wake"]["acked"], true);
        if left.last.target.ends_with("/ack") {
            assert_eq!(unacked(&after), found, "{:?}", left.last.body);
        } else if found == unacked(&left.turn) {
            assert!(!left.answered, "{:?} was answered", left.last.body);
            assert_ne!(after, found, "{:?} was not done", left.last.body);
            lost += 1;
        } else {
            assert_eq!(after, found, "{:?} was done twice", left.last.body);
            unheard += usize::from(!left.answered);
        }
        let again = serde_json::from_slice::<Message>(&answer.body);
        in_round.acknowledge(again.into_iter().collect());
        crowd.check(hall, in_hall).await;
        crowd.check(round, in_round).await;
        if after["wake"]["acked"] == false {
            crowd.enters(round, &after).await;
            woken += 1;
        }
        people = crowd.people;
    }
    node.signal(Signal::TERM);
    assert_eq!(node.ended().1, Some(0));
    let traces = fs::read_dir(folder.path().join("traces")).unwrap();
    let mut recordings = 0;
    for trace in traces {
        let trace = trace.unwrap();
        let mode = trace.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let recording = fs::read_to_string(trace.path()).unwrap();
        assert!(!recording.contains(people[0].api_key.expose()));
        assert!(!recording.contains("eyJhbGciOi"));
        recordings += 1;
    }
    assert_eq!(recordings, KILLS + 1, "one for each life");
    let (posts, talk) = (in_hall.acknowledged.len(), in_round.acknowledged.len());
    println!("{posts} posts, {talk} in turns, {lost} lost, {unheard} unheard, {woken} woken again");
    assert!(posts > KILLS && talk > KILLS / 4, "there was no load");
    assert!(lost > 0 && woken > 0, "{lost} {woken}");
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
        let addr = node.addr();
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

#[test]
fn a_missing_variable_aborts_the_start_and_one_of_older_deployments_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (missing, _) in REQUIRED {
        let rest = REQUIRED.into_iter().filter(|(name, _)| *name != missing);
        let output = guild(&rest.collect::<Vec<_>>())
            .env("DB_HOST", "mysql")
            .arg("--data-dir")
            .arg(folder.path())
            .output()
            .unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(
            told.contains(&format!("{PREFIX}{missing} is not set")),
            "{told}"
        );
        let older = format!("DB_HOST is not used any more; set {PREFIX}DB_URL");
        assert!(told.contains(&older), "{told}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

fn ask(addr: &str, target: &str, origin: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    let head = format!(
        "GET {target} HTTP/1.1\r\nhost: h\r\norigin: {origin}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The most memory that a process has had at once, in MiB (`VmHWM` of proc_pid_status(5)).
fn peak_mib(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|it| it.strip_prefix("VmHWM:"));
    let kib: u64 = peak.unwrap().trim_end_matches("kB").trim().parse().unwrap();
    kib / 1_024
}

/// Uploads so many MiB over a connection of its own.
fn upload(addr: &str, token: &Secret, mib: usize) -> String {
    let head = "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n";
    let tail = "\r\n--b--\r\n";
    let mut stream = TcpStream::connect(addr).unwrap();
    let length = head.len() + (mib << 20) + tail.len();
    let token = token.expose();
    let asked = format!(
        "POST /api/files HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
         content-type: multipart/form-data; boundary=b\r\ncontent-length: {length}\r\n\r\n{head}"
    );
    stream.write_all(asked.as_bytes()).unwrap();
    for _ in 0..mib {
        stream.write_all(&[b'x'; 1 << 20]).unwrap();
    }
    stream.write_all(tail.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test]
async fn a_file_is_never_whole_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let (_, api_key) = user(&client(), &node, folder.path(), "Al").await;
    let token = login(&client(), &node, &api_key).await;
    let before = peak_mib(&node.child);
    let uploads = [(); 4].map(|()| {
        let (addr, token) = (node.addr().to_owned(), token.clone());
        tokio::task::spawn_blocking(move || upload(&addr, &token, 64))
    });
    for uploaded in uploads {
        let answer = uploaded.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    }
    let grown = peak_mib(&node.child) - before;
    // A MiB is held of each, and each has buffers.
    assert!(grown < 32, "four files of 64 MiB took {grown} MiB");
}

/// The first line of the only recording in a folder.
fn head(folder: &Path) -> Value {
    let recording = fs::read_dir(folder).unwrap().next().unwrap().unwrap();
    let recording = fs::read_to_string(recording.path()).unwrap();
    serde_json::from_str(recording.lines().next().unwrap()).unwrap()
}

#[test]
fn the_environment_is_heeded_and_a_token_in_a_url_is_not_logged() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let [files, database] = ["uploads", "rows.sqlite"].map(|name| at(name).display().to_string());
    let command = &mut guild(&[
        ("PORT", "0"),
        ("NODE_ID", "here"),
        ("FILE_DIR", &files),
        ("FILE_MAX_BYTES", "7"),
        ("FILE_TTL_DAYS", "3"),
        ("DB_URL", &format!("sqlite:{database}")),
        ("CORS_ORIGINS", "https://a.example"),
    ]);
    command
        .args(["--with-center", "--center-port", "0", "--data-dir"])
        .arg(at("data"))
        .arg("--record")
        .arg(at("traces"))
        .env("SELVEDGE_LOG", "trace")
        .stderr(File::create(at("log")).unwrap());
    let mut node = Node::of(command);
    let readable = |origin| {
        let health = ask(node.addr(), "/api/health", origin);
        assert!(health.contains(r#""maxFileBytes":7"#), "{health}");
        health.contains(&format!("access-control-allow-origin: {origin}\r\n"))
    };
    let origins = ["https://a.example", "null", "https://b.example"];
    assert_eq!(origins.map(readable), [true, true, false]);
    let file = ask(node.addr(), "/api/files/f?access_token=a-needle", "null");
    assert!(file.starts_with("HTTP/1.1 401 "), "{file}");
    node.signal(Signal::TERM);
    assert_eq!(node.ended().1, Some(0));

    assert!(Path::new(&files).is_dir() && Path::new(&database).is_file());
    let config = &head(&at("traces"))["state"]["config"];
    assert_eq!(config["node_id"], json!("here"));
    let days = 3 * 24 * 60 * 60;
    assert_eq!(config["limits"]["file_life"], json!([days, 0]));
    let log = fs::read_to_string(at("log")).unwrap();
    assert!(log.contains("a token is not good"), "{log}");
    assert!(!log.contains("needle"), "{log}");
}
