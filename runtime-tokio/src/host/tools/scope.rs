//! What a tool is about: a channel, a guild, or the agent alone.

use schemars::JsonSchema;
use selvedge_core::id::{ChannelId, GuildId};
use serde::{Deserialize, de::DeserializeOwned};

/// A channel, and its guild where that is known.
pub(in crate::host) type Place = (ChannelId, Option<GuildId>);

/// Finds the channel of a session.
pub(in crate::host) type Sessions<'s> = dyn Fn(&str) -> Option<Place> + 's;

/// The arguments that say what a call is about.
pub(super) trait Scope: DeserializeOwned + JsonSchema + 'static {
    /// Their names.
    const KEYS: &'static [&'static str];
    /// What is found by them.
    type Found;

    /// Finds it.
    ///
    /// # Errors
    ///
    /// Where they name nothing, in words for the model.
    fn find(self, sessions: &Sessions<'_>) -> Result<Self::Found, String>;
}

/// The agent itself: nothing more is to be said.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Itself {}

impl Scope for Itself {
    const KEYS: &'static [&'static str] = &[];
    type Found = ();

    fn find(self, _: &Sessions<'_>) -> Result<(), String> {
        Ok(())
    }
}

/// A guild of the agent.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct InGuild {
    /// The guild; needed only where the agent is in more than one.
    guild_id: Option<String>,
}

impl Scope for InGuild {
    const KEYS: &'static [&'static str] = &["guild_id"];
    type Found = Option<GuildId>;

    fn find(self, _: &Sessions<'_>) -> Result<Option<GuildId>, String> {
        optional("guild_id", self.guild_id.as_deref(), GuildId::new)
    }
}

/// A channel of a guild.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct InChannel {
    /// The channel. Give this or session_id.
    channel_id: Option<String>,
    /// The session of an inbound, as it came: it stands for its channel. Give this or channel_id.
    session_id: Option<String>,
    /// The channel's guild; needed only where two guilds have a channel of the same id, or where the
    /// agent is in several guilds and not in the channel.
    guild_id: Option<String>,
}

impl Scope for InChannel {
    const KEYS: &'static [&'static str] = &["channel_id", "session_id", "guild_id"];
    type Found = Place;

    fn find(self, sessions: &Sessions<'_>) -> Result<Place, String> {
        let guild = optional("guild_id", self.guild_id.as_deref(), GuildId::new)?;
        let channel = optional("channel_id", self.channel_id.as_deref(), ChannelId::new)?;
        let session = self
            .session_id
            .map(|session| {
                sessions(&session).ok_or_else(|| {
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
            (Some(channel), Some((meant, known))) if channel == meant => {
                Ok((channel, guild.or(known)))
            }
            (Some(channel), Some((meant, _))) => Err(format!(
                "channel_id is {channel} and session_id means {meant}; give one of them"
            )),
            (None, None) => {
                Err("channel_id is missing; give it, or the session_id of an inbound".into())
            }
        }
    }
}

/// An id among the arguments.
pub(super) fn id<T>(key: &str, text: &str, new: impl Fn(&str) -> Option<T>) -> Result<T, String> {
    new(text).ok_or_else(|| format!("{key} is not an id of 1 to 128 bytes; give it as it came"))
}

/// An id that may be left out.
pub(super) fn optional<T>(
    key: &str,
    text: Option<&str>,
    new: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, String> {
    text.map(|text| id(key, text, new)).transpose()
}

/// Ids in a list.
pub(super) fn ids<T>(
    key: &str,
    texts: &[String],
    new: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, String> {
    texts.iter().map(|text| id(key, text, &new)).collect()
}

#[cfg(test)]
mod tests {
    use schemars::schema_for;
    use serde_json::Value;

    use super::*;

    fn keys<S: Scope>() -> Vec<String> {
        let schema = Value::from(schema_for!(S));
        let properties = schema["properties"].as_object();
        properties.map_or_else(Vec::new, |all| all.keys().cloned().collect())
    }

    #[test]
    fn the_keys_of_a_scope_are_those_of_its_schema() {
        assert_eq!(keys::<Itself>(), Itself::KEYS);
        assert_eq!(keys::<InGuild>(), InGuild::KEYS);
        let mut expected = InChannel::KEYS.to_vec();
        let mut found = keys::<InChannel>();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
    }
}
