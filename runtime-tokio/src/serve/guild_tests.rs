//! Tests of the guild node's front, with a machine that only notes what it is given.

use std::ops::ControlFlow;

use futures::{SinkExt as _, StreamExt as _};
use selvedge_core::{
    Time, Wakeup,
    engineio::sessions::{Arrival, Effect},
    fabric::error::ErrorBody,
    http::{CallId, Method, Request, Response},
    id::{GuildId, NodeId},
    snapshot::{LoadError, Saver, Value},
    ws::{Action, Closed, ConnId, Event, Frame},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc::UnboundedReceiver,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message, client::IntoClientRequest as _},
};

use super::*;
use crate::tls;

/// Notes every input, answers `/api/echo` with its request's target and polls with a noop, echoes
/// frames, and breaks off on `/api/fatal`.
#[derive(Clone)]
struct Toy {
    noted: mpsc::UnboundedSender<Input>,
    open: Vec<ConnId>,
}

/// It is never recorded.
impl Snapshot for Toy {
    fn save(&self, _: &mut Saver) -> Value {
        Value::Null
    }

    fn load(_: Value) -> Result<Self, LoadError> {
        Err(LoadError::default())
    }
}

impl Machine for Toy {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, _now: Time, input: Input, out: &mut Vec<Output>) {
        match &input {
            Input::Http { call, request } if request.target.starts_with("/api/echo") => {
                out.push(Output::Respond {
                    call: *call,
                    response: Response {
                        status: 201,
                        retry_after: Some(Duration::from_secs(7)),
                        body: request.body.clone(),
                    },
                });
            }
            Input::Http { request, .. } if request.target == "/api/fatal" => {
                out.push(Output::Fatal("the toy broke".into()));
            }
            Input::Http { request, .. } if request.target == "/api/panic" => {
                panic!("the toy fell over");
            }
            Input::Arrival(Arrival::Transport(conn, Event::Frame(frame))) => {
                let send = Action::Send(frame.clone());
                out.push(Output::Effect(Effect::Transport(*conn, send)));
            }
            Input::Arrival(Arrival::Socket { conn, .. }) => self.open.push(*conn),
            Input::Arrival(Arrival::Poll { call, .. }) => {
                out.push(Output::Effect(Effect::Answer {
                    call: *call,
                    status: 200,
                    body: b"6"[..].into(),
                }));
            }
            Input::Shutdown => {
                let open = self.open.drain(..);
                out.extend(open.map(|conn| Output::Effect(Effect::Transport(conn, Action::Close))));
            }
            Input::Clock(_)
            | Input::Arrival(_)
            | Input::Http { .. }
            | Input::HttpGone(_)
            | Input::Introspected(..)
            | Input::Resolved(..)
            | Input::Stored(..)
            | Input::Loaded(..)
            | Input::Received(..) => {}
        }
        let _ = self.noted.send(input);
    }

    fn tick(&mut self, _now: Time, _out: &mut Vec<Output>) {}

    fn next_wakeup(&self) -> Option<Wakeup> {
        None
    }
}

struct Fixture {
    _folder: TempDir,
    guild: RunningGuild,
    noted: UnboundedReceiver<Input>,
    client: Client,
}

impl Fixture {
    async fn start(cors_origins: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let client = Client::new(&tls::client_config(None).unwrap(), None).unwrap();
        let options = GuildOptions {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            database: folder.path().join("guild.sqlite"),
            files: folder.path().join("files"),
            config: Config::new(NodeId::new("n").unwrap(), GuildId::new("g").unwrap()),
            // Nobody listens there.
            center_url: "http://127.0.0.1:1".into(),
            api_key: Secret::new("k"),
            public_url: None,
            center_public_url: None,
            cors_origins: cors_origins.into(),
            client: client.clone(),
            record: None,
        };
        let store = GuildStore::open(&options.database).await.unwrap();
        let disk = Disk::open(&options.files, &BTreeSet::new()).unwrap();
        let (sender, noted) = mpsc::unbounded_channel();
        let listener = listen(options.listen).await.unwrap();
        let toy = Toy {
            noted: sender,
            open: Vec::new(),
        };
        let guild = start(toy, (store, disk), listener, None, options)
            .await
            .unwrap();
        let mut fixture = Self {
            _folder: folder,
            guild,
            noted,
            client,
        };
        assert!(matches!(fixture.next().await, Input::Clock(_)));
        fixture
    }

    async fn next(&mut self) -> Input {
        self.noted.recv().await.unwrap()
    }

