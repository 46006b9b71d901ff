//! The front before a machine that the test plays.

use std::time::Duration;

use axum::http::{Method, header::ORIGIN};
use selvedge_core::{engineio::sessions::Effect, http::CallId};
use tokio::{sync::mpsc::Receiver, task::JoinHandle, time::timeout};

use super::*;

const QUERY: &str = "/?EIO=4&transport=polling";

struct Scene {
    front: Arc<Front<Arrival>>,
    arrivals: Receiver<Arrival>,
}

impl Scene {
    fn new() -> Self {
        let (inbox, arrivals) = mpsc::channel(8);
        let front = Front::new(inbox, |arrival| arrival, &Origins::Own, 10);
        let front = Arc::new(front);
        Self { front, arrivals }
    }

    fn request(
        &self,
        method: Method,
        query: &str,
        body: Body,
    ) -> JoinHandle<(Response, Vec<String>)> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = format!("{QUERY}{query}").parse().unwrap();
        self.send(request)
    }

    fn send(&self, request: Request) -> JoinHandle<(Response, Vec<String>)> {
        let front = Arc::clone(&self.front);
        tokio::spawn(async move {
            let mut begun = Vec::new();
            let begins = |sid: &Secret, _: &Parts| begun.push(sid.expose().to_owned());
            let response = front.serve(request, begins).await;
            (response, begun)
        })
    }

    async fn next(&mut self) -> Arrival {
        let next = timeout(Duration::from_secs(60), self.arrivals.recv());
        next.await.unwrap().unwrap()
    }

    async fn posting(&mut self) -> CallId {
        let Arrival::Posting { call, sid } = self.next().await else {
            panic!("not a post");
        };
        assert_eq!(sid.expose(), "x");
        call
    }

    fn answer(&self, call: CallId, status: u16, body: &'static str) {
        let body = Bytes::from_static(body.as_bytes());
        self.front
            .open()
            .carry_out(Effect::Answer { call, status, body });
    }
}

/// The status, the content type and the body of an answer that nothing may keep.
async fn read_all(response: Response) -> (u16, String, String) {
    let (head, body) = response.into_parts();
    assert_eq!(head.headers[CACHE_CONTROL], "no-store");
    let content = head.headers[CONTENT_TYPE].to_str().unwrap().to_owned();
    let body = axum::body::to_bytes(body, 1_000).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    (head.status.as_u16(), content, body)
}

#[tokio::test]
async fn a_poll_waits_for_its_answer_and_says_what_begins() {
    let mut scene = Scene::new();
    let asked = scene.request(Method::GET, "", Body::empty());
    let Arrival::Poll {
        call,
        sid: None,
        fresh,
    } = scene.next().await
    else {
        panic!("not a first poll");
    };
    scene.answer(call, 200, "0{}");
    let (response, begun) = asked.await.unwrap();
    assert_eq!(begun, [fresh.expose()]);
    let plain = "text/plain; charset=UTF-8".to_owned();
    assert_eq!(read_all(response).await, (200, plain, "0{}".into()));

    let asked = scene.request(Method::GET, "&sid=x", Body::empty());
    let Arrival::Poll { call, sid, .. } = scene.next().await else {
        panic!("not a poll");
    };
    assert_eq!(sid, Some(Secret::new("x")));
    scene.answer(call, 400, "{}");
    let (response, begun) = asked.await.unwrap();
    assert!(begun.is_empty());
    let json = "application/json".to_owned();
    assert_eq!(read_all(response).await, (400, json, "{}".into()));
}

