//! A model of an agent's host: it answers every turn with an echo, but for one whose last message
//! begins with `hush`, and says when it is done.

use std::{collections::BTreeMap, time::Duration};

use selvedge_core::{
    http::CallId,
    id::TurnId,
    plugin::{
        inbound::Inbound,
        io::HostEvent,
        tools::{Tool, ToolAnswer, ToolError},
    },
};

/// How long the host takes to read a notification.
const READ: Duration = Duration::from_millis(1);
/// When a host of the profile `claude` asks for the list of tools.
pub const LISTS_TOOLS: Duration = Duration::from_secs(1);
/// How long after that such a host still loses what it is told.
pub const DEAF: Duration = Duration::from_millis(300);

/// Echoes.
#[derive(Debug)]
pub struct Host {
    turn: Duration,
    calls: BTreeMap<CallId, TurnId>,
    next: u64,
    /// How many of the next notifications get lost after they were written.
    pub loses: u32,
    /// Every turn that reached it.
    pub inbounds: Vec<Inbound>,
    /// Tool calls that failed, in the plugin's words.
    pub errors: Vec<String>,
}

impl Host {
    /// A host whose turns take `turn`.
    pub fn new(turn: Duration) -> Self {
        Self {
            turn,
            calls: BTreeMap::new(),
            next: 0,
            loses: 0,
            inbounds: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// A turn is handed over, to a host that is `deaf` or hears: what happens, and after how long.
    pub fn on_notify(&mut self, inbound: Inbound, deaf: bool) -> Vec<(Duration, HostEvent)> {
        let mut then = vec![(READ, HostEvent::Written(inbound.turn_id.clone()))];
        if deaf || self.loses > 0 {
            self.loses = self.loses.saturating_sub(1);
            return then;
        }
        if let Some(last) = inbound.messages.last() {
            let turn = inbound.turn_id.clone();
            let call = self.call(&turn);
            let tool = match last.content.starts_with("hush") {
                true => Tool::TurnDone { turn },
                false => Tool::Send {
                    channel: inbound.channel.id.clone(),
                    guild: Some(inbound.channel.guild_id.clone()),
                    content: format!("echo: {}", last.content),
                    reply_to: Some(last.id.clone()),
                    attachments: vec![],
                },
            };
            then.push((READ + self.turn, HostEvent::Call { call, tool }));
        }
        self.inbounds.push(inbound);
        then
    }

    /// A tool call was answered.
    pub fn on_answer(
        &mut self,
        call: CallId,
        result: Result<ToolAnswer, ToolError>,
    ) -> Option<(Duration, HostEvent)> {
        let turn = self.calls.remove(&call)?;
        match result {
            Ok(ToolAnswer::Sent(_)) => {}
            // The only tool besides that this host calls ends a turn.
            Ok(_) => return None,
            Err(ToolError(why)) => self.errors.push(why),
        }
        let call = self.call(&turn);
        Some((
            READ,
            HostEvent::Call {
                call,
                tool: Tool::TurnDone { turn },
            },
        ))
    }

    /// The host ends with its plugin, and what it was doing with it.
    pub fn kill(&mut self) {
        self.calls.clear();
    }

    fn call(&mut self, turn: &TurnId) -> CallId {
        let call = CallId(self.next);
        self.next += 1;
        self.calls.insert(call, turn.clone());
        call
    }
}
