//! The public client towards a server that does not read, and at its end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::Request,
    http::{Method, StatusCode},
    middleware::Next,
    response::IntoResponse as _,
};
use futures::{SinkExt as _, StreamExt as _};
use selvedge::socketio::{Client, EmitError, Signal, Transport, server};
use tokio::{net::TcpListener, time::timeout};
use tokio_tungstenite::{accept_async, tungstenite::Message};

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
            if let Err(error) = sender.volatile("now", &()).await {
                return error;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let busy = timeout(Duration::from_secs(10), busy).await;
    assert!(matches!(busy, Ok(EmitError::Busy)), "{busy:?}");
    waits.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_emitted_before_a_close_by_polling_arrives() {
    let (seen_in, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let connected = move |socket: server::Socket| {
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
        let (events, end) = timeout(Duration::from_secs(10), seen.recv())
            .await
            .unwrap()
            .unwrap();
        assert_eq!((events, end), (10, server::End::Left));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_posted_behind_a_post_that_was_lost() {
    let (seen_in, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let connected = move |socket: server::Socket| {
        let seen = seen_in.clone();
        async move {
            let mut events = 0;
            while socket.next().await.is_some() {
                events += 1;
            }
            seen.send(events).unwrap();
        }
    };
    let server = server::Server::builder()
        .namespace("/", server::Namespace::new().connected(connected))
        .start()
        .unwrap();
    // The second post, which comes after CONNECT, is lost on the way, but not at once.
    let posts = Arc::new(AtomicUsize::new(0));
    let (lose, lost) = tokio::sync::watch::channel(false);
    let counted = Arc::clone(&posts);
    let middle = move |request: Request, next: Next| {
        let (counted, mut lost) = (Arc::clone(&counted), lost.clone());
        async move {
            if request.method() == Method::POST && counted.fetch_add(1, Ordering::SeqCst) == 1 {
                lost.wait_for(|lost| *lost).await.unwrap();
                return StatusCode::BAD_GATEWAY.into_response();
            }
            next.run(request).await
        }
    };
    let app = axum::Router::new()
        .route_service("/socket.io/", server.service())
        .layer(axum::middleware::from_fn(middle));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut socket = Client::connect(&url)
        .transports([Transport::Polling])
        .open()
        .unwrap();
    while !matches!(socket.next().await.unwrap(), Signal::Connected { .. }) {}
    socket.emit("lost", &()).await.unwrap();
    while posts.load(Ordering::SeqCst) < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    socket.emit("waits", &()).await.unwrap();
    let closing = tokio::spawn(async move { socket.close().await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    lose.send(true).unwrap();
    timeout(Duration::from_secs(30), closing)
        .await
        .unwrap()
        .unwrap();
    let events = timeout(Duration::from_secs(60), seen.recv()).await.unwrap();
    assert_eq!((events, posts.load(Ordering::SeqCst)), (Some(0), 2));
}
