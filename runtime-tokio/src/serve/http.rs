//! HTTP serving: the accept loop, whole requests in, whole answers out.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, BodyDataStream, HttpBody as _},
    extract::Request as HttpRequest,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{
            ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
            X_CONTENT_TYPE_OPTIONS,
        },
        request::Parts,
    },
    response::Response as HttpResponse,
};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, future::BoxFuture};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use selvedge_core::{
    Secret,
    fabric::error::ErrorBody,
    http::{Method, Request, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use super::{
    idle::{Answer, Connection, Idle},
    stall::Impatient,
};

/// How many HTTP connections are open at once. Where there are as many, the one that has been idle
/// longest makes room for the next; where all of them are at work, what comes waits in the system's
/// backlog. WebSockets are not among them.
const CONNECTIONS_MAX: usize = 4_096;

/// How long a connection may take for the head of a request, and so also how long it may idle.
/// Longer than what reverse proxies keep an idle connection for, so that they close it first.
const HEAD_PATIENCE: Duration = Duration::from_secs(75);

/// How long a request may take for its body.
const BODY_PATIENCE: Duration = Duration::from_secs(30);

/// How long the peer may take nothing of what it is sent. Without that, as many answers that nobody
/// reads as there are places would close the server to everybody.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);

/// How much of a body that is too large is read and thrown away, as a multiple of its limit: most
/// clients read the refusal only after they have sent everything.
const DISCARD_FACTOR: usize = 8;

/// How long requests may go on when the server stops.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// The largest head of a request.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// A server that is up.
#[derive(Debug)]
pub(crate) struct Server {
    addr: SocketAddr,
    stop: watch::Sender<bool>,
    /// `None` once it has ended.
    task: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves `router` on `listener`.
    pub(crate) fn start(listener: TcpListener, router: Router) -> io::Result<Self> {
        let addr = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let task = Some(tokio::spawn(accept(
            listener,
            router,
            stopped,
            CONNECTIONS_MAX,
        )));
        Ok(Self { addr, stop, task })
    }

    /// Where it listens.
    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Accepts nothing more, lets open requests finish, and returns when they have or their
    /// patience is over.
    pub(crate) async fn stop(&mut self) {
        self.stop.send_replace(true);
        if let Some(task) = self.task.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "an HTTP server ended badly");
        }
    }
}

async fn accept(
    listener: TcpListener,
    router: Router,
    mut stopped: watch::Receiver<bool>,
    most: usize,
) {
    let places = Arc::new(Semaphore::new(most));
    let idle = Idle::default();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = told(&mut stopped) => break,
            accepted = async {
                let (stream, _) = listener.accept().await?;
                if places.available_permits() == 0 {
                    idle.cut_longest();
                }
                Ok::<_, io::Error>((Arc::clone(&places).acquire_owned().await, stream))
            } => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((Ok(place), stream)) => {
                let (router, stopped) = (router.clone(), stopped.clone());
                let connection = idle.enter();
                connections.spawn(async move {
                    let _place = place;
                    converse(stream, router, connection, stopped).await;
                });
            }
            Ok((Err(_), _)) => break,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                // Out of descriptors, most likely: some must be given back first.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// The router, as one connection asks it.
struct Asked {
    router: TowerToHyperService<Router>,
    connection: Arc<Connection>,
}

impl hyper::service::Service<hyper::Request<Incoming>> for Asked {
    type Response = HttpResponse;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<HttpResponse, Infallible>>;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        let busy = self.connection.work();
        let answer = self.router.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            Ok(answer.map(|body| Body::new(Answer::new(body, busy))))
        })
    }
}

/// Serves one connection until it ends, its place is needed, or the server stops.
async fn converse(
    stream: TcpStream,
    router: Router,
    place: Arc<Connection>,
    mut stopped: watch::Receiver<bool>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection ended before it began");
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(
            TokioIo::new(Impatient::new(stream, WRITE_PATIENCE)),
            Asked {
                router: TowerToHyperService::new(router),
                connection: Arc::clone(&place),
            },
        )
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        biased;
        result = connection.as_mut() => result,
        () = place.cut() => return,
        () = told(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            match timeout(STOP_PATIENCE, connection).await {
                Ok(result) => result,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "an HTTP connection broke");
    }
}

/// Returns when the server stops, or was dropped.
async fn told(stopped: &mut watch::Receiver<bool>) {
    // An error says that nobody is left to stop it otherwise.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Reads a whole request as machines see it; `Err` is what to answer in its place.
pub(crate) async fn read(request: HttpRequest, body_max: usize) -> Result<Request, Response> {
    let (head, body) = request.into_parts();
    let mut request = without_body(&head)?;
    let announced = body.size_hint().lower();
    let whole = collect(body.into_data_stream(), announced, body_max);
    request.body = timeout(BODY_PATIENCE, whole)
        .await
        .unwrap_or_else(|_| Err(refusal(408, "the body did not arrive in time".into())))?;
    Ok(request)
}

/// A request as machines see it, but for its body; `Err` is what to answer in its place.
pub(crate) fn without_body(head: &Parts) -> Result<Request, Response> {
    let method = match head.method.as_str() {
        // What answers GET answers HEAD (RFC 9110, section 9.1), and hyper sends no body then.
        "GET" | "HEAD" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "PATCH" => Method::Patch,
        "DELETE" => Method::Delete,
        other => {
            let words = format!("the method {other:.20} is not served here");
            return Err(refusal(405, words));
        }
    };
    let target = head
        .uri
        .path_and_query()
        .map_or_else(|| "/".into(), |target| target.as_str().to_owned());
    let bearer = bearer(&head.headers);
    Ok(Request {
        method,
        target,
        bearer,
        body: Bytes::new(),
    })
}

async fn collect(mut body: BodyDataStream, announced: u64, max: usize) -> Result<Bytes, Response> {
    let discard_max = max.saturating_mul(DISCARD_FACTOR);
    let too_large = || refusal(413, format!("the body is larger than {max} bytes"));
    if announced > discard_max as u64 {
        return Err(too_large());
    }
    let mut whole = BytesMut::new();
    let mut length = 0_usize;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| refusal(400, format!("the body broke off: {error}")))?;
        length = length.saturating_add(chunk.len());
        if length > discard_max {
            break;
        }
        if length <= max {
            whole.extend_from_slice(&chunk);
        }
    }
    if length > max {
        return Err(too_large());
    }
    Ok(whole.freeze())
}

