//! The public client towards a server that does not read.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use selvedge::socketio::{Client, EmitError, Signal};
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
