//! REST against servers on the loopback that misbehave.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::tls;

fn client() -> Client {
    Client::new(&tls::client_config(None).unwrap(), None).unwrap()
}

/// A server that reads a request and then does as it is told, once for each connection.
async fn server<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = tcp.read(&mut request).await.unwrap();
            serve(tcp).await;
        }
    });
    origin
}

fn answering(answer: String) -> impl Future<Output = String> {
    server(move |mut tcp| {
        let answer = answer.clone();
        async move {
            let _ = tcp.write_all(answer.as_bytes()).await;
        }
    })
}

fn get() -> Request {
    Request {
        method: Method::Get,
        target: "/api/channels".into(),
        bearer: Some(Secret::new("very-secret-token")),
        body: Bytes::new(),
    }
}

fn with_key() -> Login {
    Login::ApiKey {
        api_key: Secret::new("very-secret-key"),
    }
}

#[tokio::test]
async fn an_answer_comes_whole_with_its_retry_after() {
    let origin = answering(
        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{}".into(),
    )
    .await;
    let answer = client().send(&origin, get()).await.unwrap();
    assert_eq!(
        answer,
        Response {
            status: 429,
            retry_after: Some(Duration::from_secs(7)),
            body: Bytes::from_static(b"{}"),
        }
    );
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let origin = answering(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: \
         0\r\n\r\n"
            .into(),
    )
    .await;
    assert_eq!(client().send(&origin, get()).await.unwrap().status, 307);
}

#[tokio::test]
async fn nobody_listening_is_unreachable_and_a_reset_is_broken() {
    let unreachable = client()
        .send("http://127.0.0.1:1", get())
        .await
        .unwrap_err();
    assert!(
        matches!(unreachable, Failure::Unreachable(_)),
        "{unreachable:?}"
    );
    let nonsense = client().send("no origin", get()).await.unwrap_err();
    assert!(matches!(nonsense, Failure::Unreachable(_)), "{nonsense:?}");
    let origin = server(|tcp| async move {
        tcp.set_zero_linger().unwrap();
    })
    .await;
    let broken = client().send(&origin, get()).await.unwrap_err();
    assert!(matches!(broken, Failure::Broken(_)), "{broken:?}");
    let origin = answering("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".into()).await;
    let broken = client().send(&origin, get()).await.unwrap_err();
    assert!(matches!(broken, Failure::Broken(_)), "{broken:?}");
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let announced = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 9 << 20);
    let origin = answering(announced).await;
    assert_eq!(client().send(&origin, get()).await, Err(Failure::TooLarge));
    let origin = server(|mut tcp| async move {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let _ = tcp.write_all(head.as_bytes()).await;
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        while tcp.write_all(chunk.as_bytes()).await.is_ok() {}
    })
    .await;
    assert_eq!(client().send(&origin, get()).await, Err(Failure::TooLarge));
}

