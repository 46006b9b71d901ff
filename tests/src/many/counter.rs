//! A counter before Center: how many logins a plugin has under way there.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use selvedge::http::Client;
use selvedge_core::{
    fabric::center,
    http::{Method, Request},
};
use tokio::{net::TcpListener, task::JoinHandle, time::sleep};

use crate::fabric::Fault;

/// Passes logins on, and counts them. Dropping it closes its port.
pub(super) struct Counter {
    url: String,
    desk: Arc<Desk>,
    task: JoinHandle<()>,
}

struct Desk {
    client: Client,
    center: String,
    /// How much longer a login takes than it takes Center.
    latency: Duration,
    all: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Counter {
    pub(super) async fn start(
        client: Client,
        center: String,
        latency: Duration,
    ) -> Result<Self, Fault> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let desk = Arc::new(Desk {
            client,
            center,
            latency,
            all: AtomicUsize::new(0),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let routes = Router::new().route(center::LOGIN, post(log_in));
        let app = routes.with_state(Arc::clone(&desk));
        let task = tokio::spawn(async move {
            // It ends with its owner.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { url, desk, task })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// How many logins there have been, and how many at once at the most.
    pub(super) fn logins(&self) -> (usize, usize) {
        let Desk { all, most, .. } = &*self.desk;
        (all.load(Ordering::SeqCst), most.load(Ordering::SeqCst))
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A login under way, also where its client goes away.
struct UnderWay<'d>(&'d Desk);

impl<'d> UnderWay<'d> {
    fn begin(desk: &'d Desk) -> Self {
        desk.all.fetch_add(1, Ordering::SeqCst);
        let now = desk.now.fetch_add(1, Ordering::SeqCst) + 1;
        desk.most.fetch_max(now, Ordering::SeqCst);
        Self(desk)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn log_in(State(desk): State<Arc<Desk>>, body: Bytes) -> (StatusCode, Bytes) {
    let _under_way = UnderWay::begin(&desk);
    sleep(desk.latency).await;
    let request = Request {
        method: Method::Post,
        target: center::LOGIN.into(),
        bearer: None,
        body,
    };
    match desk.client.send(&desk.center, request).await {
        Ok(answer) => {
            let status = StatusCode::from_u16(answer.status);
            (status.unwrap_or(StatusCode::BAD_GATEWAY), answer.body)
        }
        Err(failure) => (StatusCode::BAD_GATEWAY, failure.to_string().into()),
    }
}
