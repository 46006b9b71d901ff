//! The public server, as its users and their clients see it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use futures::{FutureExt as _, SinkExt as _, StreamExt as _};
use selvedge::socketio::{
    Client, Signal,
    server::{Admission, Cors, EmitError, Namespace, Origins, Refusal, Server, Socket},
};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::oneshot,
    task::coop::unconstrained,
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;

const PATIENCE: Duration = Duration::from_secs(60);

/// How many events are said in a row: many times what may wait for one client.
const BURST: u64 = 20_000;

async fn serve(server: &Server) -> SocketAddr {
    let app = axum::Router::new().route_service("/socket.io/", server.service());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// The answer to a request with these headers, with its head.
async fn answer(address: SocketAddr, method: &str, headers: &str) -> String {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let target = "/socket.io/?EIO=4&transport=polling";
    let head =
        format!("{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n");
    tcp.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, tcp.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    answer.to_ascii_lowercase()
}

async fn events(address: SocketAddr, count: u64) -> Vec<Signal> {
    let mut socket = Client::connect(&format!("http://{address}"))
        .open()
        .unwrap();
    let mut signals = Vec::new();
    let taking = async {
        let mut events = 0;
        while events < count {
            let signal = socket.next().await.unwrap();
            let is_lost = matches!(signal, Signal::Disconnected { .. });
            events += u64::from(matches!(signal, Signal::Event(_)));
            signals.push(signal);
            if is_lost {
                break;
            }
        }
    };
    timeout(PATIENCE, taking).await.unwrap();
    signals
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_speaks_to_a_client_faster_than_it_reads_is_held_up() {
    let burst = |mut socket: Socket| async move {
        for number in 0..BURST {
            socket.emit("n", &(number,)).await.unwrap();
        }
        while socket.next().await.is_some() {}
    };
    let namespace = Namespace::new().connected(burst);
    let server = Server::builder().namespace("/", namespace).start().unwrap();
    let signals = events(serve(&server).await, BURST).await;
    let numbers = signals.iter().filter_map(|signal| {
        if let Signal::Event(event) = signal {
            Some(event.args::<(u64,)>().unwrap().0)
        } else {
            None
        }
    });
    let numbers: Vec<_> = numbers.collect();
    assert_eq!(numbers.len() as u64, BURST, "{:?}", signals.last());
    assert!(numbers.is_sorted());
}

#[tokio::test]
async fn an_event_that_no_queue_can_hold_is_refused_and_costs_nobody_the_connection() {
    let speak = |mut socket: Socket| async move {
        let large = "x".repeat(5 << 20);
        let refused = socket.emit("large", &(&large,)).await;
        assert!(matches!(refused, Err(EmitError::TooLarge { .. })));
        let half = "x".repeat((2 << 20) - 100);
        for _ in 0..10 {
            socket.emit("half", &(&half,)).await.unwrap();
        }
        while socket.next().await.is_some() {}
    };
    let namespace = Namespace::new().connected(speak);
    let server = Server::builder().namespace("/", namespace).start().unwrap();
    let large = "x".repeat(5 << 20);
    let all = server.namespace("/").emit("large", &(large,)).await;
    assert!(matches!(all, Err(EmitError::TooLarge { .. })));
    let signals = events(serve(&server).await, 10).await;
    assert_eq!(signals.len(), 11, "{:?}", signals.last());
}

#[tokio::test]
async fn nothing_secret_of_a_client_is_shown() {
    let (shown_in, mut shown) = tokio::sync::mpsc::unbounded_channel();
    let of_admission = shown_in.clone();
    let admit = move |request: Admission| {
        let error = request.auth::<Wanted>().unwrap_err();
        let shown = format!("{request:?} {:?} {error:?} {error}", request.handshake());
        of_admission.send(shown).unwrap();
        async { Ok(()) }
    };
    let connected = move |mut socket: Socket| {
        shown_in.send(format!("{socket:?}")).unwrap();
        async move { while socket.next().await.is_some() {} }
    };
    let namespace = Namespace::new().admit(admit).connected(connected);
    let server = Server::builder().namespace("/", namespace).start().unwrap();
    let _socket = Client::connect(&format!("http://{}", serve(&server).await))
        .header("authorization", "hunter2")
        .auth(|| async { Ok::<_, Infallible>(json!({ "token": "hunter2" })) })
        .open()
        .unwrap();
    for _ in 0..2 {
        let shown = timeout(PATIENCE, shown.recv()).await.unwrap().unwrap();
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[derive(Debug, Deserialize)]
struct Wanted {
    #[expect(dead_code, reason = "no client sends it as a number")]
    token: u32,
}

#[tokio::test]
async fn a_decision_on_an_admission_ends_with_its_server() {
    let (asked_in, mut asked) = tokio::sync::mpsc::unbounded_channel::<oneshot::Receiver<()>>();
    let admit = move |_| {
        let (held, dropped) = oneshot::channel::<()>();
        asked_in.send(dropped).unwrap();
        async move {
            let _held = held;
            std::future::pending::<Result<(), Refusal>>().await
        }
    };
    let namespace = Namespace::new().admit(admit);
    let server = Server::builder().namespace("/", namespace).start().unwrap();
    let _socket = Client::connect(&format!("http://{}", serve(&server).await))
        .open()
        .unwrap();
    let dropped = timeout(PATIENCE, asked.recv()).await.unwrap().unwrap();
    server.close().await;
    assert!(timeout(PATIENCE, dropped).await.unwrap().is_err());
}

#[test]
fn a_server_has_said_goodbye_when_it_is_closed() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().build().unwrap()
    };
    let (of_server, of_client) = (runtime(), runtime());
    let (said_in, mut said) = tokio::sync::mpsc::unbounded_channel();
    let speak = move |socket: Socket| {
        let said_in = said_in.clone();
        async move {
            let large = ("x".repeat(1 << 20),);
            for _ in 0..4 {
                // The last ones find the client slow.
                let emit = socket.emit("large", &large);
                let _ = timeout(Duration::from_millis(300), emit).await;
            }
            said_in.send(()).unwrap();
        }
    };
    let (server, address) = of_server.block_on(async {
        let namespace = Namespace::new().connected(speak);
        let server = Server::builder().namespace("/", namespace).start().unwrap();
        let address = serve(&server).await;
        (server, address)
    });
    let (closing_in, closing) = oneshot::channel::<()>();
    let client = std::thread::spawn(move || {
        of_client.block_on(async move {
            let tcp = TcpSocket::new_v4().unwrap();
            tcp.set_recv_buffer_size(4 << 10).unwrap();
            let tcp = tcp.connect(address).await.unwrap();
            let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
            let (mut socket, _) = tokio_tungstenite::client_async(url, tcp).await.unwrap();
            socket.send(Message::text("40")).await.unwrap();
            closing.await.unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
            let mut last = None;
            while let Some(Ok(message)) = socket.next().await {
                last = Some(message);
            }
            last
        })
    });
    of_server.block_on(async {
        said.recv().await.unwrap();
        closing_in.send(()).unwrap();
        server.close().await;
    });
    drop(of_server);
    let last = client.join().unwrap();
    assert!(
        matches!(last, Some(Message::Close(Some(_)))),
        "not closed in order"
    );
}

#[tokio::test]
async fn a_join_that_is_dropped_half_way_is_no_join() {
    let (seen_in, seen) = oneshot::channel();
    let seen_in = std::sync::Mutex::new(Some(seen_in));
    let connected = move |socket: Socket| {
        let seen = seen_in.lock().unwrap().take().unwrap();
        async move {
            // Nothing else runs meanwhile, so this fills what waits for the loop.
            while unconstrained(socket.leave("green"))
                .now_or_never()
                .is_some()
            {}
            let joined = unconstrained(socket.join("blue")).now_or_never();
            seen.send((joined.is_some(), socket.rooms())).unwrap();
        }
    };
    let namespace = Namespace::new().connected(connected);
    let server = Server::builder().namespace("/", namespace).start().unwrap();
    let _socket = Client::connect(&format!("http://{}", serve(&server).await))
        .open()
        .unwrap();
    let seen = timeout(PATIENCE, seen).await.unwrap().unwrap();
    assert_eq!(seen, (false, vec![]));
}

/// Of several clones that receive, the ones that nobody reads would fill up.
#[tokio::test]
async fn whoever_holds_a_socket_without_its_events_costs_it_nothing() {
    let (said_in, mut said) = tokio::sync::mpsc::unbounded_channel();
    let (held_in, mut held) = tokio::sync::mpsc::unbounded_channel();
    let connected = move |mut socket: Socket| {
        let (said_in, held_in) = (said_in.clone(), held_in.clone());
        async move {
            held_in.send(socket.sender().clone()).unwrap();
            if let Some(event) = socket.next().await {
                said_in.send(event.name().to_owned()).unwrap();
            }
        }
    };
    let namespace = Namespace::new().connected(connected);
    let server = Server::builder().namespace("/", namespace);
    let server = server.events_max(10, 1_000).start().unwrap();
    let mut client = Client::connect(&format!("http://{}", serve(&server).await))
        .open()
        .unwrap();
    let sender = timeout(PATIENCE, held.recv()).await.unwrap().unwrap();
    client.emit("said", &()).await.unwrap();
    let first = timeout(PATIENCE, said.recv()).await.unwrap();
    assert_eq!(first.as_deref(), Some("said"));
    for number in 0..100 {
        client.emit("unheard", &(number,)).await.unwrap();
    }
    let asked = async { while !matches!(client.next().await, Some(Signal::Event(_))) {} };
    sender.emit("still", &()).await.unwrap();
    timeout(PATIENCE, asked).await.unwrap();
    assert_eq!(sender.end(), None);
}

/// Nor need it give up what it has read of the event.
#[tokio::test]
async fn whoever_answers_need_not_know_whether_somebody_waits_for_it() {
    let connected = |mut socket: Socket| async move {
        while let Some(event) = socket.next().await {
            let (word,) = event.args::<(&str,)>().unwrap();
            let back = socket.call("back", &(word,), PATIENCE).await.unwrap();
            let (word,) = back.args::<(&str,)>().unwrap();
            socket.emit("back", &(word,)).await.unwrap();
            event.answer(&(word,)).await.unwrap();
        }
    };
    let namespace = Namespace::new().connected(connected);
    let server = Server::builder().namespace("/", namespace).start().unwrap();
    let mut client = Client::connect(&format!("http://{}", serve(&server).await))
        .open()
        .unwrap();
    let sender = client.sender().clone();
    let said = tokio::spawn(async move {
        sender.emit("say", &("one",)).await.unwrap();
        let answer = sender.call("say", &("two",)).await.unwrap();
        answer.args::<(String,)>().unwrap().0
    });
    let mut heard = Vec::new();
    while heard.len() < 4 {
        if let Some(Signal::Event(event)) = timeout(PATIENCE, client.next()).await.unwrap() {
            let (word,) = event.args::<(&str,)>().unwrap();
            event.answer(&(word,)).await.unwrap();
            heard.push((word.to_owned(), event.wants_answer()));
        }
    }
    let wanted = [("one", true), ("one", false), ("two", true), ("two", false)];
    assert_eq!(heard, wanted.map(|(word, asked)| (word.to_owned(), asked)));
    assert_eq!(timeout(PATIENCE, said).await.unwrap().unwrap(), "two");
}

#[tokio::test]
async fn pages_of_listed_origins_may_send_what_the_server_says() {
    let team = axum::http::HeaderName::from_static("x-team");
    let server = Server::builder()
        .origins(Origins::Listed(vec!["https://a.example".into()]))
        .cors(Cors::new().credentials().header(team))
        .namespace("/", Namespace::new())
        .start()
        .unwrap();
    let address = serve(&server).await;
    let asks = "Origin: https://a.example\r\nAccess-Control-Request-Method: GET\r\n";
    let asked = answer(address, "OPTIONS", asks).await;
    assert!(
        asked.contains("allow-headers: authorization, content-type, x-team\r\n"),
        "{asked}"
    );
    let polled = answer(address, "GET", "Origin: https://a.example\r\n").await;
    for answer in [asked, polled] {
        assert!(answer.contains("allow-credentials: true\r\n"), "{answer}");
        assert!(
            answer.contains("allow-origin: https://a.example\r\n"),
            "{answer}"
        );
    }
    let foreign = answer(address, "GET", "Origin: https://b.example\r\n").await;
    assert!(
        foreign.starts_with("http/1.1 403") && !foreign.contains("allow-"),
        "{foreign}"
    );
}

#[tokio::test]
async fn a_client_that_sends_too_much_along_is_not_let_in() {
    let server = Server::builder()
        .namespace("/", Namespace::new())
        .auth_max(100)
        .headers_max(1_000)
        .start()
        .unwrap();
    let address = serve(&server).await;
    let client = |auth: usize| {
        let auth = move || async move { Ok::<_, Infallible>(json!({ "a": "x".repeat(auth) })) };
        Client::connect(&format!("http://{address}"))
            .auth(auth)
            .open()
    };
    let mut small = client(90).unwrap();
    let first = timeout(PATIENCE, small.next()).await.unwrap();
    assert!(matches!(first, Some(Signal::Connected { .. })), "{first:?}");
    let mut large = client(100).unwrap();
    let first = timeout(PATIENCE, large.next()).await.unwrap();
    let Some(Signal::Refused { message, .. }) = first else {
        panic!("{first:?}");
    };
    assert_eq!(message, "Auth too large");
    let cookie = |length| format!("Cookie: {}\r\n", "x".repeat(length));
    let small = answer(address, "GET", &cookie(900)).await;
    assert!(small.starts_with("http/1.1 200"), "{small}");
    let large = answer(address, "GET", &cookie(1_000)).await;
    assert!(large.starts_with("http/1.1 431"), "{large}");
}
