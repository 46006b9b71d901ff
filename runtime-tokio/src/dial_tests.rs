//! Dials on the loopback, straight and through a proxy.

use futures::{SinkExt as _, StreamExt as _};
use tokio::net::TcpListener;
use tungstenite::{Message, handshake::derive_accept_key};

use super::*;
use crate::tls;

fn dialer(proxy: Option<&str>) -> Dialer {
    let proxy = proxy.map(|url| Proxy::parse(url).unwrap());
    Dialer::new(tls::client_config(None).unwrap(), proxy)
}

/// A guild that says one word on each WebSocket.
async fn guild() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let mut socket = tokio_tungstenite::accept_async(tcp).await.unwrap();
            socket.send(Message::text("0{}")).await.unwrap();
        }
    });
    address
}

async fn head(tcp: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A server that reads a head and answers `answer`, then relays to whoever it was asked for.
async fn proxy(answer: &'static str) -> (String, tokio::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (asked_in, asked) = tokio::sync::mpsc::channel(4);
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let head = head(&mut tcp).await;
        let target = head.split(' ').nth(1).unwrap().to_owned();
        asked_in.send(head).await.unwrap();
        tcp.write_all(answer.as_bytes()).await.unwrap();
        if answer.contains(" 200 ") {
            let mut guild = TcpStream::connect(target).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut tcp, &mut guild).await;
        }
    });
    (address, asked)
}

#[tokio::test]
async fn a_dial_opens_a_websocket() {
    let guild = guild().await;
    let mut socket = dialer(None).dial(&format!("http://{guild}")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("0{}"));
}

#[tokio::test]
async fn what_a_server_says_together_with_the_head_of_its_answer_is_heard() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = async {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let head = head(&mut tcp).await;
        let mut lines = head.lines();
        let key = lines.find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
        let accept = derive_accept_key(key.unwrap().as_bytes());
        let mut answer = format!(
            "HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        .into_bytes();
        answer.extend(b"\x81\x030{}\x81\x012");
        tcp.write_all(&answer).await.unwrap();
        tcp
    };
    let dialer = dialer(None);
    let origin = format!("http://{address}");
    let (_tcp, socket) = tokio::join!(server, dialer.dial(&origin));
    let mut socket = socket.unwrap();
    for said in ["0{}", "2"] {
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(said));
    }
}

#[tokio::test]
async fn a_proxy_is_asked_for_a_tunnel() {
    let guild = guild().await;
    let (address, mut asked) = proxy("HTTP/1.1 200 Connection established\r\n\r\n").await;
    let dialer = dialer(Some(&format!("http://me:word@{address}")));
    let mut socket = dialer.dial(&format!("http://{guild}")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("0{}"));
    let head = asked.recv().await.unwrap();
    assert!(
        head.starts_with(&format!("CONNECT {guild} HTTP/1.1\r\n")),
        "{head}"
    );
    assert!(
        head.contains("Proxy-Authorization: Basic bWU6d29yZA==\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn a_failed_dial_says_at_which_step() {
    let words = |dialer: Dialer, origin: String| async move {
        chain(&dialer.dial(&origin).await.err().unwrap())
    };
    assert_eq!(
        words(dialer(None), "guild-1".into()).await,
        "`guild-1` is not an http or https origin; correct the guild's base URL"
    );
    assert!(
        words(dialer(None), "http://127.0.0.1:1".into())
            .await
            .starts_with("no connection to 127.0.0.1:1: "),
    );
    let (address, _asked) = proxy("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
    assert_eq!(
        words(
            dialer(Some(&format!("http://{address}"))),
            "http://guild.invalid".into()
        )
        .await,
        format!("the proxy http://{address} wants other credentials")
    );
    let (address, _asked) = proxy("HTTP/1.1 403 Forbidden\r\n\r\n").await;
    assert_eq!(
        words(
            dialer(Some(&format!("http://{address}"))),
            "http://guild.invalid".into()
        )
        .await,
        format!(
            "the proxy http://{address} did not open a tunnel: it answered `HTTP/1.1 403 Forbidden`"
        )
    );
    assert!(
        words(
            dialer(Some("http://127.0.0.1:1")),
            "http://guild.invalid".into()
        )
        .await
        .starts_with("no connection to the proxy http://127.0.0.1:1: "),
    );
    let (address, _asked) = proxy("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(
        words(dialer(None), format!("http://{address}")).await,
        "answered 404 instead of opening a WebSocket"
    );
}