#[tokio::test]
async fn a_login_tells_how_long_each_token_lives() {
    // {"iat":1000,"exp":1600}
    let jwt = "e30.eyJpYXQiOjEwMDAsImV4cCI6MTYwMH0.mac";
    let body = format!(
        r#"{{"user":{{"id":"u_1","name":"echo"}},"accessToken":"a","guildAccessTokens":[
            {{"guildNodeId":"n1","guildId":"g1","baseUrl":"http://127.0.0.1:7002/","token":"{jwt}"}},
            {{"guildNodeId":"n2","token":"opaque","expiresAt":"2026-01-31T12:05:00.000Z"}},
            {{"guildNodeId":"n3","token":"opaque"}}]}}"#
    );
    let origin = answering(format!(
        "HTTP/1.1 201 Created\r\nDate: Sat, 31 Jan 2026 12:00:00 GMT\r\nContent-Length: \
         {}\r\n\r\n{body}",
        body.len()
    ))
    .await;
    let session = client().login(&origin, &with_key()).await.unwrap();
    assert_eq!(session.user.id.as_str(), "u_1");
    let told: Vec<_> = session
        .grants
        .iter()
        .map(|grant| {
            (
                grant.guild_id.as_str(),
                grant.base_url.as_deref(),
                grant.life.as_secs(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("g1", Some("http://127.0.0.1:7002"), 600),
            ("n2", None, 300),
            ("n3", None, 900)
        ]
    );
}

#[tokio::test]
async fn a_failed_login_says_why_and_shows_no_secret() {
    let refused = |body: &str| {
        answering(format!(
            "HTTP/1.1 401 Unauthorized\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    let origin = refused(
        r#"{"statusCode":401,"error":"Unauthorized","message":"no key very-secret-key here"}"#,
    )
    .await;
    assert_eq!(
        client().login(&origin, &with_key()).await,
        Err(LoginFailure::Refused {
            status: 401,
            message: "no key … here".into()
        })
    );
    let origin = refused("<html>").await;
    assert_eq!(
        client().login(&origin, &with_key()).await,
        Err(LoginFailure::Refused {
            status: 401,
            message: "Unauthorized".into()
        })
    );
    let body = r#"{"user":{"id":"u"},"accessToken":"a","guildAccessTokens":"very-secret-token"}"#;
    let origin = answering(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
    .await;
    assert_eq!(
        client().login(&origin, &with_key()).await,
        Err(LoginFailure::Unavailable(
            "Center's answer is not a session: `guildAccessTokens` is missing or not of its kind \
             (line 1, column 76); is [center] url a Fabric Center?"
                .into()
        ))
    );
    let failure = client().login("http://127.0.0.1:1", &with_key()).await;
    let Err(LoginFailure::Unavailable(words)) = failure else {
        panic!("{failure:?}");
    };
    assert!(
        words.starts_with("Center could not be reached: "),
        "{words}"
    );
    assert!(!words.contains("very-secret"), "{words}");
}

#[tokio::test]
async fn the_proxy_gets_the_request_and_its_credentials() {
    let (asked_in, mut asked) = tokio::sync::mpsc::channel(1);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = tcp.read(&mut request).await.unwrap();
        request.truncate(length);
        asked_in
            .send(String::from_utf8(request).unwrap())
            .await
            .unwrap();
        let _ = tcp
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await;
    });
    let proxy = Proxy::parse(&format!("http://me:word@{address}")).unwrap();
    let client = Client::new(&tls::client_config(None).unwrap(), Some(&proxy)).unwrap();
    let answer = client.send("http://guild.invalid", get()).await.unwrap();
    assert_eq!(answer.status, 200);
    let asked = asked.recv().await.unwrap();
    assert!(
        asked.starts_with("GET http://guild.invalid/api/channels HTTP/1.1\r\n"),
        "{asked}"
    );
    assert!(
        asked.contains("proxy-authorization: Basic bWU6d29yZA=="),
        "{asked}"
    );
}

#[tokio::test]
async fn what_the_proxy_says_of_itself_is_no_answer() {
    let words = |origin: &'static str, url: String| async move {
        let proxy = Proxy::parse(&url).unwrap();
        let client = Client::new(&tls::client_config(None).unwrap(), Some(&proxy)).unwrap();
        let failure = client.send(origin, get()).await.unwrap_err();
        let Failure::Unreachable(why) = failure else {
            panic!("{failure:?}");
        };
        why.replace(&proxy.url(), "PROXY")
    };
    let refusing = |status: &str| {
        answering(format!(
            "HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ))
    };
    let origins = ["http://guild.invalid", "https://guild.invalid"];
    for origin in origins {
        assert_eq!(
            words(origin, refusing("407").await).await,
            "the proxy PROXY wants other credentials; put the user and the password that the proxy \
             knows into its URL"
        );
        assert_eq!(
            words(origin, "http://me:very-secret@127.0.0.1:1".into()).await,
            "no connection to the proxy PROXY: Connection refused (os error 111); see whether the \
             proxy runs and its URL is right"
        );
    }
    assert_eq!(
        words("https://guild.invalid", refusing("502").await).await,
        "the proxy PROXY did not open a tunnel; see whether the proxy lets connections to this \
         server through, and whether the server runs"
    );
    // Without a proxy it is whose it seems.
    let origin = refusing("407").await;
    assert_eq!(client().send(&origin, get()).await.unwrap().status, 407);
}
