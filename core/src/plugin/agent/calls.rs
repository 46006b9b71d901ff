//! The tools that the host calls.

use alloc::{
    format,
    string::{String, ToString as _},
    vec::Vec,
};

use super::Agent;
use crate::{
    fabric::{routes::AttachmentRef, types::XType},
    http::CallId,
    id::{ChannelId, GuildId},
    plugin::{
        guild_link::GuildLink,
        io::Output,
        jobs::{Opening, Step, Summary, discussion_channel},
        kept::Change,
        others::Others,
        post::Draft,
        tools::{ChannelEntry, PendingEntry, Tool, ToolAnswer},
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
        self.on_named(&tool);
        tool.fits()?;
        if let Some(why) = self.claim.refusal() {
            return Err(why);
        }
        match tool {
            Tool::Send {
                channel,
                guild,
                content,
                reply_to,
                attachments,
            } => {
                let place = self.find(&channel, guild.as_ref())?;
                let heard = self.guilds.get(&place.0).and_then(|guild| {
                    let channel = guild.channels.get(&place.1)?;
                    channel.sequence.heard()
                });
                self.send(
                    now,
                    Draft {
                        call,
                        place,
                        content,
                        reply_to,
                        attachments: attachments.iter().map(AttachmentRef::from).collect(),
                        nonce: String::new(),
                        heard,
                        again: false,
                        others: Others::up_to(heard.unwrap_or_default()),
                    },
                )?;
                Ok(None)
            }
            Tool::TurnDone { turn } => {
                self.end_turn(now, &turn, out);
                if self.shared.records.unpark(&turn) {
                    self.shared.journal.put_soon(now, Change::NoTurn(turn));
                }
                Ok(Some(ToolAnswer::Done))
            }
            Tool::NoReply { channel, guild } => {
                let place = self.find_turn(&channel, guild.as_ref())?;
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
            Tool::ListPending => Ok(Some(self.pending())),
            Tool::CreateChannel { guild, body } => {
                let guild = self.one_guild(guild.as_ref())?.number();
                self.push_job(now, call, guild, Step::Create(*body))
            }
            Tool::Upload { guild, path, name } => {
                let guild = self.one_guild(guild.as_ref())?.number();
                self.push_job(now, call, guild, Step::Upload { path, name })
            }
            Tool::Download { guild, file, name } => {
                let guild = self.one_guild(guild.as_ref())?.number();
                self.push_job(now, call, guild, Step::Download { file, name })
            }
            Tool::Ask {
                channel,
                guild,
                ask,
            } => {
                let (guild, channel) = self.seek(channel, guild.as_ref())?;
                self.push_job(now, call, guild, Step::Ask(channel, ask))
            }
            Tool::AddMembers {
                channel,
                guild,
                users,
            } => {
                let (guild, channel) = self.seek(channel, guild.as_ref())?;
                let mut rest = users;
                rest.reverse();
                let user = rest.pop().ok_or("`user_ids` is empty: nobody was added")?;
                let step = Step::Add {
                    channel,
                    user,
                    rest,
                    added: Vec::new(),
                    already: Vec::new(),
                };
                self.push_job(now, call, guild, step)
            }
            Tool::StartDiscussion {
                channel,
                guild,
                topic,
                users,
                opening,
            } => {
                let (guild, origin) = self.find(&channel, guild.as_ref())?;
                let nonce = format!("{}.0", self.shared.nonce(call));
                let opening = Opening {
                    content: opening,
                    origin,
                    nonce,
                };
                let body = discussion_channel(topic, users);
                self.push_job(now, call, guild, Step::Found(body, opening))
            }
            Tool::EndDiscussion {
                channel,
                guild,
                summary,
                post_to,
            } => {
                let place = self.find(&channel, guild.as_ref())?;
                self.end_discussion(now, call, place, summary, post_to)
            }
        }
    }

    fn end_discussion(
        &mut self,
        now: Time,
        call: CallId,
        place: Place,
        text: String,
        post_to: Option<ChannelId>,
    ) -> Result<Option<ToolAnswer>, String> {
        let known = self
            .guilds
            .get(&place.0)
            .and_then(|guild| guild.channels.get(&place.1));
        match known.and_then(|channel| channel.x_type) {
            Some(XType::Discuss) => {}
            Some(other) => {
                return Err(format!(
                    "channel {} is of the kind {} and no discussion: to close it, call \
                     close_channel; nothing was changed",
                    place.1,
                    other.as_str()
                ));
            }
            None => {
                return Err(format!(
                    "the kind of channel {} is not known yet: try again in a few seconds",
                    place.1
                ));
            }
        }
        if text.trim().is_empty() {
            return Err("`summary` is empty: nothing was changed".to_string());
        }
        let me = self.shared.account.user().cloned();
        let me = me.ok_or("there was no login yet: try again in a few seconds")?;
        let nonce = format!("{}.0", self.shared.nonce(call));
        let (guild, channel) = place;
        let summary = Summary {
            content: text,
            nonce,
        };
        let step = match post_to {
            Some(origin) => Step::Conclude {
                channel,
                origin,
                summary,
            },
            None => Step::Trace {
                channel,
                me,
                summary,
            },
        };
        self.push_job(now, call, guild, step)
    }

    fn send(&mut self, now: Time, draft: Draft) -> Result<(), String> {
        if draft.content.trim().is_empty() && draft.attachments.is_empty() {
            return Err("`content` is empty: nothing was posted".to_string());
        }
        let shared = &mut self.shared;
        shared.has_room()?;
        let (nonce, again, others) = match shared.turns.running(&draft.place) {
            Some(running) => {
                running.sends += 1;
                let nonce = format!("{}.{}", running.turn, running.sends);
                let record = shared.records.get(&draft.place, &running.turn);
                let again = record.is_some_and(|record| record.attempt > 1);
                let mut others = match again {
                    true => Others::up_to(running.last_seq),
                    false => draft.others,
                };
                others.join(&running.own);
                (nonce, again, others)
            }
            None => (shared.nonce(draft.call), false, draft.others),
        };
        let config = &shared.config;
        shared.outbox.push(
            now,
            Draft {
                nonce,
                again,
                others,
                ..draft
            },
            config.message_chars_max,
            config.send_patience,
        )
    }

    /// The place that a tool names.
    pub(super) fn find(
        &self,
        channel: &ChannelId,
        guild: Option<&GuildId>,
    ) -> Result<Place, String> {
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

    /// The place whose turn a tool means: the channel may have been left while it runs.
    fn find_turn(&self, channel: &ChannelId, guild: Option<&GuildId>) -> Result<Place, String> {
        self.find(channel, guild).or_else(|why| {
            let links = self.guilds.values();
            let links = links.filter(|link| guild.is_none_or(|guild| link.id == *guild));
            if links.clone().any(|link| link.membership.contains(channel)) {
                return Err(why);
            }
            let runs = |place: &Place| self.shared.turns.runs(place);
            links.map(|link| link.place(channel)).find(runs).ok_or(why)
        })
    }

    /// The place that a tool names, also where the agent is no member: then the guild must be known.
    fn seek(&self, channel: ChannelId, guild: Option<&GuildId>) -> Result<Place, String> {
        self.find(&channel, guild)
            .or_else(|_| self.one_guild(guild).map(|link| link.place(&channel)))
    }

    /// The guild that is meant.
    fn one_guild(&self, named: Option<&GuildId>) -> Result<&GuildLink, String> {
        let mut guilds = self.guilds.values();
        match (named, guilds.next(), guilds.next()) {
            (_, None, _) => Err("no guild is known yet, since there was no login: see the \
                                 plugin's log, and try again"
                .to_string()),
            (None, Some(only), None) => Ok(only),
            (None, Some(_), Some(_)) => Err(format!(
                "the agent is in several guilds: say `guild_id`, one of {}",
                self.guild_names()
            )),
            (Some(named), Some(_), _) => {
                let link = self.guilds.values().find(|link| link.id == *named);
                link.ok_or_else(|| {
                    format!(
                        "the agent is not in guild {named}: `guild_id` is one of {}",
                        self.guild_names()
                    )
                })
            }
        }
    }

    fn guild_names(&self) -> String {
        let names: Vec<&str> = self.guilds.values().map(|link| link.id.as_str()).collect();
        names.join(", ")
    }

    fn pending(&self) -> ToolAnswer {
        let channels = self.shared.turns.pending();
        let channels = channels.filter_map(|((number, channel), waiting, turn)| {
            Some(PendingEntry {
                channel_id: channel.clone(),
                guild_id: self.guilds.get(number)?.id.clone(),
                turn: turn.cloned(),
                waiting,
                parked: false,
            })
        });
        let parked = self.shared.records.parked();
        let parked = parked.filter_map(|(number, turn, record)| {
            Some(PendingEntry {
                channel_id: record.channel.clone(),
                guild_id: self.guilds.get(&number)?.id.clone(),
                turn: Some(turn.clone()),
                waiting: 0,
                parked: true,
            })
        });
        ToolAnswer::Pending {
            channels: channels.chain(parked).collect(),
            calls: self.shared.outbox.len() + self.shared.jobs.len(),
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
                live: guild.is_joined(id),
            }
        };
        self.guilds
            .values()
            .flat_map(|guild| guild.channels.keys().map(move |id| entry(guild, id)))
            .collect()
    }
}
