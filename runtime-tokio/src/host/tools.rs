//! The tools as MCP shows them: schemas from Rust types, annotations, arguments in, results out.

use std::sync::Arc;

use rmcp::{
    handler::server::common::{schema_for_input, schema_for_output},
    model::{CallToolResult, ContentBlock, ErrorData, JsonObject, Tool, ToolAnnotations},
};
use schemars::JsonSchema;
use selvedge_core::{
    id::{ChannelId, GuildId, MessageId, TurnId},
    plugin::tools::{self as core, ChannelEntry, ToolAnswer, ToolError},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::roster::Outcome;

/// A channel, and its guild where that is known.
pub(super) type Place = (ChannelId, Option<GuildId>);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Send {
    /// The channel to post in. Give this or session_id.
    channel_id: Option<String>,
    /// The session of an inbound, as it came. Give this or channel_id.
    session_id: Option<String>,
    /// The text.
    content: String,
    /// The id of the message that this answers.
    reply_to: Option<String>,
    /// The channel's guild; needed only where two guilds have a channel of the same id.
    guild_id: Option<String>,
    /// The agent that posts; needed only where there is more than one.
    agent_id: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TurnDone {
    /// The turn_id of the inbound.
    turn_id: String,
    /// The agent whose turn it is; needed only where there is more than one.
    agent_id: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoReply {
    /// The channel that gets no answer. Give this or session_id.
    channel_id: Option<String>,
    /// The session of an inbound, as it came. Give this or channel_id.
    session_id: Option<String>,
    /// The channel's guild; needed only where two guilds have a channel of the same id.
    guild_id: Option<String>,
    /// The agent that does not answer; needed only where there is more than one.
    agent_id: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListChannels {
    /// The agent whose channels are listed; needed only where there is more than one.
    agent_id: Option<String>,
}

/// What `send` answers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Sent {
    /// The message's id.
    pub message_id: String,
    /// Its position in the channel.
    pub seq: u64,
}

/// What `turn_done` and `no_reply` answer.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Done {
    /// Always true.
    done: bool,
}

/// What `list_channels` answers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Channels {
    /// The agent's channels.
    pub channels: Vec<Channel>,
}

/// A channel in [`Channels`].
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Channel {
    /// The channel.
    pub channel_id: String,
    /// Its guild.
    pub guild_id: String,
    /// Its name: untrusted text of other users.
    pub name: String,
    /// Its kind (general, work, report, discuss, triage, custom or dm); null until the guild has
    /// told it.
    pub x_type: Option<String>,
    /// Whether messages of it are being received now.
    pub live: bool,
}

const SEND: &str = "send";
const TURN_DONE: &str = "turn_done";
const NO_REPLY: &str = "no_reply";
const LIST_CHANNELS: &str = "list_channels";

/// Every tool, as `tools/list` answers.
///
/// # Errors
///
/// Where a schema cannot be made from its type, which is a bug of ours.
pub fn list() -> Result<Vec<Tool>, ErrorData> {
    Ok(vec![
        Tool::new(
            SEND,
            "Posts a message in a channel. Answer an inbound with the session_id or channel_id it \
             came with; set reply_to to the id of the message that you answer.",
            input::<Send>()?,
        )
        .with_title("Post a message")
        .with_raw_output_schema(schema_for_output::<Sent>())
        .annotate(
            ToolAnnotations::new()
                .read_only(false)
                .destructive(false)
                .idempotent(false)
                .open_world(true),
        ),
        Tool::new(
            TURN_DONE,
            "Says that a turn is over, after all its answers have been sent. The channel's next \
             messages follow.",
            input::<TurnDone>()?,
        )
        .with_title("End a turn")
        .with_raw_output_schema(schema_for_output::<Done>())
        .annotate(ending()),
        Tool::new(
            NO_REPLY,
            "Says that the running turn of a channel is over and gets no answer.",
            input::<NoReply>()?,
        )
        .with_title("Do not answer")
        .with_raw_output_schema(schema_for_output::<Done>())
        .annotate(ending()),
        Tool::new(
            LIST_CHANNELS,
            "Lists the channels that the agent is a member of.",
            input::<ListChannels>()?,
        )
        .with_title("List channels")
        .with_raw_output_schema(schema_for_output::<Channels>())
        .annotate(
            ToolAnnotations::new()
                .read_only(true)
                .idempotent(true)
                .open_world(true),
        ),
    ])
}

fn ending() -> ToolAnnotations {
    ToolAnnotations::new()
        .read_only(false)
        .destructive(false)
        .idempotent(true)
        .open_world(true)
}

fn input<T: JsonSchema + 'static>() -> Result<Arc<JsonObject>, ErrorData> {
    schema_for_input::<T>().map_err(|why| ErrorData::internal_error(why, None))
}

/// A call whose arguments have been read, and whose agent is still to be found.
#[derive(Debug)]
pub(super) struct Named {
    /// As the host wrote it.
    pub(super) agent: Option<String>,
    arguments: Arguments,
}

#[derive(Debug)]
enum Arguments {
    Send(Send),
    TurnDone(TurnDone),
    NoReply(NoReply),
    ListChannels,
}

