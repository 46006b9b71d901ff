//! The tools that the host calls.

use alloc::{
    format,
    string::{String, ToString as _},
    vec::Vec,
};

use super::Agent;
use crate::{
    fabric::routes::PostBody,
    http::CallId,
    id::{ChannelId, GuildId, MessageId},
    plugin::{
        guild_link::GuildLink,
        io::Output,
        tools::{ChannelEntry, Tool, ToolAnswer},
        turns::Place,
    },
    time::Time,
};

impl Agent {
    pub(super) fn on_call(
        &mut self,
        now: Time,
        call: CallId,
        tool: Tool,
        out: &mut Vec<Output>,
    ) -> Result<Option<ToolAnswer>, String> {
        match tool {
            Tool::Send {
                channel,
                guild,
                content,
                reply_to,
            } => {
                let place = self.find(&channel, guild.as_ref())?;
                self.send(now, call, place, content, reply_to)?;
                Ok(None)
            }
            Tool::TurnDone { turn } => {
                self.end_turn(now, &turn, out);
                Ok(Some(ToolAnswer::Done))
            }
            Tool::NoReply { channel, guild } => {
                let place = self.find(&channel, guild.as_ref())?;
                let turn = self
                    .shared
                    .turns
                    .running(&place)
                    .map(|running| running.turn.clone());
                if let Some(turn) = turn {
                    self.end_turn(now, &turn, out);
                }
                Ok(Some(ToolAnswer::Done))
            }
            Tool::ListChannels => Ok(Some(ToolAnswer::Channels(self.entries()))),
        }
    }

    fn send(
        &mut self,
        now: Time,
        call: CallId,
        place: Place,
        content: String,
        reply_to_id: Option<MessageId>,
    ) -> Result<(), String> {
        if content.trim().is_empty() {
            return Err("`content` is empty: nothing was posted".to_string());
        }
        let shared = &mut self.shared;
        if shared.outbox.len() >= shared.config.calls_max {
            return Err(format!(
                "{} posts are on their way already: wait for their answers",
                shared.outbox.len()
            ));
        }
        let nonce = match shared.turns.running(&place) {
            Some(running) => {
                running.sends += 1;
                format!("{}.{}.0", running.turn, running.sends)
            }
            None => format!("{}-{}.0", shared.nonces, call.0),
        };
        let body = PostBody {
            content,
            reply_to_id,
            attachments: Vec::new(),
            nonce: Some(nonce),
        };
        shared
            .outbox
            .push(now, call, place, body, shared.config.send_patience);
        Ok(())
    }

    /// The place that a tool names.
    fn find(&self, channel: &ChannelId, guild: Option<&GuildId>) -> Result<Place, String> {
        let found: Vec<&GuildLink> = self
            .guilds
            .values()
            .filter(|link| guild.is_none_or(|guild| link.id == *guild))
            .filter(|link| link.membership.contains(channel))
            .collect();
        match found.as_slice() {
            [link] => Ok(link.place(channel)),
            [] => Err(match guild {
                Some(guild) => format!(
                    "the agent is not in channel {channel} of guild {guild}: `list_channels` says \
                     where it is"
                ),
                None => format!(
                    "the agent is not in channel {channel}: `list_channels` says where it is"
                ),
            }),
            several => {
                let guilds: Vec<&str> = several.iter().map(|link| link.id.as_str()).collect();
                Err(format!(
                    "channel {channel} exists in several guilds: say `guild_id`, one of {}",
                    guilds.join(", ")
                ))
            }
        }
    }

    fn entries(&self) -> Vec<ChannelEntry> {
        let entry = |guild: &GuildLink, id: &ChannelId| {
            let known = guild.channels.get(id);
            ChannelEntry {
                channel_id: id.clone(),
                guild_id: guild.id.clone(),
                name: known
                    .map(|channel| channel.name.clone())
                    .unwrap_or_default(),
                x_type: known.and_then(|channel| channel.x_type),
                live: guild.membership.is_joined(id),
            }
        };
        self.guilds
            .values()
            .flat_map(|guild| guild.channels.keys().map(move |id| entry(guild, id)))
            .collect()
    }
}
