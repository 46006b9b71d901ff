//! An agent that repeats what it is told: an MCP client with the plugin as its child process. It is
//! the demo's agent, and the tests'.

use std::{io, sync::Arc};

use rmcp::{
    ClientHandler, Peer, RoleClient, ServiceError,
    model::{
        CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig,
        CustomNotification, Implementation, JsonObject, ProtocolVersion,
    },
    service::{
        ClientInitializeError, ClientLifecycleMode, ClientServiceExt as _, NotificationContext,
        RunningService,
    },
    transport::TokioChildProcess,
};
use selvedge_core::{
    Time,
    id::TurnId,
    plugin::inbound::{self, Inbound, InboundMessage},
};
use serde_json::json;
use tokio::{process::Command, sync::mpsc};

use crate::{
    clock::Clock,
    host::{TURNS_CAPABILITY, tools::Sent},
};

/// What the agent saw or did, with the moment.
#[derive(Clone, Debug)]
pub enum EchoEvent {
    /// An inbound arrived.
    Inbound {
        /// When.
        at: Time,
        /// What.
        inbound: Inbound,
    },
    /// The tool `send` has answered.
    Sent {
        /// When it was called.
        called_at: Time,
        /// When it answered.
        at: Time,
        /// For which turn.
        turn: TurnId,
        /// The id of the message in the chat.
        message_id: String,
        /// Its position in the channel.
        seq: u64,
    },
    /// A turn is over.
    Done {
        /// When.
        at: Time,
        /// Which.
        turn: TurnId,
    },
    /// Something went wrong.
    Failed {
        /// When.
        at: Time,
        /// In words.
        why: String,
    },
}

/// Why there is no agent.
#[derive(Debug, thiserror::Error)]
pub enum EchoError {
    /// The child process cannot be started.
    #[error("the plugin cannot be started")]
    Spawn(#[from] io::Error),
    /// The child process does not speak MCP; its own words stand on standard error.
    #[error("the plugin did not answer as an MCP server; see its log")]
    Initialize(#[from] Box<ClientInitializeError>),
}

/// A running agent with its plugin.
#[derive(Debug)]
pub struct EchoAgent {
    service: RunningService<RoleClient, Echo>,
}

impl EchoAgent {
    /// Starts `command`, which is `selvedge plugin --config …`, and answers whatever it hands over.
    /// What happens goes to `events`; while nobody takes it, the agent waits.
    ///
    /// # Errors
    ///
    /// Where the child process cannot be started or initialised.
    pub async fn spawn(
        command: Command,
        clock: Clock,
        events: mpsc::Sender<EchoEvent>,
    ) -> Result<Self, EchoError> {
        let child = TokioChildProcess::new(command)?;
        let echo = Echo {
            clock,
            events,
            one_by_one: Arc::default(),
        };
        let service = echo
            .serve_with_lifecycle(child, ClientLifecycleMode::Initialize)
            .await
            .map_err(Box::new)?;
        Ok(Self { service })
    }

    /// The connection to the plugin, for further calls.
    pub fn peer(&self) -> &Peer<RoleClient> {
        self.service.peer()
    }

    /// Closes the plugin's input and waits until it has ended.
    pub async fn shutdown(self) {
        if let Err(error) = self.service.cancel().await {
            tracing::warn!(%error, "the plugin did not end well");
        }
    }
}

#[derive(Debug)]
struct Echo {
    clock: Clock,
    events: mpsc::Sender<EchoEvent>,
    /// Turns are answered one after the other, so that a demo can be read.
    one_by_one: Arc<tokio::sync::Mutex<()>>,
}

impl ClientHandler for Echo {
    fn get_info(&self) -> ClientConfig {
        let turns = [(TURNS_CAPABILITY.to_owned(), JsonObject::new())].into();
        let capabilities = ClientCapabilities::builder()
            .enable_experimental_with(turns)
            .build();
        ClientConfig::new(
            capabilities,
            Implementation::new("selvedge-echo", env!("CARGO_PKG_VERSION")),
        )
        .with_protocol_version(ProtocolVersion::V_2025_11_25)
    }

    async fn on_custom_notification(
        &self,
        notification: CustomNotification,
        context: NotificationContext<RoleClient>,
    ) {
        if notification.method != inbound::METHOD {
            return;
        }
        let at = self.clock.now();
        let _turn = self.one_by_one.lock().await;
        match notification.params_as::<Inbound>() {
            Ok(Some(inbound)) => self.answer(at, inbound, &context.peer).await,
            Ok(None) => self.fail("an inbound without params".into()).await,
            Err(error) => {
                self.fail(format!("an inbound cannot be read: {error}"))
                    .await
            }
        }
    }
}

impl Echo {
    async fn tell(&self, event: EchoEvent) {
        // Nobody listens any more: the answers matter, not their telling.
        let _ = self.events.send(event).await;
    }

    async fn fail(&self, why: String) {
        let at = self.clock.now();
        self.tell(EchoEvent::Failed { at, why }).await;
    }

    async fn answer(&self, at: Time, inbound: Inbound, peer: &Peer<RoleClient>) {
        let told = inbound.clone();
        self.tell(EchoEvent::Inbound { at, inbound: told }).await;
        for message in &inbound.messages {
            if let Err(why) = self.echo(&inbound, message, peer).await {
                self.fail(why).await;
            }
        }
        let done = json!({ "turn_id": inbound.turn_id, "agent_id": inbound.agent_id });
        match call(peer, "turn_done", done).await {
            Ok(_) => {
                let at = self.clock.now();
                let turn = inbound.turn_id;
                self.tell(EchoEvent::Done { at, turn }).await;
            }
            Err(why) => self.fail(why).await,
        }
    }

    async fn echo(
        &self,
        inbound: &Inbound,
        message: &InboundMessage,
        peer: &Peer<RoleClient>,
    ) -> Result<(), String> {
        let called_at = self.clock.now();
        let send = json!({
            "session_id": inbound.session_id,
            "agent_id": inbound.agent_id,
            "content": format!("echo: {}", message.content),
            "reply_to": message.id,
        });
        let result = call(peer, "send", send).await?;
        let sent: Sent = result
            .structured_content
            .and_then(|content| serde_json::from_value(content).ok())
            .ok_or("send answered something unknown")?;
        self.tell(EchoEvent::Sent {
            called_at,
            at: self.clock.now(),
            turn: inbound.turn_id.clone(),
            message_id: sent.message_id,
            seq: sent.seq,
        })
        .await;
        Ok(())
    }
}

/// Calls a tool; one that failed is an error in its own words.
async fn call(
    peer: &Peer<RoleClient>,
    name: &'static str,
    arguments: serde_json::Value,
) -> Result<CallToolResult, String> {
    let arguments = arguments.as_object().cloned().unwrap_or_default();
    let params = CallToolRequestParams::new(name).with_arguments(arguments);
    let result = peer
        .call_tool(params)
        .await
        .map_err(|error: ServiceError| format!("{name} was not answered: {error}"))?;
    if result.is_error == Some(true) {
        let words = result
            .content
            .iter()
            .filter_map(|content| Some(content.as_text()?.text.as_str()))
            .collect::<Vec<_>>();
        return Err(format!("{name} failed: {}", words.join(" ")));
    }
    Ok(result)
}
