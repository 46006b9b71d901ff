//! The people of a world: they make channels, post, edit and delete, and say who is in a channel.
//!
//! Nothing goes wrong on their way to a guild, but the guild may be gone, or refuse them: then what
//! they wanted was not done, and nobody is owed anything about it.

use std::{collections::BTreeMap, time::Duration};

use selvedge_core::{
    Secret,
    fabric::{
        bodies::{AddMember, CreateChannel, EditMessage, UpdateChannel},
        routes::{self, PostBody, encoded},
        turns::SetBypass,
        types::Channel,
    },
    http::{Method, Request, Response},
    id::{ChannelId, UserId},
};

use super::{Caller, Event, World};
use crate::script::Deed;

/// How long people's tokens live: longer than any run.
const TOKEN: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Their tokens, and the channels that they call by name.
#[derive(Debug, Default)]
pub(super) struct People {
    tokens: BTreeMap<(usize, String), Secret>,
    channels: BTreeMap<String, (usize, ChannelId)>,
}

impl People {
    /// The channel that is called so, with its guild.
    pub(super) fn channel(&self, name: &str) -> Option<(usize, ChannelId)> {
        self.channels.get(name).cloned()
    }

    /// All channels: their names, their guilds and what those call them.
    pub(super) fn named(&self) -> impl Iterator<Item = (&String, &usize, &ChannelId)> {
        let channels = self.channels.iter();
        channels.map(|(name, (guild, id))| (name, guild, id))
    }
}

impl World {
    /// A person does something.
    pub(super) fn do_deed(&mut self, who: &str, guild: Option<usize>, deed: &Deed) {
        if let Deed::Flood {
            channel,
            content,
            messages,
            every,
        } = deed
        {
            return self.flood(who, guild, (channel, content), *messages, *every);
        }
        let place = self.people.channel(deed.channel());
        let makes = matches!(deed, Deed::Create { .. });
        if place.is_none() && !makes {
            if !self.is_made(deed.channel()) {
                self.fail(format!("{who} knows no channel `{}`", deed.channel()));
            }
            return;
        }
        let guild = place
            .as_ref()
            .filter(|_| !makes)
            .map(|(guild, _)| *guild)
            .or(guild);
        let guild = guild.unwrap_or_default();
        let Some(token) = self.token_of(guild, who) else {
            return self.fail(format!("`{who}` is no id"));
        };
        let request = match place {
            Some((guild, channel)) if !makes => self.change(who, guild, &channel, deed, token),
            Some(_) | None => creation(deed, token),
        };
        let caller = match makes {
            true => Caller::Creator {
                name: deed.channel().clone(),
            },
            false => Caller::Person,
        };
        if let Some(request) = request {
            let latency = self.net.latency();
            self.call(caller, guild, request, latency);
        }
    }

    /// A person posts so many messages, one every so many milliseconds.
    fn flood(
        &mut self,
        who: &str,
        guild: Option<usize>,
        (channel, content): (&str, &str),
        messages: u64,
        every: u64,
    ) {
        self.cover("flood");
        for number in 1..=messages {
            let event = Event::Deed {
                who: who.to_string(),
                guild,
                deed: Deed::Post {
                    channel: channel.to_string(),
                    content: format!("{content} {number}"),
                },
            };
            self.schedule(Duration::from_millis(every * (number - 1)), event);
        }
    }

    /// Whether a line of the script makes a channel of that name, though that may not have happened.
    fn is_made(&self, name: &str) -> bool {
        let mut lines = self.script.lines.iter();
        lines.any(|line| line.makes(name))
    }

