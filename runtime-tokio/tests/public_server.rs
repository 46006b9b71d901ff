//! The public server, as its users and their clients see it.

use std::{net::SocketAddr, time::Duration};

use selvedge::socketio::{
    Client, Signal,
    server::{EmitError, Namespace, Server, Socket},
};
use tokio::{net::TcpListener, time::timeout};

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
    let burst = |socket: Socket| async move {
        for number in 0..BURST {
            socket.emit("n", &(number,)).await.unwrap();
        }
        while socket.next().await.is_some() {}
    };
    let namespace = Namespace::new().connected(burst);
    let server = Server::builder().namespace("/", namespace).start().unwrap();
    let signals = events(serve(&server).await, BURST).await;
    let numbers = signals.iter().filter_map(|signal| match signal {
        Signal::Event(event) => Some(event.args::<(u64,)>().unwrap().0),
        _ => None,
    });
    let numbers: Vec<_> = numbers.collect();
    assert_eq!(numbers.len() as u64, BURST, "{:?}", signals.last());
    assert!(numbers.is_sorted());
}

#[tokio::test]
async fn an_event_that_no_queue_can_hold_is_refused_and_costs_nobody_the_connection() {
    let speak = |socket: Socket| async move {
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