/// The bearer token of a request; the scheme's name has no case (RFC 9110, section 11.1).
fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| Secret::new(token.trim()))
}

/// An answer as HTTP has it. Answers are for their asker alone and are never guessed to be HTML.
pub(crate) fn respond(response: Response) -> HttpResponse {
    let mut answer = HttpResponse::new(Body::from(response.body));
    *answer.status_mut() =
        StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if response.status == 401 {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(span) = response.retry_after {
        // Rounded up: who comes back too early is refused once more.
        let seconds = span.as_secs() + u64::from(span.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// Says in an answer of 405 what is served instead.
pub(crate) fn allow(answer: &mut HttpResponse, methods: &str) {
    // Names of methods are what a header's value can be.
    if let Ok(methods) = HeaderValue::from_str(methods) {
        answer.headers_mut().insert(ALLOW, methods);
    }
}

/// An answer with a body of JSON.
pub(crate) fn json(status: u16, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => Response {
            status,
            retry_after: None,
            body: body.into(),
        },
        Err(error) => {
            tracing::error!(%error, "an answer does not serialise");
            Response {
                status: 500,
                retry_after: None,
                body: Bytes::new(),
            }
        }
    }
}

/// A refusal in Fabric's shape.
pub(crate) fn refusal(status: u16, words: String) -> Response {
    json(status, &ErrorBody::new(status, words))
}

/// Reads the body of a request; the refusal names the field that is wrong.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Response> {
    // A list would be taken for the fields in their order.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(refusal(400, "body: expected a JSON object".into()));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let words = error.inner().to_string();
        let field = if path == "." { "body".into() } else { path };
        refusal(400, format!("{field}: {words}"))
    })?;
    json.end()
        .map_err(|error| refusal(400, format!("body: {error}")))?;
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use selvedge_core::fabric::center::Introspection;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn a_broken_body_is_refused_with_its_field() {
        for (body, words) in [
            (r#"{"active":1}"#, "active: invalid type"),
            ("{}", "body: missing field `active`"),
            (r#"{"active":true} x"#, "body: trailing"),
            (r#"{"active""#, "body: EOF"),
            ("", "body: expected a JSON object"),
            ("[true]", "body: expected a JSON object"),
        ] {
            let refusal = parse::<Introspection>(body.as_bytes()).unwrap_err();
            let error: ErrorBody = serde_json::from_slice(&refusal.body).unwrap();
            assert_eq!((refusal.status, error.status_code), (400, 400));
            assert!(
                error.message.to_string().starts_with(words),
                "{}",
                error.message
            );
        }
    }

    /// Asks over a connection; what comes back, and nothing where it was cut.
    async fn ask(stream: &mut TcpStream, target: &str) -> String {
        let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n");
        let mut answer = [0; 1_024];
        let _ = stream.write_all(request.as_bytes()).await;
        let length = stream.read(&mut answer).await.unwrap_or_default();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    #[tokio::test]
    async fn whoever_is_idle_makes_room_and_whoever_is_at_work_does_not() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (release, released) = watch::channel(false);
        let slow = move || {
            let mut released = released.clone();
            async move {
                told(&mut released).await;
                "slow"
            }
        };
        let router = Router::new()
            .route("/slow", axum::routing::get(slow))
            .route("/", axum::routing::get(|| async { "quick" }));
        let (stop, stopped) = watch::channel(false);
        let server = tokio::spawn(accept(listener, router, stopped, 3));
        let connect = || async { TcpStream::connect(addr).await.unwrap() };
        let mut silent = connect().await;
        let mut kept = connect().await;
        assert!(ask(&mut kept, "/").await.ends_with("quick"));
        let mut working = connect().await;
        working
            .write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let mut next = connect().await;
        assert!(ask(&mut next, "/").await.ends_with("quick"));
        assert_eq!(ask(&mut silent, "/").await, "", "it had been idle longest");
        assert!(ask(&mut kept, "/").await.ends_with("quick"));
        let mut last = connect().await;
        assert!(ask(&mut last, "/").await.ends_with("quick"));
        assert_eq!(
            ask(&mut next, "/").await,
            "",
            "the other one was idle since"
        );
        release.send_replace(true);
        let mut answer = [0; 1_024];
        let length = working.read(&mut answer).await.unwrap();
        assert!(answer[..length].ends_with(b"slow"));
        drop((silent, kept, working, next, last));
        stop.send_replace(true);
        server.await.unwrap();
    }

    #[test]
    fn a_pause_is_rounded_up_to_whole_seconds() {
        let mut response = refusal(429, "later".into());
        response.retry_after = Some(Duration::from_millis(1_001));
        let answer = respond(response);
        assert_eq!(answer.headers()[RETRY_AFTER], "2");
    }
}
