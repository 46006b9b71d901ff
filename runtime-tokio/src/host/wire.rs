//! The one place that sees what the host sends in the order in which it was sent.
//!
//! rmcp runs each request in a task of its own, so a `send` and the `turn_done` behind it could
//! change places. Here calls are handed to their agents before rmcp gets them, and what must not
//! come through is refused.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use rmcp::{
    RoleServer,
    model::{
        ClientNotification, ClientRequest, DiscoverRequestMethod, ErrorData, GetExtensions as _,
        JsonRpcMessage, JsonRpcNotification, JsonRpcRequest, RequestId,
    },
    service::{RxJsonRpcMessage, TxJsonRpcMessage},
    transport::Transport,
};
use selvedge_core::plugin::commands;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::{TURNS_CAPABILITY, beginnings::Begun, closed, roster::Roster, server::Pending};

/// How many requests may be unanswered before no more is read: a host that asks and does not read
/// the answers would fill our memory.
const REQUESTS_MAX: usize = 4_096;

/// Where the session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing has been said.
    Fresh,
    /// `initialize` came; whether the host will say when a turn is done.
    Begun { turns: bool },
}

type InFlight = Arc<Mutex<Vec<(RequestId, OwnedSemaphorePermit)>>>;

/// A session of the host on some transport, as rmcp is to see it.
pub struct Wire<T> {
    inner: T,
    roster: Arc<Roster>,
    begun: watch::Sender<Begun>,
    ended: Option<oneshot::Sender<()>>,
    phase: Phase,
    room: Arc<Semaphore>,
    in_flight: InFlight,
}

impl<T: Transport<RoleServer>> Wire<T> {
    /// `begun` is told of the host's first steps, `ended` when it has said its last word.
    pub(super) fn new(
        inner: T,
        roster: Arc<Roster>,
        begun: watch::Sender<Begun>,
        ended: Option<oneshot::Sender<()>>,
    ) -> Self {
        Self {
            inner,
            roster,
            begun,
            ended,
            phase: Phase::Fresh,
            room: Arc::new(Semaphore::new(REQUESTS_MAX)),
            in_flight: InFlight::default(),
        }
    }

    /// What rmcp gets to see of a message.
    fn admit(
        &mut self,
        message: RxJsonRpcMessage<RoleServer>,
        permit: OwnedSemaphorePermit,
    ) -> Option<RxJsonRpcMessage<RoleServer>> {
        match message {
            JsonRpcMessage::Request(request) => self.admit_request(request, permit),
            JsonRpcMessage::Notification(notification) => self.admit_notification(notification),
            // Nothing was asked before the session began.
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_)
                if self.phase == Phase::Fresh =>
            {
                None
            }
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => Some(message),
        }
    }

    fn admit_request(
        &mut self,
        mut message: JsonRpcRequest<ClientRequest>,
        permit: OwnedSemaphorePermit,
    ) -> Option<RxJsonRpcMessage<RoleServer>> {
        if let Some(error) = self.fault(&message.request) {
            self.refuse(message.id, error, permit);
            return None;
        }
        if let ClientRequest::InitializeRequest(initialize) = &message.request {
            let experimental = initialize.params.capabilities.experimental.as_ref();
            self.phase = Phase::Begun {
                turns: experimental.is_some_and(|names| names.contains_key(TURNS_CAPABILITY)),
            };
        }
        if let ClientRequest::CallToolRequest(call) = &message.request {
            let outcome = self.roster.begin(&message.id, &call.params);
            message
                .request
                .extensions_mut()
                .insert(Pending::new(outcome));
        }
        if let ClientRequest::ListToolsRequest(_) = &message.request {
            self.begun.send_modify(|begun| begun.listed = true);
        }
        lock(&self.in_flight).push((message.id.clone(), permit));
        Some(JsonRpcMessage::Request(message))
    }

    /// Why a request must not come through.
    fn fault(&self, request: &ClientRequest) -> Option<ErrorData> {
        let discovers = matches!(request, ClientRequest::DiscoverRequest(_))
            || matches!(request, ClientRequest::CustomRequest(custom)
                if custom.method == "server/discover");
        if discovers {
            return Some(ErrorData::method_not_found::<DiscoverRequestMethod>());
        }
        let initializes = matches!(request, ClientRequest::InitializeRequest(_));
        let pings = matches!(request, ClientRequest::PingRequest(_));
        match self.phase {
            Phase::Fresh if !initializes && !pings => Some(ErrorData::invalid_request(
                "the session has not begun: send initialize first",
                None,
            )),
            Phase::Begun { .. } if initializes => Some(ErrorData::invalid_request(
                "the session has begun already: start another process for another session",
                None,
            )),
            Phase::Fresh | Phase::Begun { .. } => None,
        }
    }

    fn refuse(&mut self, id: RequestId, error: ErrorData, permit: OwnedSemaphorePermit) {
        let send = self.inner.send(JsonRpcMessage::error(error, Some(id)));
        tokio::spawn(async move {
            // A host that is gone needs no refusal.
            let _ = send.await;
            drop(permit);
        });
    }

    fn admit_notification(
        &mut self,
        message: JsonRpcNotification<ClientNotification>,
    ) -> Option<RxJsonRpcMessage<RoleServer>> {
        let Phase::Begun { turns } = self.phase else {
            return None;
        };
        if let ClientNotification::InitializedNotification(_) = &message.notification {
            self.begun
                .send_modify(|begun| begun.initialised = Some(turns));
        }
        if let ClientNotification::CustomNotification(custom) = &message.notification
            && custom.method == commands::METHOD
        {
            let params = custom.params.as_ref().map(ToString::to_string);
            self.roster.on_commands(params.unwrap_or_default());
        }
        if let ClientNotification::CancelledNotification(cancelled) = &message.notification
            && let Some(id) = &cancelled.params.request_id
        {
            self.roster.cancel(id);
            // rmcp sends no answer to it.
            release(&self.in_flight, id);
        }
        Some(JsonRpcMessage::Notification(message))
    }
}

impl<T: Transport<RoleServer>> Transport<RoleServer> for Wire<T> {
    type Error = io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        let answered = match &message {
            JsonRpcMessage::Response(response) => Some(response.id.clone()),
            JsonRpcMessage::Error(error) => error.id.clone(),
            JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => None,
        };
        let in_flight = Arc::clone(&self.in_flight);
        let send = self.inner.send(message);
        async move {
            let result = send.await;
            if let Some(id) = answered {
                release(&in_flight, &id);
            }
            result.map_err(|_| closed())
        }
    }

    /// Cancel-safe: a permit is given back, and what was read of a line stays in the transport.
    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            let permit = Arc::clone(&self.room).acquire_owned().await.ok()?;
            let Some(message) = self.inner.receive().await else {
                if let Some(ended) = self.ended.take() {
                    // Nobody listens where the process ends for another reason.
                    let _ = ended.send(());
                }
                return None;
            };
            if let Some(message) = self.admit(message, permit) {
                return Some(message);
            }
        }
    }

    async fn close(&mut self) -> Result<(), io::Error> {
        self.inner.close().await.map_err(|_| closed())
    }
}

fn lock(in_flight: &InFlight) -> std::sync::MutexGuard<'_, Vec<(RequestId, OwnedSemaphorePermit)>> {
    in_flight.lock().unwrap_or_else(PoisonError::into_inner)
}

fn release(in_flight: &InFlight, id: &RequestId) {
    let mut in_flight = lock(in_flight);
    if let Some(index) = in_flight.iter().position(|(open, _)| open == id) {
        drop(in_flight.swap_remove(index));
    }
}