    /// What a person asks of a guild about a channel; `None` where there is nothing to do it with.
    fn change(
        &self,
        who: &str,
        guild: usize,
        channel: &ChannelId,
        deed: &Deed,
        token: Secret,
    ) -> Option<Request> {
        let newest = || {
            let store = &self.guilds.get(guild)?.store;
            let newest = store.newest_of(channel, &UserId::new(who)?)?;
            Some(newest.id.clone())
        };
        let below = |what: &str| {
            format!(
                "{}/channels/{}{what}",
                routes::PREFIX,
                encoded(channel.as_str())
            )
        };
        match deed {
            Deed::Create { .. } | Deed::Flood { .. } => None,
            Deed::Post { content, .. } => {
                let body = PostBody {
                    content: content.clone(),
                    reply_to_id: None,
                    attachments: vec![],
                    nonce: None,
                };
                routes::post_message(token, channel, &body).ok()
            }
            Deed::Edit { content, .. } => {
                let content = content.clone();
                routes::edit_message(token, &newest()?, &EditMessage { content }).ok()
            }
            Deed::Delete { .. } => Some(routes::delete_message(token, &newest()?)),
            Deed::Add { user, .. } => {
                let user_id = UserId::new(user)?;
                routes::add_member(token, channel, &AddMember { user_id }).ok()
            }
            Deed::Remove { user, .. } => Some(Request {
                method: Method::Delete,
                target: below(&format!("/members/{}", encoded(user))),
                bearer: Some(token),
                body: Vec::new().into(),
            }),
            Deed::SetClosed { closed, .. } => {
                let body = UpdateChannel {
                    closed: Some(*closed),
                    ..UpdateChannel::default()
                };
                routes::update_channel(token, channel, &body).ok()
            }
            Deed::Map { wakes, .. } => {
                let body = UpdateChannel {
                    wake_mapping: Some(users(wakes)),
                    ..UpdateChannel::default()
                };
                routes::update_channel(token, channel, &body).ok()
            }
            Deed::Bypass { user, bypass, .. } => {
                let body = SetBypass {
                    user_id: UserId::new(user)?,
                    bypass: *bypass,
                };
                Some(Request {
                    method: Method::Post,
                    target: below("/turn/bypass"),
                    bearer: Some(token),
                    body: serde_json::to_vec(&body).ok()?.into(),
                })
            }
        }
    }

    /// A channel was made, or was not.
    pub(super) fn on_created(&mut self, guild: usize, name: String, response: &Response) {
        match serde_json::from_slice::<Channel>(&response.body) {
            Ok(channel) => {
                self.people.channels.insert(name, (guild, channel.id));
            }
            Err(_) => self.on_person_answered(response),
        }
    }

    /// A person was answered.
    pub(super) fn on_person_answered(&mut self, response: &Response) {
        if !(200..300).contains(&response.status) {
            let at = self.since_start();
            let body = String::from_utf8_lossy(&response.body).into_owned();
            self.chronicle
                .remark(at, &format_args!("refused: {} {body}", response.status));
        }
    }

    fn token_of(&mut self, guild: usize, person: &str) -> Option<Secret> {
        let key = (guild, person.to_string());
        if let Some(token) = self.people.tokens.get(&key) {
            return Some(token.clone());
        }
        let user = UserId::new(person)?;
        let id = self.guilds.get(guild)?.config.guild_id.clone();
        let token = self.center.issue(&user, &id, self.wall() + TOKEN);
        self.people.tokens.insert(key, token.clone());
        Some(token)
    }
}

/// What a person asks of a guild that is to have a new channel.
fn creation(deed: &Deed, token: Secret) -> Option<Request> {
    let Deed::Create {
        name,
        x_type,
        members,
        wakes,
        bypass,
    } = deed
    else {
        return None;
    };
    let body = CreateChannel {
        name: name.clone(),
        x_type: *x_type,
        is_public: false,
        member_user_ids: users(members),
        wake_mapping: users(wakes),
        bypass: users(bypass),
    };
    routes::create_channel(token, &body).ok()
}

fn users(names: &[String]) -> Vec<UserId> {
    names.iter().filter_map(|name| UserId::new(name)).collect()
}
