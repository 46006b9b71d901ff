//! Speaking to many clients faster than they read.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{net::SocketAddr, time::Duration};

use futures::{SinkExt as _, StreamExt as _, future::join_all};
use selvedge::{
    clock::Clock,
    socketio::{
        Client, Signal,
        server::{Builder, End, Namespace, Sender, Server, Socket},
    },
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

const PATIENCE: Duration = Duration::from_secs(120);
const CLIENTS: usize = 10;
const BURST: u64 = 3_000;

/// A server whose sockets are in the room `all`.
struct Host {
    server: Server,
    address: SocketAddr,
    sockets: mpsc::UnboundedReceiver<Sender>,
    last: Option<Sender>,
}

impl Host {
    async fn start(builder: Builder) -> Self {
        let (sockets_in, sockets) = mpsc::unbounded_channel();
        let namespace = Namespace::new().connected(move |socket: Socket| {
            let sockets_in = sockets_in.clone();
            async move {
                socket.join("all").await.unwrap();
                sockets_in.send(socket.sender().clone()).unwrap();
            }
        });
        let server = builder.namespace("/", namespace).start().unwrap();
        let app = axum::Router::new().route_service("/socket.io/", server.service());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            server,
            address,
            sockets,
            last: None,
        }
    }

    async fn socket(&mut self) -> Sender {
        let socket = timeout(PATIENCE, self.sockets.recv()).await.unwrap();
        self.last.clone_from(&socket);
        socket.unwrap()
    }

    /// A client that reads, with what it has read up to an event `end`.
    async fn reader(&mut self) -> JoinHandle<Vec<u64>> {
        let url = format!("http://{}", self.address);
        let mut client = Client::connect(&url).open().unwrap();
        self.socket().await;
        tokio::spawn(async move {
            let mut numbers = Vec::new();
            loop {
                let signal = client.next().await.unwrap();
                let Signal::Event(event) = signal else {
                    assert!(matches!(signal, Signal::Connected { .. }), "{signal:?}");
                    continue;
                };
                if event.name() == "end" {
                    return numbers;
                }
                numbers.push(event.args::<(u64,)>().unwrap().0);
            }
        })
    }

    /// A client that reads about 1 MB in a second.
    async fn slow_reader(&mut self) -> JoinHandle<Vec<u64>> {
        let (mut client, _) = self.sleeper().await;
        tokio::spawn(async move {
            let (mut numbers, mut bytes) = (Vec::new(), 0);
            while let Some(Ok(frame)) = client.next().await {
                bytes += frame.len();
                if bytes > 100_000 {
                    bytes = 0;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                let frame = frame.into_text().unwrap();
                if frame.starts_with(r#"42["end""#) {
                    break;
                }
                if let Some(event) = frame.strip_prefix(r#"42["n","#) {
                    let number = event.split(',').next().unwrap();
                    numbers.push(number.parse().unwrap());
                }
            }
            numbers
        })
    }

    /// A client that is in, and does not read any more.
    async fn sleeper(&mut self) -> (WebSocketStream<MaybeTlsStream<TcpStream>>, Sender) {
        let tcp = TcpSocket::new_v4().unwrap();
        tcp.set_recv_buffer_size(4 << 10).unwrap();
        let tcp = tcp.connect(self.address).await.unwrap();
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", self.address);
        let tcp = MaybeTlsStream::Plain(tcp);
        let (mut client, _) = tokio_tungstenite::client_async(url, tcp).await.unwrap();
        client.send(Message::text("40")).await.unwrap();
        (client, self.socket().await)
    }

    /// Says so many events to all in a tight loop, and how long the longest one was held up.
    async fn burst(&self, content: &str) -> Duration {
        let (clock, mut longest) = (Clock::start(), Duration::ZERO);
        for number in 0..BURST {
            let before = clock.now();
            let all = self.server.namespace("/").to("all");
            all.emit("n", &(number, content)).await.unwrap();
            longest = longest.max(clock.now().since(before));
        }
        self.server.namespace("/").emit("end", &()).await.unwrap();
        longest
    }
}

async fn readers(host: &mut Host) -> Vec<JoinHandle<Vec<u64>>> {
    let mut readers = Vec::new();
    for _ in 0..CLIENTS {
        readers.push(host.reader().await);
    }
    readers
}

async fn have_read_all(readers: Vec<JoinHandle<Vec<u64>>>) {
    let read = timeout(PATIENCE, join_all(readers)).await.unwrap();
    let wanted: Vec<_> = (0..BURST).collect();
    for numbers in read {
        assert!(numbers.unwrap() == wanted);
    }
}

/// Many times what may wait for one client, so those who read need to be waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_reaches_all_who_read_and_ends_who_does_not() {
    let builder = Server::builder().outgoing_max(512, 1 << 20);
    let mut host = Host::start(builder).await;
    let (_asleep, sleeper) = host.sleeper().await;
    let readers = vec![host.reader().await, host.slow_reader().await];
    let longest = host.burst(&"x".repeat(4 << 10)).await;
    // Nobody waits for the one that sleeps for longer than it takes to see that it does.
    assert!(longest < Duration::from_secs(9), "held up for {longest:?}");
    have_read_all(readers).await;
    let end = timeout(PATIENCE, sleeper.ended()).await.unwrap();
    assert!(matches!(end, End::Lost(_)), "{end}");
}

