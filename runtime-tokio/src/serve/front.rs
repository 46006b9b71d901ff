//! The guild node's front: HTTP requests and WebSockets become inputs of its machine.

use std::sync::Arc;

use axum::{extract::Request, response::Response};
use selvedge_core::{
    fabric::{realtime::SOCKET_PATH, routes::PREFIX},
    guild::{Limits, io::Input, rest::body_bytes_max},
    http::Response as Answer,
};
use tokio::sync::{Semaphore, mpsc};

use super::{
    call::{Call, Stopped},
    cors::Cors,
    http::{read, refusal, respond},
    world::Calls,
};
use crate::engineio;

/// What every request of a guild node is served with.
#[derive(Debug)]
pub(super) struct Front {
    inbox: mpsc::Sender<Input>,
    calls: Arc<Calls>,
    sockets: engineio::Front<Input>,
    cors: Cors,
    limits: Limits,
    /// A place for each large body that is held at a time.
    large: Semaphore,
}

/// Large bodies that are held at a time, from their arrival to their answer: more wait. A canvas
/// of the default size takes 3 MiB at most, so strangers can make the node hold 50.
const LARGE_BODIES_MAX: usize = 16;

impl Front {
    pub(super) fn new(
        inbox: mpsc::Sender<Input>,
        calls: Arc<Calls>,
        open: Arc<engineio::Open>,
        cors: Cors,
        limits: &Limits,
    ) -> Self {
        let of_sockets = (open, cors.clone());
        let payload_max = limits.frame_bytes_max;
        Self {
            sockets: engineio::Front::with(inbox.clone(), Input::Arrival, of_sockets, payload_max),
            inbox,
            calls,
            cors,
            limits: limits.clone(),
            large: Semaphore::new(LARGE_BODIES_MAX),
        }
    }

    /// Answers one request.
    pub(super) async fn serve(&self, request: Request) -> Response {
        let (method, headers) = (request.method().clone(), request.headers().clone());
        let path = request.uri().path();
        if path == SOCKET_PATH || path == SOCKET_PATH.trim_end_matches('/') {
            return self.sockets.serve(request, |_, _| ()).await;
        }
        if let Some(answer) = self.cors.preflight(&method, &headers) {
            return answer;
        }
        let mut answer = if path
            .strip_prefix(PREFIX)
            .is_some_and(|rest| rest.starts_with('/'))
        {
            let body_max = body_bytes_max(path, &self.limits);
            let _place = match body_max > self.limits.body_bytes_max {
                true => self.large.acquire().await.ok(),
                false => None,
            };
            respond(match read(request, body_max).await {
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
        let call = self.sockets.open().next_call();
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
}
