//! What the proxy does to connections, seen from both of their ends.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use super::{
    fault::{Mood, Way},
    *,
};
use crate::PATIENCE;

/// A server, and a proxy before it.
struct Scene {
    server: TcpListener,
    faults: Faults,
}

impl Scene {
    async fn start(late: bool) -> Self {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = Options {
            server: server.local_addr().unwrap().port(),
            late,
        };
        let rng = Rng::from_number(7);
        let faults = Faults::start(options, &rng, Tally::default()).unwrap();
        Self { server, faults }
    }

    /// A connection: its client's end, and its server's.
    async fn dial(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(("127.0.0.1", self.faults.port()));
        let client = client.await.unwrap();
        let server = timeout(PATIENCE, self.server.accept()).await;
        (client, server.unwrap().unwrap().0)
    }
}

/// Carries one connection in this mood: its client's end, its server's, and what sets the mood.
async fn line(mood: Mood, late: bool) -> (TcpStream, TcpStream, watch::Sender<Mood>) {
    let inner = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let outer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(outer.local_addr().unwrap())
        .await
        .unwrap();
    let (mut near, _) = outer.accept().await.unwrap();
    let mut far = TcpStream::connect(inner.local_addr().unwrap())
        .await
        .unwrap();
    let (server, _) = inner.accept().await.unwrap();
    let (moods, mood) = watch::channel(mood);
    tokio::spawn(async move { line::pumped(&mut near, &mut far, mood, late).await });
    (client, server, moods)
}

async fn reads(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let read = timeout(PATIENCE, stream.read_exact(&mut bytes)).await;
    read.unwrap().unwrap();
    bytes
}

/// What still comes until the end, and how that comes.
async fn rest(stream: &mut TcpStream) -> (Vec<u8>, Option<io::ErrorKind>) {
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    (bytes, read.unwrap().err().map(|error| error.kind()))
}

#[tokio::test]
async fn in_calm_weather_everything_passes() {
    let scene = Scene::start(true).await;
    let (mut client, mut server) = scene.dial().await;
    client.write_all(b"hello").await.unwrap();
    assert_eq!(reads(&mut server, 5).await, b"hello");
    server.write_all(b"hi").await.unwrap();
    server.shutdown().await.unwrap();
    assert_eq!(rest(&mut client).await, (b"hi".to_vec(), None));
    assert_eq!(scene.faults.tally().to_string(), "");
}

#[tokio::test]
async fn nobody_answers_for_a_server_that_is_gone() {
    let scene = Scene::start(true).await;
    let port = scene.faults.port();
    drop(scene.server);
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (bytes, how) = rest(&mut client).await;
    assert_eq!(
        (bytes.len(), how),
        (0, Some(io::ErrorKind::ConnectionReset))
    );
}

#[tokio::test]
async fn a_chunk_is_cut_and_both_sides_are_closed() {
    let (mut client, mut server, _moods) = line(Mood::Cut(Way::Down), true).await;
    client.write_all(b"ask").await.unwrap();
    assert_eq!(reads(&mut server, 3).await, b"ask");
    server.write_all(b"answer").await.unwrap();
    assert_eq!(rest(&mut client).await, (b"ans".to_vec(), None));
    assert_eq!(rest(&mut server).await.0, b"");
}

#[tokio::test]
async fn both_sides_are_reset() {
    let (mut client, mut server, _moods) = line(Mood::Reset(Way::Up), true).await;
    client.write_all(b"ask").await.unwrap();
    let reset = (vec![], Some(io::ErrorKind::ConnectionReset));
    assert_eq!(rest(&mut client).await, reset);
    assert_eq!(rest(&mut server).await, reset);
}

#[tokio::test]
async fn one_direction_is_swallowed_and_the_other_passes() {
    let (mut client, mut server, _moods) = line(Mood::Swallow(Way::Up), true).await;
    client.write_all(b"lost").await.unwrap();
    client.shutdown().await.unwrap();
    server.write_all(b"heard").await.unwrap();
    assert_eq!(reads(&mut client, 5).await, b"heard");
    // Neither the bytes nor the end of the client have come.
    let nothing = timeout(Duration::from_millis(100), server.read_u8()).await;
    assert!(nothing.is_err(), "{nothing:?}");
}

#[tokio::test]
async fn what_was_held_goes_on() {
    let (mut client, mut server, moods) = line(Mood::Hold, false).await;
    client.write_all(b"wait").await.unwrap();
    let nothing = timeout(Duration::from_millis(100), server.read_u8()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    moods.send_replace(Mood::Pass);
    assert_eq!(reads(&mut server, 4).await, b"wait");
}

#[tokio::test]
async fn what_was_held_of_a_client_that_is_gone_comes_late_or_never() {
    for (late, arrives) in [(true, "post"), (false, "")] {
        let (mut client, mut server, moods) = line(Mood::Hold, late).await;
        client.write_all(b"post").await.unwrap();
        // Until the proxy has the bytes, and has been told of the end.
        sleep(Duration::from_millis(100)).await;
        drop(client);
        sleep(Duration::from_millis(100)).await;
        moods.send_replace(Mood::Pass);
        assert_eq!(rest(&mut server).await.0, arrives.as_bytes());
    }
}

#[tokio::test]
async fn a_storm_does_everything_and_counts_it() {
    let scene = Scene::start(true).await;
    scene.faults.storm(true);
    let kinds = [
        Kind::Delay,
        Kind::Stall,
        Kind::HalfOpen,
        Kind::Reset,
        Kind::Cut,
        Kind::Refusal,
    ];
    let Scene { server, faults } = scene;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = server.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    let port = faults.port();
    let mut talkers = JoinSet::new();
    for _ in 0..40 {
        talkers.spawn(async move {
            loop {
                if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await {
                    while stream.write_all(b"hello").await.is_ok()
                        && timeout(Duration::from_secs(1), stream.read_u8())
                            .await
                            .is_ok_and(|read| read.is_ok())
                    {
                        sleep(Duration::from_millis(10)).await;
                    }
                }
                sleep(Duration::from_millis(50)).await;
            }
        });
    }
    let all = timeout(PATIENCE, async {
        while kinds.iter().any(|kind| faults.tally().of(*kind) == 0) {
            sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(all.await.is_ok(), "only {}", faults.tally());
}
