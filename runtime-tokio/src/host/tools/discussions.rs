//! The tools for discussions apart from the channel where they came up.

use schemars::JsonSchema;
use selvedge_core::{
    id::{ChannelId, UserId},
    plugin::tools as core,
};
use serde::{Deserialize, Serialize};

use super::{
    declared::{Declared, Effect},
    scope::{InChannel, Place, ids, optional},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StartDiscussion {
    /// What it is about, in at most 100 characters: the name of its channel.
    topic: String,
    /// The ids of the users who take part, besides the agent.
    user_ids: Vec<String>,
    /// The first message there, which wakes the first speaker; the topic where it is left out.
    opening: Option<String>,
}

/// What `start_discussion` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Started {
    /// The channel of the discussion.
    pub(super) channel_id: String,
    /// The first message there.
    pub(super) message_id: String,
}

impl Declared for StartDiscussion {
    const NAME: &'static str = "start_discussion";
    const TITLE: &'static str = "Start a discussion";
    const ABOUT: &'static str = "Makes a private discuss channel for a question that came up in the \
        given channel, with the given users, who take turns there. Its first message names the \
        channel it came from; nothing is posted in that one. Call end_discussion when it is over.";
    const EFFECT: Effect = Effect::Adds;
    type Scope = InChannel;
    type Answer = Started;

    fn call(self, (channel, guild): Place) -> Result<core::Tool, String> {
        if self.topic.trim().is_empty() {
            return Err("topic is empty; say what the discussion is about".into());
        }
        Ok(core::Tool::StartDiscussion {
            channel,
            guild,
            opening: self.opening.unwrap_or_else(|| self.topic.clone()),
            topic: self.topic,
            users: ids("user_ids", &self.user_ids, UserId::new)?,
        })
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EndDiscussion {
    /// What came of it: posted in the channel that it came from.
    summary: String,
    /// The channel where the summary is posted instead, in the same guild; needed where another
    /// account has started the discussion.
    post_to: Option<String>,
}

/// What `end_discussion` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Ended {
    /// The channel where the summary stands.
    pub(super) posted_in: String,
    /// The summary's message.
    pub(super) message_id: String,
    /// Its position in that channel.
    pub(super) seq: u64,
}

impl Declared for EndDiscussion {
    const NAME: &'static str = "end_discussion";
    const TITLE: &'static str = "End a discussion";
    const ABOUT: &'static str = "Closes a discuss channel for everybody, and posts a summary in the \
        channel that it came from. The channel to give is that of the discussion. Where the second \
        step fails, the error says so.";
    const EFFECT: Effect = Effect::Ends;
    type Scope = InChannel;
    type Answer = Ended;

    fn call(self, (channel, guild): Place) -> Result<core::Tool, String> {
        Ok(core::Tool::EndDiscussion {
            channel,
            guild,
            summary: self.summary,
            post_to: optional("post_to", self.post_to.as_deref(), ChannelId::new)?,
        })
    }
}
