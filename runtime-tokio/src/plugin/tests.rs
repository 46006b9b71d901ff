//! A toy machine in a real world: loopback Center and guild, a host in memory.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use selvedge_core::{
    RequestId, Secret, Time, Wakeup,
    fabric::center::Login,
    http::{Method, Request},
    id::AgentId,
    plugin::{
        io::{LoginFailure, Question},
        note::Note,
        status::{AgentState, AgentStatus},
    },
    snapshot::{LoadError, Saver, Value},
    ws::{self, ConnId, Frame},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::{config::Profile, host};

const PATIENCE: Duration = Duration::from_secs(60);

/// Logs in, dials what the session says, asks once by REST, says hello, and tells the test about
/// each input. It panics at a frame while the bomb is armed.
#[derive(Clone)]
struct Toy {
    told: mpsc::UnboundedSender<Input>,
    started: bool,
    bomb: Arc<AtomicBool>,
}

/// Nobody is told what is read back.
impl Snapshot for Toy {
    fn save(&self, _: &mut Saver) -> Value {
        self.started.into()
    }

    fn load(tree: Value) -> Result<Self, LoadError> {
        Ok(Self {
            told: mpsc::unbounded_channel().0,
            started: Snapshot::load(tree)?,
            bomb: Arc::default(),
        })
    }
}

impl Machine for Toy {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, _: Time, input: Input, out: &mut Vec<Output>) {
        let _ = self.told.send(input.clone());
        match input {
            Input::LoggedIn(_, Ok(session)) => {
                let origin = session.grants[0].base_url.clone().unwrap();
                out.push(Output::Note(Note::LoggedIn {
                    guilds: session.grants.len(),
                }));
                for number in 0..2 {
                    let (id, origin) = (RequestId::from_number(number), origin.clone());
                    let request = Request {
                        method: Method::Get,
                        target: "/slow".into(),
                        bearer: None,
                        body: Bytes::new(),
                    };
                    out.push(Output::Http {
                        id,
                        origin,
                        request,
                        file: None,
                    });
                }
                out.push(Output::Forget(Question::Http(RequestId::from_number(0))));
                for conn in [ConnId(0), ConnId(1)] {
                    let origin = origin.clone();
                    out.push(Output::Dial { conn, origin });
                }
                out.push(Output::HangUp(ConnId(1)));
            }
            Input::Dialed(conn, Ok(())) => {
                let hello = ws::Action::Send(Frame::Text("hello".into()));
                out.push(Output::Transport(conn, hello));
            }
            Input::Transport(_, ws::Event::Frame(_)) => {
                assert!(
                    !self.bomb.swap(false, Ordering::SeqCst),
                    "the bomb was armed"
                );
            }
            Input::Shutdown => out.push(Output::Transport(ConnId(0), ws::Action::Close)),
            Input::LoggedIn(_, Err(_))
            | Input::Admitted(_)
            | Input::Dialed(_, Err(_))
            | Input::Transport(..)
            | Input::Http(..)
            | Input::Stored(..)
            | Input::Claimed(..)
            | Input::Host(_) => {}
        }
    }

    fn tick(&mut self, _: Time, out: &mut Vec<Output>) {
        if !self.started {
            self.started = true;
            out.push(Output::Login(RequestId::from_number(0)));
        }
    }

    fn next_wakeup(&self) -> Option<Wakeup> {
        (!self.started).then_some(Wakeup {
            at: Time::ZERO,
            why: "start",
        })
    }
}

impl Reports for Toy {
    fn status(&self, _: Time) -> AgentStatus {
        let mut status = AgentStatus::of(AgentId::new("toy").unwrap(), AgentState::Running);
        status.calls = 7;
        status
    }
}