    async fn call(&self, method: Method, target: &str, body: Vec<u8>) -> Response {
        let request = Request {
            method,
            target: target.into(),
            bearer: Some(Secret::new("t")),
            body: body.into(),
        };
        let origin = self.guild.base_url().to_owned();
        self.client.send(&origin, request).await.unwrap()
    }

    /// Sends bytes and reads until the end.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.guild.addr()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // A reset after the answer is as good as an end.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn socket(&self, target: &str, origin: &str) -> Result<WebSocketStream<TcpStream>, u16> {
        let stream = TcpStream::connect(self.guild.addr()).await.unwrap();
        let url = format!("ws://{}{target}", self.guild.addr());
        let mut request = url.into_client_request().unwrap();
        if !origin.is_empty() {
            request
                .headers_mut()
                .insert("origin", origin.parse().unwrap());
        }
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }
}

const SOCKET: &str = "/socket.io/?EIO=4&transport=websocket";

fn words(response: &Response) -> String {
    let body: ErrorBody = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(body.status_code, response.status);
    body.message.to_string()
}

fn arrived(conn: ConnId, event: Event) -> Input {
    Input::Arrival(Arrival::Transport(conn, event))
}

#[tokio::test]
async fn a_request_reaches_the_machine_whole_and_so_does_its_answer() {
    let mut it = Fixture::start("").await;
    let target = "/api/echo/%2F?a=b%20c&d";
    let answer = it.call(Method::Patch, target, b"{}".to_vec()).await;
    assert_eq!((answer.status, answer.body.as_ref()), (201, &b"{}"[..]));
    assert_eq!(answer.retry_after, Some(Duration::from_secs(7)));
    let Input::Http { call, request } = it.next().await else {
        panic!("no request");
    };
    assert_eq!(call, CallId(1));
    let expected = Request {
        method: Method::Patch,
        target: target.into(),
        bearer: Some(Secret::new("t")),
        body: b"{}"[..].into(),
    };
    assert_eq!(request, expected);

    let limit = it
        .call(Method::Post, "/api/echo", vec![b' '; 128 << 10])
        .await;
    assert_eq!(limit.status, 201);
    for length in [(128 << 10) + 1, 4 << 20] {
        let answer = it.call(Method::Post, "/api/echo", vec![b' '; length]).await;
        assert_eq!(answer.status, 413);
        assert!(words(&answer).contains("131072"), "{}", words(&answer));
    }
    assert_eq!(it.call(Method::Post, "/", vec![]).await.status, 404);
    assert_eq!(it.call(Method::Get, "/apis", vec![]).await.status, 404);
    it.guild.shutdown().await.unwrap();
}