#[tokio::test]
async fn a_post_is_told_of_before_its_body_and_handed_over_whole() {
    let mut scene = Scene::new();
    let (chunks, body) = mpsc::channel::<Result<&'static str, std::io::Error>>(8);
    let body = futures::stream::unfold(body, |mut body| async move {
        let chunk = body.recv().await?;
        Some((chunk, body))
    });
    let posted = scene.request(Method::POST, "&sid=x", Body::from_stream(body));
    let posting = scene.posting().await;
    for chunk in ["4a", "\u{1e}", "4b"] {
        chunks.send(Ok(chunk)).await.unwrap();
    }
    drop(chunks);
    let Arrival::Post { call, body } = scene.next().await else {
        panic!("no body");
    };
    assert_eq!((call, body.as_ref()), (posting, &b"4a\x1e4b"[..]));
    scene.answer(call, 200, "ok");
    let (response, _) = posted.await.unwrap();
    assert_eq!(
        read_all(response).await,
        (200, "text/html".into(), "ok".into())
    );
}

#[tokio::test]
async fn an_answer_before_the_body_ends_the_reading() {
    let mut scene = Scene::new();
    let endless = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
    let posted = scene.request(Method::POST, "&sid=x", endless);
    let call = scene.posting().await;
    scene.answer(call, 400, "{}");
    let (response, _) = posted.await.unwrap();
    assert_eq!(response.status(), 400);
    drop(scene.front);
    assert_eq!(scene.arrivals.recv().await, None);
}

#[tokio::test]
async fn of_a_body_that_is_too_large_so_much_is_handed_over_that_it_shows() {
    let mut scene = Scene::new();
    let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>("123456"));
    let posted = scene.request(Method::POST, "&sid=x", Body::from_stream(endless));
    scene.posting().await;
    let Arrival::Post { call, body } = scene.next().await else {
        panic!("no body");
    };
    assert_eq!(body.len(), 12);
    scene.answer(call, 413, "{}");
    assert_eq!(posted.await.unwrap().0.status(), 413);
}

#[tokio::test]
async fn a_client_that_goes_is_told_of_once() {
    let mut scene = Scene::new();
    for method in [Method::GET, Method::POST] {
        let endless = futures::stream::pending::<Result<Bytes, std::io::Error>>();
        let asked = scene.request(method, "&sid=x", Body::from_stream(endless));
        let call = match scene.next().await {
            Arrival::Poll { call, .. } | Arrival::Posting { call, .. } => call,
            other @ (Arrival::Socket { .. }
            | Arrival::Transport(..)
            | Arrival::Post { .. }
            | Arrival::Gone { .. }) => panic!("{other:?}"),
        };
        asked.abort();
        assert_eq!(scene.next().await, Arrival::Gone { call });
        scene.answer(call, 200, "too late");
    }
    let broken = futures::stream::once(async { Err::<Bytes, _>(std::io::Error::other("broken")) });
    let posted = scene.request(Method::POST, "&sid=x", Body::from_stream(broken));
    let call = scene.posting().await;
    assert_eq!(scene.next().await, Arrival::Gone { call });
    assert_eq!(posted.await.unwrap().0.status(), 400);
}

#[tokio::test]
async fn without_a_machine_nobody_waits() {
    let mut scene = Scene::new();
    let asked = scene.request(Method::GET, "&sid=x", Body::empty());
    scene.next().await;
    scene.front.open().close();
    assert_eq!(asked.await.unwrap().0.status(), 503);
    scene.arrivals.close();
    let asked = scene.request(Method::GET, "&sid=x", Body::empty());
    assert_eq!(asked.await.unwrap().0.status(), 503);
}

#[tokio::test]
async fn a_foreign_page_reaches_nothing() {
    let mut scene = Scene::new();
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = format!("{QUERY}&sid=x").parse().unwrap();
    let origin = HeaderValue::from_static("https://evil.example");
    request.headers_mut().insert(ORIGIN, origin);
    let (response, _) = scene.send(request).await.unwrap();
    let words = r#"{"code":4,"message":"Forbidden"}"#;
    let json = "application/json".to_owned();
    assert_eq!(read_all(response).await, (403, json, words.into()));
    drop(scene.front);
    assert_eq!(scene.arrivals.recv().await, None);
}