/// Reads a call.
///
/// # Errors
///
/// A protocol error where there is no such tool, a failed call where its arguments are wrong.
pub(super) fn read(name: &str, arguments: Option<&JsonObject>) -> Result<Named, Outcome> {
    let arguments = match name {
        SEND => Arguments::Send(parse(name, arguments)?),
        TURN_DONE => Arguments::TurnDone(parse(name, arguments)?),
        NO_REPLY => Arguments::NoReply(parse(name, arguments)?),
        LIST_CHANNELS => {
            let ListChannels { agent_id } = parse(name, arguments)?;
            return Ok(Named {
                agent: agent_id,
                arguments: Arguments::ListChannels,
            });
        }
        _ => {
            let words = format!(
                "there is no tool {name:?}; the tools are {SEND}, {TURN_DONE}, {NO_REPLY} and \
                 {LIST_CHANNELS}"
            );
            return Err(Err(ErrorData::invalid_params(words, None)));
        }
    };
    let agent = match &arguments {
        Arguments::Send(send) => send.agent_id.clone(),
        Arguments::TurnDone(done) => done.agent_id.clone(),
        Arguments::NoReply(no_reply) => no_reply.agent_id.clone(),
        Arguments::ListChannels => None,
    };
    Ok(Named { agent, arguments })
}

fn parse<T: DeserializeOwned>(name: &str, arguments: Option<&JsonObject>) -> Result<T, Outcome> {
    let arguments = Value::Object(arguments.cloned().unwrap_or_default());
    serde_path_to_error::deserialize(arguments).map_err(|error| {
        let path = error.path().to_string();
        let at = if path == "." {
            String::new()
        } else {
            format!("{path}: ")
        };
        Ok(failed(format!(
            "the arguments of {name} are wrong: {at}{}; see its input schema",
            error.inner()
        )))
    })
}

impl Named {
    /// The call for the machine; `place` finds the channel of a session.
    pub(super) fn tool(self, place: impl Fn(&str) -> Option<Place>) -> Result<core::Tool, String> {
        Ok(match self.arguments {
            Arguments::Send(send) => {
                let (channel, guild) =
                    target(send.channel_id, send.session_id, send.guild_id, place)?;
                if send.content.is_empty() {
                    return Err("content is empty; to say nothing, call no_reply".into());
                }
                core::Tool::Send {
                    channel,
                    guild,
                    content: send.content,
                    reply_to: send
                        .reply_to
                        .map(|id| id_of("reply_to", &id, MessageId::new))
                        .transpose()?,
                }
            }
            Arguments::TurnDone(done) => core::Tool::TurnDone {
                turn: id_of("turn_id", &done.turn_id, TurnId::new)?,
            },
            Arguments::NoReply(no_reply) => {
                let (channel, guild) = target(
                    no_reply.channel_id,
                    no_reply.session_id,
                    no_reply.guild_id,
                    place,
                )?;
                core::Tool::NoReply { channel, guild }
            }
            Arguments::ListChannels => core::Tool::ListChannels,
        })
    }
}

fn target(
    channel: Option<String>,
    session: Option<String>,
    guild: Option<String>,
    place: impl Fn(&str) -> Option<Place>,
) -> Result<Place, String> {
    let guild = guild
        .map(|id| id_of("guild_id", &id, GuildId::new))
        .transpose()?;
    let channel = channel
        .map(|id| id_of("channel_id", &id, ChannelId::new))
        .transpose()?;
    let session = session
        .map(|session| {
            place(&session).ok_or_else(|| {
                format!(
                    "there is no session {session:?}; give the session_id of an inbound as it \
                     came, or a channel_id from list_channels"
                )
            })
        })
        .transpose()?;
    match (channel, session) {
        (Some(channel), None) => Ok((channel, guild)),
        (None, Some((channel, known))) => Ok((channel, guild.or(known))),
        (Some(channel), Some((meant, known))) if channel == meant => Ok((channel, guild.or(known))),
        (Some(channel), Some((meant, _))) => Err(format!(
            "channel_id is {channel} and session_id means {meant}; give one of them"
        )),
        (None, None) => {
            Err("channel_id is missing; give it, or the session_id of an inbound".into())
        }
    }
}

fn id_of<T>(key: &str, text: &str, new: impl Fn(&str) -> Option<T>) -> Result<T, String> {
    new(text).ok_or_else(|| format!("{key} is not an id of 1 to 128 bytes; give it as it came"))
}

/// A machine's answer as MCP has it.
pub(super) fn result(result: Result<ToolAnswer, ToolError>) -> CallToolResult {
    let value = match result {
        Ok(ToolAnswer::Sent { message, seq }) => serde_json::to_value(Sent {
            message_id: message.as_str().to_owned(),
            seq,
        }),
        Ok(ToolAnswer::Done) => serde_json::to_value(Done { done: true }),
        Ok(ToolAnswer::Channels(channels)) => serde_json::to_value(Channels {
            channels: channels.into_iter().map(entry).collect(),
        }),
        Err(ToolError(words)) => return failed(words),
    };
    match value {
        Ok(value) => CallToolResult::structured(value),
        Err(error) => failed(format!("the answer cannot be written: {error}")),
    }
}

fn entry(entry: ChannelEntry) -> Channel {
    Channel {
        channel_id: entry.channel_id.as_str().to_owned(),
        guild_id: entry.guild_id.as_str().to_owned(),
        name: entry.name,
        x_type: entry.x_type.map(|x_type| x_type.as_str().to_owned()),
        live: entry.live,
    }
}

/// A tool that failed, in words for the model that say what to do next.
pub(super) fn failed(words: String) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(words)])
}
