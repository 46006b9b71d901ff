//! The address at which a plugin tells how it does.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, task::JoinHandle, time::sleep};

use super::{Desk, metrics};
use crate::serve::http::{self, Server};

/// Where the report is.
pub const PATH: &str = "/status";

/// How long after an address could not be had it is tried again: another process of the same host may
/// just be ending.
const AGAIN: Duration = Duration::from_secs(2);

/// The server while it runs; dropping it ends it.
#[derive(Debug)]
pub struct StatusServer {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl StatusServer {
    /// Where it was told to listen.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for StatusServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves what the desk reports at `addr`: `/healthz`, `/readyz`, `/metrics` and [`PATH`].
///
/// An address that cannot be had is said once and tried for ever: the agents work without it.
pub fn serve(addr: SocketAddr, desk: Desk) -> StatusServer {
    let task = tokio::spawn(async move {
        let mut said = false;
        // Kept until the task is aborted: the server ends with it.
        let _server = loop {
            let bound = TcpListener::bind(addr).await;
            match bound.and_then(|listener| Server::start(listener, router(desk.clone()))) {
                Ok(server) => break server,
                Err(error) => {
                    if !std::mem::replace(&mut said, true) {
                        tracing::error!(
                            %addr,
                            %error,
                            "no status is served, which is tried again and again; free the \
                             address, or set another one in [status] listen"
                        );
                    }
                    sleep(AGAIN).await;
                }
            }
        };
        tracing::info!(%addr, "status is served");
        std::future::pending().await
    });
    StatusServer { addr, task }
}

fn router(desk: Desk) -> Router {
    let (ready, measured) = (desk.clone(), desk.clone());
    Router::new()
        .route(
            "/healthz",
            get(|| async { text(StatusCode::OK, "ok\n".into()) }),
        )
        .route("/readyz", get(move || is_ready(ready.clone())))
        .route("/metrics", get(move || measure(measured.clone())))
        .route(PATH, get(move || report(desk.clone())))
}

async fn is_ready(desk: Desk) -> Response {
    let problems = desk.report().await.problems();
    if problems.is_empty() {
        return text(StatusCode::OK, "ok\n".into());
    }
    text(StatusCode::SERVICE_UNAVAILABLE, problems.join("\n") + "\n")
}

async fn measure(desk: Desk) -> Response {
    let report = desk.report().await;
    let headers = [
        (CONTENT_TYPE, metrics::CONTENT_TYPE),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, metrics::metrics(&report)).into_response()
}

async fn report(desk: Desk) -> Response {
    http::respond(http::json(200, &desk.report().await))
}

fn text(status: StatusCode, words: String) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
    ];
    (status, headers, words).into_response()
}