#[tokio::test]
async fn a_burst_of_small_events_reaches_all_in_one_thread() {
    let mut host = Host::start(Server::builder().outgoing_max(64, 1 << 20)).await;
    let readers = readers(&mut host).await;
    host.burst("").await;
    have_read_all(readers).await;
}

/// Nobody is waited for, and those who are behind are passed over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_be_lost_is_lost_to_who_does_not_read_alone() {
    let mut host = Host::start(Server::builder().outgoing_max(512, 1 << 20)).await;
    let (_asleep, sleeper) = host.sleeper().await;
    let url = format!("http://{}", host.address);
    let mut client = Client::connect(&url).open().unwrap();
    host.socket().await;
    let content = "x".repeat(16 << 10);
    // Far more than may wait for one client.
    for number in 0..1_000_u64 {
        let all = host.server.namespace("/");
        all.emit_volatile("n", &(number, &content)).await.unwrap();
        loop {
            let signal = timeout(PATIENCE, client.next()).await.unwrap();
            if let Signal::Event(event) = signal.unwrap() {
                let (heard, _) = event.args::<(u64, &str)>().unwrap();
                assert_eq!(heard, number);
                break;
            }
        }
    }
    assert_eq!(sleeper.end(), None);
}

/// What may be lost is lost rather than anybody's connection.
#[tokio::test]
async fn a_burst_of_what_may_be_lost_ends_nobody() {
    let mut host = Host::start(Server::builder().outgoing_max(512, 1 << 20)).await;
    let readers = readers(&mut host).await;
    for number in 0..BURST {
        let all = host.server.namespace("/").to("all");
        all.emit_volatile("n", &(number,)).await.unwrap();
    }
    have_read_some(host, readers).await;

    let mut host = Host::start(Server::builder().outgoing_max(512, 1 << 20)).await;
    let reader = host.reader().await;
    let socket = host.last.clone().unwrap();
    for number in 0..BURST {
        socket.emit_volatile("n", &(number,)).await.unwrap();
    }
    have_read_some(host, vec![reader]).await;
}

async fn have_read_some(host: Host, readers: Vec<JoinHandle<Vec<u64>>>) {
    host.server.namespace("/").emit("end", &()).await.unwrap();
    for numbers in timeout(PATIENCE, join_all(readers)).await.unwrap() {
        let numbers = numbers.unwrap();
        assert!(!numbers.is_empty() && numbers.is_sorted(), "{numbers:?}");
    }
}
