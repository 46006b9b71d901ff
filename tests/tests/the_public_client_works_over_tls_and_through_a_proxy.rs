//! The public Socket.IO client over TLS with an authority of one's own, and through a proxy that
//! wants credentials: every transport against our server, and against the official one.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{
    net::Ipv6Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use selvedge::socketio::{Attachment, Builder, Client, Signal, Socket, Transport};
use selvedge_tests::{
    PATIENCE,
    application::{arrives_at, connected, disconnected, event, parts, quick, signal},
    host::Host,
    npm,
    proxy::{Proxy, Served},
    tls::{Authority, Terminator},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::timeout,
};

/// Each way to connect, and what it ends at.
const WAYS: [(&[Transport], &str); 3] = [
    (&[Transport::WebSocket], "websocket"),
    (&[Transport::Polling], "polling"),
    (&[Transport::Polling, Transport::WebSocket], "websocket"),
];

/// The name of the server where only the proxy knows it.
const NAME: &str = "server.invalid";
/// What the proxy wants to read.
const CREDENTIALS: &str = "me:very:secr@t";
/// The same as a URL wants it.
const IN_URL: &str = "me:very%3Asecr%40t";

/// Makes tests of cases, which take the port of a plain server.
macro_rules! cases {
    ($($case:ident,)+) => {
        mod ours {
            use super::*;

            $(#[tokio::test]
            async fn $case() {
                let host = Host::start().await;
                super::$case(host.port()).await;
            })+
        }

        mod official {
            use super::*;

            $(#[tokio::test]
            async fn $case() {
                if let Some((_peer, port)) = npm::server(&json!({})).await {
                    super::$case(port).await;
                }
            })+
        }
    };
}

cases! {
    every_transport_works_over_tls,
    an_ipv6_address_is_a_host_as_any_other,
    every_transport_works_through_a_proxy_and_nothing_goes_around_it,
    every_transport_works_over_tls_through_a_proxy,
    an_impostor_is_told_of_and_the_right_server_is_joined_when_it_is_back,
    a_proxy_that_refuses_is_told_of_without_its_credentials_and_asked_again,
}

fn client(url: &str) -> Builder {
    Client::connect(url).backoff(quick())
}

/// 300 KB in which no two pieces are alike.
fn large() -> Bytes {
    let bytes = (0..75_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes());
    bytes.collect()
}

/// Events, answers and binary content there and back, until the session is on the transport that
/// it ends at.
async fn speaks(builder: Builder, ends: &str) {
    let mut socket = builder.open().unwrap();
    connected(&mut socket).await;
    socket.emit("echo", &(1, "é")).await.unwrap();
    assert_eq!(parts(&mut socket).await, ("echo".into(), json!([1, "é"])));
    let content = large();
    let args = (Attachment(0), "after");
    let sent = socket.emit_with("file", &args, vec![content.clone()]);
    sent.await.unwrap();
    let back = event(&mut socket).await;
    assert_eq!(back.attachments().first(), Some(&content));
    let answer = socket.call_with("file", &args, vec![content.clone()], PATIENCE);
    assert_eq!(answer.await.unwrap().attachments(), [content]);
    arrives_at(&mut socket, ends).await;
    let answer = socket.call("last", &("word",)).await.unwrap();
    assert_eq!(answer.args::<Value>().unwrap(), json!(["word"]));
    socket.close().await;
}

async fn every_transport_works_over_tls(port: u16) {
    let authority = Authority::new();
    let config = authority.certify(&["localhost", "127.0.0.1"]);
    for (transports, ends) in WAYS {
        for host in ["localhost", "127.0.0.1"] {
            let tls = Terminator::start(Arc::clone(&config), port).await;
            let client = client(&format!("https://{host}:{}", tls.port()));
            let client = client.ca_file(authority.ca_file());
            speaks(client.transports(transports.iter().copied()), ends).await;
            // A name is asked for by SNI, an address is not: RFC 6066, section 3.
            let wanted = (host == "localhost").then_some(host);
            let names = tls.names();
            assert!(!names.is_empty());
            assert!(names.iter().all(|it| it.as_deref() == wanted), "{names:?}");
        }
    }
}

