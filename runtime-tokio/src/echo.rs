//! An agent that repeats what it is told: an MCP client with the plugin as its child process. It is
//! the demo's agent, the tests', and that of `selvedge echo`.

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
    host::{
        TURNS_CAPABILITY,
        tools::{Channels, Sent},
    },
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

    /// In how many channels the plugin hears messages now.
    ///
    /// # Errors
    ///
    /// Where the plugin does not answer, in words.
    pub async fn live_channels(&self) -> Result<usize, String> {
        let result = call(self.peer(), "list_channels", json!({})).await?;
        let listed: Channels = result
            .structured_content
            .and_then(|content| serde_json::from_value(content).ok())
            .ok_or("list_channels answered something unknown")?;
        Ok(listed
            .channels
            .iter()
            .filter(|channel| channel.live)
            .count())
    }

    /// Waits until the plugin has ended by itself.
    pub async fn ended(self) {
        if let Err(error) = self.service.waiting().await {
            tracing::warn!(%error, "the plugin did not end well");
        }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use selvedge_core::{
        fabric::types::{Author, XType},
        id::{AgentId, ChannelId, GuildId, MessageId, UserId},
        plugin::{
            inbound::InboundChannel,
            io::{HostEvent, Input},
            tools::{SentMessage, Tool, ToolAnswer, ToolError},
        },
    };
    use tokio::time::timeout;

    use super::*;
    use crate::{clock::Clock, config::Profile, host};

    fn inbound() -> Inbound {
        let message = |id: &str, content: &str| InboundMessage {
            id: MessageId::new(id).unwrap(),
            seq: 1,
            author: Author {
                id: UserId::new("u").unwrap(),
                name: "Ann".into(),
            },
            content: content.into(),
            mentions: vec![],
            reply_to: None,
            attachments: vec![],
            created_at: Clock::wall(),
        };
        Inbound {
            session_id: "s_fab_c1".into(),
            agent_id: AgentId::new("echo").unwrap(),
            turn_id: TurnId::new("t1").unwrap(),
            attempt: 1,
            channel: InboundChannel {
                id: ChannelId::new("c1").unwrap(),
                name: "general".into(),
                x_type: XType::General,
                guild_id: GuildId::new("g1").unwrap(),
            },
            messages: vec![message("m1", "one"), message("m2", "two")],
            context: vec![],
            skipped: 0,
            redelivered: false,
            recovered: false,
            rewake: false,
        }
    }

    #[tokio::test]
    async fn every_message_is_echoed_and_the_turn_ended() {
        let agent_id = AgentId::new("echo").unwrap();
        let log = host::log::channel().1;
        let (link, host) = host::channel([agent_id.clone()], Profile::Plexum, log);
        let (inbox_in, mut inbox) = mpsc::channel(16);
        link.attach(&agent_id, inbox_in.clone());
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (read, write) = tokio::io::split(theirs);
        tokio::spawn(host.serve(read, write));
        let (events_in, mut events) = mpsc::channel(16);
        let echo = Echo {
            clock: Clock::start(),
            events: events_in,
            one_by_one: Arc::default(),
        };
        let client = echo
            .serve_with_lifecycle(ours, ClientLifecycleMode::Initialize)
            .await
            .unwrap();
        let ready = link.beginnings().next().await;
        assert_eq!(ready, Some(HostEvent::Ready { turns: true }));
        link.notify(inbound(), inbox_in.downgrade());
        let mut tools = Vec::new();
        while tools.len() < 3 {
            let input = timeout(Duration::from_secs(60), inbox.recv())
                .await
                .unwrap()
                .unwrap();
            let Input::Host(HostEvent::Call { call, tool }) = input else {
                continue;
            };
            let result = if let Tool::Send { content, .. } = &tool {
                if content == "echo: two" {
                    Err(ToolError("the channel is closed".into()))
                } else {
                    Ok(ToolAnswer::Sent(vec![SentMessage {
                        message: MessageId::new("m3").unwrap(),
                        seq: 3,
                        already: None,
                    }]))
                }
            } else {
                Ok(ToolAnswer::Done)
            };
            link.answer(call, result);
            tools.push(tool);
        }
        let send = |content: &str, reply_to: &str| Tool::Send {
            channel: ChannelId::new("c1").unwrap(),
            guild: GuildId::new("g1"),
            content: content.into(),
            reply_to: MessageId::new(reply_to),
            attachments: vec![],
        };
        let turn = TurnId::new("t1").unwrap();
        let done = Tool::TurnDone { turn };
        assert_eq!(
            tools,
            [send("echo: one", "m1"), send("echo: two", "m2"), done]
        );
        let mut told = Vec::new();
        while told.len() < 4 {
            told.push(match events.recv().await.unwrap() {
                EchoEvent::Inbound { inbound, .. } => format!("inbound {}", inbound.turn_id),
                EchoEvent::Sent {
                    message_id, seq, ..
                } => format!("sent {message_id} {seq}"),
                EchoEvent::Done { turn, .. } => format!("done {turn}"),
                EchoEvent::Failed { why, .. } => why,
            });
        }
        assert_eq!(
            told,
            [
                "inbound t1",
                "sent m3 3",
                "send failed: the channel is closed",
                "done t1"
            ]
        );
        drop(client);
    }
}
