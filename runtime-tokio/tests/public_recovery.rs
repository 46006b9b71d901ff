//! Clients that come back to the public server, and who may go on with what.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::{net::SocketAddr, time::Duration};

use futures::{SinkExt as _, StreamExt as _};
use selvedge::socketio::server::{
    Admission, Admitted, Namespace, Recovery, Refusal, Server, Socket,
};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

const PATIENCE: Duration = Duration::from_secs(60);

/// What the admission was told of the former socket: its id, and its user.
type Told = Option<(String, Option<String>)>;

/// A server, and what it tells of its clients.
struct Host {
    server: Server,
    address: SocketAddr,
    sockets: mpsc::UnboundedReceiver<Socket>,
    asked: mpsc::UnboundedReceiver<Told>,
}

impl Host {
    /// `admit` says as whom a client is let in, by the `user` of its auth.
    async fn start(admit: Option<fn(&str) -> Admitted>) -> Self {
        let (sockets_in, sockets) = mpsc::unbounded_channel();
        let (asked_in, asked) = mpsc::unbounded_channel();
        let mut namespace = Namespace::new().connected(move |socket| {
            sockets_in.send(socket).unwrap();
            async {}
        });
        if let Some(admit) = admit {
            namespace = namespace.admit(move |request: Admission| {
                let former = request.former().map(|former| {
                    let user = former.user().map(str::to_owned);
                    (former.id().to_owned(), user)
                });
                asked_in.send(former).unwrap();
                let auth: Value = request.auth().unwrap();
                let admitted = admit(auth["user"].as_str().unwrap());
                async { Ok::<_, Refusal>(admitted) }
            });
        }
        let server = Server::builder()
            .namespace("/", namespace)
            .recovery(Recovery::default())
            .start()
            .unwrap();
        let app = axum::Router::new().route_service("/socket.io/", server.service());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            server,
            address,
            sockets,
            asked,
        }
    }

    /// A client asks to be let in with this auth, and is.
    async fn connect(&mut self, auth: &Value) -> (Client, Socket) {
        let tcp = TcpStream::connect(self.address).await.unwrap();
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", self.address);
        let (socket, _) = tokio_tungstenite::client_async(url, tcp).await.unwrap();
        let mut client = Client(socket);
        assert!(client.next().await.starts_with("0{"));
        client
            .0
            .send(Message::text(format!("40{auth}")))
            .await
            .unwrap();
        let socket = timeout(PATIENCE, self.sockets.recv()).await;
        (client, socket.unwrap().unwrap())
    }

    async fn told(&mut self) -> Told {
        timeout(PATIENCE, self.asked.recv()).await.unwrap().unwrap()
    }

    /// A client is in as ann, in a room, has seen an event, and is lost: its socket, and with what it
    /// comes back.
    async fn lost(&mut self) -> (Socket, Value) {
        let (mut client, socket) = self.connect(&json!({ "user": "ann" })).await;
        let reply: Value =
            serde_json::from_str(client.next().await.trim_start_matches("40")).unwrap();
        socket.join("hers").await.unwrap();
        socket.emit("seen", &()).await.unwrap();
        let offset = client.next().await;
        let offset: Value = serde_json::from_str(offset.trim_start_matches("42")).unwrap();
        drop(client);
        timeout(PATIENCE, socket.ended()).await.unwrap();
        let to_hers = self.server.namespace("/").to("hers");
        to_hers.emit("for her", &()).await.unwrap();
        let back = json!({ "user": "ann", "pid": reply["pid"], "offset": offset[1] });
        (socket, back)
    }
}

/// One that speaks the protocol by hand.
struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn next(&mut self) -> String {
        let message = timeout(PATIENCE, self.0.next()).await;
        message
            .unwrap()
            .unwrap()
            .unwrap()
            .into_text()
            .unwrap()
            .to_string()
    }

    /// Whether it goes on with what it had: it is sent what it has missed.
    async fn is_sent_what_it_missed(&mut self) -> bool {
        let first = self.next().await;
        let is_missed = first.starts_with(r#"42["for her""#);
        assert!(is_missed || first.starts_with("40{"), "{first}");
        is_missed
    }
}

#[tokio::test]
async fn a_client_with_another_users_secret_begins_anew() {
    let mut host = Host::start(Some(|user| Admitted::user(user))).await;
    let (hers, back) = host.lost().await;
    assert_eq!(host.told().await, None);
    let mut stolen = back.clone();
    stolen["user"] = json!("bob");
    let (mut bob, socket) = host.connect(&stolen).await;
    let former = Some((hers.id().to_string(), Some("ann".to_owned())));
    assert_eq!(host.told().await, former);
    assert!(!bob.is_sent_what_it_missed().await);
    assert!(!socket.recovered() && socket.rooms().is_empty());
    assert_ne!(socket.id().as_str(), hers.id().as_str());
    // She has lost nothing by that.
    let (mut ann, socket) = host.connect(&back).await;
    assert_eq!(host.told().await, former);
    assert!(ann.is_sent_what_it_missed().await);
    assert!(socket.recovered());
    assert_eq!(socket.rooms(), ["hers"]);
    assert_eq!(socket.id().as_str(), hers.id().as_str());
}

#[tokio::test]
async fn an_admission_that_does_not_say_as_whom_begins_anew() {
    let mut host = Host::start(Some(|_| ().into())).await;
    let (_, back) = host.lost().await;
    let (mut client, socket) = host.connect(&back).await;
    assert!(!client.is_sent_what_it_missed().await);
    assert!(!socket.recovered());
}

#[tokio::test]
async fn where_everybody_is_let_in_the_secret_is_enough() {
    for admit in [None, Some((|_| Admitted::bearer()) as fn(&str) -> Admitted)] {
        let mut host = Host::start(admit).await;
        let (_, back) = host.lost().await;
        let (mut client, socket) = host.connect(&back).await;
        assert!(client.is_sent_what_it_missed().await);
        assert!(socket.recovered());
    }
}

#[tokio::test]
async fn a_lost_socket_can_leave_a_room_and_be_ended() {
    let mut host = Host::start(None).await;
    let (hers, back) = host.lost().await;
    hers.leave("hers").await.unwrap();
    let (mut client, socket) = host.connect(&back).await;
    assert!(!client.is_sent_what_it_missed().await);
    assert!(socket.recovered() && socket.rooms().is_empty());

    let (hers, back) = host.lost().await;
    hers.disconnect().await.unwrap();
    let (_client, socket) = host.connect(&back).await;
    assert!(!socket.recovered());
}