#[tokio::test]
async fn garbage_is_answered_and_harms_nobody() {
    let it = Fixture::start("https://a.example").await;
    for (request, status) in [
        (&b"TRACE /api/x HTTP/1.1\r\nhost: h\r\n\r\n"[..], "405"),
        (b"BREW /api/x HTTP/1.1\r\nhost: h\r\n\r\n", "405"),
        (b"OPTIONS /api/x HTTP/1.1\r\nhost: h\r\n\r\n", "405"),
        (b"OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n", "404"),
        (b"CONNECT h:1 HTTP/1.1\r\nhost: h\r\n\r\n", "404"),
        (b"GET /%00%ff HTTP/1.1\r\nhost: h\r\n\r\n", "404"),
        (b"GET /socket.io HTTP/1.1\r\nhost: h\r\n\r\n", "400"),
        (
            b"GET /api/x HTTP/1.1\r\nhost: h\r\nauthorization: \xff\r\ncontent-length: 9\r\n\r\nx",
            "400",
        ),
        (
            b"POST /api/x HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            "400",
        ),
        (
            b"POST /api/x HTTP/1.1\r\nhost: h\r\ncontent-length: 99999999999\r\n\r\n",
            "413",
        ),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400"),
        (b"GET\r\n\r\n", "400"),
        (b"", ""),
    ] {
        let answer = it.raw(request).await;
        let found = answer.split(' ').nth(1).unwrap_or_default();
        let shown = String::from_utf8_lossy(request);
        assert_eq!(found, status, "{shown:?} {answer}");
    }
    let asked = "OPTIONS /api/x HTTP/1.1\r\nhost: h\r\norigin: https://a.example\r\n\
                 access-control-request-method: POST\r\n\r\n";
    let answer = it.raw(asked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert!(
        answer.contains("access-control-allow-origin: https://a.example"),
        "{answer}"
    );
    assert_eq!(it.call(Method::Get, "/api/echo", vec![]).await.status, 201);
    it.guild.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_client_that_goes_away_is_told_to_the_machine() {
    let mut it = Fixture::start("").await;
    let mut stream = TcpStream::connect(it.guild.addr()).await.unwrap();
    let request = b"GET /api/never HTTP/1.1\r\nhost: h\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let Input::Http { call, .. } = it.next().await else {
        panic!("no request");
    };
    drop(stream);
    assert_eq!(it.next().await, Input::HttpGone(call));
    // One that is answered is not told again.
    it.call(Method::Get, "/api/echo", vec![]).await;
    assert!(matches!(it.next().await, Input::Http { .. }));
    it.guild.shutdown().await.unwrap();
    assert_eq!(it.noted.recv().await, Some(Input::Shutdown));
    assert_eq!(it.noted.recv().await, None);
}

#[tokio::test]
async fn a_websocket_is_accepted_with_secrets_of_its_own_and_carries_frames() {
    let mut it = Fixture::start("https://a.example").await;
    let mut socket = it.socket(SOCKET, "https://a.example").await.unwrap();
    let Input::Arrival(Arrival::Socket {
        conn, sid, fresh, ..
    }) = it.next().await
    else {
        panic!("not accepted");
    };
    assert_eq!(sid, None);
    assert!(fresh.expose().len() >= 20);
    socket.send(Message::text("40/realtime,")).await.unwrap();
    let frame = Frame::Text("40/realtime,".into());
    assert_eq!(it.next().await, arrived(conn, Event::Frame(frame)));
    assert_eq!(
        socket.next().await.unwrap().unwrap(),
        Message::text("40/realtime,")
    );
    socket.close(None).await.unwrap();
    let closed = Closed::Peer {
        code: 1005,
        reason: "".into(),
    };
    assert_eq!(it.next().await, arrived(conn, Event::Closed(closed)));

    let open = it.socket(SOCKET, "").await.unwrap();
    let Input::Arrival(Arrival::Socket { fresh: other, .. }) = it.next().await else {
        panic!("not accepted");
    };
    assert_ne!(fresh.expose(), other.expose());
    it.guild.shutdown().await.unwrap();
    drop(open);
}

/// The machine bounds what a socket may send; the edge must not hold more than that first.
#[tokio::test]
async fn a_frame_beyond_the_limit_of_the_machine_ends_at_the_edge() {
    let mut it = Fixture::start("").await;
    let max = usize::try_from(selvedge_core::guild::Limits::default().frame_bytes_max).unwrap();
    let mut socket = it.socket(SOCKET, "").await.unwrap();
    let Input::Arrival(Arrival::Socket { conn, .. }) = it.next().await else {
        panic!("not accepted");
    };
    socket.send(Message::text("x".repeat(max))).await.unwrap();
    assert!(matches!(
        it.next().await,
        Input::Arrival(Arrival::Transport(_, Event::Frame(frame))) if frame.len() == max
    ));
    socket
        .send(Message::text("x".repeat(max + 1)))
        .await
        .unwrap();
    let closed = Event::Closed(Closed::TooLarge);
    assert_eq!(it.next().await, arrived(conn, closed));
    it.guild.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_handshake_that_is_not_engine_io_4_is_refused() {
    let it = Fixture::start("https://a.example").await;
    for (target, origin, status) in [
        ("/socket.io/?EIO=4&transport=abc", "", 400),
        ("/socket.io/?EIO=3&transport=websocket", "", 400),
        ("/socket.io/", "", 400),
        (SOCKET, "https://b.example", 403),
    ] {
        assert_eq!(
            it.socket(target, origin).await.unwrap_err(),
            status,
            "{target}"
        );
    }
    let answer = it
        .call(Method::Get, "/socket.io/?EIO=4&transport=abc", vec![])
        .await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.body,
        &br#"{"code":0,"message":"Transport unknown"}"#[..]
    );
    let answer = it.call(Method::Get, SOCKET, vec![]).await;
    assert_eq!(answer.body, &br#"{"code":3,"message":"Bad request"}"#[..]);
    it.guild.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_poll_and_the_move_to_a_websocket_reach_the_machine() {
    let mut it = Fixture::start("").await;
    let poll = "/socket.io/?EIO=4&transport=polling&sid=x";
    let answer = it.call(Method::Get, poll, vec![]).await;
    assert_eq!((answer.status, answer.body.as_ref()), (200, &b"6"[..]));
    let sid = Some(Secret::new("x"));
    let Input::Arrival(Arrival::Poll { sid: polling, .. }) = it.next().await else {
        panic!("no poll");
    };
    assert_eq!(polling, sid);
    let _socket = it.socket(&format!("{SOCKET}&sid=x"), "").await.unwrap();
    let Input::Arrival(Arrival::Socket { sid: moving, .. }) = it.next().await else {
        panic!("no WebSocket");
    };
    assert_eq!(moving, sid);
    it.guild.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_machine_that_cannot_go_on_ends_the_node() {
    let mut it = Fixture::start("").await;
    let socket = it.socket(SOCKET, "").await.unwrap();
    let answer = it.call(Method::Get, "/api/fatal", vec![]).await;
    assert_eq!(answer.status, 503);
    let error = it.guild.ended().await.unwrap_err();
    assert!(error.to_string().contains("the toy broke"), "{error}");
    assert_eq!(it.call(Method::Get, "/api/echo", vec![]).await.status, 503);
    it.guild.shutdown().await.unwrap();
    drop(socket);
}

#[tokio::test]
async fn a_machine_that_panics_leaves_nobody_waiting() {
    let mut it = Fixture::start("").await;
    let mut socket = it.socket(SOCKET, "").await.unwrap();
    assert!(matches!(
        it.next().await,
        Input::Arrival(Arrival::Socket { .. })
    ));
    let never = it.call(Method::Get, "/api/never", vec![]);
    let panics = it.call(Method::Get, "/api/panic", vec![]);
    let (never, panics) = tokio::join!(never, panics);
    assert_eq!((never.status, panics.status), (503, 503));
    assert!(!matches!(socket.next().await, Some(Ok(_))));
    let error = it.guild.ended().await.unwrap_err();
    assert!(matches!(error, ServeError::Bug(_)), "{error}");
    it.guild.shutdown().await.unwrap();
}

#[test]
fn a_fatal_output_breaks_the_drive() {
    let (inbox, _inputs) = mpsc::channel(1);
    let client = Client::new(&tls::client_config(None).unwrap(), None).unwrap();
    let center = Arc::new(CenterClient::new(client, "http://h", Secret::new("k")));
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::open(folder.path(), &BTreeSet::new()).unwrap();
    let mut world = GuildWorld::new(center, mpsc::unbounded_channel().0, inbox.downgrade(), disk);
    let fatal = Output::Fatal("why".into());
    let flow = driver::World::<Toy>::carry_out(&mut world, Time::ZERO, fatal);
    assert_eq!(flow, ControlFlow::Break(()));
    assert_eq!(world.fatal.as_deref(), Some("why"));
}

#[tokio::test]
async fn an_upload_whose_client_goes_before_the_verdict_is_forgotten() {
    let (inbox, mut inputs) = mpsc::channel(2);
    let client = Client::new(&tls::client_config(None).unwrap(), None).unwrap();
    let center = Arc::new(CenterClient::new(client, "http://h", Secret::new("k")));
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::open(folder.path(), &BTreeSet::new()).unwrap();
    let jobs = mpsc::unbounded_channel().0;
    let world = GuildWorld::new(center, jobs, inbox.downgrade(), disk.clone());
    let limits = selvedge_core::guild::Limits::default();
    let page = Page::new("http://h");
    let front = Front::new(inbox, &world, disk, Cors::new("", None), page, &limits);
    let mut request = axum::extract::Request::new(axum::body::Body::empty());
    *request.method_mut() = axum::http::Method::POST;
    *request.uri_mut() = "/api/files".parse().unwrap();
    let waits = || world.uploads.lock().as_ref().map(|table| table.len());
    tokio::select! {
        _ = front.serve(request) => panic!("nobody answers"),
        asked = inputs.recv() => assert!(matches!(asked, Some(Input::Http { .. })), "{asked:?}"),
    }
    assert!(matches!(inputs.recv().await, Some(Input::HttpGone(_))));
    assert_eq!(waits(), Some(0));
}

#[tokio::test]
async fn the_page_stands_at_the_root_and_hides_nothing() {
    let mut fixture = Fixture::start("").await;
    let asked =
        |target: &str| format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let page = fixture.raw(asked("/?from=a-link").as_bytes()).await;
    assert!(page.starts_with("HTTP/1.1 200 OK"), "{page}");
    assert!(
        page.contains("default-src 'none'") && page.ends_with("</html>\n"),
        "{page}"
    );
    for target in ["/page/", "/page/nothing.js", "/main.js"] {
        let answer = fixture.raw(asked(target).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{target}: {answer}");
    }
    fixture.call(Method::Get, "/api/echo", Vec::new()).await;
    assert!(matches!(fixture.next().await, Input::Http { .. }));
}
