//! The server as a `tower` service.

use std::{
    convert::Infallible,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    BoxError,
    body::{Body, HttpBody},
    http::{Request, Response, StatusCode, request::Parts},
};
use bytes::Bytes;
use futures::future::BoxFuture;
use selvedge_core::Secret;

use super::{admission::Handshake, link::Letter};
use crate::{engineio::Front, serve::shared::Shared};

/// What is known of the requests that sessions begin with, by the `sid` that each would have, until
/// the machine has begun it.
pub(super) type Beginnings = Shared<Secret, Arc<Handshake>>;

/// Serves the requests of a server, whatever their path: put it where clients look for it, which is
/// `/socket.io/` unless they are told otherwise. A clone is the same server.
///
/// It needs HTTP/1.1 with upgrades for WebSockets, as `axum::serve` offers them.
#[derive(Clone)]
pub struct Service {
    pub(super) front: Arc<Front<Letter>>,
    pub(super) beginnings: Arc<Beginnings>,
    pub(super) headers_max: usize,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Service")
    }
}

impl<B> tower_service::Service<Request<B>> for Service
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Self {
            front,
            beginnings,
            headers_max,
        } = self.clone();
        let request = request.map(Body::new);
        Box::pin(async move {
            if Handshake::bytes(&request) > headers_max {
                let mut answer = Response::new(Body::empty());
                *answer.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                return Ok(answer);
            }
            let begins = |sid: &Secret, head: &Parts| Beginning::new(beginnings, sid, head);
            Ok(front.serve(request, begins).await)
        })
    }
}

/// Takes what is known of a request out again, where no session has begun with it.
struct Beginning {
    beginnings: Arc<Beginnings>,
    sid: Secret,
}

impl Beginning {
    fn new(beginnings: Arc<Beginnings>, sid: &Secret, head: &Parts) -> Self {
        let sid = sid.clone();
        beginnings.insert(sid.clone(), Arc::new(Handshake::of(head)));
        Self { beginnings, sid }
    }
}

impl Drop for Beginning {
    fn drop(&mut self) {
        self.beginnings.remove(&self.sid);
    }
}
