//! The tools as MCP shows them: each declared in one place, in the file of its family.

mod canvas;
mod channels;
mod declared;
mod discussions;
mod files;
mod messages;
mod scope;
mod shapes;
mod turns;

#[cfg(test)]
mod tests;

use rmcp::model::{CallToolResult, ContentBlock, ErrorData, JsonObject, Tool};
use selvedge_core::plugin::{
    tools::{self as core, ToolAnswer, ToolError},
    transfer::Saved,
};
use serde::Serialize;
use serde_json::Value;

pub(super) use self::scope::Place;
pub use self::{channels::Channels, messages::Sent};
use self::{
    declared::{Entry, Reader, agent_of},
    scope::Sessions,
};
use super::roster::Outcome;

/// Every tool, in the order in which they are listed.
const TOOLS: &[Entry] = &[
    Entry::of::<messages::Send>(),
    Entry::of::<messages::EditMessage>(),
    Entry::of::<messages::DeleteMessage>(),
    Entry::of::<messages::GetHistory>(),
    Entry::of::<channels::ListChannels>(),
    Entry::of::<channels::GetChannel>(),
    Entry::of::<channels::CreateChannel>(),
    Entry::of::<channels::JoinChannel>(),
    Entry::of::<channels::LeaveChannel>(),
    Entry::of::<channels::CloseChannel>(),
    Entry::of::<channels::ListMembers>(),
    Entry::of::<channels::AddMembers>(),
    Entry::of::<canvas::ShareCanvas>(),
    Entry::of::<canvas::GetCanvas>(),
    Entry::of::<canvas::UpdateCanvas>(),
    Entry::of::<canvas::RemoveCanvas>(),
    Entry::of::<discussions::StartDiscussion>(),
    Entry::of::<discussions::EndDiscussion>(),
    Entry::of::<files::UploadFile>(),
    Entry::of::<files::DownloadFile>(),
    Entry::of::<turns::NoReply>(),
    Entry::of::<turns::TurnDone>(),
    Entry::of::<turns::ListPending>(),
];

/// Every tool, as `tools/list` answers.
///
/// # Errors
///
/// Where a schema cannot be made from its type, which is a bug of ours.
pub fn list() -> Result<Vec<Tool>, ErrorData> {
    TOOLS.iter().map(Entry::list).collect()
}

/// A call whose arguments have been read, and whose agent is still to be found.
pub(super) struct Named {
    /// As the host wrote it.
    pub(super) agent: Option<String>,
    read: Reader,
}

/// Reads a call.
///
/// # Errors
///
/// A protocol error where there is no such tool, a failed call where its arguments are wrong.
pub(super) fn read(name: &str, arguments: Option<&JsonObject>) -> Result<Named, Outcome> {
    let Some(entry) = TOOLS.iter().find(|entry| entry.name == name) else {
        let names: Vec<&str> = TOOLS.iter().map(|entry| entry.name).collect();
        let words = format!(
            "there is no tool {name:?}; the tools are {}",
            names.join(", ")
        );
        return Err(Err(ErrorData::invalid_params(words, None)));
    };
    let wrong = |words| Ok(failed(words));
    let mut arguments = arguments.cloned().unwrap_or_default();
    Ok(Named {
        agent: agent_of(name, &mut arguments).map_err(wrong)?,
        read: entry.read(arguments).map_err(wrong)?,
    })
}

impl Named {
    /// The call for the machine; `sessions` finds the channel of a session.
    pub(super) fn tool(self, sessions: &Sessions<'_>) -> Result<core::Tool, String> {
        (self.read)(sessions)
    }
}

/// A machine's answer as MCP has it.
pub(super) fn result(result: Result<ToolAnswer, ToolError>) -> CallToolResult {
    let value = match result {
        Ok(ToolAnswer::Sent(messages)) => written(Sent::new(messages)),
        Ok(ToolAnswer::Done) => written(shapes::Done { done: true }),
        Ok(ToolAnswer::Changed(changed)) => written(shapes::Changed { changed }),
        Ok(ToolAnswer::Channels(channels)) => written(Channels::from(channels)),
        Ok(ToolAnswer::Pending { channels, calls }) => {
            written(turns::Pending::new(channels, calls))
        }
        Ok(ToolAnswer::Uploaded(file)) => written(shapes::Attachment::from(file)),
        Ok(ToolAnswer::Downloaded(Saved { path, mime, bytes })) => {
            written(files::Downloaded { path, mime, bytes })
        }
        Ok(ToolAnswer::Channel(channel)) => written(shapes::Channel::from(channel)),
        Ok(ToolAnswer::Members { members, omitted }) => {
            written(channels::Members::new(members, omitted))
        }
        Ok(ToolAnswer::Added { added, already }) => written(channels::Added::new(&added, &already)),
        Ok(ToolAnswer::History(page)) => written(messages::History::from(page)),
        Ok(ToolAnswer::Message(message)) => written(shapes::Message::from(*message)),
        Ok(ToolAnswer::Canvas(canvas)) => written(shapes::Canvas::from(*canvas)),
        Ok(ToolAnswer::Started { channel, message }) => written(discussions::Started {
            channel_id: channel.as_str().to_owned(),
            message_id: message.as_str().to_owned(),
        }),
        Ok(ToolAnswer::Ended {
            channel,
            message,
            seq,
        }) => written(discussions::Ended {
            posted_in: channel.as_str().to_owned(),
            message_id: message.as_str().to_owned(),
            seq,
        }),
        Err(ToolError(words)) => return failed(words),
    };
    match value {
        Ok(value) => CallToolResult::structured(value),
        Err(error) => failed(format!("the answer cannot be written: {error}")),
    }
}

fn written(answer: impl Serialize) -> Result<Value, serde_json::Error> {
    serde_json::to_value(answer)
}

/// A tool that failed, in words for the model that say what to do next.
pub(super) fn failed(words: String) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(words)])
}