/// Center and guild in one: logs anybody in, answers REST, and echoes on WebSockets until they are
/// closed, which it counts.
async fn fabric(closed: Arc<AtomicUsize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let base = origin.clone();
    tokio::spawn(async move {
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let (base, closed) = (base.clone(), Arc::clone(&closed));
            tokio::spawn(async move {
                let mut head = [0; 16];
                tcp.peek(&mut head).await.unwrap();
                if head.starts_with(b"GET /socket.io") {
                    let mut socket = tokio_tungstenite::accept_async(tcp).await.unwrap();
                    while let Some(Ok(message)) = socket.next().await {
                        match message {
                            Message::Text(_) => socket.send(message).await.unwrap(),
                            Message::Close(_) => drop(closed.fetch_add(1, Ordering::SeqCst)),
                            Message::Binary(_)
                            | Message::Ping(_)
                            | Message::Pong(_)
                            | Message::Frame(_) => {}
                        }
                    }
                    return;
                }
                let _ = tcp.read(&mut [0; 4096]).await.unwrap();
                let body = if head.starts_with(b"POST") {
                    format!(
                        r#"{{"user":{{"id":"u"}},"accessToken":"a","guildAccessTokens":[
                        {{"guildNodeId":"g","token":"t","baseUrl":"{base}"}}]}}"#
                    )
                } else {
                    "[]".to_owned()
                };
                let length = body.len();
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
                tcp.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
    origin
}

/// A configuration whose store is in `folder`, and its recordings if there are to be any.
fn config(center_url: String, agents: &[&str], folder: &Path, record: bool) -> Config {
    let agent = |id: &&str| Agent {
        config: core::Config::new(AgentId::new(id).unwrap()),
        login: Login::ApiKey {
            api_key: Secret::new("very-secret-key"),
        },
        login_source: "a test".into(),
        sync_commands: false,
    };
    Config {
        center_url,
        agents: agents.iter().map(agent).collect(),
        logins_max: 1,
        profile: Profile::Plexum,
        ca_file: None,
        proxy: None,
        store: Some(folder.join("store.sqlite")),
        locks: None,
        files: None,
        files_bytes_max: 1,
        record: record.then(|| folder.join("traces").into()),
        status: None,
        warnings: vec![],
    }
}

async fn start(config: &Config, armed: bool) -> (Plugin, HostLink, mpsc::UnboundedReceiver<Input>) {
    let ids = config
        .agents
        .iter()
        .map(|agent| agent.config.agent_id.clone());
    let (link, _) = host::channel(ids, Profile::Plexum, host::log::channel().1);
    let (told_in, told) = mpsc::unbounded_channel();
    let bomb = Arc::new(AtomicBool::new(armed));
    let new = move |_, _, _| Toy {
        told: told_in.clone(),
        started: false,
        bomb: Arc::clone(&bomb),
    };
    let plugin = Plugin::start(config, link.clone(), new).await.unwrap();
    (plugin, link, told)
}

/// The inputs until one is as wanted.
async fn until(
    told: &mut mpsc::UnboundedReceiver<Input>,
    wanted: impl Fn(&Input) -> bool,
) -> Vec<Input> {
    let mut inputs = Vec::new();
    loop {
        let input = timeout(PATIENCE, told.recv()).await.unwrap().unwrap();
        let found = wanted(&input);
        inputs.push(input);
        if found {
            return inputs;
        }
    }
}

fn is_frame(input: &Input) -> bool {
    matches!(input, Input::Transport(ConnId(0), ws::Event::Frame(Frame::Text(text)))
        if *text == "hello")
}

#[tokio::test]
async fn the_world_logs_in_dials_asks_and_ends() {
    let closed = Arc::new(AtomicUsize::new(0));
    let origin = fabric(Arc::clone(&closed)).await;
    let folder = tempfile::tempdir().unwrap();
    let config = config(origin, &["a/b"], folder.path(), true);
    let (plugin, _link, mut told) = start(&config, false).await;
    let mut inputs = until(&mut told, is_frame).await;
    if !inputs.iter().any(|input| matches!(input, Input::Http(..))) {
        inputs.extend(until(&mut told, |input| matches!(input, Input::Http(..))).await);
    }
    let admitted = RequestId::from_number(0);
    assert_eq!(inputs[0], Input::Admitted(admitted));
    assert!(matches!(&inputs[1], Input::LoggedIn(_, Ok(session)) if session.grants.len() == 1));
    assert!(inputs.contains(&Input::Dialed(ConnId(0), Ok(()))));
    for input in &inputs {
        match input {
            Input::Http(id, result) => {
                assert_eq!(id.number(), 1, "the other one was forgotten");
                assert_eq!(result.as_ref().unwrap().status, 200);
            }
            Input::Dialed(conn, _) | Input::Transport(conn, _) => assert_eq!(*conn, ConnId(0)),
            Input::Admitted(_)
            | Input::LoggedIn(..)
            | Input::Stored(..)
            | Input::Claimed(..)
            | Input::Host(_)
            | Input::Shutdown => {}
        }
    }
    plugin.shutdown().await;
    assert_eq!(told.recv().await, Some(Input::Shutdown));
    assert_eq!(told.recv().await, None, "the machine is gone");
    assert_eq!(closed.load(Ordering::SeqCst), 1, "with a close frame");

    let traces: Vec<_> = std::fs::read_dir(folder.path().join("traces"))
        .unwrap()
        .collect();
    let [Ok(trace)] = traces.as_slice() else {
        panic!("{traces:?}");
    };
    assert!(trace.file_name().to_str().unwrap().starts_with("a_b-"));
    let trace = std::fs::read_to_string(trace.path()).unwrap();
    let head: Value = serde_json::from_str(trace.lines().next().unwrap()).unwrap();
    assert_eq!(head["machine"], "agent");
    assert_eq!(head["state"], false, "it has not started");
    assert!(!trace.contains("very-secret"));
}

#[tokio::test]
async fn a_panic_ends_one_agent_and_it_comes_back() {
    let origin = fabric(Arc::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let config = config(origin, &["a", "b"], folder.path(), false);
    let (plugin, _link, mut told) = start(&config, true).await;
    // Two agents, and one of them twice.
    let mut inputs = Vec::new();
    for _ in 0..3 {
        inputs.extend(until(&mut told, is_frame).await);
    }
    let logins = inputs
        .iter()
        .filter(|input| matches!(input, Input::LoggedIn(..)))
        .count();
    assert_eq!(logins, 3, "the other agent stayed as it was");
    plugin.shutdown().await;
}

#[tokio::test]
async fn an_agent_tells_how_it_does_and_one_that_broke_does_not_answer() {
    let origin = fabric(Arc::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let config = config(origin, &["a"], folder.path(), false);
    let (plugin, _link, mut told) = start(&config, true).await;
    let desk = plugin.desk().clone();
    until(&mut told, |input| matches!(input, Input::Dialed(..))).await;
    // The frame that it answers breaks it, and it waits a second before it comes back.
    until(&mut told, is_frame).await;
    let states = async {
        let mut states = Vec::new();
        while states.last() != Some(&(AgentState::Running, 7)) || states.len() < 2 {
            let report = desk.report().await;
            let [agent] = report.agents.as_slice() else {
                panic!("{report:?}");
            };
            let state = (agent.state, agent.calls);
            if states.last() != Some(&state) {
                states.push(state);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        states
    };
    let states = timeout(PATIENCE, states).await.unwrap();
    assert_eq!(
        states[states.len() - 2..],
        [(AgentState::Silent, 0), (AgentState::Running, 7)]
    );
    plugin.shutdown().await;
}

#[tokio::test]
async fn an_unreachable_center_is_said_and_the_gate_is_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(
        "http://127.0.0.1:1".into(),
        &["a", "b"],
        folder.path(),
        false,
    );
    let (plugin, _link, mut told) = start(&config, false).await;
    for _ in 0..2 {
        let failed =
            |input: &Input| matches!(input, Input::LoggedIn(_, Err(LoginFailure::Unavailable(_))));
        until(&mut told, failed).await;
    }
    plugin.shutdown().await;
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_guild_that_does_not_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let config = config(origin, &["a"], folder.path(), false);
    let (plugin, _link, mut told) = start(&config, false).await;
    until(&mut told, |input| matches!(input, Input::Admitted(_))).await;
    timeout(SHUTDOWN_PATIENCE * 2, plugin.shutdown())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_shutdown_right_after_the_start_is_quick() {
    let folder = tempfile::tempdir().unwrap();
    let config = config("http://127.0.0.1:1".into(), &["a"], folder.path(), false);
    let (plugin, _link, _told) = start(&config, false).await;
    timeout(SHUTDOWN_PATIENCE / 2, plugin.shutdown())
        .await
        .unwrap();
}
