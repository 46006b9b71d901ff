//! The public client towards a server that does not read, and at its end.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::get,
};
use futures::{SinkExt as _, StreamExt as _, stream};
use selvedge::socketio::{Client, EmitError, Signal, Transport, server};
use tokio::{net::TcpListener, sync::Notify, time::timeout};
use tokio_tungstenite::{accept_async, tungstenite::Message};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_volatile_event_does_not_wait_behind_others_that_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut socket = accept_async(tcp).await.unwrap();
        let handshake = r#"0{"sid":"x","upgrades":[],"pingInterval":60000,"pingTimeout":60000,"maxPayload":100000000}"#;
        socket.send(Message::text(handshake)).await.unwrap();
        socket.next().await.unwrap().unwrap();
        socket
            .send(Message::text(r#"40{"sid":"y"}"#))
            .await
            .unwrap();
        // Reads nothing from here on.
        std::future::pending::<()>().await;
    });
    let mut socket = Client::connect(&url).open().unwrap();
    while !matches!(socket.next().await.unwrap(), Signal::Connected { .. }) {}
    let large = "x".repeat(5 << 20);
    let (sender, _events) = socket.split();
    let waiting = sender.clone();
    let waits = tokio::spawn(async move {
        loop {
            waiting.emit("large", &(&large,)).await.unwrap();
        }
    });
    let busy = async {
        loop {
            if let Err(error) = sender.emit_volatile("now", &()).await {
                return error;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let busy = timeout(PATIENCE, busy).await;
    assert!(matches!(busy, Ok(EmitError::Busy)), "{busy:?}");
    waits.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_emitted_before_a_close_by_polling_arrives() {
    let (seen_in, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let connected = move |mut socket: server::Socket| {
        let seen = seen_in.clone();
        async move {
            let mut events = 0;
            while let Some(event) = socket.next().await {
                events += event.args::<(u64,)>().unwrap().0;
            }
            seen.send((events, socket.ended().await)).unwrap();
        }
    };
    let namespace = server::Namespace::new().connected(connected);
    let server = server::Server::builder()
        .namespace("/", namespace)
        .start()
        .unwrap();
    let app = axum::Router::new().route_service("/socket.io/", server.service());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    for _ in 0..50 {
        let mut socket = Client::connect(&url)
            .transports([Transport::Polling])
            .open()
            .unwrap();
        while !matches!(socket.next().await.unwrap(), Signal::Connected { .. }) {}
        for _ in 0..10 {
            socket.emit("n", &(1,)).await.unwrap();
        }
        socket.close().await;
        let (events, end) = timeout(PATIENCE, seen.recv()).await.unwrap().unwrap();
        assert_eq!((events, end), (10, server::End::Left));
    }
}

/// A server that takes a handshake and a CONNECT by polling, and not the post after them.
#[derive(Debug, Default)]
struct Refusing {
    polls: AtomicUsize,
    posts: AtomicUsize,
    /// The CONNECT is there, and may be answered: a client takes no answer before it has asked.
    asked: Notify,
    /// The post is there, and may come to nothing.
    came: Notify,
    end: Notify,
}

impl Refusing {
    async fn poll(&self) -> &'static str {
        match self.polls.fetch_add(1, Ordering::SeqCst) {
            0 => {
                r#"0{"sid":"x","upgrades":[],"pingInterval":60000,"pingTimeout":60000,"maxPayload":1000}"#
            }
            1 => {
                self.asked.notified().await;
                r#"40{"sid":"y"}"#
            }
            _ => std::future::pending().await,
        }
    }

    async fn post(&self, is_cut: bool) -> Response {
        if self.posts.fetch_add(1, Ordering::SeqCst) != 1 {
            self.asked.notify_one();
            return "ok".into_response();
        }
        self.came.notify_one();
        self.end.notified().await;
        if is_cut {
            let cut = Err::<Bytes, _>(io::Error::other("cut"));
            Body::from_stream(stream::iter([cut])).into_response()
        } else {
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_posted_after_a_post_that_was_not_taken() {
    for is_cut in [false, true] {
        let server = Arc::new(Refusing::default());
        let (polled, posted) = (Arc::clone(&server), Arc::clone(&server));
        let poll = move || async move { polled.poll().await };
        let post = move || async move { posted.post(is_cut).await };
        let app = axum::Router::new().route("/socket.io/", get(poll).post(post));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let mut socket = Client::connect(&url)
            .transports([Transport::Polling])
            .open()
            .unwrap();
        while !matches!(socket.next().await.unwrap(), Signal::Connected { .. }) {}
        socket.emit("n", &(1,)).await.unwrap();
        server.came.notified().await;
        socket.emit("n", &(2,)).await.unwrap();
        let end = async {
            // The client has closed by then, and knows nothing of its post.
            tokio::time::sleep(Duration::from_millis(200)).await;
            server.end.notify_one();
        };
        tokio::join!(socket.close(), end);
        assert_eq!(server.posts.load(Ordering::SeqCst), 2, "cut: {is_cut}");
    }
}
