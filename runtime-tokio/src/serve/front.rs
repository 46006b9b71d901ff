//! The guild node's front: HTTP requests and WebSockets become inputs of its machine.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::{
    body::Body,
    extract::Request,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode, Uri,
        header::{
            CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
        },
    },
    response::Response,
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use selvedge_core::{
    engineio::sessions::Arrival,
    fabric::{realtime::SOCKET_PATH, routes::PREFIX},
    guild::{Limits, io::Input},
    http::{CallId, Response as Answer},
    ws::{ConnId, Event},
};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::derive_accept_key, protocol::Role},
};

use super::{
    ServeError,
    call::{Call, Stopped},
    cors::Cors,
    http::{json as answer_json, read, refusal, respond},
    random,
    world::{Calls, Conns},
};
use crate::ws;

/// What every request of a guild node is served with.
#[derive(Debug)]
pub(super) struct Front {
    inbox: mpsc::Sender<Input>,
    calls: Arc<Calls>,
    conns: Arc<Conns>,
    cors: Cors,
    body_max: usize,
    frame_max: usize,
    next_call: AtomicU64,
    next_conn: AtomicU64,
}

/// Why an Engine.IO handshake is refused, as Engine.IO numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handshake {
    TransportUnknown = 0,
    SessionUnknown = 1,
    BadMethod = 2,
    BadRequest = 3,
    Forbidden = 4,
    UnsupportedVersion = 5,
}

impl Front {
    pub(super) fn new(
        inbox: mpsc::Sender<Input>,
        calls: Arc<Calls>,
        conns: Arc<Conns>,
        cors: Cors,
        limits: &Limits,
    ) -> Self {
        Self {
            inbox,
            calls,
            conns,
            cors,
            body_max: limits.body_bytes_max,
            frame_max: usize::try_from(limits.frame_bytes_max).unwrap_or(usize::MAX),
            next_call: AtomicU64::new(1),
            next_conn: AtomicU64::new(1),
        }
    }

    /// Answers one request.
    pub(super) async fn serve(self: Arc<Self>, request: Request) -> Response {
        let (method, headers) = (request.method().clone(), request.headers().clone());
        if let Some(answer) = self.cors.preflight(&method, &headers) {
            return answer;
        }
        let path = request.uri().path();
        let mut answer = if path == SOCKET_PATH || path == SOCKET_PATH.trim_end_matches('/') {
            self.upgrade(request)
        } else if path
            .strip_prefix(PREFIX)
            .is_some_and(|rest| rest.starts_with('/'))
        {
            respond(match read(request, self.body_max).await {
                Ok(request) => self.call(request).await,
                Err(refused) => refused,
            })
        } else {
            respond(refusal(404, format!("Cannot {method} {path}")))
        };
        self.cors.mark(&headers, &mut answer);
        answer
    }

    async fn call(&self, request: selvedge_core::http::Request) -> Answer {
        let call = CallId(self.next_call.fetch_add(1, Ordering::Relaxed));
        let mut waiting = Call::new(call, self.inbox.clone(), &self.calls, Input::HttpGone(call));
        let told = waiting.tell(Input::Http { call, request }).await;
        match told {
            Ok(()) => waiting.answer().await,
            Err(Stopped) => Err(Stopped),
        }
        .unwrap_or_else(|Stopped| {
            refusal(503, "the guild node is stopping; try again later".into())
        })
    }

    fn upgrade(self: &Arc<Self>, mut request: Request) -> Response {
        let accept = match self.handshake(request.method(), request.uri(), request.headers()) {
            Ok(accept) => accept,
            Err(why) => return why.answer(),
        };
        let upgrade = hyper::upgrade::on(&mut request);
        let front = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = front.socket(upgrade).await {
                tracing::error!(%error, "a WebSocket cannot be served");
            }
        });
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = answer.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        answer
    }

    /// Checks an Engine.IO handshake in Engine.IO's own order, and then the WebSocket's (RFC 6455,
    /// section 4.2.1).
    fn handshake(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<HeaderValue, Handshake> {
        let query = uri.query().unwrap_or_default();
        let value = |name: &str| {
            query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .find_map(|(key, value)| (key == name).then_some(value))
        };
        if value("transport") != Some("websocket") {
            return Err(Handshake::TransportUnknown);
        }
        // There are no sessions to take over: none begins by polling.
        if value("sid").is_some() {
            return Err(Handshake::SessionUnknown);
        }
        if method != Method::GET {
            return Err(Handshake::BadMethod);
        }
        if value("EIO") != Some("4") {
            return Err(Handshake::UnsupportedVersion);
        }
        if !self.cors.allows(headers) {
            return Err(Handshake::Forbidden);
        }
        let wants = |name, word: &str| {
            headers
                .get_all(name)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(','))
                .any(|value| value.trim().eq_ignore_ascii_case(word))
        };
        let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
        match key {
            Some(key)
                if key.len() == 24
                    && wants(CONNECTION, "upgrade")
                    && wants(UPGRADE, "websocket")
                    && wants(SEC_WEBSOCKET_VERSION, "13") =>
            {
                HeaderValue::from_str(&derive_accept_key(key)).map_err(|_| Handshake::BadRequest)
            }
            Some(_) | None => Err(Handshake::BadRequest),
        }
    }

    /// Serves one WebSocket until it ends.
    async fn socket(self: Arc<Self>, upgrade: OnUpgrade) -> Result<(), ServeError> {
        let upgraded = match upgrade.await {
            Ok(upgraded) => TokioIo::new(upgraded),
            Err(error) => {
                tracing::debug!(%error, "a WebSocket broke before it was open");
                return Ok(());
            }
        };
        let config = ws::config(self.frame_max);
        let socket = WebSocketStream::from_raw_socket(upgraded, Role::Server, Some(config)).await;
        let conn = ConnId(self.next_conn.fetch_add(1, Ordering::Relaxed));
        let accepted = Input::Arrival(Arrival::Socket {
            conn,
            sid: None,
            fresh: random::key("")?,
        });
        let (handle, pump) = ws::open(socket);
        self.conns.insert(conn, handle);
        let (inbox, conns) = (self.inbox.clone(), Arc::clone(&self.conns));
        // What the request was served with is not needed while the socket lives.
        drop(self);
        if inbox.send(accepted).await.is_err() {
            conns.remove(&conn);
            return Ok(());
        }
        let input = move |event: Event| {
            if let Event::Closed(how) = &event {
                tracing::debug!(conn = conn.0, ?how, "a WebSocket ended");
                conns.remove(&conn);
            }
            Input::Arrival(Arrival::Transport(conn, event))
        };
        pump.run(inbox, input).await;
        Ok(())
    }
}

impl Handshake {
    const fn words(self) -> &'static str {
        match self {
            Self::TransportUnknown => "Transport unknown",
            Self::SessionUnknown => "Session ID unknown",
            Self::BadMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden => "Forbidden",
            Self::UnsupportedVersion => "Unsupported protocol version",
        }
    }

    fn answer(self) -> Response {
        let status = match self {
            Self::Forbidden => 403,
            Self::TransportUnknown
            | Self::SessionUnknown
            | Self::BadMethod
            | Self::BadRequest
            | Self::UnsupportedVersion => 400,
        };
        let body = json!({ "code": self as u8, "message": self.words() });
        respond(answer_json(status, &body))
    }
}
