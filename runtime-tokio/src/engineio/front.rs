//! The front itself: what is served, and how it is answered.

use std::sync::Arc;

use axum::{
    body::{Body, BodyDataStream},
    extract::Request,
    http::{
        HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, UPGRADE,
            X_CONTENT_TYPE_OPTIONS,
        },
        request::Parts,
    },
    response::Response,
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use selvedge_core::{
    Secret,
    engineio::{sessions::Arrival, transport::Answer},
    http::CallId,
    ws::{ConnId, Event},
};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};

use super::{
    Open, Origins,
    handshake::{Refused, Wanted},
};
use crate::{
    serve::{
        call::{Call, Stopped},
        cors::Cors,
        random,
    },
    ws::{self, Limits, ReadAhead},
};

/// Serves the requests of one server of Engine.IO sessions. `I` is what its machine takes.
#[derive(Debug)]
pub struct Front<I> {
    inbox: mpsc::Sender<I>,
    input: fn(Arrival) -> I,
    open: Arc<Open>,
    cors: Cors,
    payload_max: usize,
    queue: Limits,
}

impl<I: Send + 'static> Front<I> {
    /// A front of the machine that takes from `inbox`. `payload_max` is what its sessions announce
    /// as `maxPayload`: not much more of a body or a frame is read.
    pub fn new(
        inbox: mpsc::Sender<I>,
        input: fn(Arrival) -> I,
        origins: &Origins,
        payload_max: u64,
    ) -> Self {
        Self::with(inbox, input, (Arc::default(), origins.into()), payload_max)
    }

    pub(crate) fn with(
        inbox: mpsc::Sender<I>,
        input: fn(Arrival) -> I,
        (open, cors): (Arc<Open>, Cors),
        payload_max: u64,
    ) -> Self {
        Self {
            inbox,
            input,
            open,
            cors,
            payload_max: usize::try_from(payload_max).unwrap_or(usize::MAX),
            queue: Limits::default(),
        }
    }

    /// With limits for what may wait on a WebSocket for a client that does not read.
    #[must_use]
    pub const fn queue(mut self, queue: Limits) -> Self {
        self.queue = queue;
        self
    }

    /// With what browsers let pages of other origins do.
    #[must_use]
    pub fn cors(mut self, cors: &super::Cors) -> Self {
        self.cors = self.cors.with(cors.credentials, &cors.headers);
        self
    }

    /// What is open here: for the world that drives the machine.
    pub fn open(&self) -> &Arc<Open> {
        &self.open
    }

    /// Answers one request, whatever its path. Of one that may begin a session, `begins` is told
    /// the `sid` that the session would have, before the machine is. What it returns is dropped
    /// with the answer, or with the end of the WebSocket.
    pub async fn serve<G: Send + 'static>(
        &self,
        request: Request,
        begins: impl FnOnce(&Secret, &Parts) -> G,
    ) -> Response {
        let (mut head, body) = request.into_parts();
        if let Some(answer) = self.cors.preflight(&head.method, &head.headers) {
            return answer;
        }
        let wanted = Wanted::of(&head.method, &head.uri, &head.headers, &self.cors);
        let mut answer = match wanted {
            Ok(wanted) => self.carry_out(wanted, &mut head, body, begins).await,
            Err(refused) => refused.answer(),
        };
        self.cors.mark(&head.headers, &mut answer);
        answer
    }

    async fn carry_out<G: Send + 'static>(
        &self,
        wanted: Wanted,
        head: &mut Parts,
        body: Body,
        begins: impl FnOnce(&Secret, &Parts) -> G,
    ) -> Response {
        let fresh = match random::key("") {
            Ok(fresh) => fresh,
            Err(error) => {
                tracing::error!(%error, "no session can begin");
                return unavailable();
            }
        };
        let answered = match wanted {
            Wanted::Poll { sid } => {
                let _begun = sid.is_none().then(|| begins(&fresh, head));
                self.poll(sid, fresh).await
            }
            Wanted::Post { sid } => self.post(sid, body).await,
            Wanted::Socket {
                sid,
                accept,
                base64,
            } => {
                let begun = sid.is_none().then(|| begins(&fresh, head));
                Ok(self.upgrade(head, accept, (sid, fresh, base64), begun))
            }
        };
        answered.unwrap_or_else(|Stopped| unavailable())
    }

    /// A request that is about to be told of.
    fn call(&self) -> (CallId, Call<I, Answer>) {
        let call = self.open.next_call();
        let gone = (self.input)(Arrival::Gone { call });
        (
            call,
            Call::new(call, self.inbox.clone(), &self.open.calls, gone),
        )
    }

    async fn poll(&self, sid: Option<Secret>, fresh: Secret) -> Result<Response, Stopped> {
        let (call, mut waiting) = self.call();
        let arrival = Arrival::Poll { call, sid, fresh };
        Ok(answer(waiting.ask((self.input)(arrival)).await?, POLLED))
    }

    /// A body that is too large is handed over as far as that can be seen: it is for the session to
    /// end of it. How long a body takes is bounded by the session's heartbeat.
    async fn post(&self, sid: Secret, body: Body) -> Result<Response, Stopped> {
        let (call, mut waiting) = self.call();
        let posting = Arrival::Posting { call, sid };
        waiting.tell((self.input)(posting)).await?;
        let read = tokio::select! {
            biased;
            early = waiting.answer() => return Ok(answer(early?, POSTED)),
            read = read(body.into_data_stream(), self.payload_max) => read,
        };
        let Ok(body) = read else {
            return Ok(Refused::BadRequest.answer());
        };
        let post = Arrival::Post { call, body };
        Ok(answer(waiting.ask((self.input)(post)).await?, POSTED))
    }

    fn upgrade<G: Send + 'static>(
        &self,
        head: &mut Parts,
        accept: HeaderValue,
        (sid, fresh, base64): (Option<Secret>, Secret, bool),
        begun: Option<G>,
    ) -> Response {
        if let Some(upgrade) = head.extensions.remove::<OnUpgrade>() {
            let conn = self.open.next_conn();
            let socket = Socket {
                conn,
                inbox: self.inbox.clone(),
                input: self.input,
                open: Arc::clone(&self.open),
                frame_max: self.payload_max,
                queue: self.queue,
                session: sid.as_ref().unwrap_or(&fresh).clone(),
            };
            tokio::spawn(async move {
                let _begun = begun;
                let opened = Arrival::Socket {
                    conn,
                    sid,
                    fresh,
                    base64,
                };
                socket.serve(upgrade, opened).await;
            });
        } else {
            return Refused::BadRequest.answer();
        }
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = answer.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        answer
    }
}