async fn an_ipv6_address_is_a_host_as_any_other(port: u16) {
    let authority = Authority::new();
    let config = authority.certify(&["::1"]);
    let Ok(tls) = Terminator::start_on(Ipv6Addr::LOCALHOST.into(), config, port).await else {
        // This machine has no IPv6.
        return;
    };
    let host = format!("[::1]:{}", tls.port());
    let client = || client(&format!("wss://{host}")).ca_file(authority.ca_file());
    for (transports, ends) in WAYS {
        speaks(client().transports(transports.iter().copied()), ends).await;
    }
    let heard = tls.heard().text();
    assert!(heard.contains(&format!("host: {host}\r\n")), "{heard}");

    let proxy = Proxy::start(Some(CREDENTIALS)).await;
    let client = || client().proxy(&proxy.url_with(IN_URL));
    speaks(client().transports([Transport::WebSocket]), "websocket").await;
    assert_eq!(proxy.served(), [Served::Tunnel(host.clone())]);
    // reqwest 0.13 cannot do that: its issue 3094.
    let mut socket = client().transports([Transport::Polling]).open().unwrap();
    fails(
        &mut socket,
        "reach the server by a name instead of an IPv6 address",
    )
    .await;
}

async fn every_transport_works_through_a_proxy_and_nothing_goes_around_it(port: u16) {
    let proxy = Proxy::start(Some(CREDENTIALS)).await;
    for (transports, ends) in WAYS {
        let client = client(&format!("http://{NAME}:{port}")).proxy(&proxy.url_with(IN_URL));
        speaks(client.transports(transports.iter().copied()), ends).await;
        let served = proxy.served();
        let start = format!("http://{NAME}:{port}/socket.io/?EIO=4&transport=polling");
        let tunnel = Served::Tunnel(format!("{NAME}:{port}"));
        let (tunnels, requests): (Vec<_>, Vec<_>) =
            served.into_iter().partition(|it| *it == tunnel);
        let polls = |it: &Served| matches!(it, Served::Request(url) if url.starts_with(&start));
        assert!(requests.iter().all(polls), "{requests:?}");
        let polling = transports.contains(&Transport::Polling);
        assert_eq!(!requests.is_empty(), polling, "{requests:?}");
        let websocket = usize::from(ends == "websocket");
        assert_eq!(tunnels.len(), websocket, "{tunnels:?}");
    }
    let heard = proxy.heard().text();
    assert!(heard.contains("/socket.io/?eio=4&transport="), "{heard}");
    assert!(!heard.contains("proxy-authorization"));
}

async fn every_transport_works_over_tls_through_a_proxy(port: u16) {
    let authority = Authority::new();
    let tls = Terminator::start(authority.certify(&[NAME]), port).await;
    let proxy = Proxy::start(Some(CREDENTIALS)).await;
    let mut connections = 0;
    for (transports, ends) in WAYS {
        let client = client(&format!("https://{NAME}:{}", tls.port()));
        let client = client
            .ca_file(authority.ca_file())
            .proxy(&proxy.url_with(IN_URL));
        speaks(client.transports(transports.iter().copied()), ends).await;
        let served = proxy.served();
        let tunnel = Served::Tunnel(format!("{NAME}:{}", tls.port()));
        assert!(!served.is_empty());
        assert!(served.iter().all(|it| *it == tunnel), "{served:?}");
        connections += served.len();
    }
    let names = tls.names();
    assert_eq!(names.len(), connections, "something went around the proxy");
    assert!(
        names.iter().all(|it| it.as_deref() == Some(NAME)),
        "{names:?}"
    );
    let heard = tls.heard().text();
    assert!(heard.contains("/socket.io/?eio=4&transport="), "{heard}");
    assert!(!heard.contains("proxy-authorization"));
}

