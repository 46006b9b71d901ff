//! The guild node's front: HTTP requests and WebSockets become inputs of its machine.

use std::sync::Arc;

use axum::{
    extract::Request,
    http::{Method, StatusCode},
    response::Response,
};
use selvedge_core::{
    fabric::{
        realtime::SOCKET_PATH,
        routes::{FILES, PREFIX},
    },
    guild::{
        Limits,
        io::Input,
        rest::{allowed, body_bytes_max},
    },
    http::CallId,
};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{
    call::{Call, Stopped},
    cors::Cors,
    disk::{Disk, discard},
    http::{allow, read, refusal, respond, without_body},
    page::Page,
    world::{Answer, Calls, GuildWorld, Uploads},
};
use crate::engineio;

/// What every request of a guild node is served with.
#[derive(Debug)]
pub(super) struct Front {
    inbox: mpsc::Sender<Input>,
    calls: Arc<Calls>,
    uploads: Arc<Uploads>,
    disk: Disk,
    sockets: engineio::Front<Input>,
    cors: Cors,
    page: Page,
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
        world: &GuildWorld,
        disk: Disk,
        cors: Cors,
        page: Page,
        limits: &Limits,
    ) -> Self {
        let of_sockets = (Arc::clone(&world.open), cors.clone());
        let payload_max = limits.frame_bytes_max;
        Self {
            sockets: engineio::Front::with(inbox.clone(), Input::Arrival, of_sockets, payload_max),
            inbox,
            calls: Arc::clone(&world.calls),
            uploads: Arc::clone(&world.uploads),
            disk,
            cors,
            page,
            limits: limits.clone(),
            large: Semaphore::new(LARGE_BODIES_MAX),
        }
    }

    /// Answers one request.
    pub(super) async fn serve(&self, request: Request) -> Response {
        let (method, headers) = (request.method().clone(), request.headers().clone());
        let uri = request.uri().clone();
        let path = uri.path();
        if path == SOCKET_PATH || path == SOCKET_PATH.trim_end_matches('/') {
            return self.sockets.serve(request, |_, _| ()).await;
        }
        if let Some(answer) = self.page.answer(&method, path, &headers) {
            return answer;
        }
        if let Some(answer) = self.cors.preflight(&method, &headers) {
            return answer;
        }
        let mut answer = if path
            .strip_prefix(PREFIX)
            .is_some_and(|rest| rest.starts_with('/'))
        {
            let answer = if method == Method::POST && path == FILES {
                self.upload(request).await
            } else {
                let body_max = body_bytes_max(path, &self.limits);
                let _place = match body_max > self.limits.body_bytes_max {
                    true => self.large.acquire().await.ok(),
                    false => None,
                };
                match read(request, body_max).await {
                    Ok(request) => self.call(request).await,
                    Err(refused) => Answer::Whole(refused),
                }
            };
            match answer {
                Answer::Whole(answer) => respond(answer),
                Answer::File(file) => self.disk.deliver(&file, &headers).await,
            }
        } else {
            respond(refusal(404, format!("Cannot {method} {path}")))
        };
        if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
            allow(&mut answer, allowed(path).as_deref().unwrap_or_default());
        }
        self.cors.mark(&headers, &mut answer);
        answer
    }

    async fn call(&self, request: selvedge_core::http::Request) -> Answer {
        let call = self.sockets.open().next_call();
        let mut waiting = self.waiting(call);
        let answer = waiting.ask(Input::Http { call, request }).await;
        answer.unwrap_or_else(stopping)
    }

    fn waiting(&self, call: CallId) -> Call<Input, Answer> {
        Call::new(call, self.inbox.clone(), &self.calls, Input::HttpGone(call))
    }

    /// The body of an upload is looked at when the machine says that it is wanted, and goes to the
    /// disk as it comes. An answer before that is a refusal.
    async fn upload(&self, request: Request) -> Answer {
        let (head, body) = request.into_parts();
        let mut body = body.into_data_stream();
        let request = match without_body(&head) {
            Ok(request) => request,
            Err(refused) => return Answer::Whole(refused),
        };
        let call = self.sockets.open().next_call();
        let (sender, wanted) = oneshot::channel();
        self.uploads.insert(call, sender);
        let _listed = Listed(&self.uploads, call);
        let mut waiting = self.waiting(call);
        let receiving = async {
            // Nobody sends where the machine refuses, and then the answer comes.
            let Ok((id, incoming)) = wanted.await else {
                return std::future::pending().await;
            };
            let received = self.disk.receive(&incoming, &head.headers, &mut body).await;
            (id, incoming.file, received)
        };
        let answer = tokio::select! {
            biased;
            answer = waiting.ask(Input::Http { call, request }) => answer,
            (id, file, received) = receiving => {
                let answer = waiting.ask(Input::Received(id, file.clone(), received)).await;
                // The machine may have given it up just before it heard of it. (Where the client
                // goes in that moment, the next start takes it away.)
                if matches!(&answer, Ok(answer) if !is_taken(answer)) {
                    self.disk.discard(&file);
                }
                answer
            }
        };
        if !answer.as_ref().is_ok_and(is_taken) {
            discard(&head.headers, &mut body).await;
        }
        answer.unwrap_or_else(stopping)
    }
}

/// An upload in the table, until it ends or its client goes.
struct Listed<'f>(&'f Uploads, CallId);

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.0.remove(&self.1);
    }
}

fn is_taken(answer: &Answer) -> bool {
    matches!(answer, Answer::Whole(answer) if answer.status == 201)
}

fn stopping(_: Stopped) -> Answer {
    let words = "the guild node is stopping; try again later";
    Answer::Whole(refusal(503, words.into()))
}