/// One WebSocket that is being opened.
struct Socket<I> {
    conn: ConnId,
    inbox: mpsc::Sender<I>,
    input: fn(Arrival) -> I,
    open: Arc<Open>,
    frame_max: usize,
    queue: Limits,
    session: Secret,
}

impl<I: Send + 'static> Socket<I> {
    /// Serves it until it ends.
    async fn serve(self, upgrade: OnUpgrade, opened: Arrival) {
        let Self {
            conn,
            inbox,
            input,
            open,
            frame_max,
            queue,
            session,
        } = self;
        let upgraded = match upgrade.await {
            Ok(upgraded) => ReadAhead::new(TokioIo::new(upgraded)),
            Err(error) => {
                return tracing::debug!(%error, "a WebSocket broke before it was open");
            }
        };
        let config = ws::config(frame_max);
        let socket = WebSocketStream::from_raw_socket(upgraded, Role::Server, Some(config)).await;
        let (handle, pump) = ws::open_within(socket, queue);
        let _serving = open.serving();
        open.began(&session, handle.backlog().clone());
        open.conns.insert(conn, handle);
        if inbox.send(input(opened)).await.is_err() {
            open.conns.remove(&conn);
            drop(pump);
            return open.ended(&session);
        }
        let conns = Arc::clone(&open);
        let input = move |event: Event| {
            if let Event::Closed(how) = &event {
                tracing::debug!(conn = conn.0, ?how, "a WebSocket ended");
                conns.conns.remove(&conn);
            }
            input(Arrival::Transport(conn, event))
        };
        pump.run(inbox, input).await;
        open.ended(&session);
    }
}

/// Reads a body, and stops once it is larger than `max`.
async fn read(mut body: BodyDataStream, max: usize) -> Result<Bytes, axum::Error> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = body.next().await {
        whole.extend_from_slice(&chunk?);
        if whole.len() > max {
            break;
        }
    }
    Ok(whole.freeze())
}

/// The official server's type of what a poll gets.
const POLLED: &str = "text/plain; charset=UTF-8";
/// And of what a post gets.
const POSTED: &str = "text/html";

/// `content` is what is in the body, where it is no refusal.
fn answer(answer: Answer, content: &'static str) -> Response {
    let content = if answer.status == 200 {
        content
    } else {
        "application/json"
    };
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in [
        (CONTENT_TYPE, content),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// There is no machine, or it cannot begin anything.
fn unavailable() -> Response {
    let body = json!({ "code": Refused::BadRequest as u8, "message": "Service unavailable" });
    let body = body.to_string().into();
    answer(Answer { status: 503, body }, POLLED)
}

impl Refused {
    fn answer(self) -> Response {
        let body = json!({ "code": self as u8, "message": self.words() });
        let (status, body) = (self.status(), body.to_string().into());
        answer(Answer { status, body }, POLLED)
    }
}

#[cfg(test)]
#[path = "front_tests.rs"]
mod tests;