/// Waits for an attempt that failed for a reason with these words in it.
async fn fails(socket: &mut Socket, words: &str) {
    let found = timeout(PATIENCE, async {
        loop {
            let signal = signal(socket).await;
            let Signal::Retrying { why, .. } = signal else {
                panic!("not a failed attempt: {signal:?}");
            };
            if why.contains(words) {
                return;
            }
        }
    });
    found.await.unwrap();
}

async fn an_impostor_is_told_of_and_the_right_server_is_joined_when_it_is_back(port: u16) {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let right = authority.certify(&["localhost"]);
    let impostor = stranger.certify(&["localhost"]);
    let misnamed = authority.certify(&["elsewhere.invalid"]);
    for (transports, _) in WAYS {
        let tls = Terminator::start(Arc::clone(&impostor), port).await;
        let client = client(&format!("https://localhost:{}", tls.port()));
        let client = client.ca_file(authority.ca_file());
        let mut socket = client
            .transports(transports.iter().copied())
            .open()
            .unwrap();
        socket.emit("kept", &(1,)).await.unwrap();
        for _ in 0..2 {
            fails(&mut socket, "give the certificate of its CA as `ca_file`").await;
        }
        tls.show(Arc::clone(&right));
        connected(&mut socket).await;
        assert_eq!(parts(&mut socket).await, ("kept".into(), json!([1])));

        tls.show(Arc::clone(&misnamed));
        disconnected(&mut socket).await;
        fails(
            &mut socket,
            "reach the server by a name that its certificate has",
        )
        .await;
        tls.show(Arc::clone(&right));
        connected(&mut socket).await;
        socket.call("alive", &()).await.unwrap();
        let heard = tls.heard().text();
        assert!(heard.contains("/socket.io/"), "{heard}");
    }
}

async fn a_proxy_that_refuses_is_told_of_without_its_credentials_and_asked_again(port: u16) {
    let authority = Authority::new();
    let tls = Terminator::start(authority.certify(&[NAME]), port).await;
    let proxy = Proxy::start(Some(CREDENTIALS)).await;
    for (transports, _) in WAYS {
        for url in [
            format!("http://{NAME}:{port}"),
            format!("https://{NAME}:{}", tls.port()),
        ] {
            proxy.refuse(Some(407));
            let client = client(&url).ca_file(authority.ca_file());
            let client = client.proxy(&proxy.url_with(IN_URL));
            let transports = transports.iter().copied();
            let mut socket = client.transports(transports).open().unwrap();
            let Signal::Retrying { why, .. } = signal(&mut socket).await else {
                panic!("not a failed attempt");
            };
            let wanted = format!("the proxy {} wants other credentials", proxy.url());
            assert!(why.contains(&wanted), "{why}");
            assert!(!why.contains("secr") && !why.contains("bWU6"), "{why}");
            proxy.refuse(None);
            connected(&mut socket).await;
        }
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = format!("http://{}/socket.io/", elsewhere.local_addr().unwrap());
    let followed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&followed);
    tokio::spawn(async move {
        while elsewhere.accept().await.is_ok() {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let answer = format!(
                "HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\nContent-Length: \
                 0\r\nConnection: close\r\n\r\n"
            );
            let _ = tcp.read(&mut [0; 4096]).await;
            let _ = tcp.write_all(answer.as_bytes()).await;
        }
    });
    for (transports, _) in WAYS {
        let client = client(&format!("http://127.0.0.1:{port}"));
        let mut socket = client
            .transports(transports.iter().copied())
            .open()
            .unwrap();
        for _ in 0..2 {
            let Signal::Retrying { why, .. } = signal(&mut socket).await else {
                panic!("not a failed attempt");
            };
            assert!(why.contains("307"), "{why}");
        }
    }
    assert_eq!(followed.load(Ordering::Relaxed), 0);
}
